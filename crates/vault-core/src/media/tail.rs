//! The sealed tail of an unfinished upload (`docs/format.md` §4).

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::container::MAX_STATE;
use super::layout::SegmentLength;
use crate::framing::framed;
use crate::ids::UploadId;
use crate::keys::hierarchy::ObjectKey;

const TAIL: &str = "feedback-vault/v1/upload-tail";
const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// Why a tail does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// Not the bytes of a tail of this version.
    #[error("the upload's tail is malformed")]
    Malformed,
    /// Altered, or the tail of another upload, offset or holder.
    #[error("the upload's tail is not authentic at this place")]
    Forged,
}

/// The place a tail is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailContext {
    /// The upload.
    pub upload: UploadId,
    /// Its offset: plaintext bytes acknowledged.
    pub offset: u64,
    /// The fence of the holder that wrote it.
    pub fence: u64,
}

/// A tail, opened.
pub struct Tail {
    content: Zeroizing<Vec<u8>>,
    state: usize,
}

impl Tail {
    /// What the content check saved.
    #[must_use]
    pub fn inspector_state(&self) -> &[u8] {
        &self.content[2..2 + self.state]
    }

    /// The plaintext of the unfinished segment.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.content[2 + self.state..]
    }
}

/// Seals the unfinished segment `plaintext` with the content check's `state`.
pub fn seal_tail(key: &ObjectKey, context: TailContext, state: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, TailError> {
    let too_long = plaintext.len() as u64 >= SegmentLength::Video.plaintext() || state.len() > MAX_STATE;
    let Some(state_length) = u16::try_from(state.len()).ok().filter(|_| !too_long) else {
        return Err(TailError::Malformed);
    };
    let mut out = Vec::with_capacity(1 + NONCE_LEN + 2 + state.len() + plaintext.len() + TAG_LEN);
    let nonce: [u8; NONCE_LEN] = crate::random::array();
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&state_length.to_be_bytes());
    out.extend_from_slice(state);
    out.extend_from_slice(plaintext);
    let tag = cipher(key)
        .encrypt_inout_detached(&nonce.into(), &aad(context), (&mut out[1 + NONCE_LEN..]).into())
        .map_err(|_| TailError::Malformed)?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens a tail at the place it was sealed for.
pub fn open_tail(key: &ObjectKey, context: TailContext, bytes: &[u8]) -> Result<Tail, TailError> {
    let (version, rest) = bytes.split_first().ok_or(TailError::Malformed)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(TailError::Malformed)?;
    let (sealed, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(TailError::Malformed)?;
    if *version != VERSION {
        return Err(TailError::Malformed);
    }
    let mut content = Zeroizing::new(sealed.to_vec());
    cipher(key)
        .decrypt_inout_detached(nonce.into(), &aad(context), content.as_mut_slice().into(), tag.into())
        .map_err(|_| TailError::Forged)?;
    let state = content.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
    match state {
        Some(state) if state <= MAX_STATE && state + 2 <= content.len() => Ok(Tail { content, state }),
        _ => Err(TailError::Malformed),
    }
}

fn cipher(key: &ObjectKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.tail_key().secret().expose().into())
}

fn aad(context: TailContext) -> Vec<u8> {
    framed(TAIL, &[context.upload.as_bytes(), &context.offset.to_be_bytes(), &context.fence.to_be_bytes()])
}
