//! Re-encryptions: one row for each collection, of the one under way or the last one; and the recordings that are being written again.
//!
//! Whoever changes a row compares its id, so that nothing meant for one re-encryption befalls the next.

use core::str::FromStr;
use core::time::Duration;

use sqlx::any::AnyRow;
use vault_core::ids::{CollectionId, RecordId, ReencryptionId, RewriteId};
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::{Conn, StoreError};

/// Where a re-encryption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReencryptionState {
    /// Recordings are being written again.
    Running,
    /// Somebody has stopped it for a while.
    Paused,
    /// Everything that can be read is encrypted anew.
    Done,
    /// Somebody has ended it before that.
    Cancelled,
}

impl ReencryptionState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for ReencryptionState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Running, Self::Paused, Self::Done, Self::Cancelled].into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// Which records are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Those that a compromised version exposes.
    ExposedBy(u32),
    /// One.
    Record(RecordId),
}

/// How much of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Bytes of their recordings.
    pub bytes: u64,
}

/// A re-encryption as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReencryptionRow {
    /// Which.
    pub id: ReencryptionId,
    /// Where.
    pub collection: CollectionId,
    /// Of what.
    pub what: What,
    /// Where it stands.
    pub state: ReencryptionState,
    /// At most so many bytes a second.
    pub throttle: Option<u64>,
    /// What there was when it began.
    pub total: Amount,
    /// What is encrypted anew.
    pub done: Amount,
    /// Records that needed it no more: erased, or encrypted anew by somebody else.
    pub skipped: u64,
    /// Records that cannot be read.
    pub damaged: u64,
    /// The last record that is dealt with, as its row has it.
    pub cursor: String,
    /// How long it was worked on.
    pub worked: Duration,
    /// When it began.
    pub started_at: Timestamp,
    /// When something last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl ReencryptionRow {
    /// Whether it has come to its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, ReencryptionState::Done | ReencryptionState::Cancelled)
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("reencryptions", row);
        let version = c.maybe_number("kek_version")?;
        let version = version.map(|n| u32::try_from(n).map_err(|_| c.damaged("kek_version"))).transpose()?;
        let what = match (version, c.maybe_parsed("record_id")?) {
            (Some(version), None) => What::ExposedBy(version),
            (None, Some(record)) => What::Record(record),
            _ => return Err(c.damaged("kek_version")),
        };
        let throttle = c.maybe_number("throttle")?;
        Ok(Self {
            id: c.parsed("id")?,
            collection: c.parsed("collection_id")?,
            what,
            state: c.parsed("state")?,
            throttle: throttle.map(|n| u64::try_from(n).map_err(|_| c.damaged("throttle"))).transpose()?,
            total: Amount { records: c.unsigned("total")?, bytes: c.unsigned("total_bytes")? },
            done: Amount { records: c.unsigned("done")?, bytes: c.unsigned("done_bytes")? },
            skipped: c.unsigned("skipped")?,
            damaged: c.unsigned("damaged")?,
            cursor: c.text("cursor")?,
            worked: Duration::from_millis(c.unsigned("worked_ms")?),
            started_at: c.time("started_at")?,
            updated_at: c.time("updated_at")?,
            finished_at: c.maybe_time("finished_at")?,
        })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The re-encryption under way in a collection, or the last one.
pub async fn find(conn: &mut Conn, collection: CollectionId) -> Result<Option<ReencryptionRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM reencryptions WHERE collection_id = $1").bind(collection.to_string());
    query.fetch_optional(conn).await?.as_ref().map(ReencryptionRow::read).transpose()
}

/// Every re-encryption that is to be worked on, the oldest first. A row that is damaged costs itself alone.
pub async fn running(conn: &mut Conn) -> Result<Vec<ReencryptionRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM reencryptions WHERE state = 'running' ORDER BY started_at, collection_id")
        .fetch_all(conn)
        .await?;
    Ok(rows.iter().filter_map(|row| ReencryptionRow::read(row).ok()).collect())
}

/// Writes a re-encryption down in place of the collection's last one; false when that one is still under way.
pub async fn begin(conn: &mut Conn, row: &ReencryptionRow) -> Result<bool, StoreError> {
    let text =
        "INSERT INTO reencryptions (collection_id, id, kek_version, record_id, state, throttle, total, total_bytes,
                  done, done_bytes, skipped, damaged, cursor, worked_ms, started_at, updated_at, finished_at)
                VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, 0, 0, 0, 0, '', 0, $8, $8, NULL)
                ON CONFLICT (collection_id) DO UPDATE SET id = excluded.id, kek_version = excluded.kek_version,
                  record_id = excluded.record_id, state = excluded.state, throttle = excluded.throttle,
                  total = excluded.total, total_bytes = excluded.total_bytes, done = 0, done_bytes = 0, skipped = 0,
                  damaged = 0, cursor = '', worked_ms = 0, started_at = excluded.started_at,
                  updated_at = excluded.updated_at, finished_at = NULL
                WHERE reencryptions.state IN ('done', 'cancelled')";
    let (version, record) = match row.what {
        What::ExposedBy(version) => (Some(i64::from(version)), None),
        What::Record(record) => (None, Some(record.to_string())),
    };
    let done = sqlx::query(text)
        .bind(row.collection.to_string())
        .bind(row.id.to_string())
        .bind(version)
        .bind(record)
        .bind(row.throttle.map(bigint).transpose()?)
        .bind(bigint(row.total.records)?)
        .bind(bigint(row.total.bytes)?)
        .bind(row.started_at.as_millis())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Holds a re-encryption until the transaction ends; false when it is paused or over.
pub async fn hold_running(conn: &mut Conn, row: &ReencryptionRow, now: Timestamp) -> Result<bool, StoreError> {
    let text = "UPDATE reencryptions SET updated_at = $1 WHERE collection_id = $2 AND id = $3 AND state = 'running'";
    let done = sqlx::query(text)
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(row.id.to_string())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Advance {
    /// Encrypted anew.
    pub done: Amount,
    /// Needed it no more.
    pub skipped: u64,
    /// Cannot be read.
    pub damaged: u64,
    /// Time since the record before.
    pub worked: Duration,
}

/// Notes what became of the record that `cursor` names. False: it is paused or over, and nothing of it may stay.
pub async fn advance(
    conn: &mut Conn,
    row: &ReencryptionRow,
    cursor: &str,
    by: Advance,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let text = "UPDATE reencryptions SET done = done + $1, done_bytes = done_bytes + $2, skipped = skipped + $3,
                  damaged = damaged + $4, worked_ms = worked_ms + $5, cursor = $6, updated_at = $7
                WHERE collection_id = $8 AND id = $9 AND state = 'running'";
    let done = sqlx::query(text)
        .bind(bigint(by.done.records)?)
        .bind(bigint(by.done.bytes)?)
        .bind(bigint(by.skipped)?)
        .bind(bigint(by.damaged)?)
        .bind(millis(by.worked))
        .bind(cursor.to_owned())
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(row.id.to_string())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves a re-encryption from one of the states `from` to another; false when it is in none of them.
pub async fn step(
    conn: &mut Conn,
    row: &ReencryptionRow,
    from: [ReencryptionState; 2],
    to: ReencryptionState,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let over = matches!(to, ReencryptionState::Done | ReencryptionState::Cancelled);
    let done = sqlx::query(
        "UPDATE reencryptions SET state = $1, updated_at = $2, finished_at = $3
         WHERE collection_id = $4 AND id = $5 AND state IN ($6, $7)",
    )
    .bind(to.as_str())
    .bind(now.as_millis())
    .bind(over.then_some(now.as_millis()))
    .bind(row.collection.to_string())
    .bind(row.id.to_string())
    .bind(from[0].as_str())
    .bind(from[1].as_str())
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Enters a rewrite of a record, in place of one that came to nothing: what that one wrote is garbage from here on.
pub async fn begin_rewrite(
    conn: &mut Conn,
    id: RewriteId,
    record: RecordId,
    of: ReencryptionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO rewrites (record_id, id, reencryption_id) VALUES ($1, $2, $3)
         ON CONFLICT (record_id) DO UPDATE SET id = excluded.id, reencryption_id = excluded.reencryption_id",
    )
    .bind(record.to_string())
    .bind(id.to_string())
    .bind(of.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a rewrite; false when it was ended before, and nothing of it may be registered.
pub async fn end_rewrite(conn: &mut Conn, id: RewriteId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM rewrites WHERE id = $1").bind(id.to_string()).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Ends whatever a re-encryption that is over has left.
pub async fn end_rewrites(conn: &mut Conn, of: ReencryptionId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM rewrites WHERE reencryption_id = $1").bind(of.to_string()).execute(conn).await?;
    Ok(())
}
