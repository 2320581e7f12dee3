//! Persons and machines.

use vault_core::access::person::Kind;
use vault_core::ids::PersonId;
use vault_core::time::Timestamp;

use super::{Conn, Result};
use crate::store::row::Columns;

/// A person or machine as the database knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Identifier.
    pub id: PersonId,
    /// Display name; unique.
    pub name: String,
    /// Person or machine.
    pub kind: Kind,
    /// When they were entered.
    pub created_at: Timestamp,
    /// When they were disabled.
    pub disabled_at: Option<Timestamp>,
}

impl PersonRow {
    /// Enters the person; a name in use is a [`crate::store::StoreError::Conflict`].
    pub async fn insert(&self, conn: &mut Conn) -> Result<()> {
        sqlx::query("INSERT INTO persons (id, name, kind, created_at, disabled_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(self.id.to_string())
            .bind(&self.name)
            .bind(self.kind.name())
            .bind(self.created_at.as_millis())
            .bind(self.disabled_at.map(Timestamp::as_millis))
            .execute(conn)
            .await?;
        Ok(())
    }

    /// The person, if there is one.
    pub async fn get(conn: &mut Conn, id: PersonId) -> Result<Option<Self>> {
        let row = sqlx::query("SELECT id, name, kind, created_at, disabled_at FROM persons WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(conn)
            .await?;
        row.map(|row| Self::read(&Columns::of("persons", &row))).transpose()
    }

    /// At most `limit` persons behind `after`, in the order in which they were entered.
    pub async fn page(conn: &mut Conn, after: &str, limit: u32) -> Result<Vec<Self>> {
        let rows = sqlx::query(
            "SELECT id, name, kind, created_at, disabled_at FROM persons WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(|row| Self::read(&Columns::of("persons", row))).collect()
    }

    /// Disables the person; `false` when they were already, or are not there.
    pub async fn disable(conn: &mut Conn, id: PersonId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query("UPDATE persons SET disabled_at = $1 WHERE id = $2 AND disabled_at IS NULL")
            .bind(now.as_millis())
            .bind(id.to_string())
            .execute(conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            name: columns.text("name")?,
            kind: Kind::parse(&columns.text("kind")?).ok_or_else(|| columns.damaged("kind"))?,
            created_at: columns.time("created_at")?,
            disabled_at: columns.maybe_time("disabled_at")?,
        })
    }
}
