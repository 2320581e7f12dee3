//! The data an entry may carry in the clear: scalars and lists of scalars, nothing personal.

use core::fmt;
use std::borrow::Cow;

use serde::ser::{Serialize, Serializer};

/// The largest magnitude of a number: what every JSON reader holds exactly (RFC 8785 §3.2.2.3
/// writes numbers as IEEE 754 doubles).
pub const MAX_NUMBER: i64 = (1 << 53) - 1;

/// A value under `data`. There are no fractions: RFC 8785 spells them as ECMAScript does, which
/// few writers get right, and nothing in the log needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number within ±[`MAX_NUMBER`].
    Number(i64),
    /// True or false.
    Bool(bool),
    /// A list; its items are not lists themselves.
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Whether it is true or false, if it is either.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// Whether the entry format can hold it.
    pub(super) fn is_allowed(&self) -> bool {
        match self {
            Self::Number(number) => number.unsigned_abs() <= MAX_NUMBER.unsigned_abs(),
            Self::List(items) => items.iter().all(|i| !matches!(i, Self::List(_)) && i.is_allowed()),
            Self::Text(_) | Self::Bool(_) => true,
        }
    }

    /// The same value, free of what it borrows.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Value::Number(number),
            Self::Bool(value) => Value::Bool(value),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::List(items) => serializer.collect_seq(items),
        }
    }
}

impl From<String> for Value<'static> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<bool> for Value<'static> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'static> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'static> {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<u64> for Value<'static> {
    /// Numbers past [`MAX_NUMBER`] make the draft that carries them fail.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Value<'a>>> From<Vec<T>> for Value<'a> {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// Whether a caller was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The act was allowed.
    Allowed,
    /// The act was refused.
    Denied,
}

impl Decision {
    /// As the entry writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "allowed" => Some(Self::Allowed),
            "denied" => Some(Self::Denied),
            _ => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
