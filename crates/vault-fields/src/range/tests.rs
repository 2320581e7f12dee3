//! The selection held against the plain definition, byte position by byte position.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn tag() -> Tag {
    Tag::new("object.original").unwrap()
}

fn ask(range: &str, length: u64) -> Selection {
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
    select(&Method::GET, &headers, &tag(), length)
}

fn part(first: u64, last: u64) -> Selection {
    Selection::Part(ByteRange::new(first, last).unwrap())
}

#[test]
fn the_examples_of_rfc_9110() {
    // §14.1.2, a representation of 10,000 bytes.
    assert_eq!(ask("bytes=0-499", 10_000), part(0, 499));
    assert_eq!(ask("bytes=500-999", 10_000), part(500, 999));
    assert_eq!(ask("bytes=-500", 10_000), part(9_500, 9_999));
    assert_eq!(ask("bytes=9500-", 10_000), part(9_500, 9_999));
    assert_eq!(ask("bytes=0-0,-1", 10_000), parts(&[(0, 0), (9_999, 9_999)]));
    assert_eq!(ask("bytes= 0-999, 4500-5499, -1000", 10_000), parts(&[(0, 999), (4_500, 5_499), (9_000, 9_999)]));
    assert_eq!(ask("bytes=500-600,601-999", 10_000), part(500, 999));
    assert_eq!(ask("bytes=500-700,601-999", 10_000), part(500, 999));
}

fn parts(ranges: &[(u64, u64)]) -> Selection {
    Selection::Parts(ranges.iter().map(|(a, b)| ByteRange::new(*a, *b).unwrap()).collect())
}

#[test]
fn what_is_no_byte_range_is_ignored() {
    for field in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-0",
        "bytes=0-1,5-4",
        "bytes=0-1;2-3",
        "bytes=+1-2",
        "bytes=0-1-2",
        "bytes=--1",
        "bytes 0-1",
        "seconds=0-1",
        "none",
        "bytes =0-1",
        "bytes=0 -1",
        "bytes=0-1\u{a0}",
        "bytes=0x0-1",
        "bytes=1.0-2",
        " bytes=0-1",
    ] {
        assert_eq!(ask(field, 100), Selection::Whole, "{field:?}");
    }
}

#[test]
fn units_are_case_insensitive_and_empty_elements_are_skipped() {
    assert_eq!(ask("BYTES=0-1", 100), part(0, 1));
    assert_eq!(ask("bytes=,, 0-1 ,\t,", 100), part(0, 1));
}

#[test]
fn numbers_longer_than_any_integer() {
    let huge = "9".repeat(400);
    assert_eq!(ask(&format!("bytes=5-{huge}"), 100), part(5, 99));
    assert_eq!(ask(&format!("bytes=-{huge}"), 100), part(0, 99));
    assert_eq!(ask(&format!("bytes={huge}-"), 100), Selection::Unsatisfiable);
    assert_eq!(ask(&format!("bytes={huge}-{huge}"), 100), Selection::Unsatisfiable);
    assert_eq!(ask(&format!("bytes={huge}-{}8", "9".repeat(399)), 100), Selection::Whole);
    assert_eq!(ask("bytes=18446744073709551616-18446744073709551615", 100), Selection::Whole);
    assert_eq!(ask("bytes=0-18446744073709551615", u64::MAX), part(0, u64::MAX - 1));
    assert_eq!(ask("bytes=000000000000000000000000000000001-2", 100), part(1, 2));
}

#[test]
fn unsatisfiable_and_empty() {
    for field in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=-0,100-"] {
        assert_eq!(ask(field, 100), Selection::Unsatisfiable, "{field}");
    }
    assert_eq!(ask("bytes=-0,100-,99-", 100), part(99, 99));
    for field in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
        assert_eq!(ask(field, 0), Selection::Whole, "{field}");
    }
}

#[test]
fn many_ranges_are_refused_unless_they_are_one() {
    let spread = |n: u64| {
        let list: Vec<String> = (0..n).map(|i| format!("{}-{}", i * 1000, i * 1000)).collect();
        format!("bytes={}", list.join(","))
    };
    assert!(matches!(ask(&spread(16), 1 << 20), Selection::Parts(parts) if parts.len() == 16));
    assert_eq!(ask(&spread(17), 1 << 20), Selection::Unsatisfiable);
    assert_eq!(ask(&format!("bytes={}", vec!["0-"; 300].join(",")), 1 << 20), part(0, (1 << 20) - 1));
}

#[test]
fn only_one_range_line_of_a_get() {
    let mut headers = HeaderMap::new();
    headers.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    assert_eq!(select(&Method::HEAD, &headers, &tag(), 100), Selection::Whole);
    headers.append(header::RANGE, HeaderValue::from_static("bytes=2-3"));
    assert_eq!(select(&Method::GET, &headers, &tag(), 100), Selection::Whole);
}

#[test]
fn if_range_takes_only_the_same_strong_tag() {
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=200-"));
        headers.insert(header::IF_RANGE, HeaderValue::from_str(value).unwrap());
        select(&Method::GET, &headers, &tag(), 100)
    };
    // §14.2 evaluates the condition first: what no longer holds gets the whole, satisfiable or not.
    assert_eq!(with("\"object.original\""), Selection::Unsatisfiable);
    for other in
        ["W/\"object.original\"", "\"object.playable\"", "object.original", "Mon, 23 Nov 2026 09:00:00 GMT", "*", ""]
    {
        assert_eq!(with(other), Selection::Whole, "{other}");
    }
}

/// A range as the test asks for it.
#[derive(Clone, Debug)]
enum Asked {
    Int(u64, Option<u64>),
    Suffix(u64),
}

impl Asked {
    fn text(&self) -> String {
        match self {
            Self::Int(first, Some(last)) => format!("{first}-{last}"),
            Self::Int(first, None) => format!("{first}-"),
            Self::Suffix(n) => format!("-{n}"),
        }
    }

    /// §14.1.2 read out for one position.
    fn has(&self, at: u64, length: u64) -> bool {
        match self {
            Self::Int(first, last) => *first <= at && last.is_none_or(|last| at <= last),
            Self::Suffix(n) => at + n >= length,
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        (0..3000_u64, proptest::option::of(0..600_u64))
            .prop_map(|(first, more)| Asked::Int(first, more.map(|m| first + m))),
        (0..3000_u64).prop_map(Asked::Suffix),
    ]
}

proptest! {
    #[test]
    fn selects_what_the_definition_says(length in 1..2500_u64, specs in proptest::collection::vec(asked(), 1..6)) {
        let field = format!("bytes={}", specs.iter().map(Asked::text).collect::<Vec<_>>().join(","));
        let wanted: BTreeSet<u64> = (0..length).filter(|at| specs.iter().any(|s| s.has(*at, length))).collect();
        let got: Vec<ByteRange> = match ask(&field, length) {
            Selection::Part(one) => vec![one],
            Selection::Parts(many) => { prop_assert!(many.len() >= 2); many }
            Selection::Unsatisfiable => Vec::new(),
            Selection::Whole => return Err(TestCaseError::fail("a valid set was ignored")),
        };
        let mut sent = BTreeSet::new();
        for range in &got {
            prop_assert!(range.last() < length);
            for at in range.first()..=range.last() {
                prop_assert!(sent.insert(at), "byte {at} is sent twice");
            }
        }
        prop_assert!(wanted.is_subset(&sent));
        // What was not asked for lies in a small gap between two bytes that were.
        for at in sent.difference(&wanted) {
            let before = wanted.range(..at).next_back();
            let after = wanted.range(at..).next();
            prop_assert!(matches!((before, after), (Some(b), Some(a)) if a - b <= GAP));
        }
        if let [spec] = specs.as_slice() {
            let exact: Option<(u64, u64)> = wanted.first().copied().zip(wanted.last().copied());
            prop_assert_eq!(got.first().map(|r| (r.first(), r.last())), exact, "{:?}", spec);
        }
    }

    #[test]
    fn never_panics_and_never_leaves_the_representation(field in proptest::collection::vec(prop_oneof![
        Just(b"bytes=".to_vec()), Just(b"-".to_vec()), Just(b",".to_vec()), Just(b" ".to_vec()), Just(b"=".to_vec()),
        "[0-9]{1,30}".prop_map(String::into_bytes), proptest::collection::vec(0x21..=0xff_u8, 0..4),
    ], 0..12), length in prop_oneof![0..50_u64, Just(u64::MAX)]) {
        let Ok(value) = HeaderValue::from_bytes(&field.concat()) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, value.clone());
        headers.insert(header::IF_RANGE, value.clone());
        let _ = select(&Method::GET, &headers, &tag(), length);
        headers.remove(header::IF_RANGE);
        match select(&Method::GET, &headers, &tag(), length) {
            Selection::Part(one) => prop_assert!(one.first() <= one.last() && one.last() < length),
            Selection::Parts(many) => prop_assert!((2..=MAX_PARTS).contains(&many.len()) && many.iter().all(|r| r.last() < length)),
            Selection::Whole | Selection::Unsatisfiable => {}
        }
    }
}
