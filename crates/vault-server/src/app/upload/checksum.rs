//! `Upload-Checksum` (tus 1.0, checksum extension): SHA-1, which every tus server has to know, and SHA-256.
//!
//! It guards a transfer against accidents; integrity at rest is the cipher's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use vault_api::code::Code;

use crate::app::error::Failure;

/// The algorithms, as `Tus-Checksum-Algorithm` lists them.
pub const ALGORITHMS: &str = "sha1,sha256";

/// A sum under way.
pub struct Checksum(Sum);

enum Sum {
    Sha1 { sum: sha1::Sha1, expected: [u8; 20] },
    Sha256 { sum: Sha256, expected: [u8; 32] },
}

impl Checksum {
    /// From `algorithm base64`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::from(Code::UploadChecksumAlgorithm);
        let (algorithm, value) = text.split_once(' ').ok_or_else(wrong)?;
        let value = STANDARD.decode(value.trim()).map_err(|_| wrong())?;
        Ok(Self(match algorithm {
            "sha1" => Sum::Sha1 { sum: sha1::Sha1::default(), expected: value.try_into().map_err(|_| wrong())? },
            "sha256" => Sum::Sha256 { sum: Sha256::new(), expected: value.try_into().map_err(|_| wrong())? },
            _ => return Err(wrong()),
        }))
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
        // Of the five bytes `hello`, by sha1sum and sha256sum, as base64; the last is off by one bit.
        for (header, good) in [
            ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", true),
            ("sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", true),
            ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ04=", false),
        ] {
            let mut sum = Checksum::parse(header).unwrap();
            sum.update(b"he");
            sum.update(b"llo");
            assert_eq!(sum.matches(), good, "{header}");
        }
        for bad in ["md5 XUFAKrxLKna5cZ2REBfFkg==", "sha1", "sha1 aGVsbG8=", "sha1 ###"] {
            assert!(Checksum::parse(bad).is_err(), "{bad}");
        }
    }
}
