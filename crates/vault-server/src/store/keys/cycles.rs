//! Cycles of keys, and what tells how far one has come.

use core::str::FromStr;

use sqlx::any::AnyRow;
use vault_core::ids::{CollectionId, PersonId};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::{DestructionState, RotationState};
use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

/// Where a cycle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleState {
    /// Under way: one at a time.
    Running,
    /// Ended by somebody.
    Cancelled,
    /// Everything in its scope is gone.
    Done,
}

impl CycleState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

impl FromStr for CycleState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Running, Self::Cancelled, Self::Done].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A cycle as stored. What it says of its scope and of persons is a hint: the log's entries count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleRow {
    /// Its number, counted from 1.
    pub number: u32,
    /// Where it stands.
    pub state: CycleState,
    /// The text of its scope.
    pub scope: String,
    /// At most so many record keys a second in each collection.
    pub throttle: Option<u32>,
    /// Who agreed first.
    pub requested_by: Option<PersonId>,
    /// Who agreed second.
    pub confirmed_by: Option<PersonId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl CycleRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("cycles", row);
        let throttle = c.maybe_number("throttle")?;
        Ok(Self {
            number: c.version("number")?,
            state: c.parsed("state")?,
            scope: c.text("scope")?,
            throttle: throttle.map(|n| u32::try_from(n).map_err(|_| c.damaged("throttle"))).transpose()?,
            requested_by: c.maybe_parsed("requested_by")?,
            confirmed_by: c.maybe_parsed("confirmed_by")?,
            started_at: c.time("started_at")?,
            ended_at: c.maybe_time("ended_at")?,
        })
    }

    /// Enters a cycle that begins, in the place of a row that the log knows nothing of. While another runs:
    /// [`StoreError::Conflict`].
    pub async fn insert(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let text = "INSERT INTO cycles (number, state, scope, throttle, requested_by, started_at)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    ON CONFLICT (number) DO UPDATE SET state = excluded.state, scope = excluded.scope,
                      throttle = excluded.throttle, requested_by = excluded.requested_by, confirmed_by = NULL,
                      started_at = excluded.started_at, ended_at = NULL WHERE cycles.state <> 'running'";
        let done = sqlx::query(text)
            .bind(i64::from(self.number))
            .bind(self.state.as_str())
            .bind(self.scope.clone())
            .bind(self.throttle.map(i64::from))
            .bind(self.requested_by.map(|person| person.to_string()))
            .bind(self.started_at.as_millis())
            .execute(conn)
            .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }
}

/// The cycle under way, or else the last one.
pub async fn last_cycle(conn: &mut Conn) -> Result<Option<CycleRow>, StoreError> {
    let text = "SELECT number, state, scope, throttle, requested_by, confirmed_by, started_at, ended_at FROM cycles
                ORDER BY CASE WHEN state = 'running' THEN 0 ELSE 1 END, number DESC LIMIT 1";
    sqlx::query(text).fetch_optional(conn).await?.as_ref().map(CycleRow::read).transpose()
}

/// The highest number that a row has.
pub async fn highest_cycle(conn: &mut Conn) -> Result<u32, StoreError> {
    let row = sqlx::query("SELECT COALESCE(MAX(number), 0) AS number FROM cycles").fetch_one(conn).await?;
    Columns::of("cycles", &row).version("number")
}

/// Whether a cycle runs; its row is the transaction's until that ends.
pub async fn hold_cycle(conn: &mut Conn, number: u32) -> Result<bool, StoreError> {
    let text = "UPDATE cycles SET state = state WHERE number = $1 AND state = 'running'";
    Ok(sqlx::query(text).bind(i64::from(number)).execute(conn).await?.rows_affected() == 1)
}

/// Notes who agreed first; false when somebody has, or it has ended.
pub async fn request_cycle(conn: &mut Conn, number: u32, by: PersonId) -> Result<bool, StoreError> {
    let text = "UPDATE cycles SET requested_by = $1 WHERE number = $2 AND state = 'running' AND requested_by IS NULL";
    let done = sqlx::query(text).bind(by.to_string()).bind(i64::from(number)).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Notes who agreed second; false when somebody has, or it has ended.
pub async fn confirm_cycle(conn: &mut Conn, number: u32, by: PersonId) -> Result<bool, StoreError> {
    let text = "UPDATE cycles SET confirmed_by = $1 WHERE number = $2 AND state = 'running' AND confirmed_by IS NULL";
    let done = sqlx::query(text).bind(by.to_string()).bind(i64::from(number)).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a cycle; false when it has ended.
pub async fn end_cycle(conn: &mut Conn, number: u32, state: CycleState, now: Timestamp) -> Result<bool, StoreError> {
    let text = "UPDATE cycles SET state = $1, ended_at = $2 WHERE number = $3 AND state = 'running'";
    let done =
        sqlx::query(text).bind(state.as_str()).bind(now.as_millis()).bind(i64::from(number)).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// A version of a collection's key, and what keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KekNow {
    /// Which.
    pub kek: KekRef,
    /// Its state.
    pub state: KeyState,
    /// The root epoch that wraps it, or did last.
    pub root_epoch: u32,
    /// Whether it wraps a record's key or one of the collection's own.
    pub holds: bool,
}

/// Every version of every collection's key, the vault's own included.
pub async fn keks_now(conn: &mut Conn) -> Result<Vec<KekNow>, StoreError> {
    // What a destroyed version claims to hold is another one's finding, and nobody looks for it here.
    let text = "SELECT collection_id, version, state, root_epoch,
                  CAST(CASE WHEN state <> 'destroyed' AND (
                    EXISTS (SELECT 1 FROM records AS r WHERE r.collection_id = k.collection_id
                      AND r.kek_version = k.version AND r.wrap IS NOT NULL)
                    OR EXISTS (SELECT 1 FROM kek_children AS c WHERE c.collection_id = k.collection_id
                      AND c.kek_version = k.version)) THEN 1 ELSE 0 END AS BIGINT) AS holds
                FROM keks AS k ORDER BY collection_id, version";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("keks", row);
            Ok(KekNow {
                kek: KekRef { collection: c.parsed("collection_id")?, version: c.version("version")? },
                state: KeyState::from_name(&c.text("state")?).ok_or_else(|| c.damaged("state"))?,
                root_epoch: c.version("root_epoch")?,
                holds: c.number("holds")? != 0,
            })
        })
        .collect()
}

/// Collections that there are, and that have keys.
pub async fn collections_there(conn: &mut Conn) -> Result<Vec<CollectionId>, StoreError> {
    let text = "SELECT id FROM collections WHERE EXISTS (SELECT 1 FROM keks WHERE keks.collection_id = collections.id)";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter().map(|row| Columns::of("collections", row).parsed("id")).collect()
}

/// Every rotation that is under way or paused.
pub async fn rotations_open(conn: &mut Conn) -> Result<Vec<(CollectionId, RotationState)>, StoreError> {
    let rows = sqlx::query("SELECT collection_id, state FROM rotations WHERE state <> 'done'").fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("rotations", row);
            Ok((c.parsed("collection_id")?, c.parsed("state")?))
        })
        .collect()
}

/// The destructions of versions that are pending, or that ended without destroying, with their ids as text.
pub async fn kek_destructions(conn: &mut Conn) -> Result<Vec<(KekRef, String, DestructionState)>, StoreError> {
    let text = "SELECT id, collection_id, version, state FROM destructions WHERE kind = 'kek' AND state <> 'done'";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("destructions", row);
            let kek = KekRef { collection: c.parsed("collection_id")?, version: c.version("version")? };
            Ok((kek, c.text("id")?, c.parsed("state")?))
        })
        .collect()
}
