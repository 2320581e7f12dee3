//! What a KEK version wraps: record keys, and the collection's own keys.

use sqlx::AssertSqlSafe;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::wrap::{ChildKind, KekRef};

use crate::store::row::Columns;
use crate::store::{Conn, StoreError, values};

/// How many record keys each version wraps now.
pub async fn records_held(conn: &mut Conn, collection: CollectionId) -> Result<Vec<(u32, u64)>, StoreError> {
    let text = "SELECT kek_version, COUNT(*) AS held FROM records
                WHERE collection_id = $1 AND wrap IS NOT NULL GROUP BY kek_version";
    let rows = sqlx::query(text).bind(collection.to_string()).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("records", row);
            Ok((columns.version("kek_version")?, columns.unsigned("held")?))
        })
        .collect()
}

/// The wrap of one of the collection's own keys, and the KEK version that made it.
pub async fn child(
    conn: &mut Conn,
    collection: CollectionId,
    kind: ChildKind,
) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
    let row = sqlx::query("SELECT kek_version, wrap FROM kek_children WHERE collection_id = $1 AND kind = $2")
        .bind(collection.to_string())
        .bind(kind.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| {
        let columns = Columns::of("kek_children", &row);
        Ok((columns.version("kek_version")?, columns.bytes("wrap")?))
    })
    .transpose()
}

/// Enters one of the collection's own keys, or replaces its wrap.
pub async fn put_child(conn: &mut Conn, kek: KekRef, kind: ChildKind, wrap: &[u8]) -> Result<(), StoreError> {
    let text = "INSERT INTO kek_children (collection_id, kind, kek_version, wrap) VALUES ($1, $2, $3, $4)
                ON CONFLICT (collection_id, kind) DO UPDATE SET kek_version = excluded.kek_version, wrap = excluded.wrap";
    sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(kind.as_str())
        .bind(i64::from(kek.version))
        .bind(wrap.to_vec())
        .execute(conn)
        .await?;
    Ok(())
}

/// The record wraps of a version after `cursor`, in order of their ids.
pub async fn record_wraps(
    conn: &mut Conn,
    kek: KekRef,
    cursor: &str,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>, StoreError> {
    let text = "SELECT id, wrap FROM records
                WHERE collection_id = $1 AND kek_version = $2 AND id > $3 AND wrap IS NOT NULL ORDER BY id LIMIT $4";
    let rows = sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(cursor.to_owned())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("records", row);
            Ok((columns.parsed("id")?, columns.bytes("wrap")?))
        })
        .collect()
}

/// Most records in one statement: SQLite looks for each value's name among all of the statement's, so that two thousand cost
/// more than eight statements of a quarter thousand.
const TOGETHER: usize = 256;

/// Replaces the wraps of records that `from` still holds; answers how many. Those that were erased or moved meanwhile stay
/// as they are.
pub async fn move_records(
    conn: &mut Conn,
    from: KekRef,
    to: u32,
    batch: Vec<(RecordId, Vec<u8>)>,
) -> Result<u64, StoreError> {
    let mut moved = 0;
    let mut left = batch.into_iter().peekable();
    while left.peek().is_some() {
        let some: Vec<_> = left.by_ref().take(TOGETHER).collect();
        let mut query = sqlx::query(AssertSqlSafe(moving(some.len())));
        for (record, wrap) in some {
            query = query.bind(record.to_string()).bind(wrap);
        }
        let query = query.bind(i64::from(to)).bind(from.collection.to_string()).bind(i64::from(from.version));
        moved += query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(moved)
}

/// The statement for `rows` records. They are found by their ids: the columns are never NULL, and the COALESCE only keeps an
/// engine that knows no statistics from going through all of the version's records, by the indexes that begin with them, for
/// every row of `w`.
fn moving(rows: usize) -> String {
    let n = 2 * rows;
    let (to, collection, from) = (n + 1, n + 2, n + 3);
    format!(
        "WITH w (id, wrap) AS (VALUES {}) UPDATE records SET wrap = w.wrap, kek_version = ${to} FROM w
         WHERE records.id = w.id AND COALESCE(records.collection_id, '') = ${collection}
           AND COALESCE(records.kek_version, 0) = ${from} AND records.wrap IS NOT NULL",
        values::rows(rows, 2)
    )
}

/// Whether a version still wraps a record key.
pub async fn holds_records(conn: &mut Conn, kek: KekRef) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM records WHERE collection_id = $1 AND kek_version = $2 AND wrap IS NOT NULL LIMIT 1";
    let query = sqlx::query(text).bind(kek.collection.to_string()).bind(i64::from(kek.version));
    Ok(query.fetch_optional(conn).await?.is_some())
}

/// Which versions wrap the collection's own keys.
pub async fn children(conn: &mut Conn, collection: CollectionId) -> Result<Vec<(ChildKind, u32)>, StoreError> {
    let rows = sqlx::query("SELECT kind, kek_version FROM kek_children WHERE collection_id = $1 ORDER BY kind")
        .bind(collection.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("kek_children", row);
            let kind = ChildKind::from_name(&columns.text("kind")?).ok_or_else(|| columns.damaged("kind"))?;
            Ok((kind, columns.version("kek_version")?))
        })
        .collect()
}

/// A record's wrap as the row has it, for whoever checks whether it opens: what cannot be read of a row is its finding.
#[derive(Debug)]
pub struct HeldWrap {
    /// The id as stored.
    pub id: String,
    /// The version that the row names and the wrap; `None` when they are not of their form.
    pub wrap: Option<(u32, Vec<u8>)>,
}

/// The wraps of a collection's records after `cursor`, whatever their version, in order of their ids.
pub async fn all_wraps(
    conn: &mut Conn,
    collection: CollectionId,
    cursor: &str,
    limit: u32,
) -> Result<Vec<HeldWrap>, StoreError> {
    let text = "SELECT id, kek_version, wrap FROM records
                WHERE collection_id = $1 AND id > $2 AND wrap IS NOT NULL ORDER BY id LIMIT $3";
    let rows = sqlx::query(text)
        .bind(collection.to_string())
        .bind(cursor.to_owned())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("records", row);
            let wrap = columns.version("kek_version").and_then(|version| Ok((version, columns.bytes("wrap")?))).ok();
            Ok(HeldWrap { id: columns.text("id")?, wrap })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_numbers_its_values_through() {
        let text = moving(2);
        assert!(text.contains("VALUES ($1, $2), ($3, $4)") && text.contains("kek_version = $5 FROM"), "{text}");
        assert!(text.contains("collection_id, '') = $6") && text.contains("kek_version, 0) = $7"), "{text}");
    }
}
