//! Rotations: one row for each collection, of the one under way or the last one.

use sqlx::any::AnyRow;
use vault_core::ids::CollectionId;
use vault_core::time::Timestamp;

use crate::store::row::{Columns, bigint};
use crate::store::{Conn, StoreError};

/// A rotation as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// Whose.
    pub collection: CollectionId,
    /// The version that was active before.
    pub from: u32,
    /// The version that is active now.
    pub to: u32,
    /// The last record looked at.
    pub cursor: String,
    /// Record keys moved so far.
    pub done: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl RotationRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let columns = Columns::of("rotations", row);
        Ok(Self {
            collection: columns.parsed("collection_id")?,
            from: columns.version("from_version")?,
            to: columns.version("to_version")?,
            cursor: columns.text("cursor")?,
            done: columns.unsigned("done")?,
            started_at: columns.time("started_at")?,
            finished_at: columns.maybe_time("finished_at")?,
        })
    }
}

/// The rotation under way in a collection, or the last one.
pub async fn rotation(conn: &mut Conn, collection: CollectionId) -> Result<Option<RotationRow>, StoreError> {
    let text = "SELECT collection_id, from_version, to_version, cursor, done, started_at, finished_at FROM rotations
                WHERE collection_id = $1";
    let row = sqlx::query(text).bind(collection.to_string()).fetch_optional(conn).await?;
    row.as_ref().map(RotationRow::read).transpose()
}

/// Every rotation that has not ended.
pub async fn rotations_running(conn: &mut Conn) -> Result<Vec<RotationRow>, StoreError> {
    let text = "SELECT collection_id, from_version, to_version, cursor, done, started_at, finished_at FROM rotations
                WHERE finished_at IS NULL ORDER BY started_at";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter().map(RotationRow::read).collect()
}

/// Writes a rotation down, in place of the collection's last one.
pub async fn put_rotation(conn: &mut Conn, row: &RotationRow) -> Result<(), StoreError> {
    let text = "INSERT INTO rotations (collection_id, from_version, to_version, cursor, done, started_at, finished_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (collection_id) DO UPDATE SET from_version = excluded.from_version,
                  to_version = excluded.to_version, cursor = excluded.cursor, done = excluded.done,
                  started_at = excluded.started_at, finished_at = excluded.finished_at";
    sqlx::query(text)
        .bind(row.collection.to_string())
        .bind(i64::from(row.from))
        .bind(i64::from(row.to))
        .bind(row.cursor.clone())
        .bind(bigint(row.done)?)
        .bind(row.started_at.as_millis())
        .bind(row.finished_at.map(Timestamp::as_millis))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that `moved` more record keys were moved by the rotation to `to`, unless it has ended. Nodes may move them side by
/// side.
pub async fn advance_rotation(
    conn: &mut Conn,
    row: &RotationRow,
    moved: u64,
    cursor: &str,
) -> Result<bool, StoreError> {
    let text = "UPDATE rotations SET done = done + $1, cursor = $2
                WHERE collection_id = $3 AND to_version = $4 AND finished_at IS NULL";
    let done = sqlx::query(text)
        .bind(bigint(moved)?)
        .bind(cursor.to_owned())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the rotation to `row.to` and answers how many record keys it moved; `None` when it has ended already, or another
/// has begun.
pub async fn finish_rotation(conn: &mut Conn, row: &RotationRow, now: Timestamp) -> Result<Option<u64>, StoreError> {
    let text = "UPDATE rotations SET finished_at = $1
                WHERE collection_id = $2 AND to_version = $3 AND finished_at IS NULL RETURNING done";
    let found = sqlx::query(text)
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .fetch_optional(conn)
        .await?;
    found.map(|found| Columns::of("rotations", &found).unsigned("done")).transpose()
}
