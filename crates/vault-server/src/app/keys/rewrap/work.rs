//! One rotation, from where it stands to its end.

use std::sync::Arc;
use std::time::Instant;

use vault_core::audit::entry::{FindingReported, KeyOperation};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;

use super::LOOK;
use super::batches::{Batch, Batches};
use super::pace::Pace;
use crate::app::error::Failure;
use crate::app::keys::pen_of;
use crate::app::keys::rotate::held;
use crate::custody::KeyError;
use crate::state::Vault;
use crate::store::keys::{self, Advance, RotationRow};
use crate::store::leases::Lease;

/// Damaged wraps that are told of one by one, each time somebody goes on with a rotation. `keys verify` lists them all.
const TOLD: u64 = 100;
/// Record keys moved before the database's own log is copied: some ten megabytes of it.
const COPIED: usize = 8_192;

/// Works on a rotation under its lease, and gives that back.
pub(super) async fn work(vault: &Arc<Vault>, rotation: RotationRow, lease: Lease) -> Result<(), Failure> {
    let outcome = Work { vault, to: KekRef { collection: rotation.collection, version: rotation.to }, rotation, lease };
    let ended = outcome.run().await;
    // One that is not given back is taken when it has stood still for a while.
    let _ = outcome.lease.release(&vault.store).await;
    ended
}

struct Work<'v> {
    vault: &'v Arc<Vault>,
    rotation: RotationRow,
    to: KekRef,
    lease: Lease,
}

/// What became of a batch.
enum Written {
    /// It is committed; the throttle as it is now.
    Kept { held: core::time::Duration, throttle: Option<u32> },
    /// The rotation is paused, over, or somebody else's: nothing of it stays.
    Dropped,
}

impl Work<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let vault = self.vault;
        let Some(sources) = self.begin().await? else { return Ok(()) };
        let pace = Pace::new(self.rotation.throttle);
        let mut batches = Batches::of(vault, sources, self.to, pace.size());
        let (mut asked, mut told, mut uncopied) = (vault.store.asked(), 0, 0);
        let (mut last, mut looked) = (Instant::now(), Instant::now());
        loop {
            let batch = tokio::select! {
                biased;
                () = vault.stopping.cancelled() => return Ok(()),
                batch = batches.next() => batch?,
            };
            let Some(batch) = batch else { break };
            let (from, ready, refused) = match batch {
                Batch::Moves { from, ready, refused } => (from, ready, refused),
                Batch::Unusable { from, why } => {
                    self.lose(from, &why).await?;
                    continue;
                }
            };
            let rows = ready.len();
            for (record, why) in &refused {
                tracing::error!(%record, kek = %from, %why, "a record key does not open");
                if told < TOLD {
                    self.report(from, Some(*record), &why.to_string()).await?;
                    told += 1;
                }
            }
            let by =
                Advance { moved: 0, damaged: u64::try_from(refused.len()).unwrap_or(u64::MAX), worked: last.elapsed() };
            let since = Instant::now();
            last = since;
            let Written::Kept { held, throttle } = self.write(from, ready, by).await? else {
                tracing::info!(collection = %self.to.collection, to = self.to.version, "the rotation is left here");
                return Ok(());
            };
            uncopied += rows;
            if uncopied >= COPIED {
                uncopied = 0;
                if let Err(e) = vault.store.checkpoint().await {
                    tracing::debug!(error = %e, "the database's own log is copied later");
                }
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.is_outranked().await? {
                    return Ok(());
                }
            }
            // One of them was this batch's.
            let others = vault.store.asked() - asked > 1;
            asked = vault.store.asked();
            let pause = pace.after(rows, held, since.elapsed(), others, throttle);
            if !pause.is_zero() {
                tokio::select! {
                    () = vault.stopping.cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        self.finish(last).await
    }

    /// Whether something more urgent waits, of which this node does no less when it leaves this one for later.
    async fn is_outranked(&self) -> Result<bool, Failure> {
        let mut reader = self.vault.store.read().await?;
        let running = keys::rotations_running(reader.conn()).await?;
        Ok(running.first().is_some_and(|first| first.priority > self.rotation.priority))
    }

    /// Where the keys to be moved are; none when the rotation is not to be worked on any more.
    async fn begin(&self) -> Result<Option<Vec<KekRef>>, Failure> {
        let (vault, collection) = (self.vault, self.to.collection);
        let held = held(vault, collection).await?;
        let rows = {
            let mut reader = vault.store.read().await?;
            keys::keks(reader.conn(), collection).await?
        };
        let behind = rows.iter().filter(|row| row.version != self.to.version && row.state != KeyState::Destroyed);
        let sources: Vec<u32> = behind.map(|row| row.version).filter(|version| held.contains_key(version)).collect();
        let left = sources.iter().filter_map(|version| held.get(version)).sum();
        let mut tx = vault.store.begin("begin_rewrap").await?;
        let mine = self.lease.check_and_renew(&mut tx).await?;
        if !mine || !keys::begin_work(tx.conn(), &self.rotation, left, vault.clock.now()).await? {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        tracing::info!(%collection, to = self.to.version, left, "moving record keys");
        Ok(Some(sources.into_iter().map(|version| KekRef { collection, version }).collect()))
    }

    /// One batch, in one transaction. The version's row comes last: uploads wait for it.
    async fn write(&self, from: KekRef, ready: Vec<(RecordId, Vec<u8>)>, by: Advance) -> Result<Written, Failure> {
        let mut tx = self.vault.store.begin("rewrap_record_keys").await?;
        let began = Instant::now();
        let mine = self.lease.check_and_renew(&mut tx).await?;
        let moved = if mine { keys::move_records(tx.conn(), from, self.to.version, ready).await? } else { 0 };
        let now = self.vault.clock.now();
        let throttle = if mine {
            keys::advance_rotation(tx.conn(), &self.rotation, Advance { moved, ..by }, now).await?
        } else {
            None
        };
        let (Some(throttle), true) = (throttle, keys::count_moved(tx.conn(), self.to, moved).await?) else {
            tx.rollback().await?;
            return Ok(Written::Dropped);
        };
        tx.commit().await?;
        Ok(Written::Kept { held: began.elapsed(), throttle })
    }

    async fn finish(&self, last: Instant) -> Result<(), Failure> {
        let (vault, now) = (self.vault, self.vault.clock.now());
        let pen = pen_of(vault, self.to.collection).await?;
        let mut tx = vault.store.begin("finish_rotation").await?;
        let by = Advance { worked: last.elapsed(), ..Advance::default() };
        let mine = self.lease.check_and_renew(&mut tx).await?
            && keys::advance_rotation(tx.conn(), &self.rotation, by, now).await?.is_some();
        let ended = if mine { keys::finish_rotation(tx.conn(), &self.rotation, now).await? } else { None };
        let Some(ended) = ended else {
            // Paused in the last moment, or another node's.
            return Ok(tx.rollback().await?);
        };
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let draft = pen
            .draft::<KeyOperation>(now, None)
            .kek_version(ended.from)
            .data("operation", "rewrapped")
            .data("because", ended.because.clone())
            .data("to_version", i64::from(ended.to))
            .data("moved", count(ended.done))
            .data("damaged", count(ended.damaged));
        let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
        tx.commit().await?;
        vault.ledger()?.settle_later(ticket);
        // Old wraps have been overwritten in place; the write-ahead log still has pages with them.
        vault.store.scrub_soon();
        let (collection, moved, damaged) = (self.to.collection, ended.done, ended.damaged);
        tracing::info!(%collection, to = ended.to, moved, damaged, "rotation done");
        Ok(())
    }

    /// A version that cannot be opened: all that it holds is as good as damaged. Told once; the other versions go on.
    async fn lose(&self, from: KekRef, why: &KeyError) -> Result<(), Failure> {
        tracing::error!(kek = %from, %why, "a key version cannot be opened, so nothing under it is moved");
        let lost = held(self.vault, from.collection).await?.get(&from.version).copied().unwrap_or(0);
        self.report(from, None, "the version that it names cannot be opened").await?;
        let by = Advance { damaged: lost, ..Advance::default() };
        self.write(from, Vec::new(), by).await?;
        Ok(())
    }

    /// A wrap that does not open under the key it should: altered, or moved from another record.
    async fn report(&self, kek: KekRef, record: Option<RecordId>, why: &str) -> Result<(), Failure> {
        let vault = self.vault;
        let pen = pen_of(vault, kek.collection).await?;
        let finding = if record.is_some() { "record-key-does-not-open" } else { "kek-does-not-open" };
        let mut draft = pen
            .draft::<FindingReported>(vault.clock.now(), None)
            .kek_version(kek.version)
            .data("finding", finding)
            .data("because", why.to_owned());
        if let Some(record) = record {
            // Its own key is what is damaged, so the record is named under the staff audit key.
            draft = draft.slot(SlotName::Record, record.to_string(), OpeningUnder::Staff);
        }
        let mut tx = vault.store.begin("report_finding").await?;
        let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
        tx.commit().await?;
        vault.ledger()?.settle_later(ticket);
        Ok(())
    }
}
