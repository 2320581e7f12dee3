//! Parameters and header (`docs/format.md` §2; FLOE "Parameters", "FLOE Ciphertext Layout").

use super::{FloeError, OVERHEAD};

/// `AEAD_ID` of AES-256-GCM and `KDF_ID` of HKDF-Expand-SHA-384.
const IDS: [u8; 2] = [0, 0];
/// `FLOE_IV_LEN`.
const IV_LEN: usize = 32;
/// Length of `PARAM_ENCODE(params)`.
pub(super) const PARAMS_LEN: usize = 10;
const HEADER_TAG_LEN: usize = 32;

/// Length of a header: parameters, IV, tag.
pub const HEADER_LEN: usize = PARAMS_LEN + IV_LEN + HEADER_TAG_LEN;

/// FLOE's `AEAD_ROTATION_MASK` for AES-256-GCM.
const ROTATION_BITS: u8 = 20;

/// The parameters that can differ: the encrypted segment length and, for test vectors alone, how
/// often the segment key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    segment_length: u32,
    rotation_bits: u8,
}

impl Parameters {
    /// Parameters for *encrypted* segments of `segment_length` bytes.
    ///
    /// From 33 (a segment holds at least one byte) to 2^32 − 2: the value 2^32 − 1 marks internal
    /// segments, so a full final segment could not say its own length with it.
    pub const fn new(segment_length: u32) -> Result<Self, FloeError> {
        if (segment_length as usize) <= OVERHEAD || segment_length == u32::MAX {
            return Err(FloeError::Parameters);
        }
        Ok(Self { segment_length, rotation_bits: ROTATION_BITS })
    }

    /// The same with a new segment key every 2^`bits` segments instead of every 2^20.
    ///
    /// The header does not carry it. FLOE fixes it at 20; test vectors use 2.
    pub const fn with_rotation_bits(self, bits: u8) -> Result<Self, FloeError> {
        if bits >= 64 {
            return Err(FloeError::Parameters);
        }
        Ok(Self { rotation_bits: bits, ..self })
    }

    /// Length of an encrypted segment (but the final one).
    #[must_use]
    pub const fn segment_length(self) -> usize {
        self.segment_length as usize
    }

    /// Plaintext bytes in a segment (but the final one).
    #[must_use]
    pub const fn plaintext_length(self) -> usize {
        self.segment_length() - OVERHEAD
    }

    /// `MASK(position, AEAD_ROTATION_MASK)`.
    pub(super) const fn rotation_of(self, position: u64) -> u64 {
        position & (u64::MAX << self.rotation_bits)
    }

    /// `PARAM_ENCODE(params)`.
    pub(super) fn encode(self) -> [u8; PARAMS_LEN] {
        let mut out = [0; PARAMS_LEN];
        out[..2].copy_from_slice(&IDS);
        out[2..6].copy_from_slice(&self.segment_length.to_be_bytes());
        out[6..].copy_from_slice(&(IV_LEN as u32).to_be_bytes());
        out
    }
}

/// The header of a message: parameters, IV, header tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header([u8; HEADER_LEN]);

impl Header {
    /// A header read from elsewhere. Only its length is looked at here.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, FloeError> {
        bytes.try_into().map(Self).map_err(|_| FloeError::HeaderLength)
    }

    /// The header as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    pub(super) fn assemble(params: Parameters, iv: &[u8; IV_LEN], tag: &[u8; HEADER_TAG_LEN]) -> Self {
        let mut out = [0; HEADER_LEN];
        out[..PARAMS_LEN].copy_from_slice(&params.encode());
        out[PARAMS_LEN..PARAMS_LEN + IV_LEN].copy_from_slice(iv);
        out[PARAMS_LEN + IV_LEN..].copy_from_slice(tag);
        Self(out)
    }

    pub(super) fn params(&self) -> &[u8] {
        &self.0[..PARAMS_LEN]
    }

    pub(super) fn iv(&self) -> [u8; IV_LEN] {
        let mut iv = [0; IV_LEN];
        iv.copy_from_slice(&self.0[PARAMS_LEN..PARAMS_LEN + IV_LEN]);
        iv
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.0[PARAMS_LEN + IV_LEN..]
    }
}
