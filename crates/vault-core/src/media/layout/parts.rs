//! Ciphertext ranges in parts, and the segment tags that part rows keep (`docs/format.md` §3).

use core::ops::Range;

use super::TAG_LEN;

/// The tag of a segment that counts: of several sealings of one position, the registered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentTag(pub [u8; TAG_LEN]);

/// The tags of consecutive segments, as a part's row keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    first: u64,
    bytes: Vec<u8>,
}

impl Tags {
    /// No tags yet; the first to come is that of segment `first`.
    #[must_use]
    pub const fn starting_at(first: u64) -> Self {
        Self { first, bytes: Vec::new() }
    }

    /// As stored: the index of the first segment, and the tags one after another.
    pub fn from_row(first: u64, bytes: Vec<u8>) -> Result<Self, PartError> {
        if bytes.len().is_multiple_of(TAG_LEN) { Ok(Self { first, bytes }) } else { Err(PartError::Tags) }
    }

    /// Adds the next segment's tag.
    pub fn push(&mut self, tag: SegmentTag) {
        self.bytes.extend_from_slice(&tag.0);
    }

    /// The tag of segment `index`, if it is among these.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<SegmentTag> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?.checked_mul(TAG_LEN)?;
        self.bytes.get(at..)?.first_chunk().copied().map(SegmentTag)
    }

    /// Index of the first segment.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The tags as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where a part lies in its object's ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSpan {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// What to read of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRead {
    /// Which of the given parts.
    pub part: usize,
    /// First byte within the part.
    pub from: u64,
    /// First byte not wanted any more.
    pub to: u64,
}

/// Part rows that cannot be an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// A byte that no part, or more than one, holds; or parts out of order.
    #[error("the object's parts leave a gap or overlap at byte {0}")]
    Gap(u64),
    /// A row whose tags are not whole.
    #[error("a part's segment tags are damaged")]
    Tags,
}

/// The reads that bring `range` of the ciphertext. `parts` is in order of offset and may begin
/// and end anywhere, but must cover the range without gap or overlap.
pub fn locate(parts: &[PartSpan], range: Range<u64>) -> Result<Vec<PartRead>, PartError> {
    let mut reads = Vec::new();
    let mut at = range.start;
    let first = parts.partition_point(|p| p.offset.saturating_add(p.length) <= at);
    for (part, span) in parts.iter().enumerate().skip(first) {
        if at >= range.end {
            break;
        }
        let end = span.offset.checked_add(span.length).ok_or(PartError::Gap(at))?;
        if span.offset > at || end <= at || (!reads.is_empty() && span.offset != at) {
            return Err(PartError::Gap(at));
        }
        let to = end.min(range.end);
        reads.push(PartRead { part, from: at - span.offset, to: to - span.offset });
        at = to;
    }
    if at < range.end { Err(PartError::Gap(at)) } else { Ok(reads) }
}
