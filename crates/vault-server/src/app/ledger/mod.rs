//! The audit log of a running vault.
//!
//! Appends are grouped: whatever waits is committed in one transaction that compares and sets the head, under one
//! signature. The order is commit → sign → publish (tiles, entry bundle, then the checkpoint) → release to those who
//! wait. So a signature never exists for a tree that was not committed, nobody acts on an entry that a crash could
//! take back, and what was released can be found by anyone who reads the published log.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`sequencer`] | takes what waits, commits it, learns the outcome when the database does not say |
//! | [`publish`] | writes tiles, bundles and checkpoint, serves them, releases |
//! | [`recover`] | at start: compares every copy of the head |
//! | [`evidence`] | finds entries again and proves them; openings |
//! | [`taken`] | at start: what the log takes away for good |

mod error;
mod evidence;
mod keys;
mod publish;
mod recover;
mod sequencer;
mod taken;
mod tiles;

#[cfg(test)]
mod tests;

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::{CheckpointSigner, VerifiedCheckpoint};
use vault_core::audit::entry::{Draft, EntryKind, LogStarted, Prepared};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::merkle::Hash;
use vault_core::audit::note::VerifierKey;
use vault_core::audit::slot::{Opening, OpeningKeys};
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};
use vault_core::time::Clock;

pub use error::LedgerError;
pub use evidence::{OpeningState, Page, SlotView, View};
pub use keys::VaultKeys;
pub use taken::TakenAway;

use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::store::log::{self, NewEntry};
use crate::store::{Store, Tx};
use publish::Published;

/// Entries that may wait in memory. Each holds a request; more means that the log stands still.
const MAX_QUEUE: usize = 4_096;

/// Where the keys that open slots come from. `None`: the key is gone or not at hand, and the slot stays closed.
#[async_trait]
pub trait OpeningKeySource: Send + Sync {
    /// The staff audit key of a collection, or of the vault.
    async fn staff_audit_key(&self, collection: CollectionId) -> Option<Arc<StaffAuditKey>>;

    /// The field key of a record.
    async fn field_key(&self, record: RecordId) -> Option<FieldKey>;
}

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    store: Store,
    objects: Objects,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    wait: Duration,
    queue: Mutex<VecDeque<Item>>,
    /// Who waits for a row of the outbox, by the row's id.
    tickets: Mutex<HashMap<String, oneshot::Sender<Release>>>,
    wake: Notify,
    running: RwLock<Option<Arc<Running>>>,
    /// The last attempt to commit, or to publish, failed: told by readiness.
    commit_failed: AtomicBool,
    publish_failed: AtomicBool,
    /// Orders the rows that one process leaves in the outbox within a millisecond.
    count: AtomicU64,
}

/// What exists while the log is open.
struct Running {
    signer: Arc<CheckpointSigner>,
    verifier: VerifierKey,
    keys: Arc<dyn OpeningKeySource>,
    published: RwLock<Arc<Published>>,
    full_tiles: publish::TileCache,
    stop: CancellationToken,
}

/// An entry waiting in memory.
struct Item {
    new: NewEntry,
    done: oneshot::Sender<Release>,
}

/// What whoever waits for an entry gets: all that evidence needs beside the entry itself.
struct Release {
    index: u64,
    inclusion: Vec<Hash>,
    checkpoint: Arc<VerifiedCheckpoint>,
}

/// An entry in the outbox, committed with the act it tells of or not at all.
#[must_use = "settle it, or settle_later, once the transaction is committed"]
pub struct Ticket<E> {
    id: String,
    entry: Vec<u8>,
    openings: Vec<Opening>,
    done: oneshot::Receiver<Release>,
    shared: Arc<Shared>,
    kind: PhantomData<E>,
}

impl<E> Drop for Ticket<E> {
    /// The row, if its transaction was committed, is sequenced all the same: nobody waits for it any more.
    fn drop(&mut self) {
        lock(&self.shared.tickets).remove(&self.id);
        self.shared.wake.notify_one();
    }
}

impl<E> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.id).finish()
    }
}

impl Ledger {
    /// The log of this database and object store, closed until [`Ledger::open`].
    #[must_use]
    pub fn new(store: Store, objects: Objects, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, wait: Duration) -> Self {
        Self(Arc::new(Shared {
            store,
            objects,
            clock,
            metrics,
            wait,
            queue: Mutex::default(),
            tickets: Mutex::default(),
            wake: Notify::new(),
            running: RwLock::new(None),
            commit_failed: AtomicBool::new(false),
            publish_failed: AtomicBool::new(false),
            count: AtomicU64::new(0),
        }))
    }

    /// Compares every copy of the head, repairs what can be repaired, and begins to take entries.
    ///
    /// Returns once what the database has is published. A log without entries gets its first.
    pub async fn open(
        &self,
        signer: Arc<CheckpointSigner>,
        keys: Arc<dyn OpeningKeySource>,
    ) -> Result<(), LedgerError> {
        if self.running().is_ok() {
            return Ok(());
        }
        let shared = &self.0;
        let recovered = recover::recover(&shared.store, &shared.objects, signer.verifier()).await?;
        let checkpoint = match recovered.published {
            Some(checkpoint) => checkpoint,
            None => signer.sign(recovered.head.edge.size(), recovered.head.edge.root()),
        };
        if recovered.behind > 0 {
            publish::write(&shared.objects, &recovered.full, &recovered.tiles, &checkpoint).await?;
            tracing::info!(entries = recovered.behind, "published what the database had ahead of the published log");
        }
        let stop = CancellationToken::new();
        let published = Published { checkpoint: Arc::new(checkpoint), tiles: Arc::new(recovered.tiles.clone()) };
        let running = Arc::new(Running {
            signer: Arc::clone(&signer),
            verifier: signer.verifier().clone(),
            keys,
            published: RwLock::new(Arc::new(published)),
            full_tiles: publish::TileCache::default(),
            stop: stop.clone(),
        });
        shared.metrics.audit_size.set(i64::try_from(recovered.head.edge.size()).unwrap_or(i64::MAX));
        let begin = recovered.head.edge.size() == 0;
        // One commit may run ahead of the one being published; more would only make smaller groups.
        let (commits, publications) = mpsc::channel(1);
        let committed = sequencer::Committed { head: recovered.head, tiles: recovered.tiles };
        tokio::spawn(publish::run(Arc::clone(shared), Arc::clone(&running), publications));
        tokio::spawn(sequencer::run(Arc::clone(shared), signer, committed, commits, stop));
        *self.0.running.write().unwrap_or_else(PoisonError::into_inner) = Some(running);
        if begin {
            let origin = self.running()?.verifier.to_string();
            let draft = Draft::<LogStarted>::new(shared.clock.now()).data("key", origin);
            // No slots: the key seals nothing.
            let staff = StaffAuditKey::generate();
            self.append(draft.prepare(&OpeningKeys { staff: &staff, record: None })?, None).await?;
        }
        shared.wake.notify_one();
        Ok(())
    }

    /// Stops taking entries: what is being committed is finished, what waits stays in the outbox.
    pub fn close(&self) {
        if let Some(running) = self.0.running.write().unwrap_or_else(PoisonError::into_inner).take() {
            running.stop.cancel();
        }
    }

    fn running(&self) -> Result<Arc<Running>, LedgerError> {
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let running = running.ok_or(LedgerError::Sealed)?;
        if running.stop.is_cancelled() { Err(LedgerError::Stopped) } else { Ok(running) }
    }

    /// Whether entries can be taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.running().is_ok()
    }

    /// Whether entries can be taken, and the last attempt to commit and to publish some did not fail.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let failed = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        self.is_open() && !failed(&self.0.commit_failed) && !failed(&self.0.publish_failed)
    }

    /// The public key that verifies this log.
    pub fn verifier(&self) -> Result<VerifierKey, LedgerError> {
        Ok(self.running()?.verifier.clone())
    }

    /// The published checkpoint.
    pub fn checkpoint(&self) -> Result<Arc<VerifiedCheckpoint>, LedgerError> {
        Ok(Arc::clone(&self.running()?.published().checkpoint))
    }

    /// Appends an entry and waits until it is committed and published.
    pub async fn append<E: EntryKind>(
        &self,
        prepared: Prepared<E>,
        reference: Option<String>,
    ) -> Result<Recorded<E>, LedgerError> {
        self.running()?;
        let (entry, sealed, openings) = prepared.into_parts();
        let (done, released) = oneshot::channel();
        {
            let mut queue = lock(&self.0.queue);
            if queue.len() >= MAX_QUEUE {
                return Err(LedgerError::Timeout);
            }
            queue.push_back(Item { new: NewEntry { entry: entry.clone(), sealed, reference }, done });
        }
        self.0.wake.notify_one();
        self.released(&entry, openings, released).await
    }

    /// Leaves an entry in the outbox within the caller's transaction: act and entry are committed together, even while
    /// the log cannot be written. Entries of one transaction keep their order. It takes the log's key, so a sealed vault
    /// queues nothing; nor does it authenticate anybody who could ask for it.
    pub async fn enqueue<E: EntryKind>(
        &self,
        tx: &mut Tx,
        prepared: Prepared<E>,
        reference: Option<String>,
    ) -> Result<Ticket<E>, LedgerError> {
        let (entry, sealed, openings) = prepared.into_parts();
        let count = self.0.count.fetch_add(1, Ordering::Relaxed);
        let random = u32::from_be_bytes(vault_core::random::array());
        let id = format!("{:014}-{count:012}-{random:08x}", self.0.clock.now().as_millis());
        let new = NewEntry { entry: entry.clone(), sealed, reference };
        // A log that stopped has its key still: what takes something away is committed all the same.
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let signer = &running.ok_or(LedgerError::Sealed)?.signer;
        log::queue(tx, signer.outbox_key(), &id, &new).await?;
        // Known before the commit, so that the sequencer cannot take the row before somebody waits for it.
        let (done, released) = oneshot::channel();
        lock(&self.0.tickets).insert(id.clone(), done);
        let shared = Arc::clone(&self.0);
        Ok(Ticket { id, entry, openings, done: released, shared, kind: PhantomData })
    }

    /// Waits until the entry of a committed ticket is in the log and published. When this fails the entry stays in the
    /// outbox and is sequenced when that is possible.
    pub async fn settle<E: EntryKind>(&self, mut ticket: Ticket<E>) -> Result<Recorded<E>, LedgerError> {
        self.running()?;
        self.0.wake.notify_one();
        let (entry, openings) = (core::mem::take(&mut ticket.entry), core::mem::take(&mut ticket.openings));
        let outcome = tokio::time::timeout(self.0.wait, &mut ticket.done).await;
        prove(&entry, openings, outcome)
    }

    /// Lets a committed ticket's entry be sequenced without waiting for it.
    pub fn settle_later<E: EntryKind>(&self, ticket: Ticket<E>) {
        drop(ticket);
    }

    async fn released<E: EntryKind>(
        &self,
        entry: &[u8],
        openings: Vec<Opening>,
        released: oneshot::Receiver<Release>,
    ) -> Result<Recorded<E>, LedgerError> {
        prove(entry, openings, tokio::time::timeout(self.0.wait, released).await)
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

/// A lock that outlives a panic elsewhere: what it guards is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
