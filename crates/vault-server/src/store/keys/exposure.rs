//! What tells which versions may have wrapped a record's key.

use vault_core::ids::CollectionId;
use vault_core::time::Timestamp;

use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

/// A record that has a key, as far as its row can be read.
#[derive(Debug)]
pub struct HeldKey {
    /// The id as stored.
    pub id: String,
    /// The version that the row names.
    pub version: Option<u32>,
    /// The wrap.
    pub wrap: Option<Vec<u8>>,
    /// When the record was received.
    pub received_at: Option<Timestamp>,
    /// The version under which the key was made, if that was when the record was encrypted anew.
    pub born: Option<u32>,
    /// Bytes of the recording.
    pub size: Option<u64>,
}

/// A collection's records that have a key, by their rows or by what the wraps themselves name (`docs/format.md` §5.3: bytes 5 to
/// 20), after `cursor`, in order of their ids.
pub async fn all_keys(
    conn: &mut Conn,
    collection: CollectionId,
    cursor: &str,
    limit: u32,
) -> Result<Vec<HeldKey>, StoreError> {
    let text = "SELECT id, kek_version, wrap, received_at, rekeyed_under, size FROM records
                WHERE (collection_id = $1 OR substr(wrap, 6, 16) = $4) AND id > $2 AND wrap IS NOT NULL
                ORDER BY id LIMIT $3";
    let rows = sqlx::query(text)
        .bind(collection.to_string())
        .bind(cursor.to_owned())
        .bind(i64::from(limit))
        .bind(collection.as_bytes().to_vec())
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("records", row);
            Ok(HeldKey {
                id: columns.text("id")?,
                version: columns.version("kek_version").ok(),
                wrap: columns.bytes("wrap").ok(),
                received_at: columns.time("received_at").ok(),
                born: columns.version("rekeyed_under").ok(),
                size: columns.unsigned("size").ok(),
            })
        })
        .collect()
}
