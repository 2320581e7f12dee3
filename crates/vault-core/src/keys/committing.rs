//! The one authenticated encryption that wraps, sealed fields and the keyring share
//! (`docs/format.md` §5.1): XChaCha20-Poly1305 under a key and a commitment derived from key and
//! nonce.
//!
//! XChaCha20-Poly1305 alone does not commit: one ciphertext can be made to open under two keys.
//! The commitment is a second output of the same HKDF and is checked first, so a ciphertext
//! belongs to exactly one key, and "the wrong key" is told apart from "altered".

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::framing::framed;
use crate::secret::Secret;

pub(super) const NONCE_LEN: usize = 24;
pub(super) const COMMITMENT_LEN: usize = 32;
pub(super) const TAG_LEN: usize = 16;
/// What sealing adds to the plaintext.
pub(super) const OVERHEAD: usize = NONCE_LEN + COMMITMENT_LEN + TAG_LEN;

const LABEL: &str = "feedback-vault/v1/committing";

/// Why sealed bytes were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Too short to hold nonce, commitment and tag.
    Malformed,
    /// The commitment belongs to another key (or the nonce or the commitment was altered).
    WrongKey,
    /// Right key, but ciphertext or associated data were altered or moved.
    Forged,
}

/// Key and commitment in one secret: 64 bytes of HKDF output.
fn schedule(key: &Secret<32>, nonce: &[u8; NONCE_LEN]) -> Secret<64> {
    Secret::fill(|okm| {
        let hkdf = Hkdf::<Sha256>::new(Some(nonce), key.expose());
        match hkdf.expand(&framed(LABEL, &[]), okm) {
            Ok(()) => (),
            Err(_) => unreachable!("64 bytes are far below HKDF's limit of 255 blocks"),
        }
    })
}

/// `nonce ‖ commitment ‖ ciphertext ‖ tag`, appended to `out`.
pub(super) fn seal_into(key: &Secret<32>, associated: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    seal_with_nonce(key, &crate::random::array(), associated, plaintext, out);
}

fn seal_with_nonce(key: &Secret<32>, nonce: &[u8; NONCE_LEN], associated: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    // Reserved at once, so that no growth leaves a copy of the plaintext in freed memory.
    out.reserve(plaintext.len() + OVERHEAD);
    let okm = schedule(key, nonce);
    let (aead_key, commitment) = okm.expose().split_at(32);
    out.extend_from_slice(nonce);
    out.extend_from_slice(commitment);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = cipher(aead_key)
        .and_then(|c| c.encrypt_inout_detached(&XNonce::from(*nonce), associated, out[start..].as_mut().into()).ok());
    match tag {
        Some(tag) => out.extend_from_slice(&tag),
        None => unreachable!("XChaCha20-Poly1305 takes every plaintext below 256 GiB"),
    }
}

/// Opens what [`seal_into`] made.
pub(super) fn open(key: &Secret<32>, associated: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut plaintext = Zeroizing::new(vec![0; sealed.len().saturating_sub(OVERHEAD)]);
    open_to(key, associated, sealed, &mut plaintext)?;
    Ok(plaintext)
}

/// Opens a sealed key straight into locked memory.
pub(super) fn open_key(key: &Secret<32>, associated: &[u8], sealed: &[u8]) -> Result<Secret<32>, OpenError> {
    Secret::try_fill(|bytes| open_to(key, associated, sealed, bytes))
}

fn open_to(key: &Secret<32>, associated: &[u8], sealed: &[u8], plaintext: &mut [u8]) -> Result<(), OpenError> {
    if sealed.len() != plaintext.len() + OVERHEAD {
        return Err(OpenError::Malformed);
    }
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Malformed)?;
    let (claimed, rest) = rest.split_first_chunk::<COMMITMENT_LEN>().ok_or(OpenError::Malformed)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Malformed)?;
    let okm = schedule(key, nonce);
    let (aead_key, commitment) = okm.expose().split_at(32);
    if !bool::from(commitment.ct_eq(claimed)) {
        return Err(OpenError::WrongKey);
    }
    plaintext.copy_from_slice(ciphertext);
    // The tag is checked before the first byte is decrypted in place.
    cipher(aead_key)
        .and_then(|c| {
            c.decrypt_inout_detached(&XNonce::from(*nonce), associated, plaintext.into(), &Tag::from(*tag)).ok()
        })
        .ok_or(OpenError::Forged)
}

fn cipher(key: &[u8]) -> Option<XChaCha20Poly1305> {
    XChaCha20Poly1305::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, Mac};

    fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// RFC 5869 written out with HMAC, and the AEAD called by itself.
    #[test]
    fn the_construction_is_the_one_in_the_format() {
        let key = Secret::fill(|b| *b = [7; 32]);
        let nonce = [9; NONCE_LEN];
        let mut sealed = Vec::new();
        seal_with_nonce(&key, &nonce, b"place", b"plaintext", &mut sealed);

        let prk = hmac(&nonce, &[&[7; 32]]);
        let info: &[u8] = b"\0\0\0\x1cfeedback-vault/v1/committing";
        let aead_key = hmac(&prk, &[info, &[1]]);
        let commitment = hmac(&prk, &[&aead_key, info, &[2]]);
        let aead = XChaCha20Poly1305::new(&aead_key.into());
        let payload = chacha20poly1305::aead::Payload { msg: b"plaintext", aad: b"place" };
        let ciphertext = chacha20poly1305::aead::Aead::encrypt(&aead, &nonce.into(), payload).unwrap();
        assert_eq!(sealed, [&nonce[..], &commitment, &ciphertext].concat());
        assert_eq!(open(&key, b"place", &sealed).unwrap().as_slice(), b"plaintext");
    }

    #[test]
    fn every_altered_byte_is_refused_with_its_own_reason() {
        let key = Secret::generate();
        let mut sealed = Vec::new();
        seal_into(&key, b"place", b"", &mut sealed);
        seal_into(&key, b"place", b"some plaintext", &mut sealed);
        let sealed = sealed.split_off(OVERHEAD);
        for at in 0..sealed.len() {
            let expected = if at < NONCE_LEN + COMMITMENT_LEN { OpenError::WrongKey } else { OpenError::Forged };
            for flip in [1, 0x80, 0xff] {
                let mut altered = sealed.clone();
                altered[at] ^= flip;
                assert_eq!(open(&key, b"place", &altered).unwrap_err(), expected, "byte {at}");
            }
        }
        assert_eq!(open(&key, b"elsewhere", &sealed).unwrap_err(), OpenError::Forged);
        assert_eq!(open(&Secret::generate(), b"place", &sealed).unwrap_err(), OpenError::WrongKey);
        for len in 0..OVERHEAD {
            assert_eq!(open(&key, b"place", &sealed[..len]).unwrap_err(), OpenError::Malformed);
        }
        for len in OVERHEAD..sealed.len() {
            assert_eq!(open(&key, b"place", &sealed[..len]).unwrap_err(), OpenError::Forged);
        }
    }

    #[test]
    fn two_seals_of_the_same_differ() {
        let key = Secret::generate();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        seal_into(&key, b"", b"same", &mut a);
        seal_into(&key, b"", b"same", &mut b);
        assert_ne!(a, b);
    }
}
