//! `FLOE_KDF`: HKDF-Expand-SHA-384 with everything the message is bound to as its info.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha384;
use zeroize::Zeroize as _;

use super::params::Parameters;

/// `FLOE_KDF(key, iv, aad, purpose, N)`, written into `out`.
///
/// No output of FLOE is longer than SHA-384's 48 bytes, so HKDF-Expand is one HMAC over
/// `info ‖ 0x01`, cut to length. (The `hkdf` crate refuses a key shorter than the hash, as FLOE's
/// own 32-byte keys are.)
pub(super) fn floe_kdf<const N: usize>(
    key: &[u8],
    params: Parameters,
    iv: &[u8; 32],
    aad: &[u8],
    purpose: &[&[u8]],
    out: &mut [u8; N],
) {
    const { assert!(N <= 48, "one block of SHA-384 is enough for every FLOE key") };
    let Ok(mut mac) = Hmac::<Sha384>::new_from_slice(key) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(&params.encode());
    mac.update(iv);
    for part in purpose {
        mac.update(part);
    }
    mac.update(aad);
    mac.update(&[1]);
    let mut block = mac.finalize().into_bytes();
    out.copy_from_slice(&block[..N]);
    block.zeroize();
}
