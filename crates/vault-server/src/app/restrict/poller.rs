//! Learning of restrictions imposed elsewhere, and completing the journal.

use core::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use vault_core::time::{Clock, Timestamp};

use super::{RestrictError, Restrictions, journal};
use crate::store::restrictions as rows;

/// How often a node asks for restrictions.
pub const EVERY: Duration = Duration::from_millis(250);

/// A poll that takes longer is given up, so that the next can begin: a connection that hangs costs one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the journal is completed without being asked to.
const JOURNAL_EVERY: Duration = Duration::from_secs(5);

/// How often rows past their end are dropped.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Rows are kept this long after their end: longer than any node's clock or poll can lag.
const KEEP: Duration = Duration::from_hours(24);

impl Restrictions {
    /// Reads what is new, and notes when it began: what was imposed before that moment is in the view now.
    pub async fn poll(&self) -> Result<(), RestrictError> {
        let began = self.view.elapsed();
        let mut reader = self.store.read_at_once().await?;
        let counter = rows::counter(reader.conn()).await?;
        let mut seen = self.view.seen();
        if counter < seen {
            return Err(RestrictError::WentBack);
        }
        while seen < counter {
            let acts = rows::after(&mut reader, seen).await?;
            self.view.apply(&acts);
            // Rows past their end are dropped, so the last number of a page may be below the counter.
            seen = acts.last().map_or(counter, |last| last.counter);
        }
        self.view.polled(began, counter.max(seen));
        Ok(())
    }

    /// Polls until `stopping`. A failed poll is told once, and so is its end.
    pub async fn poll_until(self, stopping: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let outcome = timeout(POLL_TIMEOUT, self.poll()).await.unwrap_or(Err(RestrictError::Slow));
            match &outcome {
                Ok(()) if failing => tracing::info!("restrictions are read again"),
                Err(e) if !failing => tracing::error!(error = %e, "cannot learn of restrictions"),
                _ => {}
            }
            failing = outcome.is_err();
        }
    }

    /// Completes the journal until `stopping`, when asked and every few seconds; drops rows past their end.
    pub async fn journal_until(self, clock: std::sync::Arc<dyn Clock>, stopping: CancellationToken) {
        let mut ticks = interval(JOURNAL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pruning = interval(PRUNE_EVERY);
        pruning.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                () = stopping.cancelled() => return,
                () = self.waiting.notified() => self.complete_journal().await,
                _ = ticks.tick() => self.complete_journal().await,
                _ = pruning.tick() => self.prune(clock.now().minus(KEEP)).await,
            };
            if let Err(e) = outcome {
                tracing::warn!(error = %e, "the journal of restrictions is not complete");
                // Not at once again: what failed is a store that does not answer.
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    /// Writes what the journal lacks.
    pub async fn complete_journal(&self) -> Result<(), RestrictError> {
        let kept = journal::catch_up(&self.store, &self.objects).await?;
        if kept > 0 {
            tracing::debug!(kept, "restrictions journalled");
        }
        Ok(())
    }

    pub(crate) async fn prune(&self, then: Timestamp) -> Result<(), RestrictError> {
        self.view.forget(then);
        let mut tx = self.store.begin("prune_restrictions").await?;
        rows::prune(&mut tx, then).await?;
        Ok(tx.commit().await?)
    }
}
