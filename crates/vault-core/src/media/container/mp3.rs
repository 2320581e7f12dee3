//! MP3: MPEG audio layer III, frame after frame, perhaps with ID3 tags of text around it.

use super::feed::{Step, Walker, Zone};
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

const MAX_ID3: u64 = 256 * 1024;
const ID3V1: usize = 128;
/// Zeros behind the last frame of a tag are looked at in pieces of this length.
const PADDING: u64 = 256;

/// kbit/s by index: MPEG 1, and MPEG 2 and 2.5.
const RATES_1: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const RATES_2: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const SAMPLES_1: [u32; 3] = [44_100, 48_000, 32_000];

#[derive(Default)]
pub(super) struct Mp3 {
    /// Where the ID3v2 tag ends; zero without one.
    tag_end: u64,
    tag_version: u8,
    padding: bool,
    /// Version and sample rate of the first frame, as its header has them; all later ones agree.
    stream: u8,
    /// Frames seen, up to two: one alone may be an accident.
    frames: u8,
    ended: bool,
}

impl Mp3 {
    fn begin_tag(&mut self, ahead: &[u8]) -> Result<Step, Refusal> {
        let Some(header) = ahead.first_chunk::<10>() else { return Ok(Step::Need(10)) };
        let size = syncsafe(&header[6..]).ok_or(Refusal::NotTheClaimedType)?;
        // Unsynchronised, extended, experimental tags: no recorder writes them.
        if !matches!(header[3], 3 | 4) || header[5] != 0 || size > MAX_ID3 {
            return Err(Refusal::Malformed("an ID3 tag of an unknown form"));
        }
        self.tag_version = header[3];
        self.tag_end = 10 + size;
        Ok(Step::Take { length: 10, zone: Zone::Structure })
    }

    fn in_tag(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        let rest = self.tag_end - at;
        if self.padding {
            let here = rest.min(PADDING);
            let count = usize::try_from(here).unwrap_or(usize::MAX);
            let Some(zeros) = ahead.get(..count) else { return Ok(Step::Need(count)) };
            if zeros.iter().any(|b| *b != 0) {
                return Err(Refusal::Malformed("padding that is not zero"));
            }
            return Ok(Step::Take { length: here, zone: Zone::Structure });
        }
        let Some(first) = ahead.first() else { return Ok(Step::Need(1)) };
        if *first == 0 {
            self.padding = true;
            return self.in_tag(at, ahead);
        }
        let Some(header) = ahead.first_chunk::<10>() else { return Ok(Step::Need(10)) };
        let size = match self.tag_version {
            4 => syncsafe(&header[4..8]).ok_or(Refusal::Malformed("an ID3 frame of impossible size"))?,
            _ => u64::from(u32::from_be_bytes([header[4], header[5], header[6], header[7]])),
        };
        if size + 10 > rest {
            return Err(Refusal::Malformed("an ID3 frame reaches beyond its tag"));
        }
        // Text and comments; no pictures, links, objects or commands.
        match &header[..4] {
            b"WXXX" | b"GEOB" | b"APIC" | b"LINK" | b"COMR" | b"AENC" | b"ENCR" => {
                Err(Refusal::Forbidden("attachments"))
            }
            b"COMM" | b"PRIV" | b"USLT" | b"MLLT" | [b'T', b'A'..=b'Z', b'A'..=b'Z', b'0'..=b'9' | b'A'..=b'Z'] => {
                Ok(Step::Take { length: 10 + size, zone: Zone::Structure })
            }
            _ => Err(Refusal::Malformed("an unknown ID3 frame")),
        }
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        Ok(Self {
            tag_end: from.u64()?,
            tag_version: from.u8()?,
            padding: from.bool()?,
            stream: from.u8()?,
            frames: from.u8()?,
            ended: from.bool()?,
        })
    }
}

impl Walker for Mp3 {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        if at == 0 && ahead.starts_with(b"ID3") {
            return self.begin_tag(ahead);
        }
        if at < self.tag_end {
            return self.in_tag(at, ahead);
        }
        if self.ended {
            return if ahead.is_empty() { Ok(Step::Need(1)) } else { Err(Refusal::TrailingBytes) };
        }
        let begun = self.frames > 0;
        match ahead.first() {
            None => return Ok(Step::Need(1)),
            Some(0xFF) => (),
            Some(b'I') if at == 0 => {
                let seen = ahead.len().min(3);
                return if ahead[..seen] == b"ID3"[..seen] {
                    Ok(Step::Need(3))
                } else {
                    Err(Refusal::NotTheClaimedType)
                };
            }
            Some(b'T') if begun => {
                let seen = ahead.len().min(3);
                if ahead[..seen] != b"TAG"[..seen] {
                    return Err(Refusal::TrailingBytes);
                }
                if ahead.len() < ID3V1 {
                    return Ok(Step::Need(ID3V1));
                }
                self.ended = true;
                return Ok(Step::Take { length: ID3V1 as u64, zone: Zone::Structure });
            }
            Some(_) if begun => return Err(Refusal::TrailingBytes),
            Some(_) => return Err(Refusal::NotTheClaimedType),
        }
        let Some(header) = ahead.first_chunk::<4>() else { return Ok(Step::Need(4)) };
        let wrong = if begun { Refusal::Malformed("not an MPEG audio frame") } else { Refusal::NotTheClaimedType };
        let (stream, length) = frame(*header).ok_or(wrong)?;
        if begun && stream != self.stream {
            return Err(Refusal::Malformed("frames of two kinds"));
        }
        self.stream = stream;
        self.frames = self.frames.saturating_add(1).min(2);
        Ok(Step::Take { length, zone: Zone::Media })
    }

    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal> {
        if at < self.tag_end {
            return Err(Refusal::Truncated);
        }
        if self.frames < 2 {
            return Err(Refusal::NoMedia);
        }
        Ok(Tracks { audio: 1, video: 0 })
    }

    fn save(&self, out: &mut Writer) {
        out.u64(self.tag_end);
        out.u8(self.tag_version);
        out.bool(self.padding);
        out.u8(self.stream);
        out.u8(self.frames);
        out.bool(self.ended);
    }
}

/// Four bytes of seven bits each.
fn syncsafe(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |value: u64, b| if *b < 0x80 { Some(value << 7 | u64::from(*b)) } else { None })
}

/// What identifies the stream in a layer III frame header, and the frame's length.
fn frame(header: [u8; 4]) -> Option<(u8, u64)> {
    let [first, second, third, _] = header;
    if first != 0xFF || second & 0xE0 != 0xE0 || second & 0x06 != 0x02 {
        return None;
    }
    let version = second >> 3 & 3;
    let rate_index = usize::from(third >> 2 & 3);
    let rate = *SAMPLES_1.get(rate_index)?;
    let kbits = |rates: [u32; 14]| rates.get(usize::from(third >> 4).checked_sub(1)?).copied();
    let padding = u32::from(third >> 1 & 1);
    let length = match version {
        3 => 144_000 * kbits(RATES_1)? / rate,
        2 => 72_000 * kbits(RATES_2)? / (rate / 2),
        0 => 72_000 * kbits(RATES_2)? / (rate / 4),
        _ => return None,
    };
    Some((version << 2 | third >> 2 & 3, u64::from(length + padding)))
}
