//! What an act leaves in the log: an entry that it waits for, or one in the outbox that is committed with the act or not at all.

use core::fmt;
use core::marker::PhantomData;
use std::sync::PoisonError;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Instrument as _;
use vault_core::audit::entry::{EntryKind, Prepared};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::merkle::Hash;
use vault_core::audit::slot::{Opening, SealedOpening, SlotName};
use vault_core::ids::RecordId;

use super::{Item, Ledger, LedgerError, MAX_QUEUE, Release, Waiter, lock};
use crate::store::log::{self, NewEntry};
use crate::store::{Tx, rekey};

/// An entry in the outbox, committed with the act it tells of or not at all.
#[must_use = "settle it, or settle_later, once the transaction is committed"]
pub struct Ticket<E> {
    entry: Vec<u8>,
    openings: Vec<Opening>,
    waiter: Waiter,
    kind: PhantomData<E>,
}

impl<E> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.waiter.leaf).finish()
    }
}

impl Ledger {
    /// Appends an entry and waits until it is committed and published.
    pub async fn append<E: EntryKind>(
        &self,
        prepared: Prepared<E>,
        reference: Option<String>,
    ) -> Result<Recorded<E>, LedgerError> {
        self.running()?;
        let (entry, sealed, openings) = prepared.into_parts();
        let leaf = Hash::leaf(&entry);
        let waiter = self.0.wait_for(leaf);
        {
            let mut queue = lock(&self.0.queue);
            if queue.len() >= MAX_QUEUE {
                return Err(LedgerError::Timeout);
            }
            queue.push_back(Item { new: NewEntry { entry: entry.clone(), sealed, reference }, leaf });
        }
        self.0.wake.notify_one();
        self.released(&entry, openings, waiter).await
    }

    /// Leaves an entry in the outbox within the caller's transaction: act and entry are committed together, even while
    /// the log cannot be written. Entries of one transaction keep their order. It takes the log's key, so a sealed vault
    /// queues nothing; nor does it authenticate anybody who could ask for it.
    ///
    /// Openings under a record's key were sealed before the transaction. Should the record have been encrypted anew meanwhile, they
    /// would open for nobody: that is [`LedgerError::RecordKeyChanged`], and whoever asks does it again. The record's row is held
    /// until the transaction ends, so this comes before the restrictions' counter is touched.
    pub async fn enqueue<E: EntryKind>(
        &self,
        tx: &mut Tx,
        prepared: Prepared<E>,
        reference: Option<String>,
    ) -> Result<Ticket<E>, LedgerError> {
        // A log that stopped has its key still: what takes something away is committed all the same.
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let running = running.ok_or(LedgerError::Sealed)?;
        if let Some((record, tag)) = prepared.under_record()
            && rekey::held_tag(tx, record).await?.is_some_and(|held| held != tag)
        {
            // The column is a hint that anybody who writes the database can spoil. The key that the held row wraps is what counts.
            if running.keys.field_key(record).await?.is_none_or(|key| key.tag() != tag) {
                return Err(LedgerError::RecordKeyChanged);
            }
            tracing::warn!(%record, "the tag of a record's key was wrong: it is mended");
            rekey::put_tag(tx, record, tag).await?;
        }
        let (entry, sealed, openings) = prepared.into_parts();
        let new = NewEntry { entry: entry.clone(), sealed, reference };
        let signer = &running.signer;
        log::queue(tx, signer.outbox_key(), &self.0.row_id(), &new).await?;
        // Known before the commit, so that the sequencer cannot take the row before somebody waits for it.
        let waiter = self.0.wait_for(Hash::leaf(&entry));
        Ok(Ticket { entry, openings, waiter, kind: PhantomData })
    }

    /// Takes what opens under a record's key out of the log and out of what waits to be appended, in the caller's
    /// transaction. Answers the pairs of entry and slot that the caller's own entries are to list; what waits is listed
    /// when it is appended.
    pub async fn erase_openings(&self, tx: &mut Tx, record: RecordId) -> Result<Vec<(u64, SlotName)>, LedgerError> {
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let signer = &running.ok_or(LedgerError::Sealed)?.signer;
        // The head first: from here on nobody sequences until this is done.
        let erased = log::erase_openings(tx, record).await?;
        log::empty_waiting(tx, signer.outbox_key(), record).await?;
        Ok(erased)
    }

    /// Seals anew what waits for the log under a record's key, in the caller's transaction, which holds the record and has sealed anew what is in
    /// the log.
    pub async fn reseal_waiting(
        &self,
        tx: &mut Tx,
        record: RecordId,
        anew: impl Fn(&SealedOpening) -> Option<SealedOpening>,
    ) -> Result<(), LedgerError> {
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let signer = &running.ok_or(LedgerError::Sealed)?.signer;
        Ok(rekey::reseal_waiting(tx, signer.outbox_key(), record, anew).await?)
    }

    /// Waits until the entry of a committed ticket is in the log and published. When this fails the entry stays in the
    /// outbox and is sequenced when that is possible.
    pub async fn settle<E: EntryKind>(&self, ticket: Ticket<E>) -> Result<Recorded<E>, LedgerError> {
        self.running()?;
        self.0.wake.notify_one();
        let Ticket { entry, openings, waiter, .. } = ticket;
        self.released(&entry, openings, waiter).await
    }

    /// Lets a committed ticket's entry be sequenced without waiting for it.
    pub fn settle_later<E: EntryKind>(&self, ticket: Ticket<E>) {
        drop(ticket);
    }

    async fn released<E: EntryKind>(
        &self,
        entry: &[u8],
        openings: Vec<Opening>,
        mut waiter: Waiter,
    ) -> Result<Recorded<E>, LedgerError> {
        let started = Instant::now();
        let waited = tokio::time::timeout(self.0.wait, &mut waiter.done);
        let outcome = waited.instrument(tracing::debug_span!("append_to_log")).await;
        let outcome = prove(entry, openings, outcome);
        self.0.metrics.append(started.elapsed(), outcome.is_ok());
        outcome
    }
}

fn prove<E: EntryKind>(
    entry: &[u8],
    openings: Vec<Opening>,
    outcome: Result<Result<Release, oneshot::error::RecvError>, tokio::time::error::Elapsed>,
) -> Result<Recorded<E>, LedgerError> {
    let release = match outcome {
        Ok(Ok(release)) => release,
        // The sequencer went away with the entry: sealed, or stopped.
        Ok(Err(_)) => return Err(LedgerError::Stopped),
        Err(_) => return Err(LedgerError::Timeout),
    };
    Ok(Recorded::prove(entry, release.index, &release.inclusion, &release.checkpoint, openings)?)
}
