//! Sealing an object, resumable at every segment boundary (`docs/format.md` §2).
//!
//! The sealer keeps the position: a segment cannot be sealed twice by one sealer, nor anything
//! after the final one, since [`ObjectSealer::finish`] consumes it. Only [`Sealed`] says that an
//! object is complete, and only `finish` makes one.

use super::floe::{Encryptor, FloeError, Header, OVERHEAD};
use super::layout::{Extent, InvalidExtent, SegmentLength, SegmentTag};
use super::object::{ObjectContext, floe_key};
use crate::keys::hierarchy::ObjectKey;

/// Why an object cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A buffer of the wrong length, a header of another object, too many segments.
    #[error(transparent)]
    Floe(#[from] FloeError),
    /// More plaintext than an object takes.
    #[error(transparent)]
    Extent(#[from] InvalidExtent),
}

/// Seals one object, segment after segment, without allocating.
pub struct ObjectSealer {
    floe: Encryptor,
    segment: SegmentLength,
}

/// An object whose final segment is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an object is complete only when this is stored with it"]
pub struct Sealed {
    extent: Extent,
    tag: SegmentTag,
}

impl Sealed {
    /// The shape of the whole object.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// Plaintext bytes of the whole object.
    #[must_use]
    pub const fn plaintext(&self) -> u64 {
        self.extent.claimed_plaintext()
    }

    /// The final segment's tag.
    #[must_use]
    pub const fn tag(&self) -> SegmentTag {
        self.tag
    }
}

impl ObjectSealer {
    /// Begins an object. The header goes before the first segment, and back into
    /// [`ObjectSealer::resume`] whenever the upload goes on.
    pub fn create(key: &ObjectKey, context: ObjectContext) -> Result<(Self, Header), SealError> {
        let (floe, header) = Encryptor::create(&floe_key(key), &context.associated_data(), context.parameters()?);
        Ok((Self { floe, segment: context.segment }, header))
    }

    /// Goes on at segment `next`, after checking that the header belongs to this key and place.
    pub fn resume(key: &ObjectKey, context: ObjectContext, header: &Header, next: u64) -> Result<Self, SealError> {
        let aad = context.associated_data();
        let floe = Encryptor::resume(&floe_key(key), &aad, context.parameters()?, header, next)?;
        Ok(Self { floe, segment: context.segment })
    }

    /// The index of the segment to be sealed next.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.floe.position()
    }

    /// Seals a whole segment's plaintext into `out`, [`OVERHEAD`] bytes longer.
    pub fn seal_segment(&mut self, plain: &[u8], out: &mut [u8]) -> Result<SegmentTag, SealError> {
        Ok(SegmentTag(self.floe.segment(plain, out)?))
    }

    /// Seals a segment in place: the plaintext lies in `buffer`, which is a whole encrypted
    /// segment long, from byte [`super::PLAIN_AT`] on.
    pub fn seal_segment_in_place(&mut self, buffer: &mut [u8]) -> Result<SegmentTag, SealError> {
        Ok(SegmentTag(self.floe.segment_in_place(buffer)?))
    }

    /// Seals what is left, which may be nothing, as the final segment. `out` is
    /// `plain.len()` + [`OVERHEAD`] bytes long.
    pub fn finish(self, plain: &[u8], out: &mut [u8]) -> Result<Sealed, SealError> {
        let whole = self.segment.plaintext();
        let length = plain.len() as u64;
        let total = self.next().checked_mul(whole).and_then(|t| t.checked_add(length)).ok_or(InvalidExtent)?;
        // A full final segment is never written: it would have been sealed as an internal one.
        if length >= whole || out.len() != plain.len() + OVERHEAD {
            return Err(FloeError::SegmentLength(self.next()).into());
        }
        let extent = Extent::of_plaintext(self.segment, total)?;
        let tag = SegmentTag(self.floe.finish(plain, out)?);
        Ok(Sealed { extent, tag })
    }
}
