//! Fenced leases: rows that say which node may do a job now.
//!
//! A lease saves work; it proves nothing by itself, since its holder may sleep past `until`. Whoever
//! writes under a lease compares the fence in the same transaction ([`Lease::check`]).
//!
//! Two ways to take one. [`Lease::take`] compares clocks: good enough where a wrong clock costs a round of work. Where it
//! would cost an outage, a candidate watches the row ([`Lease::standing`]) by its own monotonic time and takes it
//! ([`Lease::seize`]) when it has not changed for a term: no clock of another node is asked.

use core::time::Duration;
use std::borrow::Cow;

use sqlx::Row;
use vault_core::time::Timestamp;

use super::{Store, StoreError, Tx};

/// The row of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who took it last.
    pub holder: String,
    /// Rises each time it changes hands.
    pub fence: i64,
    /// Rises with each renewal; 0 once it was given back.
    pub until: i64,
}

/// A lease held by this node.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    name: Cow<'static, str>,
    fence: i64,
}

impl Lease {
    /// Takes the lease, or extends it for its holder. `None` while another holds it.
    pub async fn take(
        store: &Store,
        name: impl Into<Cow<'static, str>>,
        holder: &str,
        now: Timestamp,
        for_: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let name = name.into();
        let mut tx = store.begin("take_lease").await?;
        let row = sqlx::query(
            "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
               fence = CASE WHEN leases.holder = excluded.holder THEN leases.fence ELSE leases.fence + 1 END,
               holder = excluded.holder, until = excluded.until
             WHERE leases.holder = excluded.holder OR leases.until < $4
             RETURNING fence",
        )
        .bind(&*name)
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

    /// A lease as it stands; none before it was first taken.
    pub async fn standing(store: &Store, name: &str) -> Result<Option<Standing>, StoreError> {
        let mut reader = store.read().await?;
        let row = sqlx::query("SELECT holder, fence, until FROM leases WHERE name = $1")
            .bind(name)
            .fetch_optional(reader.conn())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Standing { holder: row.try_get(0)?, fence: row.try_get(1)?, until: row.try_get(2)? }))
    }

    /// Takes a lease that stands as it was `seen`. `None` when it has changed since: somebody else was first, or its
    /// holder lives.
    pub async fn seize(
        store: &Store,
        name: impl Into<Cow<'static, str>>,
        holder: &str,
        seen: Option<&Standing>,
        until: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let name = name.into();
        let mut tx = store.begin("seize_lease").await?;
        let (fence, done) = match seen {
            None => {
                let text = "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3)
                            ON CONFLICT (name) DO NOTHING";
                (1, sqlx::query(text).bind(&*name).bind(holder).bind(until.as_millis()).execute(tx.conn()).await?)
            }
            Some(seen) => {
                let text = "UPDATE leases SET holder = $2, fence = fence + 1, until = $3
                            WHERE name = $1 AND fence = $4 AND until = $5";
                let query = sqlx::query(text).bind(&*name).bind(holder).bind(until.as_millis());
                (seen.fence + 1, query.bind(seen.fence).bind(seen.until).execute(tx.conn()).await?)
            }
        };
        tx.commit().await?;
        Ok((done.rows_affected() == 1).then_some(Self { name, fence }))
    }

    /// The fence under which this node holds it.
    #[must_use]
    pub const fn fence(&self) -> i64 {
        self.fence
    }

    /// Renews it: whoever watches the row sees it change. False when it has been lost.
    pub async fn renew(&self, store: &Store, until: Timestamp) -> Result<bool, StoreError> {
        let mut tx = store.begin("renew_lease").await?;
        let text = "UPDATE leases SET until = CASE WHEN until >= $3 THEN until + 1 ELSE $3 END
                    WHERE name = $1 AND fence = $2";
        let done =
            sqlx::query(text).bind(&*self.name).bind(self.fence).bind(until.as_millis()).execute(tx.conn()).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives it back, unless another has it already.
    pub async fn release(&self, store: &Store) -> Result<(), StoreError> {
        let mut tx = store.begin("release_lease").await?;
        sqlx::query("UPDATE leases SET until = 0 WHERE name = $1 AND fence = $2")
            .bind(&*self.name)
            .bind(self.fence)
            .execute(tx.conn())
            .await?;
        tx.commit().await
    }

    /// Says that somebody is there: the row `name` changes. Nobody holds it.
    pub async fn beat(store: &Store, name: &str) -> Result<(), StoreError> {
        let mut tx = store.begin("beat").await?;
        let text = "INSERT INTO leases (name, holder, fence, until) VALUES ($1, '', 0, 1)
                    ON CONFLICT (name) DO UPDATE SET until = leases.until + 1";
        sqlx::query(text).bind(name).execute(tx.conn()).await?;
        tx.commit().await
    }

    /// [`check`](Self::check) and [`renew`](Self::renew) at once, for work that comes in many short transactions.
    pub async fn check_and_renew(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let held = sqlx::query("UPDATE leases SET until = until + 1 WHERE name = $1 AND fence = $2")
            .bind(&*self.name)
            .bind(self.fence)
            .execute(tx.conn())
            .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Whether this lease is still the latest, seen inside the transaction that relies on it.
    pub async fn check(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        // An update that changes nothing: until this transaction ends nobody takes the lease.
        let held = sqlx::query("UPDATE leases SET fence = fence WHERE name = $1 AND fence = $2")
            .bind(&*self.name)
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

    #[tokio::test]
    async fn a_lease_that_is_renewed_is_not_seized_whatever_the_clocks_say() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(dir.path()).await;
        let t0 = Timestamp::from_millis(1_000_000);
        assert_eq!(Lease::standing(&store, "log").await.unwrap(), None);
        let a = Lease::seize(&store, "log", "a", None, t0).await.unwrap().unwrap();
        assert_eq!(Lease::seize(&store, "log", "b", None, t0).await.unwrap(), None);
        let seen = Lease::standing(&store, "log").await.unwrap().unwrap();
        // A clock that stands still, or went back, does not hide a renewal.
        assert!(a.renew(&store, t0).await.unwrap());
        assert_eq!(Lease::seize(&store, "log", "b", Some(&seen), t0).await.unwrap(), None);
        let seen = Lease::standing(&store, "log").await.unwrap().unwrap();
        let b = Lease::seize(&store, "log", "b", Some(&seen), t0).await.unwrap().unwrap();
        assert!(b.fence() > a.fence() && !a.renew(&store, t0).await.unwrap());
        a.release(&store).await.unwrap();
        assert_ne!(Lease::standing(&store, "log").await.unwrap().unwrap().until, 0);
        b.release(&store).await.unwrap();
        assert_eq!(Lease::standing(&store, "log").await.unwrap().unwrap().until, 0);
    }
}
