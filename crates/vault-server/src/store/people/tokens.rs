//! Bearer tokens, by their hash.

use vault_core::access::person::Narrowing;
use vault_core::access::role::Role;
use vault_core::ids::{PersonId, TokenId};
use vault_core::time::Timestamp;

use super::{Conn, Result};
use crate::store::row::Columns;

/// A token as the database knows it: never its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Identifier, not secret.
    pub id: TokenId,
    /// Whom it stands for.
    pub person: PersonId,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// What it is for.
    pub label: String,
    /// What it narrows its person's roles to.
    pub narrowing: Narrowing,
    /// Who issued it; `None` for those made with the vault.
    pub issued_by: Option<PersonId>,
    /// The second administrator who confirmed it.
    pub confirmed_by: Option<PersonId>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, person_id, hash, label, roles, collection_id, issued_by, confirmed_by, created_at, expires_at, \
             revoked_at FROM tokens ",
            $rest
        )
    };
}

impl TokenRow {
    /// Enters the token.
    pub async fn insert(&self, conn: &mut Conn) -> Result<()> {
        let roles = self.narrowing.roles.as_ref();
        let roles = roles.map(|roles| roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" "));
        sqlx::query(
            "INSERT INTO tokens (id, person_id, hash, label, roles, collection_id, issued_by, confirmed_by, \
             created_at, expires_at, revoked_at, used_hour) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)",
        )
        .bind(self.id.to_string())
        .bind(self.person.to_string())
        .bind(self.hash.to_vec())
        .bind(&self.label)
        .bind(roles)
        .bind(self.narrowing.collection.map(|c| c.to_string()))
        .bind(self.issued_by.map(|p| p.to_string()))
        .bind(self.confirmed_by.map(|p| p.to_string()))
        .bind(self.created_at.as_millis())
        .bind(self.expires_at.as_millis())
        .bind(self.revoked_at.map(Timestamp::as_millis))
        .execute(conn)
        .await?;
        Ok(())
    }

    /// The token with this hash.
    pub async fn by_hash(conn: &mut Conn, hash: &[u8; 32]) -> Result<Option<Self>> {
        let row = sqlx::query(select!("WHERE hash = $1")).bind(hash.to_vec()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of("tokens", &row))).transpose()
    }

    /// The token with this identifier.
    pub async fn get(conn: &mut Conn, id: TokenId) -> Result<Option<Self>> {
        let row = sqlx::query(select!("WHERE id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of("tokens", &row))).transpose()
    }

    /// Notes who confirmed it; `false` when it is confirmed or revoked already.
    pub async fn confirm(conn: &mut Conn, id: TokenId, by: PersonId) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE tokens SET confirmed_by = $1 WHERE id = $2 AND confirmed_by IS NULL AND revoked_at IS NULL",
        )
        .bind(by.to_string())
        .bind(id.to_string())
        .execute(conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes it; `false` when it is revoked already.
    pub async fn revoke(conn: &mut Conn, id: TokenId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(now.as_millis())
            .bind(id.to_string())
            .execute(conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes every token of a person.
    pub async fn revoke_of(conn: &mut Conn, person: PersonId, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE person_id = $2 AND revoked_at IS NULL")
            .bind(now.as_millis())
            .bind(person.to_string())
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Marks the first use in `hour`; `false` when this hour is marked already. Another hour is overwritten even if it
    /// is a later one: a clock that was ahead for a while must not leave a mark without an entry.
    pub async fn mark_used(conn: &mut Conn, id: TokenId, hour: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE tokens SET used_hour = $1 WHERE id = $2 AND used_hour <> $1")
            .bind(hour)
            .bind(id.to_string())
            .execute(conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) fn read(columns: &Columns<'_>) -> Result<Self> {
        let roles = match columns.maybe_text("roles")? {
            Some(names) => Some(
                names
                    .split_ascii_whitespace()
                    .map(str::parse)
                    .collect::<core::result::Result<Vec<Role>, _>>()
                    .map_err(|_| columns.damaged("roles"))?,
            ),
            None => None,
        };
        Ok(Self {
            id: columns.parsed("id")?,
            person: columns.parsed("person_id")?,
            hash: columns.array("hash")?,
            label: columns.text("label")?,
            narrowing: Narrowing { roles, collection: columns.maybe_parsed("collection_id")? },
            issued_by: columns.maybe_parsed("issued_by")?,
            confirmed_by: columns.maybe_parsed("confirmed_by")?,
            created_at: columns.time("created_at")?,
            expires_at: columns.time("expires_at")?,
            revoked_at: columns.maybe_time("revoked_at")?,
        })
    }
}
