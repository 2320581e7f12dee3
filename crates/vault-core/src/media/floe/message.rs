//! What a key and a header unlock: the message key, and the segment keys it derives.

use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::kdf::floe_kdf;
use super::params::{Header, Parameters};
use super::{Backend, FloeError, FloeKey, MAX_SEGMENTS};
use crate::secret::Secret;

/// The marker of an internal segment.
pub(super) const INTERNAL: u32 = u32::MAX;

/// `State` of the specification, with the segment key of the last rotation used.
pub(super) struct Message<B> {
    pub(super) params: Parameters,
    key: Secret<48>,
    iv: [u8; 32],
    aad: Box<[u8]>,
    /// Behind a lock of its own, held for a look: segments of one message are opened side by side.
    current: Mutex<Option<(u64, Arc<B>)>>,
}

impl<B: Backend> Message<B> {
    /// A new message with a fresh IV, and its header.
    pub(super) fn create(key: &FloeKey, aad: &[u8], params: Parameters) -> (Self, Header) {
        let iv = crate::random::array();
        let header = Header::assemble(params, &iv, &header_tag(key, aad, params, &iv));
        (Self::derive(key, aad, params, iv), header)
    }

    /// The message of a header, once its parameters and its tag have been checked.
    pub(super) fn open(key: &FloeKey, aad: &[u8], params: Parameters, header: &Header) -> Result<Self, FloeError> {
        if header.params() != params.encode() {
            return Err(FloeError::HeaderParameters);
        }
        let iv = header.iv();
        if !bool::from(header_tag(key, aad, params, &iv).ct_eq(header.tag())) {
            return Err(FloeError::HeaderTag);
        }
        Ok(Self::derive(key, aad, params, iv))
    }

    fn derive(key: &FloeKey, aad: &[u8], params: Parameters, iv: [u8; 32]) -> Self {
        let message_key = Secret::fill(|out| floe_kdf(key.bytes(), params, &iv, aad, &[b"MESSAGE_KEY:"], out));
        Self { params, key: message_key, iv, aad: aad.into(), current: Mutex::new(None) }
    }

    /// The cipher for `position`: derived when the rotation changes, kept otherwise.
    pub(super) fn cipher(&self, position: u64) -> Result<Arc<B>, FloeError> {
        let rotation = self.params.rotation_of(position);
        // What is set is set whole: a panic elsewhere leaves it valid.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, cipher)) = &*current
            && *held == rotation
        {
            return Ok(Arc::clone(cipher));
        }
        let key: Secret<32> = Secret::fill(|out| {
            let number = rotation.to_be_bytes();
            floe_kdf(self.key.expose(), self.params, &self.iv, &self.aad, &[b"DEK:", &number], out);
        });
        let cipher = Arc::new(B::new(key.expose())?);
        *current = Some((rotation, Arc::clone(&cipher)));
        Ok(cipher)
    }
}

fn header_tag(key: &FloeKey, aad: &[u8], params: Parameters, iv: &[u8; 32]) -> [u8; 32] {
    let mut tag = [0; 32];
    floe_kdf(key.bytes(), params, iv, aad, &[b"HEADER_TAG:"], &mut tag);
    tag
}

/// The associated data of a segment: its position, and whether it is the last.
pub(super) fn segment_aad(position: u64, last: bool) -> [u8; 9] {
    let mut aad = [0; 9];
    aad[..8].copy_from_slice(&position.to_be_bytes());
    aad[8] = u8::from(last);
    aad
}

/// Refuses positions no message has. The last position is left to the final segment.
pub(super) fn check_position(position: u64, last: bool) -> Result<(), FloeError> {
    if position < MAX_SEGMENTS - u64::from(!last) { Ok(()) } else { Err(FloeError::TooManySegments) }
}

/// Wipes the buffer it holds unless it is told that all went well.
pub(super) struct WipeOnFailure<'a>(pub(super) &'a mut [u8], pub(super) bool);

impl Drop for WipeOnFailure<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.zeroize();
        }
    }
}
