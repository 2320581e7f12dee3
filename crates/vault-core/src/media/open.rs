//! Opening an object: plaintext against evidence, checks without plaintext (`docs/format.md` §2).
//!
//! [`ObjectReader`] is the only thing in the vault that gives out media, and it takes a
//! [`Disclosure`], which only a recorded audit entry about this very object can make.
//! [`ObjectChecker`] authenticates and gives nothing: adoption and `keys verify` need no evidence.

use zeroize::Zeroize as _;

use super::disclosure::Disclosure;
use super::floe::{Decryptor, FloeError, Header, OVERHEAD, TAG_LEN};
use super::layout::{Extent, InvalidExtent, SegmentTag, VerifiedLength};
use super::object::{ObjectContext, floe_key};
use crate::keys::hierarchy::ObjectKey;

/// Why an object, or a piece of it, does not open. Nothing of it was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The stored length is that of no object.
    #[error(transparent)]
    Extent(#[from] InvalidExtent),
    /// Damaged, altered, truncated, swapped or foreign.
    #[error(transparent)]
    Floe(#[from] FloeError),
    /// Authentic, but not the sealing of this segment that was registered.
    #[error("segment {0} was superseded by a later one")]
    Superseded(u64),
    /// The evidence is about another record or object.
    #[error("the audit entry is not about this object")]
    OtherDisclosure,
}

/// An object as stored: what its rows say before anything is proven.
#[derive(Clone, Copy)]
pub struct StoredObject<'a> {
    /// The header, 74 bytes.
    pub header: &'a [u8],
    /// Ciphertext bytes of the whole object, header included.
    pub ciphertext: u64,
    /// The final segment's ciphertext.
    pub final_segment: &'a [u8],
    /// The tag that is registered for the final segment.
    pub final_tag: SegmentTag,
}

/// Authenticates an object's segments and releases no plaintext.
pub struct ObjectChecker {
    floe: Decryptor,
    length: VerifiedLength,
}

impl ObjectChecker {
    /// Checks the header and the final segment, and with it the object's length. `scratch` is
    /// overwritten and wiped; it holds one segment.
    pub fn new(
        key: &ObjectKey,
        context: ObjectContext,
        stored: StoredObject<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, OpenError> {
        let extent = Extent::of_ciphertext(context.segment, stored.ciphertext)?;
        let header = Header::from_slice(stored.header)?;
        let floe = Decryptor::new(&floe_key(key), &context.associated_data(), context.parameters()?, &header)?;
        let (_, expected) = extent.segment_at(extent.last())?;
        if stored.final_segment.len() as u64 != expected {
            return Err(FloeError::SegmentLength(extent.last()).into());
        }
        scratch.clear();
        scratch.extend_from_slice(stored.final_segment);
        floe.segment_in_place(extent.last(), true, scratch)?;
        scratch.zeroize();
        registered(extent.last(), stored.final_segment, stored.final_tag)?;
        Ok(Self { floe, length: VerifiedLength::proven(extent) })
    }

    /// The object's length, proven.
    #[must_use]
    pub const fn length(&self) -> VerifiedLength {
        self.length
    }

    /// Authenticates segment `index` in its own buffer, which is wiped either way.
    pub fn verify_segment(&self, index: u64, tag: SegmentTag, buffer: &mut [u8]) -> Result<(), OpenError> {
        let held = tag_of(buffer);
        let opened = self.open_in_place(index, buffer).map(|_| ());
        buffer.zeroize();
        opened?;
        if held == Some(tag) { Ok(()) } else { Err(OpenError::Superseded(index)) }
    }

    fn open_in_place<'b>(&self, index: u64, buffer: &'b mut [u8]) -> Result<&'b mut [u8], OpenError> {
        let last = self.is_last(index, buffer.len())?;
        Ok(self.floe.segment_in_place(index, last, buffer)?)
    }

    fn is_last(&self, index: u64, length: usize) -> Result<bool, OpenError> {
        let extent = self.length.extent();
        let (_, expected) = extent.segment_at(index)?;
        if length as u64 != expected {
            return Err(FloeError::SegmentLength(index).into());
        }
        Ok(index == extent.last())
    }
}

/// Reads an object's plaintext, segment by segment, in any order and from any number of threads.
pub struct ObjectReader {
    checker: ObjectChecker,
}

impl ObjectReader {
    /// Opens an object for the disclosure that `evidence` proves to be in the log.
    pub fn new(
        key: &ObjectKey,
        context: ObjectContext,
        stored: StoredObject<'_>,
        evidence: &Disclosure,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, OpenError> {
        if !evidence.is_of(context.record, context.object) {
            return Err(OpenError::OtherDisclosure);
        }
        Ok(Self { checker: ObjectChecker::new(key, context, stored, scratch)? })
    }

    /// The object's length, proven.
    #[must_use]
    pub const fn length(&self) -> VerifiedLength {
        self.checker.length
    }

    /// Opens segment `index`, whose registered tag is `tag`, into `out`, which is [`OVERHEAD`]
    /// bytes shorter than `segment`. After an error `out` is zero.
    pub fn read_segment(&self, index: u64, tag: SegmentTag, segment: &[u8], out: &mut [u8]) -> Result<(), OpenError> {
        out.zeroize();
        let last = self.checker.is_last(index, segment.len())?;
        self.checker.floe.segment(index, last, segment, out)?;
        let right = registered(index, segment, tag);
        if right.is_err() {
            out.zeroize();
        }
        right
    }

    /// Opens segment `index` in its own buffer and returns the plaintext within it. After an error
    /// the buffer is zero.
    pub fn read_segment_in_place<'b>(
        &self,
        index: u64,
        tag: SegmentTag,
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], OpenError> {
        let held = tag_of(buffer);
        if let Err(e) = self.checker.open_in_place(index, buffer) {
            buffer.zeroize();
            return Err(e);
        }
        if held != Some(tag) {
            buffer.zeroize();
            return Err(OpenError::Superseded(index));
        }
        let end = buffer.len() - TAG_LEN;
        Ok(&mut buffer[super::PLAIN_AT..end])
    }
}

/// Of an authentic segment: is it the sealing that counts?
fn registered(index: u64, segment: &[u8], tag: SegmentTag) -> Result<(), OpenError> {
    if tag_of(segment) == Some(tag) { Ok(()) } else { Err(OpenError::Superseded(index)) }
}

fn tag_of(segment: &[u8]) -> Option<SegmentTag> {
    if segment.len() < OVERHEAD { None } else { segment.last_chunk().copied().map(SegmentTag) }
}
