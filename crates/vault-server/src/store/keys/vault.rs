//! What the vault knows of itself: to which keyring it belongs, what made it, how its log is called.

use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

/// What the vault knows of itself under `name`.
pub async fn meta(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1").bind(name.to_owned()).fetch_optional(conn).await?;
    row.map(|row| Columns::of("meta", &row).text("value")).transpose()
}

/// Enters what the vault knows of itself; never changed afterwards.
pub async fn insert_meta(conn: &mut Conn, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
        .bind(name.to_owned())
        .bind(value.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}
