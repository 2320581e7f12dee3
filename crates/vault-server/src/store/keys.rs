//! Rows of keys: KEK versions, their children, root epochs, log keys, rotations. Wraps go in and out as bytes; what is
//! in them is custody's.

use sqlx::any::AnyRow;
use vault_core::ids::{CollectionId, RecordId, ResumeKeyId};
use vault_core::keys::lifecycle::{KeyState, KeyVersion};
use vault_core::keys::wrap::{ChildKind, KekRef};
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::{Conn, StoreError};

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
    let text = "INSERT INTO keks (collection_id, version, root_epoch, wrap, state, wraps, created_at)
                VALUES ($1, $2, $3, $4, $5, 0, $6)";
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

/// Counts `uses` wraps of the active version and answers which it is, with its wrap. `None`: no version is active, or
/// the active one has reached `ceiling`. In the caller's transaction this is also the guard against the version being
/// retired meanwhile.
pub async fn count_uses(
    conn: &mut Conn,
    collection: CollectionId,
    uses: u64,
    ceiling: u64,
) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
    let text = "UPDATE keks SET wraps = wraps + $1 WHERE collection_id = $2 AND state = 'active' AND wraps + $1 <= $3
                RETURNING version, wrap";
    for _ in 0..TRIES {
        let row = sqlx::query(text)
            .bind(bigint(uses)?)
            .bind(collection.to_string())
            .bind(bigint(ceiling)?)
            .fetch_optional(&mut *conn)
            .await?;
        if let Some(row) = row {
            let columns = Columns::of("keks", &row);
            return Ok(Some((columns.version("version")?, columns.bytes("wrap")?)));
        }
    }
    Ok(None)
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
    let text = "SELECT version, root_epoch, wrap, state, wraps, created_at, activated_at, deactivated_at
                FROM keks WHERE collection_id = $1 AND version = $2";
    let row =
        sqlx::query(text).bind(kek.collection.to_string()).bind(i64::from(kek.version)).fetch_optional(conn).await?;
    row.as_ref().map(KekRow::read).transpose()
}

/// All versions of a collection, oldest first.
pub async fn keks(conn: &mut Conn, collection: CollectionId) -> Result<Vec<KekRow>, StoreError> {
    let text = "SELECT version, root_epoch, wrap, state, wraps, created_at, activated_at, deactivated_at
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

/// Enters a root epoch, or its new state.
pub async fn put_epoch(conn: &mut Conn, epoch: u32, state: KeyState, created_at: Timestamp) -> Result<(), StoreError> {
    let text = "INSERT INTO root_epochs (epoch, state, created_at) VALUES ($1, $2, $3)
                ON CONFLICT (epoch) DO UPDATE SET state = excluded.state";
    sqlx::query(text).bind(i64::from(epoch)).bind(state.as_str()).bind(created_at.as_millis()).execute(conn).await?;
    Ok(())
}

/// How many wraps each root epoch holds: KEK versions and log keys.
pub async fn held_by_epochs(conn: &mut Conn) -> Result<Vec<(u32, u64)>, StoreError> {
    let text = "SELECT root_epoch, COUNT(*) AS held FROM
                (SELECT root_epoch FROM keks WHERE state <> 'destroyed' UNION ALL SELECT root_epoch FROM log_keys) AS w
                GROUP BY root_epoch";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("keks", row);
            Ok((columns.version("root_epoch")?, columns.unsigned("held")?))
        })
        .collect()
}

/// A log's signing key as stored.
#[derive(Clone, Debug)]
pub struct LogKeyRow {
    /// The name in its verifier key.
    pub name: String,
    /// The root epoch that wraps it.
    pub root_epoch: u32,
    /// The wrap.
    pub wrap: Vec<u8>,
    /// The verifier key, `name+hash+base64`.
    pub public_key: String,
}

/// The log key called `name`.
pub async fn log_key(conn: &mut Conn, name: &str) -> Result<Option<LogKeyRow>, StoreError> {
    let row = sqlx::query("SELECT name, root_epoch, wrap, public_key FROM log_keys WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read_log_key).transpose()
}

fn read_log_key(row: &AnyRow) -> Result<LogKeyRow, StoreError> {
    let columns = Columns::of("log_keys", row);
    Ok(LogKeyRow {
        name: columns.text("name")?,
        root_epoch: columns.version("root_epoch")?,
        wrap: columns.bytes("wrap")?,
        public_key: columns.text("public_key")?,
    })
}

/// Enters a log key.
pub async fn insert_log_key(conn: &mut Conn, key: &LogKeyRow, now: Timestamp) -> Result<(), StoreError> {
    let text = "INSERT INTO log_keys (name, root_epoch, wrap, public_key, state, created_at)
                VALUES ($1, $2, $3, $4, 'active', $5)";
    sqlx::query(text)
        .bind(key.name.clone())
        .bind(i64::from(key.root_epoch))
        .bind(key.wrap.clone())
        .bind(key.public_key.clone())
        .bind(now.as_millis())
        .execute(conn)
        .await?;
    Ok(())
}

/// Every log key under `epoch`.
pub async fn log_keys_under(conn: &mut Conn, epoch: u32) -> Result<Vec<LogKeyRow>, StoreError> {
    let rows = sqlx::query("SELECT name, root_epoch, wrap, public_key FROM log_keys WHERE root_epoch = $1")
        .bind(i64::from(epoch))
        .fetch_all(conn)
        .await?;
    rows.iter().map(read_log_key).collect()
}

/// Replaces a log key's wrap when it moves to another root epoch.
pub async fn move_log_key(conn: &mut Conn, name: &str, epoch: u32, wrap: &[u8]) -> Result<(), StoreError> {
    sqlx::query("UPDATE log_keys SET wrap = $1, root_epoch = $2 WHERE name = $3")
        .bind(wrap.to_vec())
        .bind(i64::from(epoch))
        .bind(name.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// How many uploads under way still hang on a resume key.
pub async fn uploads_under(conn: &mut Conn, resume_key: ResumeKeyId) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS held FROM uploads WHERE resume_key = $1 AND wrap IS NOT NULL")
        .bind(resume_key.to_string())
        .fetch_one(conn)
        .await?;
    Columns::of("uploads", &row).unsigned("held")
}

/// What the vault knows of itself under `name`.
pub async fn meta(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1").bind(name.to_owned()).fetch_optional(conn).await?;
    row.map(|row| Columns::of("meta", &row).text("value")).transpose()
}

/// Enters what the vault knows of itself; never changed afterwards.
pub async fn insert_meta(conn: &mut Conn, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
        .bind(name.to_owned())
        .bind(value.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}
