//! Recordings recognised and checked by their content, as they stream in.
//!
//! The vault takes audio and video and nothing else. What arrives is walked structurally from its
//! first byte to its last: a file that is not the container it claims to be is refused within its
//! first bytes, one that breaks off, goes on after its end, or carries something active beside
//! the media is refused where that shows. The walkers decode nothing, keep a bounded state (saved
//! with the upload's tail, `docs/format.md` §4) and never look at a payload's samples.
//!
//! What this does not promise: that a payload decodes, or that it is harmless to a decoder. The
//! defence on the way out is the server's own content type, `nosniff` and a policy that runs nothing.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `claimed` | the media type a client claims |
//! | `feed` | the driver: bytes in any portions, structure out |
//! | `scan` | active content in headers and padding, and archives anywhere |
//! | `matroska`, `mp4`, `ogg`, `wav`, `mp3` | one strict walker each |
//! | `state` | saving and restoring |

mod claimed;
mod feed;
mod matroska;
mod mp3;
mod mp4;
mod ogg;
mod scan;
mod state;
mod wav;

pub use claimed::{ClaimedType, InvalidType};
pub use state::InvalidState;

use claimed::Container;
use feed::{Feed, Step, Walker};
use state::{Reader, Writer};

/// The longest saved state.
pub const MAX_STATE: usize = 1024;

/// Version of the saved state.
const STATE_VERSION: u8 = 2;

/// What a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound alone.
    Audio,
    /// At least one video track.
    Video,
}

/// A recording whose whole content fits its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    content_type: &'static str,
    kind: Kind,
}

impl Recognised {
    /// The media type to serve it with: chosen here, never the client's text.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Sound or video, by its tracks.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether there is a video track.
    #[must_use]
    pub const fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video)
    }
}

/// Why a recording is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No bytes at all.
    #[error("the recording is empty")]
    Empty,
    /// The content is not of the claimed type.
    #[error("the content is not of the claimed type")]
    NotTheClaimedType,
    /// An audio type is claimed, but there is a video track.
    #[error("the content has video, but the claimed type is audio")]
    VideoInAudio,
    /// The container is broken.
    #[error("the recording is malformed: {0}")]
    Malformed(&'static str),
    /// The container breaks off.
    #[error("the recording ends in the middle")]
    Truncated,
    /// Bytes after the container's end.
    #[error("the recording goes on after its end")]
    TrailingBytes,
    /// Nothing to hear or see.
    #[error("the recording holds no audio or video")]
    NoMedia,
    /// Markup, a script, a document or an archive within the recording.
    #[error("the recording carries active content ({0})")]
    ActiveContent(&'static str),
    /// Something a recording has no need of: attachments, encrypted or other tracks.
    #[error("the recording carries {0}")]
    Forbidden(&'static str),
}

/// The tracks a walker has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tracks {
    audio: u8,
    video: u8,
}

/// Checks one recording as its bytes come in.
pub struct Inspector {
    claimed: ClaimedType,
    feed: Feed,
    walker: AnyWalker,
    refused: Option<Refusal>,
}

/// One of the walkers. An enum, not a trait object: it is saved and restored.
enum AnyWalker {
    Matroska(matroska::Matroska),
    Mp4(mp4::Mp4),
    Ogg(ogg::Ogg),
    Wav(wav::Wav),
    Mp3(mp3::Mp3),
}

impl Walker for AnyWalker {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        match self {
            Self::Matroska(w) => w.step(at, ahead),
            Self::Mp4(w) => w.step(at, ahead),
            Self::Ogg(w) => w.step(at, ahead),
            Self::Wav(w) => w.step(at, ahead),
            Self::Mp3(w) => w.step(at, ahead),
        }
    }

    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal> {
        match self {
            Self::Matroska(w) => w.finish(at),
            Self::Mp4(w) => w.finish(at),
            Self::Ogg(w) => w.finish(at),
            Self::Wav(w) => w.finish(at),
            Self::Mp3(w) => w.finish(at),
        }
    }

    fn save(&self, out: &mut Writer) {
        match self {
            Self::Matroska(w) => w.save(out),
            Self::Mp4(w) => w.save(out),
            Self::Ogg(w) => w.save(out),
            Self::Wav(w) => w.save(out),
            Self::Mp3(w) => w.save(out),
        }
    }
}

impl AnyWalker {
    fn new(container: Container) -> Self {
        match container {
            Container::WebM => Self::Matroska(matroska::Matroska::new(true)),
            Container::Matroska => Self::Matroska(matroska::Matroska::new(false)),
            Container::Mp4 => Self::Mp4(mp4::Mp4::default()),
            Container::Ogg => Self::Ogg(ogg::Ogg::default()),
            Container::Wav => Self::Wav(wav::Wav::default()),
            Container::Mp3 => Self::Mp3(mp3::Mp3::default()),
        }
    }

    fn restore(container: Container, from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        Ok(match container {
            Container::WebM => Self::Matroska(matroska::Matroska::restore(true, from)?),
            Container::Matroska => Self::Matroska(matroska::Matroska::restore(false, from)?),
            Container::Mp4 => Self::Mp4(mp4::Mp4::restore(from)?),
            Container::Ogg => Self::Ogg(ogg::Ogg::restore(from)?),
            Container::Wav => Self::Wav(wav::Wav::restore(from)?),
            Container::Mp3 => Self::Mp3(mp3::Mp3::restore(from)?),
        })
    }
}

impl Inspector {
    /// Begins to check a recording that claims to be of this type.
    #[must_use]
    pub fn new(claimed: ClaimedType) -> Self {
        let walker = AnyWalker::new(claimed.container());
        Self { claimed, feed: Feed::default(), walker, refused: None }
    }

    /// Takes the next bytes. A refusal is final: it is repeated from then on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        self.feed.push(&mut self.walker, bytes).inspect_err(|refusal| self.refused = Some(*refusal))
    }

    /// Says what the recording is, now that it is whole.
    pub fn finish(mut self) -> Result<Recognised, Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        let tracks = self.feed.finish(&mut self.walker)?;
        let kind = match tracks {
            Tracks { audio: 0, video: 0 } => return Err(Refusal::NoMedia),
            Tracks { video: 0, .. } => Kind::Audio,
            Tracks { .. } => Kind::Video,
        };
        if kind == Kind::Video && self.claimed.is_audio() {
            return Err(Refusal::VideoInAudio);
        }
        Ok(Recognised { content_type: self.claimed.content_type(kind), kind })
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.feed.taken()
    }

    /// The state between two requests, at most [`MAX_STATE`] bytes. `None` after a refusal:
    /// there is nothing to go on with.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        if self.refused.is_some() {
            return None;
        }
        let mut out = Writer::default();
        out.u8(STATE_VERSION);
        self.claimed.save(&mut out);
        self.feed.save(&mut out);
        self.walker.save(&mut out);
        let bytes = out.into_bytes();
        debug_assert!(bytes.len() <= MAX_STATE, "the walkers' states are bounded");
        Some(bytes)
    }

    /// Goes on from a saved state.
    pub fn restore(bytes: &[u8]) -> Result<Self, InvalidState> {
        let mut from = Reader::new(bytes);
        if from.u8()? != STATE_VERSION {
            return Err(InvalidState);
        }
        let claimed = ClaimedType::restore(&mut from)?;
        let feed = Feed::restore(&mut from)?;
        let walker = AnyWalker::restore(claimed.container(), &mut from)?;
        from.end()?;
        Ok(Self { claimed, feed, walker, refused: None })
    }
}

#[cfg(test)]
mod tests;
