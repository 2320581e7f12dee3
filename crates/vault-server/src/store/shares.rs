//! Which processes serve a playback session, and what each says that it served.
//!
//! A process enters its share before it serves a byte, while the session is open; it tells what it served once it serves
//! nothing more of it, and never again. Whoever closes the session reads all shares in the transaction that closes it.
//! Both hold the session's row, so that no share is entered beside a closing that has not seen it.

use vault_core::ids::SessionId;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// What one process has to do with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The process.
    pub instance: String,
    /// What it served, sealed; `None` while it may serve more, or when it ended without a word.
    pub served: Option<Vec<u8>>,
    /// Whether it forgot a part of what it served: it served the session again after it had told.
    pub lost: bool,
}

/// Enters the share of the process that opens a session, in the transaction that enters the session.
pub async fn first(tx: &mut Tx, session: SessionId, instance: &str) -> Result<(), StoreError> {
    enter(tx, session, instance).await
}

/// Enters the share of a process that is about to serve a session. `false` when the session is closed: then its
/// `playback.closed` says what was served, and nothing may be served beyond that.
pub async fn join(store: &Store, session: SessionId, instance: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin("join_session").await?;
    let open = hold_open(&mut tx, session).await?;
    if open {
        enter(&mut tx, session, instance).await?;
    }
    tx.commit().await?;
    Ok(open)
}

/// Holds the row of a session against its closing; whether it is open.
async fn hold_open(tx: &mut Tx, session: SessionId) -> Result<bool, StoreError> {
    let held = sqlx::query("UPDATE sessions SET expires_at = expires_at WHERE id = $1 AND closed_at IS NULL")
        .bind(session.to_string())
        .execute(tx.conn())
        .await?;
    Ok(held.rows_affected() == 1)
}

/// One row for each process, however often it forgets the session and serves it again.
async fn enter(tx: &mut Tx, session: SessionId, instance: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO session_shares (session_id, instance, served, lost) VALUES ($1, $2, NULL, 0)
         ON CONFLICT (session_id, instance) DO UPDATE SET lost = 1",
    )
    .bind(session.to_string())
    .bind(instance.to_owned())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A process tells what it served. It has stopped serving the session before. `false` when the session was closed
/// without it.
pub async fn tell(store: &Store, session: SessionId, instance: &str, served: Vec<u8>) -> Result<bool, StoreError> {
    let mut tx = store.begin("tell_share").await?;
    let told =
        sqlx::query("UPDATE session_shares SET served = $3 WHERE session_id = $1 AND instance = $2 AND served IS NULL")
            .bind(session.to_string())
            .bind(instance.to_owned())
            .bind(served)
            .execute(tx.conn())
            .await?;
    let mut in_time = told.rows_affected() == 1;
    if !in_time && hold_open(&mut tx, session).await? {
        // Told before, by a commit whose answer was lost; or the row is gone, by no act of the vault's.
        sqlx::query(
            "INSERT INTO session_shares (session_id, instance, served, lost) VALUES ($1, $2, NULL, 1)
             ON CONFLICT (session_id, instance) DO NOTHING",
        )
        .bind(session.to_string())
        .bind(instance.to_owned())
        .execute(tx.conn())
        .await?;
        in_time = true;
    }
    tx.commit().await?;
    Ok(in_time)
}

/// How many processes other than `instance` have still to tell. None where one of them has lost what it served: no
/// telling makes good for that.
pub async fn awaited(store: &Store, session: SessionId, instance: &str) -> Result<u64, StoreError> {
    let mut reader = store.read().await?;
    let row = sqlx::query(
        "SELECT COUNT(CASE WHEN served IS NULL AND instance <> $2 THEN 1 END) AS untold,
           COUNT(CASE WHEN lost <> 0 THEN 1 END) AS lost FROM session_shares WHERE session_id = $1",
    )
    .bind(session.to_string())
    .bind(instance.to_owned())
    .fetch_one(reader.conn())
    .await?;
    let row = Columns::of("session_shares", &row);
    Ok(if row.unsigned("lost")? > 0 { 0 } else { row.unsigned("untold")? })
}

/// Takes all shares of a session that the same transaction has closed: the log tells from now on.
pub async fn take(tx: &mut Tx, session: SessionId) -> Result<Vec<Share>, StoreError> {
    let rows = sqlx::query("DELETE FROM session_shares WHERE session_id = $1 RETURNING instance, served, lost")
        .bind(session.to_string())
        .fetch_all(tx.conn())
        .await?;
    let share = |row: &sqlx::any::AnyRow| {
        let row = Columns::of("session_shares", row);
        Ok(Share {
            instance: row.text("instance")?,
            served: row.maybe_bytes("served")?,
            lost: row.number("lost")? != 0,
        })
    };
    rows.iter().map(share).collect()
}
