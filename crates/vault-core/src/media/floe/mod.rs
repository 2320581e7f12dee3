//! FLOE (c2sp.org/FLOE): AES-256-GCM in segments, HKDF-Expand-SHA-384, random access, committing.
//!
//! This is the specification itself and nothing of the vault: raw keys, any associated data, any
//! segment length. What an object of the vault fixes (its associated data, its two segment
//! lengths, who may open it) is in [`super::seal`] and [`super::open`].
//!
//! | file | what it holds |
//! | --- | --- |
//! | `params` | parameters and header (`docs/format.md` §2) |
//! | `kdf` | the one key derivation, `FLOE_KDF` |
//! | `backend` | AES-256-GCM twice: `aws-lc-rs` and `aes-gcm`, which must agree to the bit |
//! | `message` | what a header unlocks: the message key, and segment keys cached per rotation |
//! | `encrypt`, `decrypt` | segments, in order or at a position |
//! | `whole` | a whole message in memory, for programs and tests |

mod backend;
mod decrypt;
mod encrypt;
mod kdf;
mod message;
mod params;
mod whole;

pub use backend::{AesGcm, AwsLc, Backend};
pub use decrypt::Decryptor;
pub use encrypt::Encryptor;
pub use params::{HEADER_LEN, Header, Parameters};
pub use whole::{open_whole, seal_whole};

use zeroize::Zeroize;

use crate::secret::Secret;

/// Bytes a segment adds to its plaintext: length, nonce, tag.
pub const OVERHEAD: usize = MARKER_LEN + NONCE_LEN + TAG_LEN;

/// Length of an authentication tag.
pub const TAG_LEN: usize = 16;

/// `AEAD_MAX_SEGMENTS` for AES-256-GCM.
pub const MAX_SEGMENTS: u64 = 1 << 40;

const MARKER_LEN: usize = 4;
const NONCE_LEN: usize = 12;

/// Where a segment's plaintext, or its ciphertext, begins.
pub(crate) const BODY_AT: usize = MARKER_LEN + NONCE_LEN;

/// A FLOE key: 32 secret bytes.
pub struct FloeKey(Secret<32>);

impl FloeKey {
    /// A key from bytes that come from elsewhere; the given copy is wiped.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let key = Self(Secret::fill(|secret| secret.copy_from_slice(&bytes)));
        bytes.zeroize();
        key
    }

    /// The same bytes in a slot of their own: for keys that come out of the vault's hierarchy.
    pub(crate) fn copy_of(secret: &Secret<32>) -> Self {
        Self(Secret::fill(|bytes| bytes.copy_from_slice(secret.expose())))
    }

    fn bytes(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Why FLOE refuses. Everything here may be shown: it says where, never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FloeError {
    /// No segment of this length, or no such rotation, exists.
    #[error("these parameters are not possible")]
    Parameters,
    /// The header is not 74 bytes long.
    #[error("the header has the wrong length")]
    HeaderLength,
    /// The header is for other parameters.
    #[error("the header names other parameters")]
    HeaderParameters,
    /// Another key, other associated data, or an altered header.
    #[error("the header does not fit this key and this place")]
    HeaderTag,
    /// The segment's length, or the length of the buffer for it, cannot be right.
    #[error("segment {0} has the wrong length")]
    SegmentLength(u64),
    /// A final segment where an internal one belongs, or the other way round.
    #[error("segment {0} is not of the expected kind (internal or final)")]
    SegmentKind(u64),
    /// The segment is not authentic at this position.
    #[error("segment {0} is not authentic")]
    Forged(u64),
    /// More segments than one message may have.
    #[error("a message has at most 2^40 segments")]
    TooManySegments,
    /// The back end failed without a reason.
    #[error("the cipher failed")]
    Cipher,
}

#[cfg(test)]
mod tests;
