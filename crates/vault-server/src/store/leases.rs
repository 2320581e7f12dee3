//! Fenced leases: rows that say which node may do a job now.
//!
//! A lease saves work; it proves nothing by itself, since its holder may sleep past `until`. Whoever
//! writes under a lease compares the fence in the same transaction ([`Lease::check`]).

use core::time::Duration;

use sqlx::Row;
use vault_core::time::Timestamp;

use super::{Store, StoreError, Tx};

/// A lease held by this node.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    name: &'static str,
    fence: i64,
}

impl Lease {
    /// Takes the lease, or extends it for its holder. `None` while another holds it.
    pub async fn take(
        store: &Store,
        name: &'static str,
        holder: &str,
        now: Timestamp,
        for_: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let mut tx = store.begin("take_lease").await?;
        let row = sqlx::query(
            "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
               fence = CASE WHEN leases.holder = excluded.holder THEN leases.fence ELSE leases.fence + 1 END,
               holder = excluded.holder, until = excluded.until
             WHERE leases.holder = excluded.holder OR leases.until < $4
             RETURNING fence",
        )
        .bind(name)
        .bind(holder)
        .bind(now.plus(for_).as_millis())
        .bind(now.as_millis())
        .fetch_optional(tx.conn())
        .await?;
        let lease = match row {
            Some(row) => Some(Self { name, fence: row.try_get(0)? }),
            None => None,
        };
        tx.commit().await?;
        Ok(lease)
    }

    /// Whether this lease is still the latest, seen inside the transaction that relies on it.
    pub async fn check(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        // An update that changes nothing: until this transaction ends nobody takes the lease.
        let held = sqlx::query("UPDATE leases SET fence = fence WHERE name = $1 AND fence = $2")
            .bind(self.name)
            .bind(self.fence)
            .execute(tx.conn())
            .await?;
        Ok(held.rows_affected() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_holder_waits_and_the_first_is_fenced_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(dir.path()).await;
        let t0 = Timestamp::from_millis(1_000_000);
        let ten = Duration::from_secs(10);
        let a = Lease::take(&store, "collector", "a", t0, ten).await.unwrap().unwrap();
        assert_eq!(Lease::take(&store, "collector", "b", t0, ten).await.unwrap(), None);
        assert_eq!(Lease::take(&store, "collector", "a", t0, ten).await.unwrap().unwrap(), a);
        let later = t0.plus(Duration::from_secs(11));
        let b = Lease::take(&store, "collector", "b", later, ten).await.unwrap().unwrap();
        let mut tx = store.begin("test").await.unwrap();
        assert!(!a.check(&mut tx).await.unwrap());
        assert!(b.check(&mut tx).await.unwrap());
    }
}
