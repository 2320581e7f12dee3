//! KEK versions: their states, their uses, and the guard against one being retired while it wraps.

use sqlx::any::AnyRow;
use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::{KeyState, KeyVersion};
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use crate::store::row::{Columns, bigint};
use crate::store::{Conn, StoreError};

/// A KEK version as stored.
#[derive(Clone, Debug)]
pub struct KekRow {
    /// Its number.
    pub version: u32,
    /// The root epoch that wraps it.
    pub root_epoch: u32,
    /// The wrap.
    pub wrap: Vec<u8>,
    /// Its state.
    pub state: KeyState,
    /// How often it has wrapped, ever.
    pub wraps: u64,
    /// How many of those were of keys that another version had wrapped before.
    pub moved: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it became active.
    pub activated_at: Option<Timestamp>,
    /// When it stopped being active.
    pub deactivated_at: Option<Timestamp>,
}

impl KekRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let columns = Columns::of("keks", row);
        let state = columns.text("state")?;
        Ok(Self {
            version: columns.version("version")?,
            root_epoch: columns.version("root_epoch")?,
            wrap: columns.bytes("wrap")?,
            state: KeyState::from_name(&state).ok_or_else(|| columns.damaged("state"))?,
            wraps: columns.unsigned("wraps")?,
            moved: columns.unsigned("moved")?,
            created_at: columns.time("created_at")?,
            activated_at: columns.maybe_time("activated_at")?,
            deactivated_at: columns.maybe_time("deactivated_at")?,
        })
    }

    /// What the planner needs of it.
    #[must_use]
    pub fn planned(&self, holds: u64) -> KeyVersion {
        KeyVersion {
            version: self.version,
            state: self.state,
            activated_at: self.activated_at,
            deactivated_at: self.deactivated_at,
            wraps: self.wraps,
            moved: self.moved,
            holds,
        }
    }
}

/// Enters a fresh version, pre-active and unused.
pub async fn insert_kek(
    conn: &mut Conn,
    kek: KekRef,
    root_epoch: u32,
    wrap: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = "INSERT INTO keks (collection_id, version, root_epoch, wrap, state, wraps, moved, created_at)
                VALUES ($1, $2, $3, $4, $5, 0, 0, $6)";
    sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(i64::from(root_epoch))
        .bind(wrap.to_vec())
        .bind(KeyState::PreActive.as_str())
        .bind(now.as_millis())
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves a version on from the state it is known to be in; false when it is not in that state any more.
pub async fn step_kek(
    conn: &mut Conn,
    kek: KekRef,
    from: KeyState,
    to: KeyState,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let text = match to {
        KeyState::Active => {
            "UPDATE keks SET state = $1, activated_at = $2 WHERE collection_id = $3 AND version = $4 AND state = $5"
        }
        _ => {
            "UPDATE keks SET state = $1, deactivated_at = COALESCE(deactivated_at, $2)
             WHERE collection_id = $3 AND version = $4 AND state = $5"
        }
    };
    let done = sqlx::query(text)
        .bind(to.as_str())
        .bind(now.as_millis())
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(from.as_str())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// How often the active version is looked for. A statement that waited for a rotation's row finds the old version
/// retired and does not see the new one, which was not active when it began; the next statement does.
const TRIES: usize = 3;

/// A use of the active version, counted.
#[derive(Debug)]
pub struct Counted {
    /// Which version it is.
    pub version: u32,
    /// Its wrap.
    pub wrap: Vec<u8>,
    /// How many new keys it has wrapped, these included.
    pub fresh: u64,
}

/// Counts `uses` wraps of new keys by the active version and answers which it is. `None`: no version is active, or the
/// active one has reached `ceiling`. In the caller's transaction this is also the guard against the version being
/// retired meanwhile.
pub async fn count_uses(
    conn: &mut Conn,
    collection: CollectionId,
    uses: u64,
    ceiling: u64,
) -> Result<Option<Counted>, StoreError> {
    let text = "UPDATE keks SET wraps = wraps + $1
                WHERE collection_id = $2 AND state = 'active' AND wraps - moved + $1 <= $3
                RETURNING version, wrap, wraps - moved AS fresh";
    for _ in 0..TRIES {
        let row = sqlx::query(text)
            .bind(bigint(uses)?)
            .bind(collection.to_string())
            // A ceiling that no counter reaches is none.
            .bind(i64::try_from(ceiling).unwrap_or(i64::MAX))
            .fetch_optional(&mut *conn)
            .await?;
        if let Some(row) = row {
            let columns = Columns::of("keks", &row);
            let (version, fresh) = (columns.version("version")?, columns.unsigned("fresh")?);
            return Ok(Some(Counted { version, wrap: columns.bytes("wrap")?, fresh }));
        }
    }
    Ok(None)
}

/// Counts `uses` wraps that `kek` made of keys which another version held before; false when it is not the active one any
/// more, and nothing it wrapped may stay. No ceiling: there is no other place for these keys.
pub async fn count_moved(conn: &mut Conn, kek: KekRef, uses: u64) -> Result<bool, StoreError> {
    let text = "UPDATE keks SET wraps = wraps + $1, moved = moved + $1
                WHERE collection_id = $2 AND version = $3 AND state = 'active'";
    let done = sqlx::query(text)
        .bind(bigint(uses)?)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The state of the version that is active, if one is: to tell a used-up key from a missing one.
pub async fn active(conn: &mut Conn, collection: CollectionId) -> Result<Option<u32>, StoreError> {
    let row = sqlx::query("SELECT version FROM keks WHERE collection_id = $1 AND state = 'active'")
        .bind(collection.to_string())
        .fetch_optional(conn)
        .await?;
    row.map(|row| Columns::of("keks", &row).version("version")).transpose()
}

/// One version.
pub async fn kek(conn: &mut Conn, kek: KekRef) -> Result<Option<KekRow>, StoreError> {
    let text = "SELECT version, root_epoch, wrap, state, wraps, moved, created_at, activated_at, deactivated_at
                FROM keks WHERE collection_id = $1 AND version = $2";
    let row =
        sqlx::query(text).bind(kek.collection.to_string()).bind(i64::from(kek.version)).fetch_optional(conn).await?;
    row.as_ref().map(KekRow::read).transpose()
}

/// All versions of a collection, oldest first.
pub async fn keks(conn: &mut Conn, collection: CollectionId) -> Result<Vec<KekRow>, StoreError> {
    let text = "SELECT version, root_epoch, wrap, state, wraps, moved, created_at, activated_at, deactivated_at
                FROM keks WHERE collection_id = $1 ORDER BY version";
    let rows = sqlx::query(text).bind(collection.to_string()).fetch_all(conn).await?;
    rows.iter().map(KekRow::read).collect()
}

/// Every version of every collection that `epoch` wraps.
pub async fn keks_under(conn: &mut Conn, epoch: u32) -> Result<Vec<(KekRef, Vec<u8>)>, StoreError> {
    let text = "SELECT collection_id, version, wrap FROM keks WHERE root_epoch = $1 AND state <> 'destroyed'";
    let rows = sqlx::query(text).bind(i64::from(epoch)).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("keks", row);
            let kek = KekRef { collection: columns.parsed("collection_id")?, version: columns.version("version")? };
            Ok((kek, columns.bytes("wrap")?))
        })
        .collect()
}

/// Replaces a version's wrap when it moves to another root epoch.
pub async fn move_kek(conn: &mut Conn, kek: KekRef, epoch: u32, wrap: &[u8]) -> Result<(), StoreError> {
    sqlx::query("UPDATE keks SET wrap = $1, root_epoch = $2 WHERE collection_id = $3 AND version = $4")
        .bind(wrap.to_vec())
        .bind(i64::from(epoch))
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .execute(conn)
        .await?;
    Ok(())
}
