//! Keys of an upload under way (`docs/format.md` §5.4, §8).
//!
//! The record key lies in the database wrapped under `HKDF(URL secret ‖ resume key)`. The URL is
//! known to the client alone and stored only hashed; the resume key is one a day, kept apart from
//! database and backups, and destroyed when the last upload under it is over. So neither the
//! database nor a leaked URL opens anything alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::derive::in_progress_key;
use super::hierarchy::{RecordKey, ResumeKey};
use super::wrap::{self, Kind, UnwrapError};
use crate::framing::framed;
use crate::ids::{RecordId, ResumeKeyId, UploadId};
use crate::secret::Secret;

const HASH: &str = "feedback-vault/v1/upload-secret";
/// Characters of an upload secret in a URL: 256 bits in base64url without padding.
pub const UPLOAD_SECRET_CHARS: usize = 43;

/// The 256 secret bits in an upload's address. Whoever holds them may continue the upload.
pub struct UploadSecret(Secret<32>);

/// Text that is not an upload secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an upload address")]
pub struct InvalidUploadSecret;

impl UploadSecret {
    /// A fresh secret.
    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::generate())
    }

    #[cfg(test)]
    pub(super) const fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    pub(super) const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Reads the canonical text form: 43 characters of base64url, unused bits zero.
    pub fn parse(text: &str) -> Result<Self, InvalidUploadSecret> {
        if text.len() != UPLOAD_SECRET_CHARS {
            return Err(InvalidUploadSecret);
        }
        let secret = Secret::try_fill(|bytes| match URL_SAFE_NO_PAD.decode_slice(text, bytes) {
            Ok(32) => Ok(()),
            _ => Err(InvalidUploadSecret),
        })?;
        Ok(Self(secret))
    }

    /// The text for the URL: for the client's `Location` and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.expose()))
    }

    /// What the database keeps to find the upload by. 256 bits of randomness need no slow hash.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(framed(HASH, &[self.0.expose()])).finalize().into()
    }
}

/// Wraps the record key of an upload under way.
#[must_use]
pub fn wrap_in_progress(
    url: &UploadSecret,
    resume: (ResumeKeyId, &ResumeKey),
    upload: UploadId,
    record: RecordId,
    key: &RecordKey,
) -> Vec<u8> {
    let by = in_progress_key(url, resume.1, upload);
    wrap::wrap(&by, Kind::InProgress, resume.0.into(), &[upload.as_bytes(), record.as_bytes()], key.secret())
}

/// The record key of an upload under way.
pub fn unwrap_in_progress(
    url: &UploadSecret,
    resume: (ResumeKeyId, &ResumeKey),
    upload: UploadId,
    record: RecordId,
    bytes: &[u8],
) -> Result<RecordKey, UnwrapError> {
    let by = in_progress_key(url, resume.1, upload);
    wrap::unwrap(&by, Kind::InProgress, resume.0.into(), &[upload.as_bytes(), record.as_bytes()], bytes)
        .map(RecordKey::from_secret)
}

/// The resume key that a wrap in progress names: a claim, true once it has been opened.
pub fn names(bytes: &[u8]) -> Result<ResumeKeyId, UnwrapError> {
    wrap::names_resume(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_form_is_canonical() {
        let secret = UploadSecret::generate();
        let text = secret.reveal();
        assert_eq!(text.len(), UPLOAD_SECRET_CHARS);
        assert_eq!(UploadSecret::parse(&text).unwrap().hash(), secret.hash());
        let zeros = "A".repeat(43);
        assert!(UploadSecret::parse(&zeros).is_ok());
        // The last character carries two unused bits; another spelling of the same bytes is refused.
        assert!(UploadSecret::parse(&format!("{}B", "A".repeat(42))).is_err());
        for bad in ["", "A", &"A".repeat(42), &"A".repeat(44), &format!("{}=", "A".repeat(42)), &"+".repeat(43)] {
            assert!(UploadSecret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_the_one_in_the_format() {
        let secret = UploadSecret::from_secret(Secret::fill(|b| *b = [4; 32]));
        let expected = "61eb5e16b7515f97df40ab8a9bf543a72d0925657b00790bccfc4f414a2eb6c6";
        assert_eq!(hex::encode(secret.hash()), expected);
    }

    #[test]
    fn p1_neither_url_nor_resume_key_opens_an_upload_alone() {
        let (url, resume, id) = (UploadSecret::generate(), ResumeKey::generate(), ResumeKeyId::from_bytes([1; 16]));
        let (upload, record) = (UploadId::from_bytes([2; 16]), RecordId::from_bytes([3; 16]));
        let key = RecordKey::generate();
        let wrap = wrap_in_progress(&url, (id, &resume), upload, record, &key);
        assert_eq!(names(&wrap), Ok(id));
        let open = |url: &UploadSecret, id, resume: &ResumeKey, upload, record| {
            unwrap_in_progress(url, (id, resume), upload, record, &wrap)
                .map(|k| k.secret().ct_eq(key.secret().expose()))
        };
        assert_eq!(open(&url, id, &resume, upload, record), Ok(true));
        let other = ResumeKeyId::from_bytes([9; 16]);
        assert_eq!(open(&UploadSecret::generate(), id, &resume, upload, record), Err(UnwrapError::WrongKey));
        assert_eq!(open(&url, id, &ResumeKey::generate(), upload, record), Err(UnwrapError::WrongKey));
        assert_eq!(open(&url, other, &resume, upload, record), Err(UnwrapError::NamesAnotherKey));
        assert_eq!(open(&url, id, &resume, UploadId::from_bytes([9; 16]), record), Err(UnwrapError::WrongKey));
        assert_eq!(open(&url, id, &resume, upload, RecordId::from_bytes([9; 16])), Err(UnwrapError::Forged));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,60}") {
            if let Ok(secret) = UploadSecret::parse(&text) {
                let back = secret.reveal();
                prop_assert_eq!(back.as_str(), text.as_str());
            }
        }
    }
}
