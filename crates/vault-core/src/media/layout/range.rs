//! A plaintext range in segments.

use core::ops::Range;

use super::{Extent, InvalidExtent, OVERHEAD};

/// A plaintext length that is proven: the final segment has authenticated as final, at its place.
///
/// Made by opening an object, and by nothing else; offsets into an object need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedLength {
    extent: Extent,
}

/// The piece of one segment that a range covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSlice {
    /// Which segment.
    pub index: u64,
    /// First byte wanted of the segment's plaintext.
    pub from: usize,
    /// First byte not wanted any more.
    pub to: usize,
}

impl VerifiedLength {
    /// Only for the code that has just authenticated the final segment of `extent`.
    pub(in crate::media) const fn proven(extent: Extent) -> Self {
        Self { extent }
    }

    /// The object's plaintext length.
    #[must_use]
    pub const fn plaintext(&self) -> u64 {
        self.extent.claimed_plaintext()
    }

    /// The object's shape.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// The segments that hold `range` of the plaintext, first to last; none for an empty range.
    pub fn segments(
        &self,
        range: Range<u64>,
    ) -> Result<impl ExactSizeIterator<Item = SegmentSlice> + use<>, InvalidExtent> {
        if range.start > range.end || range.end > self.plaintext() {
            return Err(InvalidExtent);
        }
        let whole = self.extent.segment.plaintext();
        let first = range.start / whole;
        let count = if range.is_empty() { 0 } else { (range.end - 1) / whole - first + 1 };
        let count = usize::try_from(count).map_err(|_| InvalidExtent)?;
        Ok((0..count).map(move |i| {
            let index = first + i as u64;
            let start = index * whole;
            // Both differences are below a segment's length, so they fit.
            let within = |at: u64| usize::try_from(at.clamp(start, start + whole) - start).unwrap_or(0);
            SegmentSlice { index, from: within(range.start), to: within(range.end) }
        }))
    }

    /// Plaintext bytes of segment `index`.
    pub fn plaintext_of(&self, index: u64) -> Result<usize, InvalidExtent> {
        let (_, length) = self.extent.segment_at(index)?;
        usize::try_from(length - OVERHEAD as u64).map_err(|_| InvalidExtent)
    }
}
