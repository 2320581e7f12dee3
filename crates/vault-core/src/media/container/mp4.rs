//! MP4 (ISO/IEC 14496-12): boxes down to each track's handler and sample entries.
//!
//! Both forms are walked: one `moov` over one `mdat`, and MediaRecorder's fragments. A box "to the
//! end of the file" is refused, since nothing after it could be told from it.

use super::feed::{Step, Walker, Zone};
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

/// moov, trak, mdia, minf, stbl, stsd.
const MAX_DEPTH: usize = 6;
const MAX_TRACKS: u8 = 8;
/// The longest box that is neither media nor a table.
const MAX_METADATA: u64 = 1 << 20;
/// The longest table: an index of a day of frames fits.
const MAX_TABLE: u64 = 64 << 20;
const MAX_FTYP: u64 = 1024;

const VIDEO_CODECS: [&[u8; 4]; 8] = [b"avc1", b"avc3", b"hvc1", b"hev1", b"vp08", b"vp09", b"av01", b"mp4v"];
const AUDIO_CODECS: [&[u8; 4]; 5] = [b"mp4a", b"Opus", b"fLaC", b"alac", b"ac-3"];

#[derive(Default)]
pub(super) struct Mp4 {
    stack: Vec<([u8; 4], u64)>,
    ftyp: bool,
    moov: bool,
    mdat: bool,
    /// Of the track being read: 1 video, 2 audio, 0 not seen.
    handler: u8,
    codec: u8,
    audio: u8,
    video: u8,
}

struct Header {
    kind: [u8; 4],
    header: u64,
    size: u64,
}

impl Mp4 {
    fn settle(&mut self, at: u64) -> Result<(), Refusal> {
        while let Some((kind, _)) = self.stack.pop_if(|(_, end)| *end == at) {
            match &kind {
                b"trak" => {
                    match (core::mem::take(&mut self.handler), core::mem::take(&mut self.codec)) {
                        (1, 1) => self.video += 1,
                        (2, 2) => self.audio += 1,
                        _ => return Err(Refusal::Malformed("a track without handler or fitting codec")),
                    }
                    if self.audio + self.video > MAX_TRACKS {
                        return Err(Refusal::Malformed("too many tracks"));
                    }
                }
                b"moov" => self.moov = true,
                _ => (),
            }
        }
        Ok(())
    }

    fn enter(&mut self, at: u64, b: &Header, beyond: u64) -> Result<Step, Refusal> {
        if self.stack.len() == MAX_DEPTH || b.size < b.header + beyond {
            return Err(Refusal::Malformed("a box is too short or nested too deeply"));
        }
        self.stack.push((b.kind, at + b.size));
        Ok(Step::Take { length: b.header + beyond, zone: Zone::Structure })
    }

    fn at_root(&mut self, at: u64, b: &Header, ahead: &[u8]) -> Result<Step, Refusal> {
        match &b.kind {
            b"ftyp" if at == 0 && (16..=MAX_FTYP).contains(&b.size) && b.header == 8 => {
                let Some(brand) = ahead.get(8..12) else { return Ok(Step::Need(12)) };
                // QuickTime is another format, with boxes of its own.
                if brand == b"qt  " {
                    return Err(Refusal::NotTheClaimedType);
                }
                self.ftyp = true;
                pass(b, Zone::Structure)
            }
            _ if !self.ftyp => Err(Refusal::NotTheClaimedType),
            b"moov" if self.moov => Err(Refusal::Malformed("moov twice")),
            b"moov" => self.enter(at, b, 0),
            b"mdat" => {
                self.mdat = true;
                pass(b, Zone::Media)
            }
            b"moof" | b"sidx" | b"ssix" | b"mfra" => pass_table(b),
            b"free" | b"skip" | b"wide" | b"styp" | b"prft" | b"pdin" => pass(b, Zone::Structure),
            _ => Err(Refusal::Malformed("an unknown box")),
        }
    }

    fn in_mdia(&mut self, at: u64, b: &Header, payload: &[u8]) -> Result<Step, Refusal> {
        match &b.kind {
            b"minf" => self.enter(at, b, 0),
            b"hdlr" => {
                // Version and flags, a reserved word, the handler.
                let Some(handler) = payload.get(8..12) else {
                    return if b.size < b.header + 12 {
                        Err(Refusal::Malformed("a handler box is too short"))
                    } else {
                        Ok(Step::Need(usize::try_from(b.header + 12).unwrap_or(usize::MAX)))
                    };
                };
                if self.handler != 0 {
                    return Err(Refusal::Malformed("a handler twice"));
                }
                self.handler = match handler {
                    b"vide" => 1,
                    b"soun" => 2,
                    _ => return Err(Refusal::Forbidden("a track that is neither audio nor video")),
                };
                pass(b, Zone::Structure)
            }
            b"mdhd" | b"elng" | b"free" | b"skip" => pass(b, Zone::Structure),
            _ => Err(Refusal::Malformed("an unknown box in a track's media")),
        }
    }

    fn sample_entry(&mut self, b: &Header) -> Result<Step, Refusal> {
        let kind = if VIDEO_CODECS.contains(&&b.kind) {
            1
        } else if AUDIO_CODECS.contains(&&b.kind) {
            2
        } else if matches!(&b.kind, b"encv" | b"enca") {
            return Err(Refusal::Forbidden("an encrypted track"));
        } else {
            return Err(Refusal::Forbidden("a track in a codec that recordings do not use"));
        };
        if self.codec != 0 && self.codec != kind {
            return Err(Refusal::Malformed("a track of two kinds"));
        }
        self.codec = kind;
        pass(b, Zone::Structure)
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let mut walker = Self::default();
        for _ in 0..from.count(MAX_DEPTH)? {
            walker.stack.push((from.u32()?.to_be_bytes(), from.u64()?));
        }
        walker.ftyp = from.bool()?;
        walker.moov = from.bool()?;
        walker.mdat = from.bool()?;
        walker.handler = from.u8()?;
        walker.codec = from.u8()?;
        walker.audio = from.u8()?;
        walker.video = from.u8()?;
        if walker.audio > MAX_TRACKS || walker.video > MAX_TRACKS {
            return Err(InvalidState);
        }
        Ok(walker)
    }
}

impl Walker for Mp4 {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        self.settle(at)?;
        let wrong = |why| if at == 0 { Refusal::NotTheClaimedType } else { Refusal::Malformed(why) };
        let Some((size, rest)) = ahead.split_first_chunk::<4>() else { return Ok(Step::Need(8)) };
        let Some((kind, rest)) = rest.split_first_chunk::<4>() else { return Ok(Step::Need(8)) };
        let b = match u32::from_be_bytes(*size) {
            0 => return Err(wrong("a box that reaches to the end of the file")),
            1 => match rest.first_chunk::<8>() {
                Some(size) => Header { kind: *kind, header: 16, size: u64::from_be_bytes(*size) },
                None if at == 0 => return Err(Refusal::NotTheClaimedType),
                None => return Ok(Step::Need(16)),
            },
            size => Header { kind: *kind, header: 8, size: u64::from(size) },
        };
        if b.size < b.header || b.size > 1 << 55 {
            return Err(wrong("a box of impossible size"));
        }
        if self.stack.last().is_some_and(|(_, end)| *end < at + b.size) {
            return Err(Refusal::Malformed("a box reaches beyond its parent"));
        }
        let payload = ahead.get(usize::try_from(b.header).unwrap_or(usize::MAX)..).unwrap_or_default();
        let Some((parent, _)) = self.stack.last() else { return self.at_root(at, &b, ahead) };
        match (parent, &b.kind) {
            (b"moov", b"trak") | (b"trak", b"mdia") | (b"minf", b"stbl") => self.enter(at, &b, 0),
            (b"mdia", _) => self.in_mdia(at, &b, payload),
            // Version and flags, the number of entries.
            (b"stbl", b"stsd") => self.enter(at, &b, 8),
            (b"stbl", _) => pass_table(&b),
            (b"stsd", _) => self.sample_entry(&b),
            (b"moov", b"pssh") => Err(Refusal::Forbidden("an encrypted track")),
            (b"moov", b"mvhd" | b"mvex" | b"udta" | b"meta" | b"iods" | b"free" | b"skip")
            | (b"trak", b"tkhd" | b"edts" | b"udta" | b"meta" | b"tref" | b"free" | b"skip")
            | (b"minf", b"vmhd" | b"smhd" | b"nmhd" | b"dinf" | b"hdlr" | b"free" | b"skip") => {
                pass(&b, Zone::Structure)
            }
            _ => Err(Refusal::Malformed("an unknown box")),
        }
    }

    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal> {
        self.settle(at)?;
        if !self.stack.is_empty() || !self.moov {
            return Err(Refusal::Truncated);
        }
        if !self.mdat {
            return Err(Refusal::NoMedia);
        }
        Ok(Tracks { audio: self.audio, video: self.video })
    }

    fn save(&self, out: &mut Writer) {
        out.u8(u8::try_from(self.stack.len()).unwrap_or(u8::MAX));
        for (kind, end) in &self.stack {
            out.u32(u32::from_be_bytes(*kind));
            out.u64(*end);
        }
        for flag in [self.ftyp, self.moov, self.mdat] {
            out.bool(flag);
        }
        for value in [self.handler, self.codec, self.audio, self.video] {
            out.u8(value);
        }
    }
}

fn pass(b: &Header, zone: Zone) -> Result<Step, Refusal> {
    if zone == Zone::Structure && b.size > MAX_METADATA {
        return Err(Refusal::Malformed("a box of metadata is too long"));
    }
    Ok(Step::Take { length: b.size, zone })
}

/// Tables of numbers may be long, and any byte sequence may occur in them.
fn pass_table(b: &Header) -> Result<Step, Refusal> {
    if b.size > MAX_TABLE {
        return Err(Refusal::Malformed("a table is too long"));
    }
    Ok(Step::Take { length: b.size, zone: Zone::Media })
}
