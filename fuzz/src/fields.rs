//! Header fields, and the journal of restrictions: what HTTP clients and object stores hand in.

use core::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use vault_core::privacy::consent::Consent;
use vault_core::restriction::{Act, Kind, journal as form};
use vault_fields::precondition::{self, Outcome, Tag};
use vault_fields::range::{ByteRange, MAX_PARTS, Selection, select};
use vault_fields::tus::{self, Expected, MAX_NUMBER, METADATA_BYTES, Metadata};

use super::number;

const OPAQUE: &str = "0199.original";

fn tag() -> Tag {
    Tag::new(OPAQUE).expect("visible ASCII")
}

/// The value of a field; of a line that HTTP itself would not let in, none.
fn value(bytes: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(bytes).ok()
}

fn ask(range: &HeaderValue, length: u64) -> Selection {
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, range.clone());
    select(&Method::GET, &headers, &tag(), length)
}

/// The first eight bytes are a representation's length, then comes `Range`, behind a newline `If-Range`.
pub fn range(data: &[u8]) {
    let (length, rest) = number(data);
    let mut lines = rest.splitn(2, |byte| *byte == b'\n');
    let Some(range) = lines.next().and_then(value) else { return };
    let selection = ask(&range, length);
    let parts = match &selection {
        Selection::Whole | Selection::Unsatisfiable => Vec::new(),
        Selection::Part(part) => vec![*part],
        Selection::Parts(parts) => {
            assert!((2..=MAX_PARTS).contains(&parts.len()));
            parts.clone()
        }
    };
    assert!(parts.iter().all(|part| part.first() <= part.last() && part.last() < length), "beyond the end");
    let mut ordered = parts.clone();
    ordered.sort_by_key(|part| part.first());
    assert!(ordered.windows(2).all(|pair| pair[0].last() < pair[1].first()), "a byte is sent twice");
    assert!(parts.iter().map(|part| part.len()).sum::<u64>() <= length);
    if let Some(asked) = plain(range.as_bytes(), length) {
        assert_eq!(parts.is_empty(), asked.is_empty(), "{range:?} of {length}");
        for (first, last) in asked {
            let sent = |at: u64| parts.iter().any(|part| (part.first()..=part.last()).contains(&at));
            assert!(sent(first) && sent(last), "{first} to {last} was asked for");
        }
    }
    if !parts.is_empty() {
        // What is sent, asked for in so many words, is what is sent.
        let words: Vec<String> = parts.iter().map(|part| format!("{}-{}", part.first(), part.last())).collect();
        let words = HeaderValue::from_str(&format!("bytes={}", words.join(","))).expect("digits");
        assert_eq!(ask(&words, length), selection);
        assert_eq!(ByteRange::new(parts[0].first(), parts[0].last()), Some(parts[0]));
    }
    let Some(condition) = lines.next().and_then(value) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, range);
    headers.insert(header::IF_RANGE, condition.clone());
    let same = condition.as_bytes() == format!("\"{OPAQUE}\"").as_bytes();
    let expected = if same { selection } else { Selection::Whole };
    assert_eq!(select(&Method::GET, &headers, &tag(), length), expected);
    assert_eq!(select(&Method::HEAD, &headers, &tag(), length), Selection::Whole);
}

/// The satisfiable ranges of a field without anything that leaves room for interpretation: few of them, numbers of at
/// most eighteen digits, one comma between two. `None` for every other field.
fn plain(field: &[u8], length: u64) -> Option<Vec<(u64, u64)>> {
    let end = length.checked_sub(1).filter(|_| field.len() <= 4096)?;
    let mut asked = Vec::new();
    for spec in str::from_utf8(field).ok()?.strip_prefix("bytes=")?.split(',') {
        let (first, last) = spec.split_once('-')?;
        let digits = |text: &str| text.len() <= 18 && text.bytes().all(|c| c.is_ascii_digit());
        if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
            return None;
        }
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first > last => return None,
            (Ok(first), last) if first <= end => asked.push((first, last.unwrap_or(end).min(end))),
            (Err(_), Ok(count)) if count > 0 => asked.push((length.saturating_sub(count), end)),
            _ => {}
        }
    }
    (asked.len() <= MAX_PARTS).then_some(asked)
}

/// A line of `If-Match`, behind a newline one of `If-None-Match`. Nothing passes that does not hold the tag or an asterisk.
pub fn preconditions(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (Some(matching), other) = (lines.next().and_then(value), lines.next().and_then(value)) else { return };
    let evaluate = |fields: &[(HeaderName, &HeaderValue)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, (*value).clone());
        }
        precondition::evaluate(&headers, &tag())
    };
    let quoted = format!("\"{OPAQUE}\"");
    let names = |line: &HeaderValue| {
        line.as_bytes() == b"*" || line.as_bytes().windows(quoted.len()).any(|w| w == quoted.as_bytes())
    };
    let strongly = evaluate(&[(header::IF_MATCH, &matching)]);
    let weakly = evaluate(&[(header::IF_NONE_MATCH, &matching)]);
    assert!(strongly != Outcome::NotModified && weakly != Outcome::Failed);
    if !names(&matching) {
        assert_eq!((strongly, weakly), (Outcome::Failed, Outcome::Proceed));
    }
    // What matches strongly matches weakly.
    assert!(strongly == Outcome::Failed || weakly == Outcome::NotModified);
    let Some(other) = other else { return };
    let both = evaluate(&[(header::IF_MATCH, &matching), (header::IF_NONE_MATCH, &other)]);
    let second = evaluate(&[(header::IF_NONE_MATCH, &other)]);
    assert_eq!(both, if strongly == Outcome::Failed { strongly } else { second });
    // Two lines are one list.
    let lines = evaluate(&[(header::IF_NONE_MATCH, &matching), (header::IF_NONE_MATCH, &other)]);
    assert_eq!(lines == Outcome::NotModified, weakly == Outcome::NotModified || second == Outcome::NotModified);
}

/// Lines of `name: value`; those whose name is one of tus are read. What is read is within its bounds, and written again
/// read as the same.
pub fn tus(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(32) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(&line[..at]), value(&line[at + 1..])) {
            headers.append(name, value);
        }
    }
    let one = |name: &HeaderName| headers.get_all(name).iter().count() == 1;
    let lengths = [tus::declared_length(&headers), tus::late_length(&headers), tus::offset(&headers).map(Some)];
    assert!(lengths.iter().flatten().flatten().all(|number| *number <= MAX_NUMBER));
    if let Ok(length) = tus::declared_length(&headers) {
        assert_eq!(one(&tus::UPLOAD_LENGTH), length.is_some());
        assert_eq!(one(&tus::UPLOAD_DEFER_LENGTH), length.is_none());
    }
    assert!(tus::offset(&headers).is_err() || one(&tus::UPLOAD_OFFSET));
    assert!(tus::version(&headers, "1.0.0").is_err() || one(&tus::TUS_RESUMABLE));
    if let Ok(Some(expected)) = tus::checksum(&headers) {
        let (name, sum) = match &expected {
            Expected::Sha1(sum) => ("sha1", &sum[..]),
            Expected::Sha256(sum) => ("sha256", &sum[..]),
        };
        let mut again = HeaderMap::new();
        let text = HeaderValue::from_str(&format!("{name} {}", STANDARD.encode(sum))).expect("base64");
        again.insert(tus::UPLOAD_CHECKSUM, text);
        assert_eq!(tus::checksum(&again), Ok(Some(expected)));
    }
    if let Ok(metadata) = Metadata::read(&headers) {
        let (count, text) = pairs(metadata);
        assert!(text.len() <= METADATA_BYTES + count, "more came out than came in");
        let mut again = HeaderMap::new();
        again.insert(tus::UPLOAD_METADATA, HeaderValue::from_str(&text).expect("graphic keys and base64"));
        let (_, same) = pairs(Metadata::read(&again).expect("it was read before"));
        assert_eq!(same, text);
        // The consent goes on to its own reader, whatever it is.
        if let Some(consent) = Metadata::read(&headers).ok().and_then(|mut metadata| metadata.take("consent")) {
            let _ = Consent::parse(consent.as_bytes());
        }
    }
}

/// Every pair taken out, and all of them written in the order of their keys. Each key is there once.
fn pairs(mut metadata: Metadata) -> (usize, String) {
    let mut keys: Vec<String> = metadata.keys().map(str::to_owned).collect();
    keys.sort();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key twice");
    let mut pair = |key: &String| {
        let value = metadata.take(key).expect("it was named");
        assert!(metadata.take(key).is_none());
        format!("{key} {}", STANDARD.encode(value))
    };
    let pairs: Vec<String> = keys.iter().map(&mut pair).collect();
    (pairs.len(), pairs.join(","))
}

/// The first eight bytes are the number under which an entry of the journal was found.
pub fn journal(data: &[u8]) {
    let (counter, bytes) = number(data);
    let counter = i64::from_be_bytes(counter.to_be_bytes());
    let Ok(numbered) = form::read(bytes, counter) else { return };
    assert_eq!(numbered.counter, counter);
    // Promise 6: what is final is given back by no file.
    let restriction = numbered.restriction;
    assert!(restriction.act == Act::Impose || restriction.kind == Kind::CollectionSuspended);
    let written = form::write(&numbered).expect("it was JSON");
    assert_eq!(form::read(&written, counter), Ok(numbered));
    assert!(form::read(&written, counter.wrapping_add(1)).is_err());
    assert!(written.len() <= form::MAX_ENTRY);
}
