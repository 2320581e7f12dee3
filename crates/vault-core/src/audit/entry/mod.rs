//! Entries: canonical JSON (RFC 8785) of at most 65,535 bytes (`docs/audit-log.md` §1, §2).
//!
//! The parser takes the canonical form and nothing else, so an entry has one spelling: a verifier
//! in any language that parses and writes RFC 8785 comes to the same bytes.

mod draft;
mod kind;
mod parse;
#[cfg(test)]
mod tests;
mod value;

pub use draft::{Draft, DraftError, Prepared};
pub use kind::*;
pub use value::{Decision, MAX_NUMBER, Value};

use std::borrow::Cow;

use crate::audit::slot::{Commitment, SlotName};
use crate::ids::CollectionId;
use crate::time::Timestamp;

/// The longest entry: what a uint16 length prefix in an entry bundle can say.
pub const MAX_ENTRY: usize = 65_535;

/// The version of the entry schema, `v`.
pub const VERSION: i64 = 1;

/// An entry that cannot be: what is wrong and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct InvalidEntry {
    /// What is wrong.
    pub problem: Problem,
    /// The offset at which it was noticed.
    pub at: usize,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Problem {
    /// Longer than [`MAX_ENTRY`].
    #[error("the entry is too long")]
    TooLong,
    /// Not JSON in the form of RFC 8785.
    #[error("not canonical JSON")]
    NotCanonical,
    /// A member the schema does not know, or one out of order or twice.
    #[error("unknown, repeated or misplaced member")]
    UnknownMember,
    /// A member every entry has is missing.
    #[error("a required member is missing")]
    MissingMember,
    /// A member's value is not of its kind.
    #[error("invalid value")]
    InvalidValue,
    /// A type of entry this version does not know.
    #[error("unknown entry type")]
    UnknownType,
    /// A version of the schema this version does not know.
    #[error("unknown schema version")]
    UnknownVersion,
}

/// A parsed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    kind: Kind,
    at: Timestamp,
    collection: Option<CollectionId>,
    decision: Option<Decision>,
    kek_version: Option<u32>,
    policy: Option<[u8; 32]>,
    data: Vec<(Cow<'a, str>, Value<'a>)>,
    slots: Vec<(SlotName, Commitment)>,
}

impl<'a> Entry<'a> {
    /// Parses the canonical form; anything else is an error that says where.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidEntry> {
        parse::parse(bytes)
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When it was drafted, by the clock of the node that did.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The collection it is about, if it is about one.
    #[must_use]
    pub const fn collection(&self) -> Option<CollectionId> {
        self.collection
    }

    /// The decision it records, if it records one.
    #[must_use]
    pub const fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// The version of the collection's KEK it concerns.
    #[must_use]
    pub const fn kek_version(&self) -> Option<u32> {
        self.kek_version
    }

    /// SHA-256 of the policy that decided.
    #[must_use]
    pub const fn policy(&self) -> Option<&[u8; 32]> {
        self.policy.as_ref()
    }

    /// The value under `name` in `data`.
    #[must_use]
    pub fn data(&self, name: &str) -> Option<&Value<'a>> {
        self.data.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All of `data`, sorted by name.
    pub fn all_data(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.data.iter().map(|(n, v)| (n.as_ref(), v))
    }

    /// The commitment in `slot`.
    #[must_use]
    pub fn commitment(&self, slot: SlotName) -> Option<&Commitment> {
        self.slots.iter().find(|(n, _)| *n == slot).map(|(_, c)| c)
    }

    /// The same entry, free of the bytes it was parsed from.
    #[must_use]
    pub fn into_owned(self) -> Entry<'static> {
        let Self { kind, at, collection, decision, kek_version, policy, data, slots } = self;
        let data = data.into_iter().map(|(n, v)| (Cow::Owned(n.into_owned()), v.into_owned())).collect();
        Entry { kind, at, collection, decision, kek_version, policy, data, slots }
    }

    /// Every slot and its commitment, sorted by name.
    #[must_use]
    pub fn slots(&self) -> &[(SlotName, Commitment)] {
        &self.slots
    }
}
