//! `Range` and `If-Range` for a representation of known length: RFC 9110 §13.1.5, §14.1, §14.2.
//!
//! What a recipient must do with each kind of field is decided here once, without I/O:
//!
//! - not GET, no `Range`, several `Range` lines, another unit, a malformed set, or a failed `If-Range`:
//!   the field is ignored and the answer is the whole representation (§14.2);
//! - at least one satisfiable range: those ranges, overlapping and neighbouring ones made one, so that no request
//!   can make the vault decrypt or send a byte twice;
//! - none satisfiable, or more ranges than [`MAX_PARTS`] after that: 416 (§15.5.17 names both reasons).
//!
//! Numbers may be longer than any integer type (§14.1.2): they are compared as decimals before they are cut to `u64`.

use core::cmp::Ordering;

use http::{HeaderMap, HeaderValue, Method, header};

use crate::precondition::Tag;

/// Most parts in one answer. Players ask for one; a download tool for a few.
pub const MAX_PARTS: usize = 16;

/// Longest field that is read at all; sixteen ranges of the longest sensible numbers fit in a quarter of it.
const MAX_FIELD: usize = 4096;

/// Two ranges with a gap up to this are sent as one: a part's boundary and headers cost about as much (§14.2).
const GAP: u64 = 128;

/// Bytes `first` to `last`, both included; `first <= last` always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// The bytes from `first` to `last`, both included; `None` when there are none.
    #[must_use]
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// All of a representation; `None` when it is empty.
    #[must_use]
    pub const fn whole(length: u64) -> Option<Self> {
        match length.checked_sub(1) {
            Some(last) => Some(Self { first: 0, last }),
            None => None,
        }
    }

    /// The first byte's position.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The last byte's position.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many bytes: at most a representation's length, so it fits.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub const fn len(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// The value of `Content-Range` for this part of a representation of `length` bytes.
    #[must_use]
    pub fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.first, self.last)
    }
}

/// What of the representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// One part: 206 with `Content-Range`.
    Part(ByteRange),
    /// Two to [`MAX_PARTS`] disjoint parts in the order asked for: 206, `multipart/byteranges`.
    Parts(Vec<ByteRange>),
    /// Nothing: 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

/// What a request selects of a representation of `length` bytes that `tag` names.
#[must_use]
pub fn select(method: &Method, headers: &HeaderMap, tag: &Tag, length: u64) -> Selection {
    // §14.2: GET is the only method for which range handling is defined.
    if method != Method::GET {
        return Selection::Whole;
    }
    let mut fields = headers.get_all(header::RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Selection::Whole };
    if !if_range_holds(headers, tag) {
        return Selection::Whole;
    }
    select_field(field, length)
}

/// §13.1.5: an entity tag holds by strong comparison. A date never does: the vault sends no `Last-Modified`, so no
/// date can be the exact match of one. Two fields, or text that is neither, do not hold either.
fn if_range_holds(headers: &HeaderMap, tag: &Tag) -> bool {
    let mut fields = headers.get_all(header::IF_RANGE).iter();
    match (fields.next(), fields.next()) {
        (None, _) => true,
        (Some(one), None) => tag.is_strongly(one.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

fn select_field(field: &HeaderValue, length: u64) -> Selection {
    if length == 0 || field.len() > MAX_FIELD {
        // §14.2 lets a server ignore the field when the representation is empty (no 206 could describe it).
        return Selection::Whole;
    }
    let Some(specs) = parse(field.as_bytes()) else { return Selection::Whole };
    let mut parts: Vec<ByteRange> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    if parts.len() > 1 {
        parts = coalesce(&parts);
    }
    match parts.as_slice() {
        [] => Selection::Unsatisfiable,
        [one] => Selection::Part(*one),
        many if many.len() <= MAX_PARTS => Selection::Parts(parts),
        _ => Selection::Unsatisfiable,
    }
}

/// A range as it was asked for, numbers cut to `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `first-` or `first-last`.
    From { first: u64, last: Option<u64> },
    /// `-length`.
    Suffix { length: u64 },
}

impl Spec {
    /// The bytes it means, if it is satisfiable (§14.1.2). Cutting a number to `u64` changes nothing here: no
    /// representation is that long.
    fn within(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From { first, last } => ByteRange::new(first, last.unwrap_or(end).min(end)),
            Self::Suffix { length: 0 } => None,
            Self::Suffix { length: n } => ByteRange::new(length.saturating_sub(n), end),
        }
    }
}

/// The ranges of a `bytes` set, or `None` for another unit or anything that is not by the grammar of §14.1.1.
fn parse(field: &[u8]) -> Option<Vec<Spec>> {
    let at = field.iter().position(|b| *b == b'=')?;
    let (unit, set) = (field.get(..at)?, field.get(at + 1..)?);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    // `1#range-spec` (§5.6.1.2): empty elements are skipped, white space stands beside commas. §14.1.2 has an example
    // with a space before the first element, which the grammar does not give; it is read as meant.
    let mut specs = Vec::new();
    for element in set.split(|b| *b == b',').map(trim).filter(|element| !element.is_empty()) {
        specs.push(spec(element)?);
    }
    if specs.is_empty() { None } else { Some(specs) }
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn spec(text: &[u8]) -> Option<Spec> {
    let at = text.iter().position(|b| *b == b'-')?;
    let (first, last) = (text.get(..at)?, text.get(at + 1..)?);
    if first.is_empty() {
        return Some(Spec::Suffix { length: number(last)? });
    }
    let from = number(first)?;
    if last.is_empty() {
        return Some(Spec::From { first: from, last: None });
    }
    let to = number(last)?;
    // §14.1.1: a range whose last position is less than its first is invalid, and the set with it.
    if compare(last, first) == Ordering::Less {
        return None;
    }
    Some(Spec::From { first: from, last: Some(to) })
}

/// `1*DIGIT` as a number, the greatest there is when it is longer.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// Which of two decimals is the greater, however long they are.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().take_while(|d| **d == b'0').count();
    let (a, b) = (a.get(significant(a)..).unwrap_or_default(), b.get(significant(b)..).unwrap_or_default());
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Makes overlapping ranges and those a small gap apart one; each takes the place of the earliest it holds (§14.2: parts
/// come in the order asked for).
fn coalesce(asked: &[ByteRange]) -> Vec<ByteRange> {
    let mut ordered: Vec<(usize, ByteRange)> = asked.iter().copied().enumerate().collect();
    ordered.sort_by_key(|(_, range)| range.first);
    let mut merged: Vec<(usize, ByteRange)> = Vec::new();
    for (place, range) in ordered {
        match merged.last_mut() {
            Some((held_place, held)) if range.first <= held.last.saturating_add(GAP) => {
                held.last = held.last.max(range.last);
                *held_place = (*held_place).min(place);
            }
            _ => merged.push((place, range)),
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests;
