//! The collector: what nobody will ever ask for again is removed, and its absence verified.
//!
//! It walks rows, never a listing: every name was entered as an intent before its PUT began, so every byte that a
//! crash left behind has a row that leads to it. A round
//!
//! 1. ends uploads whose time is over: wrap, tail and sealed fields go in the same update, so that their bytes are
//!    unreadable from then on;
//! 2. turns intents with a dead fence into garbage;
//! 3. deletes garbage, and forgets a name once it is absent at a moment when no PUT of it can still land;
//! 4. drops the rows of uploads that ended long ago.
//!
//! Rounds may run on several nodes at once: a lease spares them the work, nothing relies on it.

use core::time::Duration;
use std::sync::Arc;

use vault_core::time::{Clock, Timestamp};

use crate::app::error::Failure;
use crate::objects::{DEADLINE, Objects};
use crate::store::garbage::{self, Doomed, Stale};
use crate::store::leases::Lease;
use crate::store::uploads::{self, UploadState};
use crate::store::{Store, StoreError};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(15);
/// Longer than a round takes, so that a node which fell asleep is not waited for long.
const LEASE: Duration = Duration::from_secs(60);
/// How long the row of an ended upload answers its address: 410 for one that expired, the record for a whole one.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Uploads ended for lack of bytes.
    pub expired: u64,
    /// Intents found dead.
    pub buried: u64,
    /// Names verified to be absent.
    pub verified: u64,
    /// Names left for a later round: a PUT may still land, or the store did not answer.
    pub left: u64,
    /// Rows of ended uploads dropped.
    pub dropped: u64,
    /// Rows that could not be read.
    pub damaged: u64,
}

/// Collects, on behalf of one node.
pub struct Collector {
    store: Store,
    objects: Objects,
    clock: Arc<dyn Clock>,
    node: String,
}

impl Collector {
    /// A collector that takes its lease under the name of this node.
    #[must_use]
    pub fn new(store: Store, objects: Objects, clock: Arc<dyn Clock>) -> Self {
        let node = hex::encode(vault_core::random::array::<8>());
        Self { store, objects, clock, node }
    }

    /// Rounds until `closing`. An error ends a round, never the job.
    pub async fn run_until(self, closing: tokio_util::sync::CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            match self.turn().await {
                Ok(Some(round)) if round != Round::default() => tracing::info!(
                    round.expired,
                    round.buried,
                    round.verified,
                    round.left,
                    round.dropped,
                    round.damaged,
                    "collected"
                ),
                Ok(_) => {}
                Err(e) => tracing::warn!(error = %e, causes = e.causes(), "a round of the collector failed"),
            }
        }
    }

    async fn turn(&self) -> Result<Option<Round>, Failure> {
        let now = self.clock.now();
        match Lease::take(&self.store, "collector", &self.node, now, LEASE).await? {
            Some(_) => Ok(Some(self.round().await?)),
            None => Ok(None),
        }
    }

    /// One round over everything there is.
    pub async fn round(&self) -> Result<Round, Failure> {
        let now = self.clock.now();
        let mut round = Round::default();
        self.expire(now, &mut round).await?;
        loop {
            let buried = garbage::bury_intents(&self.store, now, DEADLINE).await?;
            round.buried += buried;
            if buried == 0 {
                break;
            }
        }
        self.delete(now, &mut round).await?;
        round.dropped = garbage::drop_ended(&self.store, now.minus(REMEMBERED)).await?;
        if round.expired > 0 {
            // What was wrapped and sealed for them is to be unreadable in the database's files too.
            self.store.scrub().await?;
        }
        Ok(round)
    }

    async fn expire(&self, now: Timestamp, round: &mut Round) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let batch = garbage::stale(&self.store, now, &after).await?;
            round.damaged += batch.damaged;
            for stale in batch.rows {
                round.expired += u64::from(self.end(stale, now).await?);
            }
            match batch.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn end(&self, stale: Stale, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.store.begin("expire_upload").await?;
        let over = garbage::is_stale(&mut tx, stale.id, now).await?
            && uploads::end(&mut tx, stale.id, UploadState::Expired, None, None, None).await?;
        if !over {
            tx.rollback().await?;
            return Ok(false);
        }
        uploads::discard_parts(&mut tx, stale.object, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn delete(&self, now: Timestamp, round: &mut Round) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let batch = garbage::doomed(&self.store, &after).await?;
            round.damaged += batch.damaged;
            let mut absent = Vec::new();
            for doomed in batch.rows {
                if self.is_gone(&doomed, now).await {
                    absent.push(doomed.name);
                } else {
                    round.left += 1;
                }
            }
            if !absent.is_empty() {
                garbage::forget(&self.store, &absent).await?;
                round.verified += absent.len() as u64;
            }
            match batch.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Deletes, and says whether the name is absent for good.
    async fn is_gone(&self, doomed: &Doomed, now: Timestamp) -> bool {
        let deleted = self.objects.delete(&doomed.name).await;
        let absent = match deleted {
            Ok(()) => self.objects.exists(&doomed.name).await.map(|exists| !exists),
            Err(e) => Err(e),
        };
        match absent {
            Ok(absent) => absent && doomed.verify_after <= now,
            Err(e) => {
                tracing::warn!(error = %e, "garbage is left for a later round");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
