//! `Upload-Checksum` (tus 1.0, checksum extension): SHA-1, which every tus server has to know, and SHA-256.
//!
//! It guards a transfer against accidents; integrity at rest is the cipher's.

use sha2::{Digest, Sha256};

/// The algorithms, as `Tus-Checksum-Algorithm` lists them.
pub const ALGORITHMS: &str = "sha1,sha256";

/// A sum under way.
pub struct Checksum(Sum);

enum Sum {
    Sha1 { sum: sha1::Sha1, expected: [u8; 20] },
    Sha256 { sum: Sha256, expected: [u8; 32] },
}

impl Checksum {
    /// SHA-1, which should come to this.
    #[must_use]
    pub fn sha1(expected: [u8; 20]) -> Self {
        Self(Sum::Sha1 { sum: sha1::Sha1::default(), expected })
    }

    /// SHA-256, which should come to this.
    #[must_use]
    pub fn sha256(expected: [u8; 32]) -> Self {
        Self(Sum::Sha256 { sum: Sha256::new(), expected })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Sum::Sha1 { sum, .. } => sum.update(bytes),
            Sum::Sha256 { sum, .. } => sum.update(bytes),
        }
    }

    /// Whether the bytes were the expected ones.
    #[must_use]
    pub fn matches(self) -> bool {
        match self.0 {
            Sum::Sha1 { sum, expected } => sum.finalize()[..] == expected,
            Sum::Sha256 { sum, expected } => sum.finalize()[..] == expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_computed_piece_by_piece() {
        // Of the five bytes `hello`, by sha1sum and sha256sum.
        let mut sha1 = [0; 20];
        hex::decode_to_slice("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", &mut sha1).unwrap();
        let mut sha256 = [0; 32];
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        hex::decode_to_slice(sum, &mut sha256).unwrap();
        let (mut wrong, mut other) = (sha1, sha256);
        wrong[19] ^= 1;
        other[0] ^= 1;
        for (mut sum, good) in [
            (Checksum::sha1(sha1), true),
            (Checksum::sha256(sha256), true),
            (Checksum::sha1(wrong), false),
            (Checksum::sha256(other), false),
        ] {
            sum.update(b"he");
            sum.update(b"llo");
            assert_eq!(sum.matches(), good);
        }
    }
}
