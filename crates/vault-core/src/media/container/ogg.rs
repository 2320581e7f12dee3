//! Ogg (RFC 3533): pages of a few streams, each in order, all begun before any goes on.

use super::feed::{Step, Walker, Zone};
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

const MAX_STREAMS: usize = 4;
const PAGE_HEADER: usize = 27;
const FIRST_PAGE: u8 = 0x02;
const LAST_PAGE: u8 = 0x04;
/// As much of a stream's first packet as tells its codec.
const IDENTIFICATION: usize = 8;

struct Stream {
    serial: u32,
    next: u32,
    video: bool,
    ended: bool,
}

#[derive(Default)]
pub(super) struct Ogg {
    streams: Vec<Stream>,
    /// A page that is not a stream's first has come: no stream may begin any more.
    begun: bool,
    media: bool,
}

impl Ogg {
    fn begin(&mut self, serial: u32, sequence: u32, packet: &[u8]) -> Result<(), Refusal> {
        if self.begun {
            return Err(Refusal::TrailingBytes);
        }
        if self.streams.len() == MAX_STREAMS || self.streams.iter().any(|s| s.serial == serial) {
            return Err(Refusal::Malformed("too many streams, or one twice"));
        }
        let video = match packet {
            b"OpusHead"
            | b"Speex   "
            | [0x01, b'v', b'o', b'r', b'b', b'i', b's', ..]
            | [0x7F, b'F', b'L', b'A', b'C', ..] => false,
            [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => true,
            _ => return Err(Refusal::Forbidden("a track in a codec that recordings do not use")),
        };
        self.streams.push(Stream { serial, next: sequence, video, ended: false });
        Ok(())
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let mut walker = Self::default();
        for _ in 0..from.count(MAX_STREAMS)? {
            let (serial, next) = (from.u32()?, from.u32()?);
            walker.streams.push(Stream { serial, next, video: from.bool()?, ended: from.bool()? });
        }
        walker.begun = from.bool()?;
        walker.media = from.bool()?;
        Ok(walker)
    }
}

impl Walker for Ogg {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        if ahead.is_empty() {
            return Ok(Step::Need(4));
        }
        let magic = ahead.len().min(4);
        if ahead[..magic] != b"OggS"[..magic] {
            let over = !self.streams.is_empty() && self.streams.iter().all(|s| s.ended);
            return Err(match at {
                0 => Refusal::NotTheClaimedType,
                _ if over => Refusal::TrailingBytes,
                _ => Refusal::Malformed("not an Ogg page"),
            });
        }
        let Some(header) = ahead.first_chunk::<PAGE_HEADER>() else { return Ok(Step::Need(PAGE_HEADER)) };
        let flags = header[5];
        let word =
            |from: usize| u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]]);
        let (serial, sequence) = (word(14), word(18));
        let has_samples = header[6..14] != [0; 8];
        if header[4] != 0 || flags & !0x07 != 0 {
            return Err(Refusal::Malformed("an Ogg page of another version"));
        }
        let segments = PAGE_HEADER + usize::from(header[26]);
        let Some(lacing) = ahead.get(PAGE_HEADER..segments) else { return Ok(Step::Need(segments)) };
        let payload: usize = lacing.iter().map(|l| usize::from(*l)).sum();

        if flags & FIRST_PAGE != 0 {
            let Some(packet) = ahead.get(segments..segments + payload.min(IDENTIFICATION)) else {
                return Ok(Step::Need(segments + payload.min(IDENTIFICATION)));
            };
            self.begin(serial, sequence, packet)?;
        } else {
            self.begun = true;
        }
        let Some(stream) = self.streams.iter_mut().find(|s| s.serial == serial) else {
            return Err(Refusal::Malformed("a page of a stream that never began"));
        };
        if stream.ended {
            return Err(Refusal::TrailingBytes);
        }
        if stream.next != sequence {
            return Err(Refusal::Malformed("an Ogg page out of order"));
        }
        stream.next = sequence.wrapping_add(1);
        stream.ended = flags & LAST_PAGE != 0;
        self.media |= has_samples;
        let zone = if has_samples { Zone::Media } else { Zone::Structure };
        Ok(Step::Take { length: (segments + payload) as u64, zone })
    }

    fn finish(&mut self, _: u64) -> Result<Tracks, Refusal> {
        if !self.media {
            return Err(Refusal::NoMedia);
        }
        // A recorder that was closed leaves no last page; every page is whole all the same.
        let count = |video| u8::try_from(self.streams.iter().filter(|s| s.video == video).count()).unwrap_or(u8::MAX);
        Ok(Tracks { audio: count(false), video: count(true) })
    }

    fn save(&self, out: &mut Writer) {
        out.u8(u8::try_from(self.streams.len()).unwrap_or(u8::MAX));
        for s in &self.streams {
            out.u32(s.serial);
            out.u32(s.next);
            out.bool(s.video);
            out.bool(s.ended);
        }
        out.bool(self.begun);
        out.bool(self.media);
    }
}
