//! WAV (RIFF WAVE): PCM and the telephone's A-law and µ-law.

use super::feed::{Step, Walker, Zone};
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

/// Sizes that a writer to a pipe leaves open.
const OPEN: u32 = u32::MAX;
const MAX_METADATA: u32 = 1 << 20;

/// The rest of the sub-format GUID of WAVE_FORMAT_EXTENSIBLE behind its format tag.
const SUBFORMAT: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

#[derive(Default)]
pub(super) struct Wav {
    riff: bool,
    /// Where the RIFF chunk ends; the file ends there too. Zero when left open.
    end: u64,
    /// Bytes of one sample of all channels; zero before the format is known.
    block: u32,
    /// The data chunk has come.
    data: bool,
    /// A chunk of odd length is followed by one byte.
    pad: bool,
    /// The data runs to the end of the file.
    open_data: bool,
}

impl Wav {
    fn format(&mut self, size: u32, payload: &[u8]) -> Result<Step, Refusal> {
        if self.block != 0 || !matches!(size, 16 | 18 | 40) {
            return Err(Refusal::Malformed("the format chunk is wrong, or there are two"));
        }
        let Some(f) = payload.get(..size as usize) else { return Ok(Step::Need(8 + size as usize)) };
        let half = |at: usize| u16::from_le_bytes([f[at], f[at + 1]]);
        let (tag, channels, block, bits) = (half(0), half(2), half(12), half(14));
        let rate = u32::from_le_bytes([f[4], f[5], f[6], f[7]]);
        let tag = if tag == 0xFFFE && size == 40 && f[26..] == SUBFORMAT { half(24) } else { tag };
        let known = match tag {
            1 => matches!(bits, 8 | 16 | 24 | 32),
            6 | 7 => bits == 8,
            _ => return Err(Refusal::Forbidden("a track in a codec that recordings do not use")),
        };
        let fits = u32::from(block) == u32::from(channels) * u32::from(bits / 8);
        if !known || !fits || channels == 0 || channels > 64 || !(1000..=384_000).contains(&rate) {
            return Err(Refusal::Malformed("the format chunk contradicts itself"));
        }
        self.block = u32::from(block);
        self.chunk(size, Zone::Structure)
    }

    /// Takes a chunk's header and payload; its padding comes as a step of its own.
    fn chunk(&mut self, size: u32, zone: Zone) -> Result<Step, Refusal> {
        if zone == Zone::Structure && size > MAX_METADATA {
            return Err(Refusal::Malformed("a chunk of metadata is too long"));
        }
        self.pad = size % 2 == 1;
        Ok(Step::Take { length: 8 + u64::from(size), zone })
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        Ok(Self {
            riff: from.bool()?,
            end: from.u64()?,
            block: from.u32()?,
            data: from.bool()?,
            pad: from.bool()?,
            open_data: from.bool()?,
        })
    }
}

impl Walker for Wav {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        if !self.riff {
            let magic = ahead.len().min(4);
            if ahead[..magic] != b"RIFF"[..magic] {
                return Err(Refusal::NotTheClaimedType);
            }
            let Some(header) = ahead.first_chunk::<12>() else { return Ok(Step::Need(12)) };
            if header[8..] != *b"WAVE" {
                return Err(Refusal::NotTheClaimedType);
            }
            let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            self.end = if size == OPEN { 0 } else { 8 + u64::from(size) };
            self.riff = true;
            return Ok(Step::Take { length: 12, zone: Zone::Structure });
        }
        if self.end != 0 && at >= self.end {
            return if ahead.is_empty() { Ok(Step::Need(1)) } else { Err(Refusal::TrailingBytes) };
        }
        if self.pad {
            let Some(pad) = ahead.first() else { return Ok(Step::Need(1)) };
            if *pad != 0 {
                return Err(Refusal::Malformed("padding that is not zero"));
            }
            self.pad = false;
            return Ok(Step::Take { length: 1, zone: Zone::Structure });
        }
        if self.open_data {
            return Ok(Step::Rest);
        }
        let Some(header) = ahead.first_chunk::<8>() else { return Ok(Step::Need(8)) };
        let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let is_data = header[..4] == *b"data";
        let open = is_data && size == OPEN && self.end == 0;
        if !open && self.end != 0 && at + 8 + u64::from(size) > self.end {
            return Err(Refusal::Malformed("a chunk reaches beyond the file"));
        }
        match &header[..4] {
            b"fmt " => self.format(size, ahead.get(8..).unwrap_or_default()),
            b"data" if self.block == 0 || self.data => Err(Refusal::Malformed("data without a format, or twice")),
            b"data" => {
                self.data = true;
                if open {
                    self.open_data = true;
                    return Ok(Step::Take { length: 8, zone: Zone::Structure });
                }
                if size % self.block != 0 {
                    return Err(Refusal::Malformed("data of a broken number of samples"));
                }
                self.chunk(size, Zone::Media)
            }
            b"fact" | b"LIST" | b"JUNK" | b"PAD " | b"bext" | b"cue " => self.chunk(size, Zone::Structure),
            _ => Err(Refusal::Malformed("an unknown chunk")),
        }
    }

    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal> {
        // Some writers leave the last padding byte out, and count it or do not.
        let whole = self.end == 0 || at == self.end || (self.pad && at + 1 == self.end);
        if !whole {
            return Err(Refusal::Truncated);
        }
        if !self.data {
            return Err(Refusal::NoMedia);
        }
        Ok(Tracks { audio: 1, video: 0 })
    }

    fn save(&self, out: &mut Writer) {
        out.bool(self.riff);
        out.u64(self.end);
        out.u32(self.block);
        for flag in [self.data, self.pad, self.open_data] {
            out.bool(flag);
        }
    }
}
