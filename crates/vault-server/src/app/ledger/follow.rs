//! Following: what a node does with its entries, and how it learns of everybody's, while another node sequences.
//!
//! Entries go to the outbox, where the sequencer finds them. That one is published is learnt from the published checkpoint
//! alone, under the log's signature: nothing is released on the word of a row. The tree is rebuilt from the committed
//! entries and must have the signed root.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::{CheckpointSigner, VerifiedCheckpoint};

use super::node::{self, Sequencing};
use super::office::Office;
use super::publish::Published;
use super::recover::{self, read_on};
use super::sequencer::End;
use super::{LedgerError, Running, Shared, lock};
use crate::store::leases::Lease;
use crate::store::log::{self, Head};
use crate::store::{StoreError, keys};

/// How often the head is looked at while nobody here waits for an entry.
const LOOK: Duration = Duration::from_millis(500);

/// The same while somebody waits. It grows while nothing comes of it, so that a log that stands still is not asked for
/// ever faster by ever more.
const LOOK_SOON: Duration = Duration::from_millis(10);
const LOOK_LESS: Duration = Duration::from_millis(100);

/// How often the lease is looked at.
const STAND: Duration = Duration::from_millis(500);

/// A committed entry that is not published for this long is told by readiness.
const PATIENCE: Duration = Duration::from_secs(2);

/// Entries left in the outbox by one transaction.
const MAX_GROUP: usize = 512;

/// This node while it follows.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) running: Arc<Running>,
    pub(super) signer: Arc<CheckpointSigner>,
    soon: Duration,
    stood: Option<Instant>,
    /// Since when the head has been ahead of what is published.
    behind: Option<Instant>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, running: Arc<Running>, signer: Arc<CheckpointSigner>) -> Self {
        Self { shared, running, signer, soon: LOOK_SOON, stood: None, behind: None }
    }

    /// Runs until this node is to sequence, or `stop` is cancelled, or the log's copies disagree.
    pub(super) async fn run(&mut self, office: &mut Office, stop: &CancellationToken) -> Result<Sequencing, End> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(End::Stopped),
                () = self.pause() => {}
            }
            match self.turn(office).await {
                Ok(Some(sequencing)) => return Ok(sequencing),
                Ok(None) => self.shared.commit_failed.store(false, Ordering::Relaxed),
                Err(e @ LedgerError::Disagreement { .. }) => {
                    tracing::error!(error = %e, "the audit log stops: nothing that needs it is done");
                    return Err(End::Disagreement);
                }
                Err(e) => {
                    self.shared.commit_failed.store(true, Ordering::Relaxed);
                    tracing::warn!(error = %e, "the audit log cannot be followed; trying again");
                    tokio::time::sleep(LOOK_LESS).await;
                }
            }
        }
    }

    async fn pause(&mut self) {
        if !lock(&self.shared.queue).is_empty() || !lock(&self.shared.looks).is_empty() {
            return;
        }
        let pause = if self.shared.somebody_waits() { self.soon } else { LOOK };
        if tokio::time::timeout(pause, self.shared.wake.notified()).await.is_ok() {
            self.soon = LOOK_SOON;
        } else {
            self.soon = (self.soon * 5 / 4).min(LOOK_LESS);
        }
    }

    async fn turn(&mut self, office: &mut Office) -> Result<Option<Sequencing>, LedgerError> {
        let looks: Vec<oneshot::Sender<()>> = core::mem::take(&mut *lock(&self.shared.looks));
        self.leave().await?;
        let followed = self.follow().await;
        for look in looks {
            let _ = look.send(());
        }
        if self.stood.is_none_or(|at| at.elapsed() >= STAND) {
            self.stood = Some(Instant::now());
            office.beat().await?;
            if let Some(lease) = office.stand().await? {
                return node::take_over(&self.shared, &self.running, &self.signer, lease).await.map(Some);
            }
        }
        followed?;
        Ok(None)
    }

    /// Leaves in the outbox what waits in memory.
    async fn leave(&self) -> Result<(), LedgerError> {
        let items = self.shared.take(MAX_GROUP);
        if items.is_empty() {
            return Ok(());
        }
        let key = self.signer.outbox_key();
        let outcome = async {
            let mut tx = self.shared.store.begin("leave_in_outbox").await?;
            for item in &items {
                log::queue(&mut tx, key, &self.shared.row_id(), &item.new).await?;
            }
            tx.commit().await
        };
        match outcome.await {
            Ok(()) => Ok(()),
            // It may be there, and it may be sequenced by now: it is waited for, and not left a second time.
            Err(e @ StoreError::CommitUnknown(_)) => Err(e.into()),
            Err(e) => {
                self.shared.put_back(items);
                Err(e.into())
            }
        }
    }

    /// Looks whether more is committed, and then whether it is published.
    async fn follow(&mut self) -> Result<(), LedgerError> {
        let published = self.running.published();
        let head = {
            let mut reader = self.shared.store.read().await?;
            log::head(reader.conn()).await?
        };
        let size = head.map_or(0, |head| head.edge.size());
        if size < published.size() {
            let what = "the database was rewound or rewritten under a running log";
            return Err(LedgerError::Disagreement { what, database: size, published: published.size() });
        }
        if size > published.size() {
            let found = recover::published_checkpoint(&self.shared.objects, &self.running.verifier).await;
            match found {
                // An older one may have come back over a newer one: whoever sequences puts that right.
                Ok(Some(found)) if found.size() > published.size() => {
                    advance(&self.shared, &self.running, Arc::new(found)).await?;
                }
                Ok(_) => self.refuse_if_succeeded(&published).await?,
                Err(e) => {
                    self.note_behind(true);
                    return Err(e);
                }
            }
        }
        self.note_behind(size > self.running.published().size());
        if !lock(&self.shared.placed).is_empty() {
            self.shared.release_placed(&self.running).await;
        }
        Ok(())
    }

    /// What is committed and not published may be a successor's, which is published elsewhere and never by this key.
    async fn refuse_if_succeeded(&self, published: &Published) -> Result<(), LedgerError> {
        let ended = {
            let mut reader = self.shared.store.read().await?;
            keys::log_key_has_ended(reader.conn(), &self.running.verifier.to_string()).await?
        };
        let head = Head { edge: published.edge.clone(), fence: 0 };
        if ended { Err(recover::succeeded(&head)) } else { Ok(()) }
    }

    fn note_behind(&mut self, behind: bool) {
        if !behind {
            self.behind = None;
        } else if self.behind.is_none() {
            self.behind = Some(Instant::now());
        }
        let failed = self.behind.is_some_and(|since| since.elapsed() > PATIENCE);
        self.shared.publish_failed.store(failed, Ordering::Relaxed);
    }
}

/// Makes `checkpoint` what readers see: the tree over the committed entries must have its root.
pub(super) async fn advance(
    shared: &Shared,
    running: &Running,
    checkpoint: Arc<VerifiedCheckpoint>,
) -> Result<(), LedgerError> {
    let published = running.published();
    let (mut edge, mut tiles) = (published.edge.clone(), (*published.tiles).clone());
    read_on(&shared.store, &mut edge, &mut tiles, checkpoint.size(), |index, leaf, _| shared.place(index, leaf))
        .await?;
    if edge.root() != *checkpoint.root() {
        let what = "the database's entries do not lead to what is published";
        return Err(LedgerError::Disagreement { what, database: edge.size(), published: checkpoint.size() });
    }
    shared.metrics.audit_size.set(i64::try_from(edge.size()).unwrap_or(i64::MAX));
    running.publish(Published { checkpoint, edge, tiles: Arc::new(tiles) });
    shared.release_placed(running).await;
    Ok(())
}

/// Gives a lease back after a takeover that failed.
pub(super) async fn give_back(shared: &Shared, lease: &Lease) {
    if let Err(e) = lease.release(&shared.store).await {
        tracing::debug!(error = %e, "the lease of the log could not be given back");
    }
}
