//! Headers of tus 1.0 (tus.io/protocols/resumable-upload): read strictly, bounded, without repeating their content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

/// `Tus-Resumable`
pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// `Upload-Offset`
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// `Upload-Length`
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// `Upload-Defer-Length`
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// `Upload-Metadata`
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// `Upload-Expires`
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// `Upload-Checksum`
pub const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// Bound on `Upload-Metadata`: consent, names and tags are short texts.
pub const METADATA_BYTES: usize = 32 * 1024;

/// Longest key of `Upload-Metadata`.
pub const KEY_BYTES: usize = 64;

/// Largest number a length or offset may be: 2^53 - 1, what every client's number type can hold.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A field that is missing where it is needed, there twice, or not of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// `Tus-Resumable`
    #[error("not the version of tus that is spoken here")]
    Version,
    /// `Upload-Length`, `Upload-Defer-Length`
    #[error("neither a length nor a deferred one")]
    Length,
    /// `Upload-Offset`
    #[error("no offset")]
    Offset,
    /// `Upload-Metadata`, and what is wrong with it
    #[error("in the metadata: {0}")]
    Metadata(&'static str),
    /// `Upload-Checksum`
    #[error("no checksum of a known algorithm")]
    Checksum,
}

/// Checks that `Tus-Resumable` is `spoken`.
pub fn version(headers: &HeaderMap, spoken: &str) -> Result<(), InvalidField> {
    match one(headers, &TUS_RESUMABLE) {
        Ok(Some(version)) if version == spoken => Ok(()),
        _ => Err(InvalidField::Version),
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
pub fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, InvalidField> {
    let length = one(headers, &UPLOAD_LENGTH);
    let deferred = one(headers, &UPLOAD_DEFER_LENGTH);
    match (length, deferred) {
        (Ok(Some(length)), Ok(None)) => number(length).map(Some).ok_or(InvalidField::Length),
        (Ok(None), Ok(Some("1"))) => Ok(None),
        _ => Err(InvalidField::Length),
    }
}

/// `Upload-Length` on a PATCH of an upload whose length was deferred.
pub fn late_length(headers: &HeaderMap) -> Result<Option<u64>, InvalidField> {
    match one(headers, &UPLOAD_LENGTH) {
        Ok(None) => Ok(None),
        Ok(Some(length)) => number(length).map(Some).ok_or(InvalidField::Length),
        Err(()) => Err(InvalidField::Length),
    }
}

/// `Upload-Offset`.
pub fn offset(headers: &HeaderMap) -> Result<u64, InvalidField> {
    one(headers, &UPLOAD_OFFSET).ok().flatten().and_then(number).ok_or(InvalidField::Offset)
}

/// `Upload-Metadata`: keys with base64 values. A key without a value is an empty text.
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Reads the header; each key once, values UTF-8.
    pub fn read(headers: &HeaderMap) -> Result<Self, InvalidField> {
        let wrong = InvalidField::Metadata;
        let text = one(headers, &UPLOAD_METADATA).map_err(|()| wrong("the header is repeated or not ASCII"))?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        let text = text.unwrap_or("");
        if text.len() > METADATA_BYTES {
            return Err(wrong("longer than 32,768 bytes"));
        }
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || key.len() > KEY_BYTES || !key.bytes().all(|b| b.is_ascii_graphic()) {
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
    pub fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The keys that are still there.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// `Upload-Checksum`: the algorithm and the sum that it should give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// SHA-1, which every tus server has to know.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// `Upload-Checksum`.
pub fn checksum(headers: &HeaderMap) -> Result<Option<Expected>, InvalidField> {
    match one(headers, &UPLOAD_CHECKSUM) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => Expected::parse(text).map(Some).ok_or(InvalidField::Checksum),
        Err(()) => Err(InvalidField::Checksum),
    }
}

impl Expected {
    /// From `algorithm base64`.
    fn parse(text: &str) -> Option<Self> {
        let (algorithm, value) = text.split_once(' ')?;
        let value = STANDARD.decode(value.trim()).ok()?;
        match algorithm {
            "sha1" => value.try_into().ok().map(Self::Sha1),
            "sha256" => value.try_into().ok().map(Self::Sha256),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
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

    #[test]
    fn a_checksum_names_a_known_algorithm_and_has_its_length() {
        let sum = |text: &str| checksum(&with(UPLOAD_CHECKSUM, text));
        assert_eq!(sum("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="), Ok(Some(Expected::Sha1([0; 20]))));
        let sha256 = format!("sha256 {}", STANDARD.encode([7; 32]));
        assert_eq!(sum(&sha256), Ok(Some(Expected::Sha256([7; 32]))));
        for bad in ["md5 XUFAKrxLKna5cZ2REBfFkg==", "sha1", "sha1 aGVsbG8=", "sha1 ###", ""] {
            assert_eq!(sum(bad), Err(InvalidField::Checksum), "{bad}");
        }
        assert_eq!(checksum(&HeaderMap::new()), Ok(None));
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
