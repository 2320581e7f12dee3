//! Rotations: one row for each collection, of the one under way or the last one.
//!
//! Whoever changes a row compares the version moved to, so that nothing meant for one rotation befalls the next.

use core::str::FromStr;
use core::time::Duration;

use sqlx::any::AnyRow;
use vault_core::ids::CollectionId;
use vault_core::time::Timestamp;

use crate::store::row::{Columns, bigint};
use crate::store::{Conn, StoreError};

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationState {
    /// Record keys are being moved.
    Running,
    /// Somebody has stopped it for a while.
    Paused,
    /// Every record key that opens is moved.
    Done,
}

impl RotationState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
        }
    }
}

impl FromStr for RotationState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Running, Self::Paused, Self::Done].into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// A rotation as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// Whose.
    pub collection: CollectionId,
    /// The version that was active before.
    pub from: u32,
    /// The version that is active now.
    pub to: u32,
    /// Where it stands.
    pub state: RotationState,
    /// The planner's reason, by its name in the log.
    pub because: String,
    /// Higher goes first.
    pub priority: u32,
    /// At most so many record keys a second.
    pub throttle: Option<u32>,
    /// Record keys there were to move.
    pub total: u64,
    /// Record keys moved so far.
    pub done: u64,
    /// Record keys whose wrap does not open.
    pub damaged: u64,
    /// How long it was worked on.
    pub worked: Duration,
    /// When it began.
    pub started_at: Timestamp,
    /// When something last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT collection_id, from_version, to_version, state, because, priority, throttle, total, done, damaged,
               worked_ms, started_at, updated_at, finished_at FROM rotations ",
            $rest
        )
    };
}

impl RotationRow {
    /// Whether it has come to its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == RotationState::Done
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let columns = Columns::of("rotations", row);
        Ok(Self {
            collection: columns.parsed("collection_id")?,
            from: columns.version("from_version")?,
            to: columns.version("to_version")?,
            state: columns.parsed("state")?,
            because: columns.text("because")?,
            priority: columns.version("priority")?,
            throttle: throttle(&columns)?,
            total: columns.unsigned("total")?,
            done: columns.unsigned("done")?,
            damaged: columns.unsigned("damaged")?,
            worked: Duration::from_millis(columns.unsigned("worked_ms")?),
            started_at: columns.time("started_at")?,
            updated_at: columns.time("updated_at")?,
            finished_at: columns.maybe_time("finished_at")?,
        })
    }
}

fn throttle(columns: &Columns<'_>) -> Result<Option<u32>, StoreError> {
    let number = columns.maybe_number("throttle")?;
    number.map(|n| u32::try_from(n).map_err(|_| columns.damaged("throttle"))).transpose()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The rotation under way in a collection, or the last one.
pub async fn rotation(conn: &mut Conn, collection: CollectionId) -> Result<Option<RotationRow>, StoreError> {
    let query = sqlx::query(select!("WHERE collection_id = $1")).bind(collection.to_string());
    query.fetch_optional(conn).await?.as_ref().map(RotationRow::read).transpose()
}

/// Every rotation that is to be worked on, those that are to go first at the front.
pub async fn rotations_running(conn: &mut Conn) -> Result<Vec<RotationRow>, StoreError> {
    let text = select!("WHERE state = 'running' ORDER BY priority DESC, started_at, collection_id");
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter().map(RotationRow::read).collect()
}

/// Writes a rotation down, in place of the collection's last one.
pub async fn put_rotation(conn: &mut Conn, row: &RotationRow) -> Result<(), StoreError> {
    let text =
        "INSERT INTO rotations (collection_id, from_version, to_version, state, because, priority, throttle, total,
                  done, damaged, worked_ms, started_at, updated_at, finished_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                ON CONFLICT (collection_id) DO UPDATE SET from_version = excluded.from_version,
                  to_version = excluded.to_version, state = excluded.state, because = excluded.because,
                  priority = excluded.priority, throttle = excluded.throttle, total = excluded.total,
                  done = excluded.done, damaged = excluded.damaged, worked_ms = excluded.worked_ms,
                  started_at = excluded.started_at, updated_at = excluded.updated_at,
                  finished_at = excluded.finished_at";
    sqlx::query(text)
        .bind(row.collection.to_string())
        .bind(i64::from(row.from))
        .bind(i64::from(row.to))
        .bind(row.state.as_str())
        .bind(row.because.clone())
        .bind(i64::from(row.priority))
        .bind(row.throttle.map(i64::from))
        .bind(bigint(row.total)?)
        .bind(bigint(row.done)?)
        .bind(bigint(row.damaged)?)
        .bind(millis(row.worked))
        .bind(row.started_at.as_millis())
        .bind(row.updated_at.as_millis())
        .bind(row.finished_at.map(Timestamp::as_millis))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that somebody begins, or goes on, to work on the rotation, with so many record keys to move: those that do not
/// open are counted anew. False when it is not running any more.
pub async fn begin_work(conn: &mut Conn, row: &RotationRow, left: u64, now: Timestamp) -> Result<bool, StoreError> {
    let text = "UPDATE rotations SET total = done + $1, damaged = 0, updated_at = $2
                WHERE collection_id = $3 AND to_version = $4 AND state = 'running'";
    let done = sqlx::query(text)
        .bind(bigint(left)?)
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What one batch did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Advance {
    /// Record keys moved.
    pub moved: u64,
    /// Record keys found that do not open.
    pub damaged: u64,
    /// Time since the batch before.
    pub worked: Duration,
}

/// Notes what a batch of the rotation to `row.to` did, and answers its throttle. `None`: it is paused, has ended, or another has
/// begun, and nothing of the batch may stay.
pub async fn advance_rotation(
    conn: &mut Conn,
    row: &RotationRow,
    by: Advance,
    now: Timestamp,
) -> Result<Option<Option<u32>>, StoreError> {
    let text = "UPDATE rotations SET done = done + $1, damaged = damaged + $2, worked_ms = worked_ms + $3,
                  updated_at = $4
                WHERE collection_id = $5 AND to_version = $6 AND state = 'running' RETURNING throttle";
    let found = sqlx::query(text)
        .bind(bigint(by.moved)?)
        .bind(bigint(by.damaged)?)
        .bind(millis(by.worked))
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .fetch_optional(conn)
        .await?;
    found.map(|found| throttle(&Columns::of("rotations", &found))).transpose()
}

/// Ends the rotation to `row.to` and answers it as it ended; `None` when it is not running any more.
pub async fn finish_rotation(
    conn: &mut Conn,
    row: &RotationRow,
    now: Timestamp,
) -> Result<Option<RotationRow>, StoreError> {
    // What was erased meanwhile needed no move.
    let text = "UPDATE rotations SET state = 'done', total = done + damaged, finished_at = $1, updated_at = $1
                WHERE collection_id = $2 AND to_version = $3 AND state = 'running'
                RETURNING collection_id, from_version, to_version, state, because, priority, throttle, total, done, damaged,
                  worked_ms, started_at, updated_at, finished_at";
    let found = sqlx::query(text)
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(RotationRow::read).transpose()
}

/// Pauses the rotation to `row.to`, or lets it go on; false when it is not in the other of the two states.
pub async fn pause_rotation(
    conn: &mut Conn,
    row: &RotationRow,
    pause: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (from, to) = match pause {
        true => (RotationState::Running, RotationState::Paused),
        false => (RotationState::Paused, RotationState::Running),
    };
    let text = "UPDATE rotations SET state = $1, updated_at = $2
                WHERE collection_id = $3 AND to_version = $4 AND state = $5";
    let done = sqlx::query(text)
        .bind(to.as_str())
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .bind(from.as_str())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets how fast the rotation to `row.to` may go; false when it has ended.
pub async fn throttle_rotation(
    conn: &mut Conn,
    row: &RotationRow,
    throttle: Option<u32>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let text = "UPDATE rotations SET throttle = $1, updated_at = $2
                WHERE collection_id = $3 AND to_version = $4 AND state <> 'done'";
    let done = sqlx::query(text)
        .bind(throttle.map(i64::from))
        .bind(now.as_millis())
        .bind(row.collection.to_string())
        .bind(i64::from(row.to))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
