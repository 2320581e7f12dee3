//! Rows the collector works on: uploads past their time, intents nobody can fulfil any more, names to delete.
//!
//! Work comes in batches, each in a short transaction of its own. A row that does not parse is passed over and
//! counted: it costs itself alone.

use vault_core::ids::{CollectionId, ObjectId, PersonId, UploadId};
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::{Store, StoreError, Tx};
use crate::objects::Name;

/// Rows handled at a time.
pub const BATCH: i64 = 100;

/// An upload that was not completed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Which.
    pub id: UploadId,
    /// Where it was to go.
    pub collection: CollectionId,
    /// Its object.
    pub object: ObjectId,
    /// Who created it.
    pub person: PersonId,
    /// Bytes that had come.
    pub received: u64,
}

/// A batch of rows, and how many more there were that could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// What was read.
    pub rows: Vec<T>,
    /// Rows passed over because they are damaged.
    pub damaged: u64,
    /// Where to go on, when the batch was full.
    pub next: Option<String>,
}

impl<T> Batch<T> {
    fn read(
        table: &'static str,
        rows: &[sqlx::any::AnyRow],
        key: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut batch = Self { rows: Vec::with_capacity(rows.len()), damaged: 0, next: None };
        for row in rows {
            match read(&Columns::of(table, row)) {
                Ok(one) => batch.rows.push(one),
                Err(_) => batch.damaged += 1,
            }
        }
        if rows.len() as i64 == BATCH {
            // A key that is no text sorts behind every text, so the last text is as far as there is to go.
            batch.next = rows.iter().rev().find_map(|row| Columns::of(table, row).text(key).ok());
        }
        Ok(batch)
    }
}

/// Open uploads whose time was over at `now`, in order of id, behind `after`.
pub async fn stale(store: &Store, now: Timestamp, after: &str) -> Result<Batch<Stale>, StoreError> {
    let mut conn = store.read().await?;
    let rows = sqlx::query(
        "SELECT id, collection_id, object_id, person_id, received FROM uploads
         WHERE state = 'open' AND expires_at <= $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(now.as_millis())
    .bind(after.to_owned())
    .bind(BATCH)
    .fetch_all(conn.conn())
    .await?;
    Batch::read("uploads", &rows, "id", |c| {
        Ok(Stale {
            id: c.parsed("id")?,
            collection: c.parsed("collection_id")?,
            object: c.parsed("object_id")?,
            person: c.parsed("person_id")?,
            received: c.unsigned("received")?,
        })
    })
}

/// Whether the upload's time is still over, seen inside the transaction that ends it: bytes may have come meanwhile.
pub async fn is_stale(tx: &mut Tx, id: UploadId, now: Timestamp) -> Result<bool, StoreError> {
    // An update that changes nothing, so that no byte comes between this look and the end either.
    let row = sqlx::query("UPDATE uploads SET fence = fence WHERE id = $1 AND state = 'open' AND expires_at <= $2")
        .bind(id.to_string())
        .bind(now.as_millis())
        .execute(tx.conn())
        .await?;
    Ok(row.rows_affected() == 1)
}

/// Turns intents that nobody can fulfil any more into garbage, a batch of them behind `after`. In `rows` are their names.
///
/// An intent is dead once its upload is over or has a higher fence, or its rewrite is gone: registering a part compares the fence, or
/// takes the rewrite's row away, so its part can never be registered. Its PUT may still be under way and land later, hence `verify_after`. A row whose name is
/// no name stays where it is: it was not written by the vault and leads to nothing.
pub async fn bury_intents(
    store: &Store,
    now: Timestamp,
    patience: core::time::Duration,
    after: &str,
) -> Result<Batch<Name>, StoreError> {
    let mut tx = store.begin("bury_intents").await?;
    let rows = sqlx::query(
        "SELECT name FROM intents WHERE name > $1 AND NOT EXISTS (
           SELECT 1 FROM uploads WHERE uploads.id = intents.owner AND uploads.state = 'open'
             AND uploads.fence = intents.fence)
           AND NOT EXISTS (SELECT 1 FROM rewrites WHERE rewrites.id = intents.owner)
         ORDER BY name LIMIT $2",
    )
    .bind(after.to_owned())
    .bind(BATCH)
    .fetch_all(tx.conn())
    .await?;
    let batch = Batch::read("intents", &rows, "name", |c| c.parsed::<Name>("name"))?;
    for name in &batch.rows {
        // The deadline as it is when the intent goes: whoever writes under it may have put it off since the look above.
        let gone = sqlx::query("DELETE FROM intents WHERE name = $1 RETURNING deadline, record_id")
            .bind(name.to_string())
            .fetch_optional(tx.conn())
            .await?;
        let Some(gone) = gone else { continue };
        let gone = Columns::of("intents", &gone);
        // A deadline that cannot be read holds up nothing: the patience behind it is as long as any PUT.
        let deadline = gone.time("deadline").unwrap_or(now);
        let verify_after = deadline.max(now).plus(patience);
        // An erasure waits for every name that may hold a piece of its record.
        sqlx::query(
            "INSERT INTO garbage (name, verify_after, record_id)
             VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_string())
        .bind(verify_after.as_millis())
        .bind(gone.maybe_text("record_id").unwrap_or_default())
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await?;
    Ok(batch)
}

/// A name to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// The name.
    pub name: Name,
    /// Before this moment a PUT of that name may still land.
    pub verify_after: Timestamp,
}

/// Names to delete, behind `after`. A name that a part still has is no garbage, whatever put it there.
pub async fn doomed(store: &Store, after: &str) -> Result<Batch<Doomed>, StoreError> {
    let mut conn = store.read().await?;
    let rows = sqlx::query(
        "SELECT name, verify_after FROM garbage
         WHERE name > $1 AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.name = garbage.name)
         ORDER BY name LIMIT $2",
    )
    .bind(after.to_owned())
    .bind(BATCH)
    .fetch_all(conn.conn())
    .await?;
    Batch::read("garbage", &rows, "name", |c| {
        Ok(Doomed { name: c.parsed("name")?, verify_after: c.time("verify_after")? })
    })
}

/// Forgets a name whose absence is verified.
pub async fn forget(store: &Store, names: &[Name]) -> Result<(), StoreError> {
    let mut tx = store.begin("forget_garbage").await?;
    for name in names {
        sqlx::query("DELETE FROM garbage WHERE name = $1").bind(name.to_string()).execute(tx.conn()).await?;
    }
    tx.commit().await
}

/// Deletes the rows of uploads that ended and whose time was over before `before`; answers how many.
pub async fn drop_ended(store: &Store, before: Timestamp) -> Result<u64, StoreError> {
    let mut tx = store.begin("drop_ended_uploads").await?;
    let dropped = sqlx::query("DELETE FROM uploads WHERE state <> 'open' AND expires_at < $1")
        .bind(bigint(u64::try_from(before.as_millis()).unwrap_or(0))?)
        .execute(tx.conn())
        .await?
        .rows_affected();
    tx.commit().await?;
    Ok(dropped)
}
