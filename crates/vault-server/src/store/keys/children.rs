//! What a KEK version wraps: record keys, and the collection's own keys.

use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::wrap::{ChildKind, KekRef};

use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

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

/// Replaces a record's wrap; false when the record was erased or moved meanwhile.
pub async fn move_record(
    conn: &mut Conn,
    record: RecordId,
    from: KekRef,
    to: u32,
    wrap: &[u8],
) -> Result<bool, StoreError> {
    let text = "UPDATE records SET wrap = $1, kek_version = $2
                WHERE id = $3 AND collection_id = $4 AND kek_version = $5 AND wrap IS NOT NULL";
    let done = sqlx::query(text)
        .bind(wrap.to_vec())
        .bind(i64::from(to))
        .bind(record.to_string())
        .bind(from.collection.to_string())
        .bind(i64::from(from.version))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
