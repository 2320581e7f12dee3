//! Offsets: plaintext range → segments → ciphertext ranges → parts (`docs/format.md` §2, §3).
//!
//! Pure arithmetic, no keys. Everything is checked: a number that overflows is an error of the
//! range or of the stored row, never a wrong offset.

mod parts;
mod range;

pub use parts::{PartError, PartRead, PartSpan, SegmentTag, Tags, locate};
pub use range::{SegmentSlice, VerifiedLength};

use super::floe::{HEADER_LEN, MAX_SEGMENTS, OVERHEAD, TAG_LEN};

/// How an object is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentLength {
    /// 64 KiB of plaintext: audio.
    Voice,
    /// 256 KiB of plaintext: video.
    Video,
}

impl SegmentLength {
    /// Plaintext bytes in a segment.
    #[must_use]
    pub const fn plaintext(self) -> u64 {
        self.plaintext_u32() as u64
    }

    pub(super) const fn plaintext_u32(self) -> u32 {
        match self {
            Self::Voice => 64 * 1024,
            Self::Video => 256 * 1024,
        }
    }

    pub(super) const fn encrypted_u32(self) -> u32 {
        self.plaintext_u32() + OVERHEAD as u32
    }

    /// Bytes of an encrypted segment.
    #[must_use]
    pub const fn encrypted(self) -> u64 {
        self.encrypted_u32() as u64
    }

    /// From the number of plaintext bytes, as the database and the associated data hold it.
    #[must_use]
    pub const fn from_plaintext(bytes: u64) -> Option<Self> {
        match bytes {
            65_536 => Some(Self::Voice),
            262_144 => Some(Self::Video),
            _ => None,
        }
    }
}

/// A length or offset that no object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no object has this length or offset")]
pub struct InvalidExtent;

/// The shape of a whole ciphertext: where its segments are and which is the last.
///
/// It follows from the ciphertext's length, which is a claim: only [`VerifiedLength`] is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    segment: SegmentLength,
    last: u64,
    last_length: u64,
}

impl Extent {
    /// The shape of a ciphertext of `total` bytes, header included.
    pub fn of_ciphertext(segment: SegmentLength, total: u64) -> Result<Self, InvalidExtent> {
        let body = total.checked_sub(HEADER_LEN as u64).filter(|b| *b > 0).ok_or(InvalidExtent)?;
        let last = (body - 1) / segment.encrypted();
        let last_length = body - last * segment.encrypted();
        if last_length < OVERHEAD as u64 || last >= MAX_SEGMENTS {
            return Err(InvalidExtent);
        }
        Ok(Self { segment, last, last_length })
    }

    /// The shape of what the vault writes for `plaintext` bytes: the final segment is never full.
    pub fn of_plaintext(segment: SegmentLength, plaintext: u64) -> Result<Self, InvalidExtent> {
        let last = plaintext / segment.plaintext();
        if last >= MAX_SEGMENTS {
            return Err(InvalidExtent);
        }
        Ok(Self { segment, last, last_length: plaintext % segment.plaintext() + OVERHEAD as u64 })
    }

    /// How the object is cut.
    #[must_use]
    pub const fn segment(&self) -> SegmentLength {
        self.segment
    }

    /// The index of the final segment.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of the whole ciphertext, header included.
    #[must_use]
    pub const fn ciphertext(&self) -> u64 {
        // At most 2^40 segments of less than 2^19 bytes: far below 2^64.
        HEADER_LEN as u64 + self.last * self.segment.encrypted() + self.last_length
    }

    /// Plaintext bytes, if the final segment is what the ciphertext's length says.
    #[must_use]
    pub const fn claimed_plaintext(&self) -> u64 {
        self.last * self.segment.plaintext() + self.last_length - OVERHEAD as u64
    }

    /// Where segment `index` lies in the ciphertext: offset and length.
    pub fn segment_at(&self, index: u64) -> Result<(u64, u64), InvalidExtent> {
        if index > self.last {
            return Err(InvalidExtent);
        }
        let length = if index == self.last { self.last_length } else { self.segment.encrypted() };
        Ok((HEADER_LEN as u64 + index * self.segment.encrypted(), length))
    }
}

/// Ciphertext bytes before segment `index` of an object, header included.
pub fn segment_offset(segment: SegmentLength, index: u64) -> Result<u64, InvalidExtent> {
    if index > MAX_SEGMENTS {
        return Err(InvalidExtent);
    }
    Ok(HEADER_LEN as u64 + index * segment.encrypted())
}

#[cfg(test)]
mod tests;
