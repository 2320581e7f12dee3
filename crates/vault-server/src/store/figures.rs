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

/// A version's hard ceiling, and how many new keys it may still wrap under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// New keys left.
    pub left: i64,
    /// New keys in all.
    pub ceiling: i64,
}

impl Ceiling {
    /// Of a version that has wrapped so many.
    fn of(policy: Policy, wrapped: i64) -> Self {
        let ceiling = i64::try_from(policy.hard_ceiling).unwrap_or(i64::MAX);
        Self { left: ceiling.saturating_sub(wrapped), ceiling }
    }

    /// Nearer by the share of its ceiling that is left: policies set different ones.
    fn nearer(self, other: Self) -> Self {
        let share = |of: Self, by: Self| i128::from(of.left) * i128::from(by.ceiling);
        if share(self, other) <= share(other, self) { self } else { other }
    }
}

/// The active version of which the smallest share of its collection's hard ceiling is left.
pub async fn nearest_ceiling(store: &Store) -> Result<Ceiling, StoreError> {
    let mut reader = store.read().await?;
    let text = "SELECT c.policy, k.wraps - k.moved FROM keks AS k JOIN collections AS c ON c.id = k.collection_id
                WHERE k.state = 'active'";
    let rows = sqlx::query(text).fetch_all(reader.conn()).await?;
    let mut nearest = Ceiling::of(Policy::default(), 0);
    for row in rows {
        // A policy that cannot be read is another one's finding.
        let policy = CollectionPolicy::parse(row.try_get::<String, _>(0)?.as_bytes()).map(|policy| policy.key_policy());
        nearest = nearest.nearer(Ceiling::of(policy.unwrap_or_default(), row.try_get(1)?));
    }
    Ok(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_ceiling_is_the_one_with_the_smallest_share_left() {
        let under = |hard_ceiling, wrapped| Ceiling::of(Policy { hard_ceiling, ..Policy::default() }, wrapped);
        // 4,999,000 keys left are less of eight millions than 900 of a thousand.
        let (large, small) = (under(8_000_000, 3_001_000), under(1_000, 100));
        assert_eq!((large.nearer(small), small.nearer(large)), (large, large));
        let spent = under(1_000, 999);
        assert_eq!((large.nearer(spent), spent.nearer(large)), (spent, spent));
        assert_eq!(spent, Ceiling { left: 1, ceiling: 1_000 });
        assert_eq!(under(u64::MAX, 7).ceiling, i64::MAX);
    }
}
