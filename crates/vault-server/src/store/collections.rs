//! Collections: name, state, policy.
//!
//! The policy is canonical JSON; a row whose policy and hash disagree is damaged. That the policy is the one that
//! was set up is for `app::collections` to hold against the log.

use core::str::FromStr;

use vault_core::ids::{CollectionId, CollectionName};
use vault_core::privacy::policy::CollectionPolicy;
use vault_core::time::Timestamp;

use super::row::Columns;
use super::{Conn, StoreError};

/// Where a collection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionState {
    /// Being set up.
    Draft,
    /// Takes recordings.
    Open,
    /// Takes none for now.
    Suspended,
    /// Takes none any more.
    Closed,
}

impl CollectionState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Draft, Self::Open, Self::Suspended, Self::Closed];

    /// The name in the database and the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }

    /// Whether a collection may go from here to `next`. Nothing leaves `closed`, nothing returns to `draft`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Draft | Self::Suspended, Self::Open)
                | (Self::Open, Self::Suspended)
                | (Self::Draft | Self::Open | Self::Suspended, Self::Closed)
        )
    }
}

/// Text that names no state.
#[derive(Debug)]
pub struct UnknownState;

impl FromStr for CollectionState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(UnknownState)
    }
}

/// A collection as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRow {
    /// Identifier.
    pub id: CollectionId,
    /// Name in addresses; never used twice.
    pub name: CollectionName,
    /// Where it stands.
    pub state: CollectionState,
    /// What it gathers, why, for how long, and how it is reached.
    pub policy: CollectionPolicy,
    /// SHA-256 of the policy's canonical JSON.
    pub policy_hash: [u8; 32],
    /// When it was set up.
    pub created_at: Timestamp,
}

const TABLE: &str = "collections";

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, state, policy, policy_hash, created_at FROM collections ", $rest)
    };
}

impl CollectionRow {
    /// Enters the collection; a name in use is a [`StoreError::Conflict`].
    pub async fn insert(&self, conn: &mut Conn) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO collections (id, name, state, policy, policy_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.id.to_string())
        .bind(self.name.as_str())
        .bind(self.state.name())
        .bind(self.policy.to_json())
        .bind(self.policy_hash.to_vec())
        .bind(self.created_at.as_millis())
        .execute(conn)
        .await?;
        Ok(())
    }

    /// The collection, if there is one.
    pub async fn get(conn: &mut Conn, id: CollectionId) -> Result<Option<Self>, StoreError> {
        let row = sqlx::query(select!("WHERE id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of(TABLE, &row))).transpose()
    }

    /// The collection of that name, if there is one.
    pub async fn by_name(conn: &mut Conn, name: &CollectionName) -> Result<Option<Self>, StoreError> {
        let row = sqlx::query(select!("WHERE name = $1")).bind(name.as_str()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of(TABLE, &row))).transpose()
    }

    /// Whose row has this name, whatever else it says.
    pub async fn id_of(conn: &mut Conn, name: &CollectionName) -> Result<Option<CollectionId>, StoreError> {
        let row =
            sqlx::query("SELECT id FROM collections WHERE name = $1").bind(name.as_str()).fetch_optional(conn).await?;
        row.map(|row| Columns::of(TABLE, &row).parsed("id")).transpose()
    }

    /// Every identifier, the one whose row has this name first: for what must be done whatever the rest of a row has
    /// become.
    pub async fn ids(conn: &mut Conn, name: &CollectionName) -> Result<Vec<CollectionId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM collections ORDER BY CASE WHEN name = $1 THEN 0 ELSE 1 END, id")
            .bind(name.as_str())
            .fetch_all(conn)
            .await?;
        // What is no identifier is no collection's.
        Ok(rows.iter().filter_map(|row| Columns::of(TABLE, row).parsed("id").ok()).collect())
    }

    /// Calls it suspended, whatever it was; what is closed stays closed.
    pub async fn suspend(conn: &mut Conn, id: CollectionId) -> Result<(), StoreError> {
        sqlx::query("UPDATE collections SET state = 'suspended' WHERE id = $1 AND state <> 'closed'")
            .bind(id.to_string())
            .execute(conn)
            .await?;
        Ok(())
    }

    /// At most `limit` collections behind `after`, in the order in which they were set up.
    pub async fn page(conn: &mut Conn, after: &str, limit: u32) -> Result<Vec<Self>, StoreError> {
        let rows = sqlx::query(select!("WHERE id > $1 ORDER BY id LIMIT $2"))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Self::read(&Columns::of(TABLE, row))).collect()
    }

    /// Moves it from one state to another; `false` when it is not in `from`.
    pub async fn change_state(
        conn: &mut Conn,
        id: CollectionId,
        from: CollectionState,
        to: CollectionState,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE collections SET state = $1 WHERE id = $2 AND state = $3")
            .bind(to.name())
            .bind(id.to_string())
            .bind(from.name())
            .execute(conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    fn read(columns: &Columns<'_>) -> Result<Self, StoreError> {
        let policy =
            CollectionPolicy::parse(columns.text("policy")?.as_bytes()).map_err(|_| columns.damaged("policy"))?;
        let policy_hash = columns.array("policy_hash")?;
        if policy.hash() != policy_hash {
            return Err(columns.damaged("policy_hash"));
        }
        Ok(Self {
            id: columns.parsed("id")?,
            name: columns.parsed("name")?,
            state: columns.parsed("state")?,
            policy,
            policy_hash,
            created_at: columns.time("created_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::CollectionState as S;

    #[test]
    fn closed_is_the_end_and_draft_the_beginning() {
        for state in S::ALL {
            assert!(!S::Closed.may_become(state) && !state.may_become(S::Draft) && !state.may_become(state));
        }
        assert!(S::Draft.may_become(S::Open) && S::Open.may_become(S::Suspended) && S::Suspended.may_become(S::Open));
        assert!(!S::Draft.may_become(S::Suspended));
    }
}
