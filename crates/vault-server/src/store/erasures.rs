//! Rows of erasures, and what an erasure takes out of the other tables.
//!
//! A row here is a hint, as all rows are: what was erased, and when, is read from the log's entry. What is decided by it
//! alone is whether something is still to be done.

use vault_core::ids::{CollectionId, RecordId, ResumeKeyId};
use vault_core::time::Timestamp;

use super::row::Columns;
use super::{Conn, Reader, StoreError, Tx, values};

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRow {
    /// Of which record.
    pub record: RecordId,
    /// Where it belonged.
    pub collection: CollectionId,
    /// When.
    pub at: Timestamp,
    /// The highest version of the collection's KEK then.
    pub kek_version: u32,
    /// The highest root epoch then.
    pub root_epoch: u32,
    /// The resume key of its upload.
    pub resume_key: Option<ResumeKeyId>,
    /// The number of its restriction.
    pub restriction: i64,
    /// When nothing of it was left in the live vault.
    pub completed_at: Option<Timestamp>,
}

impl ErasureRow {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("erasures", row);
        Ok(Self {
            record: c.parsed("record_id")?,
            collection: c.parsed("collection_id")?,
            at: c.time("at")?,
            kek_version: c.version("kek_version")?,
            root_epoch: c.version("root_epoch")?,
            resume_key: c.maybe_parsed("resume_key")?,
            restriction: c.number("restriction")?,
            completed_at: c.maybe_time("completed_at")?,
        })
    }
}

/// What erasing a record needs to know of it: no more, so that damage of the rest does not keep it from being erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasable {
    /// Where it belongs.
    pub collection: CollectionId,
    /// Whether it is erased: it is called so, and has no key.
    pub erased: bool,
}

/// What erasing `record` needs to know of it.
pub async fn erasable(conn: &mut Reader, record: RecordId) -> Result<Option<Erasable>, StoreError> {
    let row = sqlx::query(
        "SELECT collection_id, CAST(CASE WHEN state = 'erased' AND wrap IS NULL THEN 1 ELSE 0 END AS BIGINT) AS erased
         FROM records WHERE id = $1",
    )
    .bind(record.to_string())
    .fetch_optional(conn.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let c = Columns::of("records", &row);
    Ok(Some(Erasable { collection: c.parsed("collection_id")?, erased: c.number("erased")? == 1 }))
}

/// Takes the key out of a record's row, and all that was sealed under it or told of a person. The first statement of an
/// erasure: from here on nobody moves the key, and no text is sealed under it that this transaction would not see. `None`:
/// it is erased already.
pub async fn take_key(tx: &mut Tx, record: RecordId) -> Result<Option<Option<ResumeKeyId>>, StoreError> {
    let row = sqlx::query(
        "UPDATE records SET state = 'erased', wrap = NULL, key_tag = NULL, pseudonym = NULL, details = NULL, consent = NULL,
           purposes = '[]', consent_expires_at = NULL, retain_until = NULL, content_type = '', size = 0
         WHERE id = $1 AND (state <> 'erased' OR wrap IS NOT NULL) RETURNING resume_key",
    )
    .bind(record.to_string())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    // A column that somebody has damaged holds up nothing.
    Ok(Some(Columns::of("records", &row).maybe_parsed("resume_key").unwrap_or_default()))
}

/// The highest version of the collection's KEK there is, and the highest root epoch that the database knows of. Read
/// after [`take_key`]: no version that is made later ever wraps the record's key.
pub async fn highest(tx: &mut Tx, collection: CollectionId) -> Result<(u32, u32), StoreError> {
    let row = sqlx::query(
        "SELECT COALESCE(MAX(version), 0) AS version, COALESCE(MAX(root_epoch), 0) AS wrapped_by,
           (SELECT COALESCE(MAX(epoch), 0) FROM root_epochs) AS epoch
         FROM keks WHERE collection_id = $1",
    )
    .bind(collection.to_string())
    .fetch_one(tx.conn())
    .await?;
    let c = Columns::of("keks", &row);
    Ok((c.version("version")?, c.version("wrapped_by")?.max(c.version("epoch")?)))
}

/// Empties the texts of access requests that were sealed under the record's key.
pub async fn empty_texts(tx: &mut Tx, record: RecordId) -> Result<(), StoreError> {
    sqlx::query("UPDATE access_requests SET reason = $2, case_number = NULL, comment = NULL WHERE record_id = $1")
        .bind(record.to_string())
        .bind(Vec::<u8>::new())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Hands every part of every object of the record to the collector, and what an upload or a rewrite of it may still write, and removes the
/// rows that say how the parts are put together.
pub async fn discard_media(tx: &mut Tx, record: RecordId, verify_after: Timestamp) -> Result<(), StoreError> {
    for text in [
        "INSERT INTO garbage (name, verify_after, record_id)
         SELECT p.name, $2, $1 FROM parts p JOIN objects o ON o.id = p.object_id WHERE o.record_id = $1
         ON CONFLICT (name) DO UPDATE SET record_id = excluded.record_id",
        "INSERT INTO garbage (name, verify_after, record_id)
         SELECT i.name, CASE WHEN i.deadline > $2 THEN i.deadline ELSE $2 END, $1
         FROM intents i WHERE i.record_id = $1
         ON CONFLICT (name) DO UPDATE SET record_id = excluded.record_id",
    ] {
        sqlx::query(text).bind(record.to_string()).bind(verify_after.as_millis()).execute(tx.conn()).await?;
    }
    for text in [
        "DELETE FROM intents WHERE name IN (SELECT name FROM garbage WHERE record_id = $1)",
        "DELETE FROM rewrites WHERE record_id = $1",
        "DELETE FROM parts WHERE object_id IN (SELECT id FROM objects WHERE record_id = $1)",
        "DELETE FROM objects WHERE record_id = $1",
    ] {
        sqlx::query(text).bind(record.to_string()).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Enters an erasure. One that is there already is one whose key was put back, by hand or from a copy: it hangs on what
/// there is now as well.
pub async fn insert(tx: &mut Tx, row: &ErasureRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO erasures (record_id, collection_id, at, kek_version, root_epoch, resume_key, restriction, completed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)
         ON CONFLICT (record_id) DO UPDATE SET at = excluded.at, kek_version = excluded.kek_version,
           root_epoch = excluded.root_epoch, resume_key = COALESCE(excluded.resume_key, erasures.resume_key),
           restriction = excluded.restriction, completed_at = NULL",
    )
    .bind(row.record.to_string())
    .bind(row.collection.to_string())
    .bind(row.at.as_millis())
    .bind(i64::from(row.kek_version))
    .bind(i64::from(row.root_epoch))
    .bind(row.resume_key.map(|key| key.to_string()))
    .bind(row.restriction)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The erasure of a record.
pub async fn find(conn: &mut Conn, record: RecordId) -> Result<Option<ErasureRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM erasures WHERE record_id = $1")
        .bind(record.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(ErasureRow::read).transpose()
}

/// Whether the restriction with this number stands in the journal.
pub async fn is_journalled(conn: &mut Conn, restriction: i64) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT journalled FROM restrictions WHERE counter = $1")
        .bind(restriction)
        .fetch_optional(conn)
        .await?;
    row.map_or(Ok(false), |row| Ok(Columns::of("restrictions", &row).number("journalled")? == 1))
}

/// Names in the object store that may still hold something of the record: to be deleted, or to be written by somebody who
/// does not know yet that the upload is over.
pub async fn names_left(conn: &mut Conn, record: RecordId) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM garbage WHERE record_id = $1)
           + (SELECT COUNT(*) FROM intents WHERE record_id = $1) AS n",
    )
    .bind(record.to_string())
    .fetch_one(conn)
    .await?;
    Columns::of("garbage", &row).unsigned("n")
}

/// Erasures of which something may be left, the oldest first.
pub async fn unfinished(conn: &mut Conn, most: i64) -> Result<Vec<ErasureRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM erasures WHERE completed_at IS NULL ORDER BY at LIMIT $1")
        .bind(most)
        .fetch_all(conn)
        .await?;
    rows.iter().map(ErasureRow::read).collect()
}

/// Notes that nothing of these is left in the live vault. One that was erased again meanwhile is not among them.
pub async fn complete(tx: &mut Tx, rows: &[ErasureRow], now: Timestamp) -> Result<u64, StoreError> {
    let mut completed = 0;
    for row in rows {
        let text =
            "UPDATE erasures SET completed_at = $1 WHERE record_id = $2 AND restriction = $3 AND completed_at IS NULL";
        completed += sqlx::query(text)
            .bind(now.as_millis())
            .bind(row.record.to_string())
            .bind(row.restriction)
            .execute(tx.conn())
            .await?
            .rows_affected();
    }
    Ok(completed)
}

/// Records asked for in one statement.
pub const AT_ONCE: usize = 32;

/// Those of `records`, at most [`AT_ONCE`], that have a key or are not called erased, although they are to be.
pub async fn with_a_key(conn: &mut Conn, records: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
    let text = format!(
        "SELECT id FROM records WHERE id IN {} AND (wrap IS NOT NULL OR state <> 'erased')",
        values::list(records.len())
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
    for record in records {
        query = query.bind(record.to_string());
    }
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(|row| Columns::of("records", row).parsed("id")).collect()
}

/// Erasures that hang on the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// Whose keys.
    pub collection: CollectionId,
    /// The highest KEK version.
    pub kek_version: u32,
    /// The highest root epoch.
    pub root_epoch: u32,
    /// The resume key.
    pub resume_key: Option<ResumeKeyId>,
    /// When the first of them was.
    pub first_at: Timestamp,
    /// How many.
    pub count: u64,
}

/// All erasures by the keys they hang on: as many rows as there were rotations and days, not as there were erasures.
pub async fn alike(conn: &mut Conn) -> Result<Vec<Alike>, StoreError> {
    let rows = sqlx::query(
        "SELECT collection_id, kek_version, root_epoch, resume_key, MIN(at) AS first_at, COUNT(*) AS n
         FROM erasures GROUP BY collection_id, kek_version, root_epoch, resume_key ORDER BY MIN(at)",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("erasures", row);
            Ok(Alike {
                collection: c.parsed("collection_id")?,
                kek_version: c.version("kek_version")?,
                root_epoch: c.version("root_epoch")?,
                resume_key: c.maybe_parsed("resume_key")?,
                first_at: c.time("first_at")?,
                count: c.unsigned("n")?,
            })
        })
        .collect()
}

/// Makes sure that the record has a key until this transaction ends, so that what is sealed under it now is there to be
/// emptied by whoever erases it next. False: it has none.
pub async fn hold_key(tx: &mut Tx, record: RecordId) -> Result<bool, StoreError> {
    let held = sqlx::query("UPDATE records SET state = state WHERE id = $1 AND wrap IS NOT NULL")
        .bind(record.to_string())
        .execute(tx.conn())
        .await?;
    Ok(held.rows_affected() == 1)
}

/// Notes under which resume key a record's upload was under way.
pub async fn note_resume_key(tx: &mut Tx, record: RecordId, key: ResumeKeyId) -> Result<(), StoreError> {
    sqlx::query("UPDATE records SET resume_key = $2 WHERE id = $1")
        .bind(record.to_string())
        .bind(key.to_string())
        .execute(tx.conn())
        .await?;
    Ok(())
}
