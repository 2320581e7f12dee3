//! Sealing, in order: the position is the sealer's own, so that no caller can use one twice.

use super::message::{INTERNAL, Message, check_position, segment_aad};
use super::params::{Header, Parameters};
use super::{AwsLc, BODY_AT, Backend, FloeError, FloeKey, MARKER_LEN, OVERHEAD, TAG_LEN};

/// Seals one message, segment after segment.
///
/// Every segment gets a fresh random nonce: sealing a position again after a crash (see
/// [`Encryptor::resume`]) makes another valid segment and never uses a nonce twice.
pub struct Encryptor<B = AwsLc> {
    message: Message<B>,
    position: u64,
}

impl<B: Backend> Encryptor<B> {
    /// Starts a message: `startOnlineEncryption`.
    #[must_use]
    pub fn create(key: &FloeKey, aad: &[u8], params: Parameters) -> (Self, Header) {
        let (message, header) = Message::create(key, aad, params);
        (Self { message, position: 0 }, header)
    }

    /// Goes on with a message at segment `position`, under the header it began with.
    pub fn resume(
        key: &FloeKey,
        aad: &[u8],
        params: Parameters,
        header: &Header,
        position: u64,
    ) -> Result<Self, FloeError> {
        check_position(position, true)?;
        Ok(Self { message: Message::open(key, aad, params, header)?, position })
    }

    /// The position the next segment will have.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Seals an internal segment: `plain` must be a whole segment's, `out` a whole segment.
    pub fn segment(&mut self, plain: &[u8], out: &mut [u8]) -> Result<[u8; TAG_LEN], FloeError> {
        if plain.len() != self.message.params.plaintext_length() {
            return Err(FloeError::SegmentLength(self.position));
        }
        self.seal(plain, out, false)
    }

    /// Seals an internal segment in place. `buffer` is a whole segment with the plaintext where
    /// its ciphertext belongs: behind the first 16 bytes, before the last 16.
    pub fn segment_in_place(&mut self, buffer: &mut [u8]) -> Result<[u8; TAG_LEN], FloeError> {
        if buffer.len() != self.message.params.segment_length() {
            return Err(FloeError::SegmentLength(self.position));
        }
        check_position(self.position, false)?;
        let nonce = crate::random::array();
        let aad = segment_aad(self.position, false);
        let end = buffer.len() - TAG_LEN;
        let tag = self.message.cipher(self.position)?.seal_in_place(&nonce, &aad, &mut buffer[BODY_AT..end])?;
        buffer[..MARKER_LEN].copy_from_slice(&INTERNAL.to_be_bytes());
        buffer[MARKER_LEN..BODY_AT].copy_from_slice(&nonce);
        buffer[end..].copy_from_slice(&tag);
        self.position += 1;
        Ok(tag)
    }

    /// Seals the final segment, which may be empty, and ends the message. `out` is `plain.len()`
    /// and [`OVERHEAD`] long.
    pub fn finish(mut self, plain: &[u8], out: &mut [u8]) -> Result<[u8; TAG_LEN], FloeError> {
        if plain.len() > self.message.params.plaintext_length() {
            return Err(FloeError::SegmentLength(self.position));
        }
        self.seal(plain, out, true)
    }

    fn seal(&mut self, plain: &[u8], out: &mut [u8], last: bool) -> Result<[u8; TAG_LEN], FloeError> {
        check_position(self.position, last)?;
        let total = plain.len() + OVERHEAD;
        let marker = if last { u32::try_from(total).unwrap_or(INTERNAL) } else { INTERNAL };
        if out.len() != total || (last && marker == INTERNAL) {
            return Err(FloeError::SegmentLength(self.position));
        }
        let nonce = crate::random::array();
        let aad = segment_aad(self.position, last);
        let cipher = self.message.cipher(self.position)?;
        let tag = cipher.seal(&nonce, &aad, plain, &mut out[BODY_AT..total - TAG_LEN])?;
        out[..MARKER_LEN].copy_from_slice(&marker.to_be_bytes());
        out[MARKER_LEN..BODY_AT].copy_from_slice(&nonce);
        out[total - TAG_LEN..].copy_from_slice(&tag);
        self.position += 1;
        Ok(tag)
    }
}
