//! Entity tags and the preconditions that compare them: RFC 9110 §8.8.3, §13.1.1, §13.1.2, §13.2.2.
//!
//! The vault sends strong tags and no `Last-Modified`, so `If-Modified-Since` and `If-Unmodified-Since` have nothing
//! to compare with and are ignored, as §13.1.3 and §13.1.4 say.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The strong entity tag of what is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(HeaderValue);

impl Tag {
    /// The tag whose opaque part is `opaque`: visible ASCII without quotes. `None` for anything else.
    #[must_use]
    pub fn new(opaque: &str) -> Option<Self> {
        if !opaque.bytes().all(|b| b == 0x21 || (0x23..=0x7E).contains(&b)) {
            return None;
        }
        HeaderValue::from_str(&format!("\"{opaque}\"")).ok().map(Self)
    }

    /// The value of `ETag`.
    #[must_use]
    pub const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// Strong comparison (§8.8.3.2) with a single tag: equal, and neither weak.
    #[must_use]
    pub fn is_strongly(&self, given: &[u8]) -> bool {
        given == self.0.as_bytes()
    }

    /// Weak comparison: equal but for the mark of weakness.
    fn is_weakly(&self, given: &[u8]) -> bool {
        given.strip_prefix(b"W/").unwrap_or(given) == self.0.as_bytes()
    }
}

/// What the preconditions of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Proceed,
    /// `If-None-Match` names what the client has already: 304.
    NotModified,
    /// `If-Match` names something else: 412.
    Failed,
}

/// Evaluates `If-Match` and `If-None-Match` of a GET or HEAD, in the order of §13.2.2.
#[must_use]
pub fn evaluate(headers: &HeaderMap, tag: &Tag) -> Outcome {
    if headers.contains_key(header::IF_MATCH) && !any(headers, header::IF_MATCH, |given| tag.is_strongly(given)) {
        return Outcome::Failed;
    }
    if any(headers, header::IF_NONE_MATCH, |given| tag.is_weakly(given)) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether the field is `*` or one of its tags passes. Over several lines it is one list (§5.3).
fn any(headers: &HeaderMap, name: HeaderName, passes: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| line.as_bytes() == b"*" || tags(line.as_bytes()).any(&passes))
}

/// The entity tags of a list. A comma may stand inside a tag, so the list is cut at quotes; it ends at the first
/// thing that is not by the grammar.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let open = if rest.starts_with(b"W/") { 2 } else { 0 };
        if rest.get(open) != Some(&b'"') {
            return None;
        }
        let close = rest.iter().skip(open + 1).position(|b| *b == b'"')? + open + 1;
        let (tag, tail) = rest.split_at_checked(close + 1)?;
        rest = tail;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        let tag = Tag::new("a,b").unwrap();
        let cases = [
            (header::IF_MATCH, "\"a,b\"", Outcome::Proceed),
            (header::IF_MATCH, "\"x\", \"a,b\"", Outcome::Proceed),
            (header::IF_MATCH, "*", Outcome::Proceed),
            (header::IF_MATCH, "W/\"a,b\"", Outcome::Failed),
            (header::IF_MATCH, "\"x\"", Outcome::Failed),
            (header::IF_MATCH, "a,b", Outcome::Failed),
            (header::IF_NONE_MATCH, "W/\"a,b\"", Outcome::NotModified),
            (header::IF_NONE_MATCH, " ,\"x\",\"a,b\"", Outcome::NotModified),
            (header::IF_NONE_MATCH, "*", Outcome::NotModified),
            (header::IF_NONE_MATCH, "\"a\", \"b\"", Outcome::Proceed),
            (header::IF_NONE_MATCH, "\"a,b", Outcome::Proceed),
        ];
        for (name, value, expected) in cases {
            assert_eq!(evaluate(&with(&[(name.clone(), value)]), &tag), expected, "{name}: {value}");
        }
        let both = with(&[(header::IF_MATCH, "\"x\""), (header::IF_NONE_MATCH, "\"a,b\"")]);
        assert_eq!(evaluate(&both, &tag), Outcome::Failed);
        let lines = with(&[(header::IF_NONE_MATCH, "\"x\""), (header::IF_NONE_MATCH, "\"a,b\"")]);
        assert_eq!(evaluate(&lines, &tag), Outcome::NotModified);
    }

    #[test]
    fn a_tag_is_quoted_visible_ascii() {
        assert_eq!(Tag::new("x").unwrap().value(), "\"x\"");
        for bad in ["a\"b", "a b", "ä", "a\n"] {
            assert_eq!(Tag::new(bad), None, "{bad}");
        }
    }
}
