//! Headers of tus 1.0 (tus.io/protocols/resumable-upload): read strictly, bounded, without repeating their content.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vault_api::code::Code;
use vault_api::names::TUS_VERSION;

use crate::app::error::Failure;
use crate::app::upload::checksum::Checksum;

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// Bound on `Upload-Metadata`: consent, names and tags are short texts.
const METADATA_BYTES: usize = 32 * 1024;

/// Largest number a length or offset may be: 2^53 - 1, what every client's number type can hold.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Checks `Tus-Resumable`.
pub(super) fn version(headers: &HeaderMap) -> Result<(), Failure> {
    match one(headers, &TUS_RESUMABLE) {
        Ok(Some(TUS_VERSION)) => Ok(()),
        _ => Err(Code::TusVersion.into()),
    }
}

/// The single value of a header; two values, or one that is not ASCII, are an error.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// ASCII digits only, up to 2^53 - 1.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= MAX_NUMBER)
}

/// What a creation declares: a length, or `None` when it is deferred.
pub(super) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let length = one(headers, &UPLOAD_LENGTH);
    let deferred = one(headers, &UPLOAD_DEFER_LENGTH);
    match (length, deferred) {
        (Ok(Some(length)), Ok(None)) => number(length).map(Some).ok_or_else(|| Code::UploadLength.into()),
        (Ok(None), Ok(Some("1"))) => Ok(None),
        _ => Err(Code::UploadLength.into()),
    }
}

/// `Upload-Length` on a PATCH of an upload whose length was deferred.
pub(super) fn late_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    match one(headers, &UPLOAD_LENGTH) {
        Ok(None) => Ok(None),
        Ok(Some(length)) => number(length).map(Some).ok_or_else(|| Code::UploadLength.into()),
        Err(()) => Err(Code::UploadLength.into()),
    }
}

/// `Upload-Offset`.
pub(super) fn offset(headers: &HeaderMap) -> Result<u64, Failure> {
    one(headers, &UPLOAD_OFFSET).ok().flatten().and_then(number).ok_or_else(|| Code::UploadOffsetMissing.into())
}

/// `Upload-Metadata`: keys with base64 values. A key without a value is an empty text.
pub(super) struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Reads the header; each key once, values UTF-8.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let wrong = |what: &'static str| Failure::new(Code::UploadMetadata).detail(what);
        let text = one(headers, &UPLOAD_METADATA).map_err(|()| wrong("the header is repeated or not ASCII"))?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        let text = text.unwrap_or("");
        if text.len() > METADATA_BYTES {
            return Err(wrong("longer than 32,768 bytes"));
        }
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || key.len() > 64 || !key.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(wrong("a key is empty or not ASCII"));
            }
            if pairs.iter().any(|(known, _)| known == key) {
                return Err(wrong("a key is repeated"));
            }
            let bytes = STANDARD.decode(value.trim()).map_err(|_| wrong("a value is not base64"))?;
            let value = String::from_utf8(bytes).map_err(|_| wrong("a value is not UTF-8"))?;
            pairs.push((key.to_owned(), value));
        }
        Ok(Self(pairs))
    }

    /// The value of a key, taken out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// `Upload-Checksum`.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Failure> {
    match one(headers, &UPLOAD_CHECKSUM) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => Checksum::parse(text).map(Some),
        Err(()) => Err(Code::UploadChecksumAlgorithm.into()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_length_is_declared_or_deferred_never_both() {
        assert_eq!(declared_length(&with(UPLOAD_LENGTH, "42")).unwrap(), Some(42));
        assert_eq!(declared_length(&with(UPLOAD_DEFER_LENGTH, "1")).unwrap(), None);
        let mut both = with(UPLOAD_LENGTH, "42");
        both.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1"));
        assert!(declared_length(&both).is_err());
        for bad in ["", "-1", "+1", "1.5", "0x10", "9007199254740992", "99999999999999999999"] {
            assert!(declared_length(&with(UPLOAD_LENGTH, bad)).is_err(), "{bad}");
        }
        assert!(declared_length(&with(UPLOAD_DEFER_LENGTH, "0")).is_err());
        assert!(declared_length(&HeaderMap::new()).is_err());
    }

    #[test]
    fn metadata_is_read_strictly() {
        let mut metadata = Metadata::read(&with(UPLOAD_METADATA, "filename YS53ZWJt, empty,consent e30=")).unwrap();
        assert_eq!(metadata.take("filename").as_deref(), Some("a.webm"));
        assert_eq!(metadata.take("empty").as_deref(), Some(""));
        assert_eq!(metadata.take("consent").as_deref(), Some("{}"));
        assert_eq!(metadata.take("filename"), None);
        for bad in ["filename ###", "a YQ==,a YQ==", "a /w==", "a YQ"] {
            assert!(Metadata::read(&with(UPLOAD_METADATA, bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in "[ -~]{0,80}") {
            for name in [UPLOAD_LENGTH, UPLOAD_DEFER_LENGTH, UPLOAD_METADATA, UPLOAD_CHECKSUM, UPLOAD_OFFSET] {
                let headers = with(name, &text);
                let _ = declared_length(&headers);
                let _ = offset(&headers);
                let _ = Metadata::read(&headers);
                let _ = checksum(&headers);
            }
        }
    }
}
