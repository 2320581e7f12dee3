//! The media type a client claims in `filetype`.

use super::Kind;
use super::state::{InvalidState, Reader, Writer};

/// The containers the vault takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    WebM,
    Matroska,
    Mp4,
    Ogg,
    Wav,
    Mp3,
}

/// A claimed type the vault takes: a container, and whether it is claimed to be sound alone.
///
/// `video/…` may turn out to be sound alone: file pickers call every `.webm` and `.mp4` video. The
/// other way round it is refused, since sound may be collected where video may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedType {
    container: Container,
    audio: bool,
}

/// Not a media type, or not one the vault takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidType {
    /// Not of the form `type/subtype; name=value`.
    #[error("not a media type")]
    Malformed,
    /// Another kind of file.
    #[error("the vault takes WebM, MP4, Ogg, WAV and MP3 recordings")]
    Unsupported,
}

/// The longest media type that is looked at.
const MAX_LENGTH: usize = 255;

const TYPES: [(&str, Container, bool); 16] = [
    ("video/webm", Container::WebM, false),
    ("audio/webm", Container::WebM, true),
    ("video/x-matroska", Container::Matroska, false),
    ("video/matroska", Container::Matroska, false),
    ("audio/x-matroska", Container::Matroska, true),
    ("audio/matroska", Container::Matroska, true),
    ("video/mp4", Container::Mp4, false),
    ("audio/mp4", Container::Mp4, true),
    ("video/ogg", Container::Ogg, false),
    ("audio/ogg", Container::Ogg, true),
    ("audio/wav", Container::Wav, true),
    ("audio/x-wav", Container::Wav, true),
    ("audio/wave", Container::Wav, true),
    ("audio/vnd.wave", Container::Wav, true),
    ("audio/mpeg", Container::Mp3, true),
    ("audio/mp3", Container::Mp3, true),
];

impl ClaimedType {
    /// Parses a media type. Parameters are checked for form and otherwise ignored; `codecs` may be
    /// written `codecs=vp8,opus` (Chromium) or `codecs="vp8, opus"` (Firefox).
    pub fn parse(text: &str) -> Result<Self, InvalidType> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidType::Malformed);
        }
        let (essence, parameters) = text.split_once(';').map_or((text, None), |(e, p)| (e, Some(p)));
        let essence = essence.trim_matches([' ', '\t']);
        match essence.split_once('/') {
            Some((left, right)) if is_token(left) && is_token(right) => (),
            _ => return Err(InvalidType::Malformed),
        }
        if let Some(parameters) = parameters {
            check_parameters(parameters)?;
        }
        TYPES
            .iter()
            .find(|(name, ..)| essence.eq_ignore_ascii_case(name))
            .map(|(_, container, audio)| Self { container: *container, audio: *audio })
            .ok_or(InvalidType::Unsupported)
    }

    pub(super) const fn container(self) -> Container {
        self.container
    }

    pub(super) const fn is_audio(self) -> bool {
        self.audio
    }

    /// The kind claimed: how long the segments are has to be decided before the content is known.
    #[must_use]
    pub const fn kind(self) -> Kind {
        if self.audio { Kind::Audio } else { Kind::Video }
    }

    /// The type to serve a recording of this container and `kind` with.
    pub(super) const fn content_type(self, kind: Kind) -> &'static str {
        match (self.container, kind) {
            (Container::WebM, Kind::Video) => "video/webm",
            (Container::WebM, Kind::Audio) => "audio/webm",
            (Container::Matroska, Kind::Video) => "video/x-matroska",
            (Container::Matroska, Kind::Audio) => "audio/x-matroska",
            (Container::Mp4, Kind::Video) => "video/mp4",
            (Container::Mp4, Kind::Audio) => "audio/mp4",
            (Container::Ogg, Kind::Video) => "video/ogg",
            (Container::Ogg, Kind::Audio) => "audio/ogg",
            (Container::Wav, _) => "audio/wav",
            (Container::Mp3, _) => "audio/mpeg",
        }
    }

    pub(super) fn save(self, out: &mut Writer) {
        out.u8(match self.container {
            Container::WebM => 0,
            Container::Matroska => 1,
            Container::Mp4 => 2,
            Container::Ogg => 3,
            Container::Wav => 4,
            Container::Mp3 => 5,
        });
        out.bool(self.audio);
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let container = match from.u8()? {
            0 => Container::WebM,
            1 => Container::Matroska,
            2 => Container::Mp4,
            3 => Container::Ogg,
            4 => Container::Wav,
            5 => Container::Mp3,
            _ => return Err(InvalidState),
        };
        Ok(Self { container, audio: from.bool()? })
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `name=value` between semicolons; the value a quoted string or printable text.
fn check_parameters(text: &str) -> Result<(), InvalidType> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Ok(());
        }
        let (name, value) = rest.split_once('=').ok_or(InvalidType::Malformed)?;
        if !is_token(name) {
            return Err(InvalidType::Malformed);
        }
        rest = match value.strip_prefix('"') {
            Some(quoted) => skip_quoted(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                let bare = value[..end].trim_end_matches([' ', '\t']);
                if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
                    return Err(InvalidType::Malformed);
                }
                &value[end..]
            }
        };
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(()),
            None => return Err(InvalidType::Malformed),
        }
    }
}

/// What follows the closing quote.
fn skip_quoted(text: &str) -> Result<&str, InvalidType> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(&text[at + 1..]),
            ' ' | '\t' | '!'..='~' => (),
            _ => return Err(InvalidType::Malformed),
        }
    }
    Err(InvalidType::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_write_is_understood() {
        let video =
            ["video/webm", "video/webm;codecs=vp8,opus", "video/webm; codecs=\"vp8, opus\"", "VIDEO/WebM ;codecs=vp9"];
        for text in video {
            let claimed = ClaimedType::parse(text);
            assert_eq!(claimed, Ok(ClaimedType { container: Container::WebM, audio: false }), "{text}");
        }
        let audio =
            ["audio/ogg; codecs=opus", "audio/wav", "audio/mpeg", "audio/mp4;codecs=\"mp4a.40.2\"", "audio/webm;"];
        for text in audio {
            assert!(ClaimedType::parse(text).unwrap().is_audio(), "{text}");
        }
    }

    #[test]
    fn other_types_and_other_texts_are_refused() {
        for text in ["text/html", "image/svg+xml", "application/pdf", "application/octet-stream", "video/quicktime"] {
            assert_eq!(ClaimedType::parse(text), Err(InvalidType::Unsupported), "{text}");
        }
        let long = format!("video/webm;codecs={}", "a".repeat(300));
        let malformed = [
            "",
            "video",
            "/webm",
            "video/",
            "video/webm;codecs",
            "video/webm;codecs=",
            "video/webm;=x",
            "video/webm\r\nX: y",
            "video/webm;codecs=\"vp8",
            "video/webm;codecs=\"a\"b",
            "video/webm;codecs=\"a\nb\"",
            "video/web m",
            "vidéo/webm",
            &long,
        ];
        for text in malformed {
            assert_eq!(ClaimedType::parse(text), Err(InvalidType::Malformed), "{text:?}");
        }
    }
}
