//! Root epochs as the database knows them, what they wrap beside KEKs, and what hangs on resume keys.

use sqlx::any::AnyRow;
use vault_core::audit::succession;
use vault_core::ids::ResumeKeyId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::time::Timestamp;

use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

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
                (SELECT root_epoch FROM keks WHERE state <> 'destroyed' UNION ALL SELECT root_epoch FROM log_keys
                  WHERE state <> 'destroyed') AS w
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
    /// When it was made.
    pub created_at: Timestamp,
}

/// The key in force of the log that was first called `base`: its own, or its last successor's.
pub async fn log_key(conn: &mut Conn, base: &str) -> Result<Option<LogKeyRow>, StoreError> {
    let rows =
        sqlx::query("SELECT name, root_epoch, wrap, public_key, created_at FROM log_keys WHERE state = 'active'")
            .fetch_all(conn)
            .await?;
    let keys = rows.iter().map(read_log_key).collect::<Result<Vec<_>, _>>()?;
    let of_this = |key: &LogKeyRow| succession::origin(base, succession::generation(&key.name)) == key.name;
    let mut keys = keys.into_iter().filter(of_this);
    match (keys.next(), keys.next()) {
        (key, None) => Ok(key),
        _ => Err(StoreError::Corrupt { table: "log_keys", what: "two keys in force" }),
    }
}

/// Ends a log key: its wrap goes, and its public half stays, for those who verify. False when it was not in force.
pub async fn end_log_key(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    let text = "UPDATE log_keys SET state = 'destroyed', wrap = $2 WHERE name = $1 AND state = 'active'";
    let done = sqlx::query(text).bind(name.to_owned()).bind(Vec::<u8>::new()).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the log key with this public half has ended.
pub async fn log_key_has_ended(conn: &mut Conn, public_key: &str) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM log_keys WHERE public_key = $1 AND state = 'destroyed'";
    Ok(sqlx::query(text).bind(public_key.to_owned()).fetch_optional(conn).await?.is_some())
}

fn read_log_key(row: &AnyRow) -> Result<LogKeyRow, StoreError> {
    let columns = Columns::of("log_keys", row);
    Ok(LogKeyRow {
        name: columns.text("name")?,
        root_epoch: columns.version("root_epoch")?,
        wrap: columns.bytes("wrap")?,
        public_key: columns.text("public_key")?,
        created_at: columns.time("created_at")?,
    })
}

/// Enters a log key.
pub async fn insert_log_key(conn: &mut Conn, key: &LogKeyRow) -> Result<(), StoreError> {
    let text = "INSERT INTO log_keys (name, root_epoch, wrap, public_key, state, created_at)
                VALUES ($1, $2, $3, $4, 'active', $5)";
    sqlx::query(text)
        .bind(key.name.clone())
        .bind(i64::from(key.root_epoch))
        .bind(key.wrap.clone())
        .bind(key.public_key.clone())
        .bind(key.created_at.as_millis())
        .execute(conn)
        .await?;
    Ok(())
}

/// Every log key under `epoch`.
pub async fn log_keys_under(conn: &mut Conn, epoch: u32) -> Result<Vec<LogKeyRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, root_epoch, wrap, public_key, created_at FROM log_keys
                            WHERE root_epoch = $1 AND state <> 'destroyed'",
    )
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
