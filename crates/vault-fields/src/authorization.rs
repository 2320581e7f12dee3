//! `Authorization: Bearer` (RFC 6750 §2.1), and the form of a secret of 256 bits.

use http::{HeaderMap, header};

/// Characters of 256 bits in unpadded base64url.
pub const SECRET_CHARS: usize = 43;

/// The credentials of exactly one `Authorization: Bearer` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, credentials) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim_start_matches(' '))
}

/// Whether `text` is the one spelling of 256 bits in unpadded base64url: the spare bits of the last character are zero.
///
/// It is looked at where it lies: nothing of a secret is decoded, so no copy of it has to be wiped.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    let Some((last, rest)) = text.as_bytes().split_last() else { return false };
    let digit = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    rest.len() == SECRET_CHARS - 1 && rest.iter().all(digit) && b"AEIMQUYcgkosw048".contains(last)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::HeaderValue;

    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_bearer_header_and_no_other() {
        assert_eq!(bearer(&with(&["Bearer fv_x"])), Some("fv_x"));
        assert_eq!(bearer(&with(&["bearer  fv_x"])), Some("fv_x"));
        for refused in [&[][..], &["fv_x"], &["Basic fv_x"], &["Bearer"], &["Bearer fv_x", "Bearer fv_x"]] {
            assert_eq!(bearer(&with(refused)), None, "{refused:?}");
        }
    }

    #[test]
    fn a_secret_is_what_a_decoder_takes_for_256_bits() {
        for byte in 0..=255_u8 {
            let text = URL_SAFE_NO_PAD.encode([byte; 32]);
            assert!(is_secret(&text), "{text}");
            for last in 0..128_u8 {
                let other = format!("{}{}", &text[..SECRET_CHARS - 1], char::from(last));
                assert_eq!(is_secret(&other), URL_SAFE_NO_PAD.decode(&other).is_ok(), "{other:?}");
            }
        }
        for other in ["", "A", &"A".repeat(42), &"A".repeat(44), &"ä".repeat(43)] {
            assert!(!is_secret(other), "{other}");
        }
    }
}
