//! Figures for those who watch: counted when they are asked for.

use sqlx::Row as _;

use super::uploads::UploadState;
use super::{Store, StoreError};

/// What the database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Unfinished uploads, all nodes' together.
    pub uploads_open: i64,
    /// Entries that are committed and not yet in the log.
    pub outbox: i64,
    /// Restrictions in force that the journal does not have yet.
    pub unjournalled: i64,
    /// Names of objects that wait to be deleted.
    pub garbage: i64,
    /// Versions of collections' keys by state, and how often the most used of each state has wrapped.
    pub keys: Vec<(String, i64, i64)>,
}

/// Counts.
pub async fn read(store: &Store) -> Result<Figures, StoreError> {
    let mut reader = store.read().await?;
    let conn = reader.conn();
    let open = sqlx::query("SELECT COUNT(*) FROM uploads WHERE state = $1").bind(UploadState::Open.as_str());
    let uploads_open = open.fetch_one(&mut *conn).await?.try_get(0)?;
    let outbox = sqlx::query("SELECT COUNT(*) FROM log_outbox").fetch_one(&mut *conn).await?.try_get(0)?;
    let unjournalled = sqlx::query("SELECT COUNT(*) FROM restrictions WHERE journalled = 0");
    let unjournalled = unjournalled.fetch_one(&mut *conn).await?.try_get(0)?;
    let garbage = sqlx::query("SELECT COUNT(*) FROM garbage").fetch_one(&mut *conn).await?.try_get(0)?;
    let keys = sqlx::query("SELECT state, COUNT(*), MAX(wraps) FROM keks GROUP BY state").fetch_all(&mut *conn).await?;
    let keys = keys.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    let keys = keys.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Figures { uploads_open, outbox, unjournalled, garbage, keys })
}
