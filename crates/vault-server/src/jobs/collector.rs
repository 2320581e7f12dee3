//! The collector: what nobody will ever ask for again is removed, and its absence verified.
//!
//! It walks rows, never a listing: every name was entered as an intent before its PUT began, so every byte that a
//! crash left behind has a row that leads to it. A round
//!
//! 1. while the vault is open, ends uploads whose time is over: the entry for the log, and wrap, tail and sealed
//!    fields go in the same transaction, so that their bytes are unreadable from then on;
//! 2. turns intents with a dead fence into garbage;
//! 3. deletes garbage, and forgets a name once it is absent at a moment when no PUT of it can still land;
//! 4. drops the rows of uploads that ended long ago;
//! 5. destroys the resume keys of past days under which no upload is under way any more.
//!
//! Once, when it has run for a while, it also removes what crashes left half-written in the local object directory
//! beside names that are replaced and never deleted: the log's and the journal's.
//!
//! After a restore there are no rounds until somebody has confirmed it.
//!
//! Rounds may run on several nodes at once: a lease spares them the work, nothing relies on it.

use core::time::Duration;
use std::sync::Arc;

use vault_api::code::Code;
use vault_core::audit::entry::{Decision, Draft, UploadRejected};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::time::{Clock, Timestamp};

use crate::app::error::Failure;
use crate::app::ledger::Ledger;
use crate::clock::{Agreement, Set};
use crate::custody::KeyService;
use crate::objects::{DEADLINE, Objects};
use crate::state::Vault;
use crate::store::garbage::{self, Doomed, Stale};
use crate::store::leases::Lease;
use crate::store::restores;
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
    /// Rows that could not be read, or whose collection's keys could not.
    pub damaged: u64,
    /// Resume keys destroyed.
    pub resume_keys: u64,
}

/// Collects, on behalf of one node.
pub struct Collector {
    store: Store,
    objects: Objects,
    clock: Arc<dyn Clock>,
    agreement: Agreement,
    keys: Arc<KeyService>,
    ledger: Ledger,
    node: String,
}

impl Collector {
    /// A collector for this node, with a name of its own for its lease.
    #[must_use]
    pub fn of(vault: &Vault) -> Self {
        let (keys, ledger) = (Arc::clone(&vault.keys), vault.ledger.clone());
        Self::new(vault.store.clone(), vault.objects.clone(), Arc::clone(&vault.clock), keys, ledger)
    }

    fn new(store: Store, objects: Objects, clock: Arc<dyn Clock>, keys: Arc<KeyService>, ledger: Ledger) -> Self {
        let node = hex::encode(vault_core::random::array::<8>());
        let agreement = Agreement::with(clock.as_ref());
        Self { store, objects, clock, agreement, keys, ledger, node }
    }

    /// Rounds until `closing`. An error ends a round, never the job.
    pub async fn run_until(self, closing: tokio_util::sync::CancellationToken) {
        // By then what a crash before this start left is older than any PUT.
        let mut sweep_at = Some(tokio::time::Instant::now() + 2 * DEADLINE);
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
                    round.resume_keys,
                    "collected"
                ),
                Ok(_) => {}
                Err(e) => tracing::warn!(error = %e, causes = e.causes(), "a round of the collector failed"),
            }
            if sweep_at.is_some_and(|at| tokio::time::Instant::now() >= at) {
                match self.objects.sweep(self.clock.now()).await {
                    Ok(swept) => {
                        sweep_at = None;
                        tracing::debug!(swept, "half-written files of crashes before are removed");
                    }
                    Err(e) => tracing::warn!(error = %e, "half-written files of crashes before are left for later"),
                }
            }
        }
    }

    pub(crate) async fn turn(&self) -> Result<Option<Round>, Failure> {
        let now = self.clock.now();
        if restores::is_unconfirmed(self.store.read().await?.conn()).await? {
            // Rows of before may lead to what is needed; somebody looks first.
            return Ok(None);
        }
        self.keys.forget_destroyed_resume_keys().await?;
        match Lease::take(&self.store, "collector", &self.node, now, LEASE).await? {
            Some(_) => Ok(Some(self.round().await?)),
            None => Ok(None),
        }
    }

    /// One round over everything there is.
    pub async fn round(&self) -> Result<Round, Failure> {
        let now = self.clock.now();
        let mut round = Round::default();
        // What ends by a clock that was set forward is gone for good: it is left until the clock is right, or believed.
        let ends = self.agreement.set(self.clock.as_ref()) != Some(Set::Forward);
        let open = ends && self.keys.is_open() && self.ledger.is_open();
        if open {
            self.expire(now, &mut round).await?;
        }
        self.bury(now, &mut round).await?;
        self.delete(now, &mut round).await?;
        round.dropped = garbage::drop_ended(&self.store, now.minus(REMEMBERED)).await?;
        if round.expired > 0 {
            // What was wrapped and sealed for them is to be unreadable in the database's files too.
            self.store.scrub().await?;
        }
        if open {
            round.resume_keys = self.keys.destroy_resume_keys().await?.len() as u64;
        }
        Ok(round)
    }

    async fn expire(&self, now: Timestamp, round: &mut Round) -> Result<(), Failure> {
        let mut after = String::new();
        loop {
            let batch = garbage::stale(&self.store, now, &after).await?;
            round.damaged += batch.damaged;
            for stale in batch.rows {
                match self.end(stale, now).await {
                    Ok(ended) => round.expired += u64::from(ended),
                    Err(e) if e.code() == Code::Unavailable => return Err(e),
                    Err(e) => {
                        tracing::error!(upload = %stale.id, error = %e, causes = e.causes(), "an upload cannot be ended");
                        round.damaged += 1;
                    }
                }
            }
            match batch.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn end(&self, stale: Stale, now: Timestamp) -> Result<bool, Failure> {
        let staff = self.keys.staff_audit_key(stale.collection).await?;
        let entry = Draft::<UploadRejected>::new(now)
            .collection(stale.collection)
            .decision(Decision::Denied)
            .data("reason", "expired")
            .slot(SlotName::Upload, stale.id.to_string(), OpeningUnder::Staff)
            .slot(SlotName::Staff, stale.person.to_string(), OpeningUnder::Staff)
            .prepare(&OpeningKeys { staff: &staff, record: None })
            .map_err(|e| Failure::new(Code::Internal).because(e))?;
        let mut tx = self.store.begin("expire_upload").await?;
        let over = garbage::is_stale(&mut tx, stale.id, now).await?
            && uploads::end(&mut tx, stale.id, UploadState::Expired, None, None, None).await?;
        if !over {
            tx.rollback().await?;
            return Ok(false);
        }
        uploads::discard_parts(&mut tx, stale.object, now).await?;
        let ticket = self.ledger.enqueue(&mut tx, entry, Some(format!("upload:{}", stale.id))).await?;
        tx.commit().await?;
        self.ledger.settle_later(ticket);
        Ok(true)
    }

    async fn bury(&self, now: Timestamp, round: &mut Round) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let batch = garbage::bury_intents(&self.store, now, DEADLINE, &after).await?;
            round.buried += batch.rows.len() as u64;
            round.damaged += batch.damaged;
            match batch.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
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
