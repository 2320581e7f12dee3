//! WebM and Matroska (RFC 8794 EBML, RFC 9559): masters on a small stack, blocks checked for their
//! track, everything else passed over.
//!
//! MediaRecorder writes Segment and Clusters of unknown size: such a Cluster ends where an element
//! of the Segment begins, and the file may end between any two elements.

use super::feed::{Step, Walker, Zone};
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

const EBML: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114D_9B74;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CLUSTER: u32 = 0x1F43_B675;
const CUES: u32 = 0x1C53_BB6B;
const TAGS: u32 = 0x1254_C367;
const ATTACHMENTS: u32 = 0x1941_A469;
const CHAPTERS: u32 = 0x1043_A770;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_NUMBER: u32 = 0xD7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const CONTENT_ENCODINGS: u32 = 0x6D80;
const TRACK_OPERATION: u32 = 0xE2;
const SIMPLE_BLOCK: u32 = 0xA3;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;
const VOID: u32 = 0xEC;
const CRC_32: u32 = 0xBF;

/// A master whose end is not known.
const UNKNOWN: u64 = u64::MAX;
/// Segment, Cluster, BlockGroup, and one to spare.
const MAX_DEPTH: usize = 4;
const MAX_TRACKS: usize = 8;
/// The longest element that is neither media nor an index.
const MAX_METADATA: u64 = 1 << 20;
const MAX_CODEC_ID: u64 = 32;
const MAX_DOC_TYPE: u64 = 16;

const VIDEO_CODECS: [&str; 6] = ["V_VP8", "V_VP9", "V_AV1", "V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC", "V_THEORA"];
const AUDIO_CODECS: [&str; 8] =
    ["A_OPUS", "A_VORBIS", "A_AAC", "A_FLAC", "A_MPEG/L3", "A_PCM/INT/LIT", "A_PCM/FLOAT/IEEE", "A_MS/ACM"];

/// A TrackEntry as far as it has been read.
#[derive(Default)]
struct Draft {
    number: u8,
    /// 1 video, 2 audio, 0 not seen.
    kind: u8,
    codec: u8,
}

pub(super) struct Matroska {
    webm: bool,
    stack: Vec<(u32, u64)>,
    doc_type: bool,
    header_done: bool,
    segment_seen: bool,
    ended: bool,
    blocks: bool,
    draft: Draft,
    /// Track numbers and kinds.
    tracks: Vec<(u8, u8)>,
}

/// An element's header.
struct Element {
    id: u32,
    header: u64,
    /// `UNKNOWN`, or the payload's length.
    size: u64,
}

enum Parsed {
    Element(Element),
    Need(usize),
}

impl Matroska {
    pub(super) const fn new(webm: bool) -> Self {
        Self {
            webm,
            stack: Vec::new(),
            doc_type: false,
            header_done: false,
            segment_seen: false,
            ended: false,
            blocks: false,
            draft: Draft { number: 0, kind: 0, codec: 0 },
            tracks: Vec::new(),
        }
    }

    /// Closes the masters that end at `at`.
    fn settle(&mut self, at: u64) -> Result<(), Refusal> {
        while let Some((id, _)) = self.stack.pop_if(|(_, end)| *end == at) {
            match id {
                EBML if !self.doc_type => return Err(Refusal::NotTheClaimedType),
                EBML => self.header_done = true,
                TRACK_ENTRY => self.close_track()?,
                SEGMENT => self.ended = true,
                _ => (),
            }
        }
        Ok(())
    }

    fn close_track(&mut self) -> Result<(), Refusal> {
        let Draft { number, kind, codec } = core::mem::take(&mut self.draft);
        if number == 0 || kind == 0 || codec != kind || self.tracks.iter().any(|(n, _)| *n == number) {
            return Err(Refusal::Malformed("a track without number, type or fitting codec"));
        }
        if self.tracks.len() == MAX_TRACKS {
            return Err(Refusal::Malformed("too many tracks"));
        }
        self.tracks.push((number, kind));
        Ok(())
    }

    /// Where the innermost master of known size ends.
    fn limit(&self) -> u64 {
        self.stack.iter().rev().map(|(_, end)| *end).find(|end| *end != UNKNOWN).unwrap_or(UNKNOWN)
    }

    fn enter(&mut self, at: u64, element: &Element) -> Result<Step, Refusal> {
        if self.stack.len() == MAX_DEPTH {
            return Err(Refusal::Malformed("elements nested too deeply"));
        }
        let end = if element.size == UNKNOWN { UNKNOWN } else { at + element.header + element.size };
        self.stack.push((element.id, end));
        Ok(Step::Take { length: element.header, zone: Zone::Structure })
    }

    fn pass(element: &Element, zone: Zone) -> Result<Step, Refusal> {
        if zone == Zone::Structure && element.size > MAX_METADATA {
            return Err(Refusal::Malformed("an element of metadata is too long"));
        }
        Ok(Step::Take { length: element.header + element.size, zone })
    }

    fn at_root(&mut self, at: u64, element: &Element) -> Result<Step, Refusal> {
        match element.id {
            EBML if at == 0 && element.size != UNKNOWN && element.size <= MAX_METADATA => self.enter(at, element),
            EBML if self.header_done => Err(Refusal::TrailingBytes),
            SEGMENT if self.header_done && !self.segment_seen => {
                self.segment_seen = true;
                self.enter(at, element)
            }
            _ if at == 0 => Err(Refusal::NotTheClaimedType),
            _ => Err(Refusal::Malformed("something other than a Segment follows the header")),
        }
    }

    fn in_segment(&mut self, at: u64, element: &Element) -> Result<Step, Refusal> {
        match element.id {
            TRACKS if !self.tracks.is_empty() => Err(Refusal::Malformed("Tracks twice")),
            TRACKS | CLUSTER => self.enter(at, element),
            SEEK_HEAD | INFO | TAGS | VOID | CRC_32 => Self::pass(element, Zone::Structure),
            CUES => Self::pass(element, Zone::Media),
            ATTACHMENTS => Err(Refusal::Forbidden("attachments")),
            CHAPTERS => Err(Refusal::Forbidden("chapters")),
            EBML => Err(Refusal::TrailingBytes),
            _ => Err(Refusal::Malformed("an unknown element in the Segment")),
        }
    }

    fn in_track(&mut self, element: &Element, payload: &[u8]) -> Result<Step, Refusal> {
        let twice = Err(Refusal::Malformed("an element twice in a track"));
        match element.id {
            TRACK_NUMBER | TRACK_TYPE | CODEC_ID => {
                let most = if element.id == CODEC_ID { MAX_CODEC_ID } else { 8 };
                if element.size == 0 || element.size > most {
                    return Err(Refusal::Malformed("an element of a track has a wrong length"));
                }
                let Some(value) = payload.get(..usize::try_from(element.size).unwrap_or(usize::MAX)) else {
                    return Ok(Step::Need(usize::try_from(element.header + element.size).unwrap_or(usize::MAX)));
                };
                match element.id {
                    TRACK_NUMBER if self.draft.number != 0 => return twice,
                    TRACK_NUMBER => self.draft.number = small_number(value)?,
                    TRACK_TYPE if self.draft.kind != 0 => return twice,
                    TRACK_TYPE => {
                        self.draft.kind = match small_number(value)? {
                            kind @ (1 | 2) => kind,
                            _ => return Err(Refusal::Forbidden("a track that is neither audio nor video")),
                        }
                    }
                    _ if self.draft.codec != 0 => return twice,
                    _ => self.draft.codec = codec_kind(value)?,
                }
                Self::pass(element, Zone::Structure)
            }
            CONTENT_ENCODINGS => Err(Refusal::Forbidden("an encrypted or compressed track")),
            TRACK_OPERATION => Err(Refusal::Forbidden("a combined track")),
            _ => Self::pass(element, Zone::Structure),
        }
    }

    /// A block begins with its track's number.
    fn block(&mut self, element: &Element, payload: &[u8]) -> Result<Step, Refusal> {
        if element.size < 4 {
            return Err(Refusal::Malformed("a block without a header"));
        }
        let Some(first) = payload.first() else {
            return Ok(Step::Need(usize::try_from(element.header + 1).unwrap_or(usize::MAX)));
        };
        // Numbers up to 126 take one byte; recorders count from 1.
        let number = first & 0x7F;
        if first & 0x80 == 0 || !self.tracks.iter().any(|(n, _)| *n == number) {
            return Err(Refusal::Malformed("a block of an undeclared track"));
        }
        self.blocks = true;
        Self::pass(element, Zone::Media)
    }

    pub(super) fn restore(webm: bool, from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let mut walker = Self::new(webm);
        for _ in 0..from.count(MAX_DEPTH)? {
            walker.stack.push((from.u32()?, from.u64()?));
        }
        walker.doc_type = from.bool()?;
        walker.header_done = from.bool()?;
        walker.segment_seen = from.bool()?;
        walker.ended = from.bool()?;
        walker.blocks = from.bool()?;
        walker.draft = Draft { number: from.u8()?, kind: from.u8()?, codec: from.u8()? };
        for _ in 0..from.count(MAX_TRACKS)? {
            walker.tracks.push((from.u8()?, from.u8()?));
        }
        Ok(walker)
    }
}

impl Walker for Matroska {
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal> {
        self.settle(at)?;
        if self.ended {
            return if ahead.is_empty() { Ok(Step::Need(1)) } else { Err(Refusal::TrailingBytes) };
        }
        let element = match parse(at, ahead)? {
            Parsed::Need(count) => return Ok(Step::Need(count)),
            Parsed::Element(element) => element,
        };
        if let Some((CLUSTER, UNKNOWN)) = self.stack.last()
            && is_segment_child(element.id)
        {
            self.stack.pop();
        }
        if element.size == UNKNOWN && !matches!(element.id, SEGMENT | CLUSTER) {
            return Err(Refusal::Malformed("an element of unknown size"));
        }
        if element.size != UNKNOWN && self.limit() < at + element.header + element.size {
            return Err(Refusal::Malformed("an element reaches beyond its parent"));
        }
        let header = usize::try_from(element.header).unwrap_or(usize::MAX);
        let payload = ahead.get(header..).unwrap_or_default();
        match self.stack.last().map(|(id, _)| *id) {
            None => self.at_root(at, &element),
            Some(EBML) if element.id == DOC_TYPE => {
                if element.size > MAX_DOC_TYPE {
                    return Err(Refusal::NotTheClaimedType);
                }
                let Some(value) = payload.get(..usize::try_from(element.size).unwrap_or(usize::MAX)) else {
                    return Ok(Step::Need(usize::try_from(element.header + element.size).unwrap_or(usize::MAX)));
                };
                match value {
                    b"webm" => self.doc_type = true,
                    b"matroska" if !self.webm => self.doc_type = true,
                    _ => return Err(Refusal::NotTheClaimedType),
                }
                Self::pass(&element, Zone::Structure)
            }
            Some(EBML) => Self::pass(&element, Zone::Structure),
            Some(SEGMENT) => self.in_segment(at, &element),
            Some(TRACKS) if element.id == TRACK_ENTRY => self.enter(at, &element),
            Some(TRACKS) if matches!(element.id, VOID | CRC_32) => Self::pass(&element, Zone::Structure),
            Some(TRACKS) => Err(Refusal::Malformed("an unknown element in Tracks")),
            Some(TRACK_ENTRY) => self.in_track(&element, payload),
            Some(CLUSTER) if element.id == BLOCK_GROUP => self.enter(at, &element),
            Some(CLUSTER) if element.id == SIMPLE_BLOCK => self.block(&element, payload),
            Some(BLOCK_GROUP) if element.id == BLOCK => self.block(&element, payload),
            // Timestamp, Position, PrevSize; durations, references, padding.
            _ => Self::pass(&element, Zone::Structure),
        }
    }

    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal> {
        self.settle(at)?;
        if self.stack.iter().any(|(_, end)| *end != UNKNOWN) || !self.segment_seen {
            return Err(Refusal::Truncated);
        }
        if !self.blocks {
            return Err(Refusal::NoMedia);
        }
        let count = |kind| u8::try_from(self.tracks.iter().filter(|(_, k)| *k == kind).count()).unwrap_or(u8::MAX);
        Ok(Tracks { audio: count(2), video: count(1) })
    }

    fn save(&self, out: &mut Writer) {
        out.u8(u8::try_from(self.stack.len()).unwrap_or(u8::MAX));
        for (id, end) in &self.stack {
            out.u32(*id);
            out.u64(*end);
        }
        for flag in [self.doc_type, self.header_done, self.segment_seen, self.ended, self.blocks] {
            out.bool(flag);
        }
        for value in [self.draft.number, self.draft.kind, self.draft.codec] {
            out.u8(value);
        }
        out.u8(u8::try_from(self.tracks.len()).unwrap_or(u8::MAX));
        for (number, kind) in &self.tracks {
            out.u8(*number);
            out.u8(*kind);
        }
    }
}

const fn is_segment_child(id: u32) -> bool {
    matches!(id, SEEK_HEAD | INFO | TRACKS | CLUSTER | CUES | TAGS | ATTACHMENTS | CHAPTERS | EBML | SEGMENT)
}

/// The id and size of the element at the start of `ahead`.
fn parse(at: u64, ahead: &[u8]) -> Result<Parsed, Refusal> {
    let wrong = || if at == 0 { Refusal::NotTheClaimedType } else { Refusal::Malformed("not an EBML element") };
    let Some(first) = ahead.first() else { return Ok(Parsed::Need(1)) };
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 || (at == 0 && *first != 0x1A) {
        return Err(wrong());
    }
    let Some(size_first) = ahead.get(id_length) else { return Ok(Parsed::Need(id_length + 1)) };
    let id = ahead[..id_length].iter().fold(0, |id: u32, b| id << 8 | u32::from(*b));
    let size_length = size_first.leading_zeros() as usize + 1;
    if size_length > 8 {
        return Err(wrong());
    }
    let header = id_length + size_length;
    let Some(size) = ahead.get(id_length..header) else { return Ok(Parsed::Need(header)) };
    let bits = 7 * size_length;
    let value = size.iter().fold(0, |size: u64, b| size << 8 | u64::from(*b)) & ((1 << bits) - 1);
    let size = if value == (1 << bits) - 1 { UNKNOWN } else { value };
    if size != UNKNOWN && size > 1 << 55 {
        return Err(wrong());
    }
    Ok(Parsed::Element(Element { id, header: header as u64, size }))
}

/// An unsigned integer that must be small.
fn small_number(bytes: &[u8]) -> Result<u8, Refusal> {
    match bytes.split_last() {
        Some((last, rest)) if rest.iter().all(|b| *b == 0) && (1..=126).contains(last) => Ok(*last),
        _ => Err(Refusal::Malformed("a track's number or type is out of range")),
    }
}

/// 1 video, 2 audio.
fn codec_kind(id: &[u8]) -> Result<u8, Refusal> {
    let trimmed = id.split(|b| *b == 0).next().unwrap_or_default();
    let is_one_of = |known: &[&str]| {
        known.iter().any(|k| trimmed.strip_prefix(k.as_bytes()).is_some_and(|r| r.is_empty() || r.starts_with(b"/")))
    };
    if is_one_of(&VIDEO_CODECS) {
        Ok(1)
    } else if is_one_of(&AUDIO_CODECS) {
        Ok(2)
    } else {
        Err(Refusal::Forbidden("a track in a codec that recordings do not use"))
    }
}
