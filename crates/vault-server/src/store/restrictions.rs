//! Acts that take something away, numbered by the restriction counter (`docs/format.md` §9).
//!
//! Whoever takes a number holds the counter's row until the commit, so numbers are dense and become visible in their
//! order on any engine: a node that has seen number n has seen all before it. It is the last lock a transaction takes.

use core::fmt;
use core::str::FromStr;

use sqlx::Row as _;
use vault_core::ids::{BindingId, CollectionId, GrantId, PersonId, RecordId, SessionId, TokenId};
use vault_core::time::Timestamp;

use super::row::Columns;
use super::{Conn, Reader, StoreError, Tx};

/// Most rows read at once.
const PAGE: i64 = 1000;

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
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::GrantRevoked,
        Self::RoleRevoked,
        Self::TokenRevoked,
        Self::PersonDisabled,
        Self::RecordErased,
        Self::RecordRestricted,
        Self::CollectionSuspended,
        Self::SessionClosed,
    ];

    /// The name in the database and the journal.
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
        }
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
    /// The name in the database and the journal.
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

/// Writes `restriction` under the next number.
pub async fn add(tx: &mut Tx, restriction: Restriction, at: Timestamp) -> Result<Numbered, StoreError> {
    let raised = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'restrictions' RETURNING value")
        .fetch_optional(tx.conn())
        .await?;
    let missing = StoreError::Corrupt { table: "counters", what: "no counter of restrictions" };
    let counter: i64 = raised.ok_or(missing)?.try_get(0)?;
    let numbered = Numbered { counter, restriction, at };
    const TEXT: &str = "INSERT INTO restrictions (counter, act, kind, target, at, until, journalled)
                        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    insert(tx, TEXT, numbered, false).await?;
    Ok(numbered)
}

/// Writes what the journal holds and the database does not: it came from an older copy.
pub async fn restore(tx: &mut Tx, numbered: Numbered) -> Result<(), StoreError> {
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'restrictions' AND value < $1")
        .bind(numbered.counter)
        .execute(tx.conn())
        .await?;
    // Nodes that start together enter the same.
    const TEXT: &str = "INSERT INTO restrictions (counter, act, kind, target, at, until, journalled)
                        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (counter) DO NOTHING";
    insert(tx, TEXT, numbered, true).await
}

async fn insert(tx: &mut Tx, text: &'static str, numbered: Numbered, journalled: bool) -> Result<(), StoreError> {
    let Numbered { counter, restriction, at } = numbered;
    sqlx::query(text)
        .bind(counter)
        .bind(restriction.act.name())
        .bind(restriction.kind.name())
        .bind(restriction.target.to_string())
        .bind(at.as_millis())
        .bind(restriction.until.map(Timestamp::as_millis))
        .bind(i64::from(journalled))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The counter's present value.
pub async fn counter(reader: &mut Reader) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = 'restrictions'").fetch_one(reader.conn()).await?;
    Ok(row.try_get(0)?)
}

/// The acts after number `counter`, a page of them.
pub async fn after(reader: &mut Reader, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    page(reader.conn(), "SELECT * FROM restrictions WHERE counter > $1 ORDER BY counter LIMIT $2", counter).await
}

/// The acts after number `counter` that the journal does not hold yet, a page of them.
pub async fn unjournalled(reader: &mut Reader, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    let text = "SELECT * FROM restrictions WHERE journalled = 0 AND counter > $1 ORDER BY counter LIMIT $2";
    page(reader.conn(), text, counter).await
}

async fn page(conn: &mut Conn, text: &'static str, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    let rows = sqlx::query(text).bind(counter).bind(PAGE).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let row = Columns::of("restrictions", row);
            Ok(Numbered {
                counter: row.number("counter")?,
                restriction: Restriction {
                    act: row.parsed("act")?,
                    kind: row.parsed("kind")?,
                    target: row.parsed("target")?,
                    until: row.maybe_time("until")?,
                },
                at: row.time("at")?,
            })
        })
        .collect()
}

/// Notes that the journal holds these.
pub async fn mark_journalled(tx: &mut Tx, numbered: &[Numbered]) -> Result<(), StoreError> {
    for one in numbered {
        sqlx::query("UPDATE restrictions SET journalled = 1 WHERE counter = $1")
            .bind(one.counter)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Removes journalled rows whose target ended before `then`.
pub async fn prune(tx: &mut Tx, then: Timestamp) -> Result<u64, StoreError> {
    let pruned = sqlx::query("DELETE FROM restrictions WHERE journalled = 1 AND until < $1")
        .bind(then.as_millis())
        .execute(tx.conn())
        .await?;
    Ok(pruned.rows_affected())
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
