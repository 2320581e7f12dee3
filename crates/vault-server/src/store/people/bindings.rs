//! Role bindings: proposals, and hints to the log entries that made them roles.

use core::str::FromStr;

use vault_core::access::role::Role;
use vault_core::ids::{BindingId, CollectionId, PersonId};
use vault_core::time::Timestamp;

use super::{Conn, Result};
use crate::store::row::Columns;

/// Where a binding stands in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingState {
    /// Waits for a second administrator.
    Proposed,
    /// Given; the log has the entry, or will have it with the next sequenced batch.
    Active,
    /// Taken away.
    Revoked,
}

impl BindingState {
    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

/// Text that names no state.
#[derive(Debug)]
pub struct UnknownState;

impl FromStr for BindingState {
    type Err = UnknownState;
    fn from_str(text: &str) -> core::result::Result<Self, UnknownState> {
        [Self::Proposed, Self::Active, Self::Revoked].into_iter().find(|s| s.name() == text).ok_or(UnknownState)
    }
}

/// A role held by a person, as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRow {
    /// Identifier; the log's reference is `role:<id>`.
    pub id: BindingId,
    /// Who holds it, or is to.
    pub person: PersonId,
    /// The role.
    pub role: Role,
    /// In which collection; `None`: in the whole vault.
    pub collection: Option<CollectionId>,
    /// Where it stands.
    pub state: BindingState,
    /// Who proposed it; `None` for those entered when the vault was made.
    pub proposed_by: Option<PersonId>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// Who confirmed it.
    pub confirmed_by: Option<PersonId>,
    /// When it came into force.
    pub active_at: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When it was taken away.
    pub revoked_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, person_id, role, collection_id, state, proposed_by, proposed_at, confirmed_by, active_at, \
             until, revoked_at FROM role_bindings ",
            $rest
        )
    };
}

impl BindingRow {
    /// Enters the binding.
    pub async fn insert(&self, conn: &mut Conn) -> Result<()> {
        sqlx::query(
            "INSERT INTO role_bindings (id, person_id, role, collection_id, state, proposed_by, proposed_at, \
             confirmed_by, active_at, until, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(self.id.to_string())
        .bind(self.person.to_string())
        .bind(self.role.name())
        .bind(self.collection.map(|c| c.to_string()))
        .bind(self.state.name())
        .bind(self.proposed_by.map(|p| p.to_string()))
        .bind(self.proposed_at.as_millis())
        .bind(self.confirmed_by.map(|p| p.to_string()))
        .bind(self.active_at.map(Timestamp::as_millis))
        .bind(self.until.map(Timestamp::as_millis))
        .bind(self.revoked_at.map(Timestamp::as_millis))
        .execute(conn)
        .await?;
        Ok(())
    }

    /// The binding, if there is one.
    pub async fn get(conn: &mut Conn, id: BindingId) -> Result<Option<Self>> {
        let row = sqlx::query(select!("WHERE id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of("role_bindings", &row))).transpose()
    }

    /// A person's bindings that are in force as far as the database knows; at most `limit`.
    pub async fn active_of(conn: &mut Conn, person: PersonId, limit: u32) -> Result<Vec<Self>> {
        let rows = sqlx::query(select!("WHERE person_id = $1 AND state = 'active' ORDER BY id LIMIT $2"))
            .bind(person.to_string())
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Self::read(&Columns::of("role_bindings", row))).collect()
    }

    /// All of a person's bindings that are not revoked, proposals too.
    pub async fn unrevoked_of(conn: &mut Conn, person: PersonId) -> Result<Vec<Self>> {
        let rows = sqlx::query(select!("WHERE person_id = $1 AND state <> 'revoked' ORDER BY id"))
            .bind(person.to_string())
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Self::read(&Columns::of("role_bindings", row))).collect()
    }

    /// Every active binding that gives `role` for the whole vault, or for `collection` where one is given, of persons
    /// who are not disabled.
    pub async fn reaching(conn: &mut Conn, role: Role, collection: Option<CollectionId>) -> Result<Vec<Self>> {
        let rows = sqlx::query(select!(
            "WHERE role = $1 AND (collection_id IS NULL OR collection_id = $2) AND state = 'active' \
             AND person_id IN (SELECT id FROM persons WHERE disabled_at IS NULL) ORDER BY id"
        ))
        .bind(role.name())
        .bind(collection.map(|c| c.to_string()).unwrap_or_default())
        .fetch_all(conn)
        .await?;
        rows.iter().map(|row| Self::read(&Columns::of("role_bindings", row))).collect()
    }

    /// Makes a proposal a role; `false` when it is no longer a proposal.
    pub async fn confirm(conn: &mut Conn, id: BindingId, by: PersonId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE role_bindings SET state = 'active', confirmed_by = $1, active_at = $2 \
             WHERE id = $3 AND state = 'proposed'",
        )
        .bind(by.to_string())
        .bind(now.as_millis())
        .bind(id.to_string())
        .execute(conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes it away; `false` when it is revoked already.
    pub async fn revoke(conn: &mut Conn, id: BindingId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE role_bindings SET state = 'revoked', revoked_at = $1 WHERE id = $2 AND state <> 'revoked'",
        )
        .bind(now.as_millis())
        .bind(id.to_string())
        .execute(conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            person: columns.parsed("person_id")?,
            role: columns.parsed("role")?,
            collection: columns.maybe_parsed("collection_id")?,
            state: columns.parsed("state")?,
            proposed_by: columns.maybe_parsed("proposed_by")?,
            proposed_at: columns.time("proposed_at")?,
            confirmed_by: columns.maybe_parsed("confirmed_by")?,
            active_at: columns.maybe_time("active_at")?,
            until: columns.maybe_time("until")?,
            revoked_at: columns.maybe_time("revoked_at")?,
        })
    }
}
