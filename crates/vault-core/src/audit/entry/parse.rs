//! The strict parser: one pass over the bytes, accepting the canonical form only.
//!
//! It is written by hand because a verifier runs it over every entry of a log: a generic parser
//! followed by canonicalisation and comparison costs several times as much. The tests hold it
//! against exactly that.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::value::MAX_NUMBER;
use super::{Decision, Entry, InvalidEntry, Kind, MAX_ENTRY, Problem, VERSION, Value};
use crate::audit::slot::{Commitment, SlotName};
use crate::ids::CollectionId;
use crate::time::Timestamp;

/// The members of an entry in their canonical order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    At,
    Collection,
    Data,
    Decision,
    KekVersion,
    Policy,
    Slots,
    Type,
    V,
}

impl Member {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "at" => Self::At,
            "collection" => Self::Collection,
            "data" => Self::Data,
            "decision" => Self::Decision,
            "kek_version" => Self::KekVersion,
            "policy" => Self::Policy,
            "slots" => Self::Slots,
            "type" => Self::Type,
            "v" => Self::V,
            _ => return None,
        })
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Entry<'_>, InvalidEntry> {
    if bytes.len() > MAX_ENTRY {
        return Err(InvalidEntry { problem: Problem::TooLong, at: MAX_ENTRY });
    }
    let Ok(text) = core::str::from_utf8(bytes) else {
        return Err(InvalidEntry { problem: Problem::NotCanonical, at: 0 });
    };
    let mut cursor = Cursor { text, at: 0 };
    let (mut at, mut kind, mut version) = (None, None, false);
    let (mut collection, mut decision, mut kek_version, mut policy) = (None, None, None, None);
    let (mut data, mut slots) = (Vec::new(), Vec::new());
    let mut last = None;
    let outcome = cursor.object(|cursor, name| {
        let member = Member::parse(name).filter(|m| last.is_none_or(|l| l < *m));
        let Some(member) = member else { return Err(Problem::UnknownMember) };
        last = Some(member);
        match member {
            Member::At => at = Some(timestamp(&cursor.string()?)?),
            Member::Collection => {
                collection = Some(cursor.string()?.parse::<CollectionId>().map_err(|_| Problem::InvalidValue)?);
            }
            Member::Data => {
                cursor.object(|cursor, name| {
                    let sorted = data.last().is_none_or(|(l, _): &(Cow<'_, str>, Value<'_>)| **l < *name);
                    if !sorted || !is_data_name(name) {
                        return Err(Problem::UnknownMember);
                    }
                    data.push((Cow::Borrowed(name), cursor.value()?));
                    Ok(())
                })?;
                non_empty(&data)?;
            }
            Member::Decision => decision = Some(Decision::parse(&cursor.string()?).ok_or(Problem::InvalidValue)?),
            Member::KekVersion => {
                kek_version = Some(u32::try_from(cursor.number()?).map_err(|_| Problem::InvalidValue)?);
            }
            Member::Policy => policy = Some(hash(&cursor.string()?)?),
            Member::Slots => {
                cursor.object(|cursor, name| {
                    let slot = SlotName::parse(name).ok_or(Problem::UnknownMember)?;
                    if slots.last().is_some_and(|(l, _)| *l >= slot) {
                        return Err(Problem::UnknownMember);
                    }
                    slots.push((slot, Commitment::from_bytes(hash(&cursor.string()?)?)));
                    Ok(())
                })?;
                non_empty(&slots)?;
            }
            Member::Type => kind = Some(Kind::parse(&cursor.string()?).ok_or(Problem::UnknownType)?),
            Member::V => {
                if cursor.number()? != VERSION {
                    return Err(Problem::UnknownVersion);
                }
                version = true;
            }
        }
        Ok(())
    });
    let whole = if cursor.at == text.len() { outcome } else { outcome.and(Err(Problem::NotCanonical)) };
    whole.map_err(|problem| InvalidEntry { problem, at: cursor.at })?;
    match (at, kind, version) {
        (Some(at), Some(kind), true) => Ok(Entry { kind, at, collection, decision, kek_version, policy, data, slots }),
        _ => Err(InvalidEntry { problem: Problem::MissingMember, at: text.len() }),
    }
}

/// An empty object would be a second spelling of an absent one.
fn non_empty<T>(members: &[T]) -> Result<(), Problem> {
    if members.is_empty() { Err(Problem::InvalidValue) } else { Ok(()) }
}

/// A name under `data`: `[a-z][a-z0-9_]{0,63}`. ASCII, so that byte order is RFC 8785's order.
pub(super) fn is_data_name(name: &str) -> bool {
    let rest = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'_';
    matches!(name.as_bytes(), [first, tail @ ..] if first.is_ascii_lowercase() && tail.len() <= 63 && tail.iter().all(rest))
}

/// A SHA-256 in unpadded base64url; the last character's spare bits must be zero.
fn hash(text: &str) -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 33];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(32) => bytes.first_chunk().copied().ok_or(Problem::InvalidValue),
        _ => Err(Problem::InvalidValue),
    }
}

/// Exactly `YYYY-MM-DDTHH:MM:SS.mmmZ`, years 1970 to 9999, no leap second.
fn timestamp(text: &str) -> Result<Timestamp, Problem> {
    let field = |range: core::ops::Range<usize>| -> Result<i64, Problem> {
        let digits = text.as_bytes().get(range).ok_or(Problem::InvalidValue)?;
        digits.iter().try_fold(0, |n, c| {
            if c.is_ascii_digit() { Ok(n * 10 + i64::from(c - b'0')) } else { Err(Problem::InvalidValue) }
        })
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if text.len() != 24 || marks.iter().any(|(at, mark)| text.as_bytes().get(*at) != Some(mark)) {
        return Err(Problem::InvalidValue);
    }
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second, milli) = (field(11..13)?, field(14..16)?, field(17..19)?, field(20..23)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(Problem::InvalidValue),
    };
    if year < 1970 || !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(Problem::InvalidValue);
    }
    // Days since 1970-01-01 with the year begun in March, so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    Ok(Timestamp::from_millis(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + milli))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Result<(), Problem> {
        if self.peek() == Some(expected) {
            self.at += 1;
            Ok(())
        } else {
            Err(Problem::NotCanonical)
        }
    }

    /// An object; `member` is called behind each name and reads its value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Result<(), Problem>) -> Result<(), Problem> {
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let Cow::Borrowed(name) = self.string()? else { return Err(Problem::UnknownMember) };
            self.take(b':')?;
            member(self, name)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b'}'),
            }
        }
    }

    fn value(&mut self) -> Result<Value<'a>, Problem> {
        if self.peek() != Some(b'[') {
            return self.scalar();
        }
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.scalar()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b']').map(|()| Value::List(items)),
            }
        }
    }

    fn scalar(&mut self) -> Result<Value<'a>, Problem> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'[' | b'{' | b'n') => Err(Problem::InvalidValue),
            _ => Err(Problem::NotCanonical),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Problem> {
        if self.text.as_bytes().get(self.at..self.at + literal.len()) == Some(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(Problem::NotCanonical)
        }
    }

    /// A whole number as ECMAScript writes it: no plus, no leading zero, no `-0`, no fraction.
    fn number(&mut self) -> Result<i64, Problem> {
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let start = self.at;
        let mut number = 0_i64;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            number = number * 10 + i64::from(c - b'0');
            if number > MAX_NUMBER {
                return Err(Problem::InvalidValue);
            }
            self.at += 1;
        }
        let digits = self.at - start;
        let leading_zero = self.text.as_bytes().get(start) == Some(&b'0');
        if digits == 0 || (leading_zero && (digits > 1 || negative)) {
            return Err(Problem::NotCanonical);
        }
        Ok(if negative { -number } else { number })
    }

    /// A string; borrowed unless it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        self.take(b'"')?;
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let so_far = unescaped.get_or_insert_default();
                    so_far.push_str(self.text.get(copied..self.at).ok_or(Problem::NotCanonical)?);
                    self.at += 1;
                    so_far.push(self.escape()?);
                    copied = self.at;
                }
                Some(0..0x20) | None => return Err(Problem::NotCanonical),
                Some(_) => self.at += 1,
            }
        }
        let rest = self.text.get(copied..self.at).ok_or(Problem::NotCanonical)?;
        self.at += 1;
        Ok(match unescaped {
            None => Cow::Borrowed(rest),
            Some(so_far) => Cow::Owned(so_far + rest),
        })
    }

    /// What follows a backslash. RFC 8785 §3.2.2.2 escapes only what must be, in the shortest way
    /// and with lower-case digits, so each character has one spelling.
    fn escape(&mut self) -> Result<char, Problem> {
        let c = self.peek().ok_or(Problem::NotCanonical)?;
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' => char::from(c),
            b'b' => '\u{8}',
            b't' => '\t',
            b'n' => '\n',
            b'f' => '\u{c}',
            b'r' => '\r',
            b'u' => {
                let hex = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Problem::NotCanonical)?;
                self.at += 4;
                let code = match hex {
                    [b'0', b'0', high @ (b'0' | b'1'), low @ (b'0'..=b'9' | b'a'..=b'f')] => {
                        let low = if low.is_ascii_digit() { low - b'0' } else { low - b'a' + 10 };
                        (high - b'0') * 16 + low
                    }
                    _ => return Err(Problem::NotCanonical),
                };
                if matches!(code, 8 | 9 | 10 | 12 | 13) {
                    return Err(Problem::NotCanonical);
                }
                char::from(code)
            }
            _ => return Err(Problem::NotCanonical),
        })
    }
}
