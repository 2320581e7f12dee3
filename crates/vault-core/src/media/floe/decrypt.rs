//! Opening, at any position. Whoever calls says whether a segment is the last: only the length of
//! the whole message, or the final segment itself, can tell, never the segment's own marker.

use super::message::{INTERNAL, Message, WipeOnFailure, check_position, segment_aad};
use super::params::{Header, Parameters};
use super::{AwsLc, BODY_AT, Backend, FloeError, FloeKey, MARKER_LEN, NONCE_LEN, OVERHEAD, TAG_LEN};

/// Opens the segments of one message.
pub struct Decryptor<B = AwsLc> {
    message: Message<B>,
}

impl<B: Backend> Decryptor<B> {
    /// Checks the header: `startDecryption`.
    pub fn new(key: &FloeKey, aad: &[u8], params: Parameters, header: &Header) -> Result<Self, FloeError> {
        Ok(Self { message: Message::open(key, aad, params, header)? })
    }

    /// Opens the segment at `position` into `out`, which is [`OVERHEAD`] bytes shorter. After an
    /// error `out` is zero.
    pub fn segment(&self, position: u64, last: bool, segment: &[u8], out: &mut [u8]) -> Result<(), FloeError> {
        let mut guard = WipeOnFailure(out, false);
        let nonce = self.check(position, last, segment)?;
        let end = segment.len() - TAG_LEN;
        if guard.0.len() != segment.len() - OVERHEAD {
            return Err(FloeError::SegmentLength(position));
        }
        let tag = tag_of(segment);
        let aad = segment_aad(position, last);
        let cipher = self.message.cipher(position)?;
        cipher.open(&nonce, &aad, &segment[BODY_AT..end], &tag, guard.0).map_err(|_| FloeError::Forged(position))?;
        guard.1 = true;
        Ok(())
    }

    /// Opens the segment at `position` in its own buffer and returns the plaintext within it.
    /// After an error the buffer is zero.
    pub fn segment_in_place<'b>(
        &self,
        position: u64,
        last: bool,
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], FloeError> {
        let end = buffer.len().saturating_sub(TAG_LEN);
        {
            let mut guard = WipeOnFailure(buffer, false);
            let nonce = self.check(position, last, guard.0)?;
            let tag = tag_of(guard.0);
            let aad = segment_aad(position, last);
            let cipher = self.message.cipher(position)?;
            cipher
                .open_in_place(&nonce, &aad, &mut guard.0[BODY_AT..end], &tag)
                .map_err(|_| FloeError::Forged(position))?;
            guard.1 = true;
        }
        Ok(&mut buffer[BODY_AT..end])
    }

    /// The checks of `decryptSegment` that need no key; the nonce when they hold.
    fn check(&self, position: u64, last: bool, segment: &[u8]) -> Result<[u8; NONCE_LEN], FloeError> {
        check_position(position, last)?;
        let whole = self.message.params.segment_length();
        let fits = if last { (OVERHEAD..=whole).contains(&segment.len()) } else { segment.len() == whole };
        if !fits {
            return Err(FloeError::SegmentLength(position));
        }
        let (marker, rest) = segment.split_first_chunk::<MARKER_LEN>().ok_or(FloeError::SegmentLength(position))?;
        let marker = u32::from_be_bytes(*marker);
        let right = if last { u64::from(marker) == segment.len() as u64 } else { marker == INTERNAL };
        if !right {
            return Err(FloeError::SegmentKind(position));
        }
        rest.first_chunk().copied().ok_or(FloeError::SegmentLength(position))
    }
}

/// The tag of a segment whose length was checked.
fn tag_of(segment: &[u8]) -> [u8; TAG_LEN] {
    segment.last_chunk().copied().unwrap_or_default()
}
