//! Restrictions: acts that take something away, or give it back (promise 6).
//!
//! Each has a number, dense from 1; what is in force is the sum of the acts in the order of their numbers. They are kept in
//! the database and, readable without it, in the [`journal`].

pub mod journal;

use core::fmt;
use core::str::FromStr;

use crate::ids::{BindingId, CollectionId, GrantId, PersonId, RecordId, SessionId, TokenId};
use crate::keys::tag::KeyTag;
use crate::time::Timestamp;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A grant was revoked.
    GrantRevoked,
    /// A role was taken from a person.
    RoleRevoked,
    /// A token was revoked.
    TokenRevoked,
    /// A person may do nothing any more.
    PersonDisabled,
    /// A record was erased.
    RecordErased,
    /// A record may not be used.
    RecordRestricted,
    /// A collection was suspended.
    CollectionSuspended,
    /// A playback session was ended.
    SessionClosed,
    /// A version of a collection's key was destroyed.
    KeyDestroyed,
    /// A root epoch was destroyed.
    RootDestroyed,
    /// A version of a collection's key is compromised.
    KeyCompromised,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::GrantRevoked,
        Self::RoleRevoked,
        Self::TokenRevoked,
        Self::PersonDisabled,
        Self::RecordErased,
        Self::RecordRestricted,
        Self::CollectionSuspended,
        Self::SessionClosed,
        Self::KeyDestroyed,
        Self::RootDestroyed,
        Self::KeyCompromised,
    ];

    /// The name in database and journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantRevoked => "grant-revoked",
            Self::RoleRevoked => "role-revoked",
            Self::TokenRevoked => "token-revoked",
            Self::PersonDisabled => "person-disabled",
            Self::RecordErased => "record-erased",
            Self::RecordRestricted => "record-restricted",
            Self::CollectionSuspended => "collection-suspended",
            Self::SessionClosed => "session-closed",
            Self::KeyDestroyed => "key-destroyed",
            Self::RootDestroyed => "root-destroyed",
            Self::KeyCompromised => "key-compromised",
        }
    }

    /// Whether it is about a key: who holds some in memory lets go of it.
    #[must_use]
    pub const fn is_of_keys(self) -> bool {
        matches!(self, Self::KeyDestroyed | Self::RootDestroyed | Self::KeyCompromised)
    }

    /// Whether what was taken away is never given back. All but a collection's suspension.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::CollectionSuspended)
    }
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownName)
    }
}

/// Whether something is taken away or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Taken away.
    Impose,
    /// Given back: a collection opened again.
    Lift,
}

impl Act {
    /// The name in database and journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Impose => "impose",
            Self::Lift => "lift",
        }
    }
}

impl FromStr for Act {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        [Self::Impose, Self::Lift].into_iter().find(|act| act.name() == text).ok_or(UnknownName)
    }
}

/// Text that names no act, no kind, or no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such restriction")]
pub struct UnknownName;

/// What a restriction is about: an identifier of the sort that its kind says.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target([u8; 16]);

impl Target {
    /// The identifier's bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<KeyTag> for Target {
    fn from(tag: KeyTag) -> Self {
        Self(*tag.as_bytes())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every identifier is written alike.
        RecordId::from_bytes(self.0).fmt(f)
    }
}

impl FromStr for Target {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        text.parse::<RecordId>().map(|id| Self(*id.as_bytes())).map_err(|_| UnknownName)
    }
}

macro_rules! targets {
    ($($id:ident)*) => {$(
        impl From<$id> for Target {
            fn from(id: $id) -> Self {
                Self(*id.as_bytes())
            }
        }
    )*};
}

targets! { GrantId BindingId TokenId PersonId RecordId CollectionId SessionId }

/// What is to be taken away or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Which of the two.
    pub act: Act,
    /// What.
    pub kind: Kind,
    /// Of which thing.
    pub target: Target,
    /// When nothing can come of the target any more anyway: the end of a grant, session or token.
    pub until: Option<Timestamp>,
}

impl Restriction {
    const fn imposed(kind: Kind, target: Target, until: Option<Timestamp>) -> Self {
        Self { act: Act::Impose, kind, target, until }
    }

    /// What the log tells of; whoever reads it there does not know the target's own end.
    #[must_use]
    pub const fn known(kind: Kind, target: Target) -> Self {
        Self::imposed(kind, target, None)
    }

    /// A grant is revoked. For good: when it would have ended is told by a row that can be edited.
    #[must_use]
    pub fn grant_revoked(grant: GrantId) -> Self {
        Self::imposed(Kind::GrantRevoked, grant.into(), None)
    }

    /// A role is taken from a person.
    #[must_use]
    pub fn role_revoked(binding: BindingId) -> Self {
        Self::imposed(Kind::RoleRevoked, binding.into(), None)
    }

    /// A token, which would have ended at `until`, is revoked.
    #[must_use]
    pub fn token_revoked(token: TokenId, until: Timestamp) -> Self {
        Self::imposed(Kind::TokenRevoked, token.into(), Some(until))
    }

    /// A person may do nothing any more.
    #[must_use]
    pub fn person_disabled(person: PersonId) -> Self {
        Self::imposed(Kind::PersonDisabled, person.into(), None)
    }

    /// A record is erased.
    #[must_use]
    pub fn record_erased(record: RecordId) -> Self {
        Self::imposed(Kind::RecordErased, record.into(), None)
    }

    /// A record may not be used.
    #[must_use]
    pub fn record_restricted(record: RecordId) -> Self {
        Self::imposed(Kind::RecordRestricted, record.into(), None)
    }

    /// A collection is suspended.
    #[must_use]
    pub fn collection_suspended(collection: CollectionId) -> Self {
        Self::imposed(Kind::CollectionSuspended, collection.into(), None)
    }

    /// A session, which would have ended at `until`, is closed.
    #[must_use]
    pub fn session_closed(session: SessionId, until: Timestamp) -> Self {
        Self::imposed(Kind::SessionClosed, session.into(), Some(until))
    }

    /// A version of a collection's key is destroyed.
    #[must_use]
    pub fn key_destroyed(tag: KeyTag) -> Self {
        Self::imposed(Kind::KeyDestroyed, tag.into(), None)
    }

    /// A version of a collection's key is compromised.
    #[must_use]
    pub fn key_compromised(tag: KeyTag) -> Self {
        Self::imposed(Kind::KeyCompromised, tag.into(), None)
    }

    /// A root epoch is destroyed.
    #[must_use]
    pub fn root_destroyed(tag: KeyTag) -> Self {
        Self::imposed(Kind::RootDestroyed, tag.into(), None)
    }

    /// The same given back.
    #[must_use]
    pub const fn lifted(self) -> Self {
        Self { act: Act::Lift, until: None, ..self }
    }
}

/// A restriction with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The value of the counter.
    pub counter: i64,
    /// What was done.
    pub restriction: Restriction,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for act in [Act::Impose, Act::Lift] {
            assert_eq!(act.name().parse(), Ok(act));
        }
        assert_eq!("other".parse::<Kind>(), Err(UnknownName));
        let target = Target::from(RecordId::new(Timestamp::from_millis(1_790_000_000_000)));
        assert_eq!(target.to_string().parse(), Ok(target));
    }
}
