//! Figures for those who watch: counted when they are asked for.

use sqlx::Row as _;
use vault_core::keys::lifecycle::Policy;
use vault_core::privacy::policy::CollectionPolicy;

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
    /// Versions of collections' keys by state.
    pub keys: Vec<(String, i64)>,
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
    let keys = sqlx::query("SELECT state, COUNT(*) FROM keks GROUP BY state").fetch_all(&mut *conn).await?;
    let keys = keys.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let keys = keys.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Figures { uploads_open, outbox, unjournalled, garbage, keys })
}

/// How many new keys the active version nearest to its collection's hard ceiling may still wrap.
pub async fn wraps_left(store: &Store) -> Result<i64, StoreError> {
    let mut reader = store.read().await?;
    let text = "SELECT c.policy, k.wraps - k.moved FROM keks AS k JOIN collections AS c ON c.id = k.collection_id
                WHERE k.state = 'active'";
    let rows = sqlx::query(text).fetch_all(reader.conn()).await?;
    let mut left = i64::try_from(Policy::default().hard_ceiling).unwrap_or(i64::MAX);
    for row in rows {
        // A policy that cannot be read is another one's finding.
        let policy = CollectionPolicy::parse(row.try_get::<String, _>(0)?.as_bytes()).map(|policy| policy.key_policy());
        let ceiling = i64::try_from(policy.unwrap_or_default().hard_ceiling).unwrap_or(i64::MAX);
        left = left.min(ceiling.saturating_sub(row.try_get(1)?));
    }
    Ok(left)
}
