//! The audit log of a running vault.
//!
//! Appends are grouped: whatever waits is committed in one transaction that compares and sets the head, under one
//! signature. The order is commit → sign → publish (tiles, entry bundle, then the checkpoint) → release to those who
//! wait. So a signature never exists for a tree that was not committed, nobody acts on an entry that a crash could
//! take back, and what was released can be found by anyone who reads the published log.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`append`] | what an act leaves in the log, and waiting for it |
//! | [`node`] | one node of several: it sequences, or follows the one that does |
//! | [`office`] | which node sequences: a lease |
//! | [`sequencer`] | takes what waits, commits it, learns the outcome when the database does not say |
//! | [`publish`] | signs and proves, writes tiles, bundles and checkpoint, serves them, releases |
//! | [`follow`] | leaves entries to another node, and learns that they are published |
//! | [`recover`] | before a node sequences: compares every copy of the head |
//! | [`mod@remains`] | what there is of a log that does not open, and making it its successor's |
//! | [`evidence`] | finds entries again and proves them; openings |
//! | [`taken`] | at start: what the log takes away for good |

mod append;
mod error;
mod evidence;
mod follow;
mod keys;
mod node;
mod office;
mod publish;
mod recover;
mod remains;
mod sequencer;
mod taken;
mod tiles;

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::{CheckpointSigner, VerifiedCheckpoint};
use vault_core::audit::entry::{Draft, LogStarted};
use vault_core::audit::merkle::Hash;
use vault_core::audit::note::VerifierKey;
use vault_core::audit::slot::OpeningKeys;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};
use vault_core::time::Clock;

pub use append::Ticket;
pub use error::LedgerError;
pub use evidence::{OpeningState, Page, SlotView, View};
pub use keys::VaultKeys;
pub use recover::{is_followed, published_checkpoint, published_entries};
pub use remains::{Remains, remains};
pub use taken::{DESTROY, KeyFacts, TakenAway, restricts};

use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::store::Store;
use crate::store::leases::Lease;
use crate::store::log::{self, NewEntry};
use node::Sequencing;
use office::{Held, Office};
use publish::Published;
use sequencer::Committed;
use tiles::Place;

/// Entries that may wait in memory. Each holds a request; more means that the log stands still.
const MAX_QUEUE: usize = 4_096;

/// Between two looks at start whether another node has begun the log.
const AGAIN: Duration = Duration::from_millis(50);

/// How long closing waits for what is under way.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a reader waits to learn what other nodes have published.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks of a reader for what is committed and about to be published.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Where the keys that open slots come from. `None`: the key is gone or not at hand, and the slot stays closed.
#[async_trait]
pub trait OpeningKeySource: Send + Sync {
    /// The staff audit key of a collection, or of the vault; none when it is gone or damaged. A database that does not answer
    /// is an error: whoever takes that for a key that is gone believes an approval, or a revocation, not to be in the log.
    async fn staff_audit_key(&self, collection: CollectionId) -> Result<Option<Arc<StaffAuditKey>>, LedgerError>;

    /// Likewise the field key of a record.
    async fn field_key(&self, record: RecordId) -> Result<Option<FieldKey>, LedgerError>;
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
    /// Who waits for an entry, by its hash: it is recognised whichever node commits it. Salts make entries differ; those
    /// without slots may be alike, and are then released in turn.
    waiting: Mutex<HashMap<Hash, VecDeque<oneshot::Sender<Release>>>>,
    /// Who waits for a committed entry to be published, by its index.
    placed: Mutex<Vec<(u64, oneshot::Sender<Release>)>>,
    /// Who wants to know what other nodes have published by now.
    looks: Mutex<Vec<oneshot::Sender<()>>>,
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
    /// Where it is a log that does not open, and is only read.
    remains: Option<Remains>,
    /// While this node sequences.
    held: Mutex<Option<Held>>,
    /// The task that is this node of the log.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// An entry waiting in memory.
struct Item {
    new: NewEntry,
    leaf: Hash,
}

/// Somebody who waits for an entry; when they give up, nobody is told.
struct Waiter {
    leaf: Hash,
    done: oneshot::Receiver<Release>,
    shared: Arc<Shared>,
}

impl Drop for Waiter {
    /// An entry in the outbox, if its transaction was committed, is sequenced all the same.
    fn drop(&mut self) {
        self.done.close();
        let mut waiting = lock(&self.shared.waiting);
        if let Some(those) = waiting.get_mut(&self.leaf) {
            those.retain(|done| !done.is_closed());
            if those.is_empty() {
                waiting.remove(&self.leaf);
            }
        }
        drop(waiting);
        self.shared.wake.notify_one();
    }
}

/// What whoever waits for an entry gets: all that evidence needs beside the entry itself.
struct Release {
    index: u64,
    inclusion: Vec<Hash>,
    checkpoint: Arc<VerifiedCheckpoint>,
}

impl Shared {
    /// Waits for an entry from now on.
    fn wait_for(self: &Arc<Self>, leaf: Hash) -> Waiter {
        let (done, released) = oneshot::channel();
        lock(&self.waiting).entry(leaf).or_default().push_back(done);
        Waiter { leaf, done: released, shared: Arc::clone(self) }
    }

    /// Whoever waits for an entry, when it is committed: the one who has waited longest.
    fn waits_for(&self, leaf: &Hash) -> Option<oneshot::Sender<Release>> {
        let mut waiting = lock(&self.waiting);
        let those = waiting.get_mut(leaf)?;
        let done = those.pop_front();
        if those.is_empty() {
            waiting.remove(leaf);
        }
        done.filter(|done| !done.is_closed())
    }

    /// Entry `index` is committed: whoever waits for it waits for its publication.
    fn place(&self, index: u64, leaf: Hash) {
        if let Some(done) = self.waits_for(&leaf) {
            lock(&self.placed).push((index, done));
        }
    }

    fn somebody_waits(&self) -> bool {
        !lock(&self.waiting).is_empty() || !lock(&self.placed).is_empty()
    }

    /// Takes what waits in memory, but for what nobody waits for any more.
    fn take(&self, most: usize) -> Vec<Item> {
        let mut queue = lock(&self.queue);
        let count = queue.len().min(most);
        let items: Vec<Item> = queue.drain(..count).collect();
        drop(queue);
        let waiting = lock(&self.waiting);
        let waited_for = |item: &Item| waiting.get(&item.leaf).is_some_and(|t| t.iter().any(|d| !d.is_closed()));
        items.into_iter().filter(waited_for).collect()
    }

    fn put_back(&self, items: Vec<Item>) {
        let mut queue = lock(&self.queue);
        for item in items.into_iter().rev() {
            queue.push_front(item);
        }
        if !queue.is_empty() {
            self.wake.notify_one();
        }
    }

    /// The name of a row of the outbox. Rows are sequenced in the order of their names.
    fn row_id(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let random = u32::from_be_bytes(vault_core::random::array());
        format!("{:014}-{count:012}-{random:08x}", self.clock.now().as_millis())
    }
}

impl Running {
    fn new(signer: &Arc<CheckpointSigner>, keys: Arc<dyn OpeningKeySource>, published: Published) -> Self {
        Self {
            signer: Arc::clone(signer),
            verifier: signer.verifier().clone(),
            keys,
            published: RwLock::new(Arc::new(published)),
            full_tiles: publish::TileCache::default(),
            stop: CancellationToken::new(),
            remains: None,
            held: Mutex::default(),
            task: Mutex::default(),
        }
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
            waiting: Mutex::default(),
            placed: Mutex::default(),
            looks: Mutex::default(),
            wake: Notify::new(),
            running: RwLock::new(None),
            commit_failed: AtomicBool::new(false),
            publish_failed: AtomicBool::new(false),
            count: AtomicU64::new(0),
        }))
    }

    /// Begins to take entries: as the node that sequences if the lease is free, else as one that follows.
    ///
    /// Whoever sequences compares every copy of the head first, repairs what can be repaired, and returns once what the
    /// database has is published. A log without entries gets its first.
    pub async fn open(
        &self,
        signer: Arc<CheckpointSigner>,
        keys: Arc<dyn OpeningKeySource>,
    ) -> Result<(), LedgerError> {
        if self.running().is_ok() {
            return Ok(());
        }
        let shared = &self.0;
        let mut office = Office::new(Arc::clone(shared));
        let (running, first) = loop {
            if let Some(lease) = office.stand().await? {
                match self.begin(&signer, &keys, lease).await {
                    Ok((running, first)) => break (running, Some(first)),
                    Err((lease, e)) => {
                        follow::give_back(shared, &lease).await;
                        return Err(e);
                    }
                }
            }
            office.beat().await?;
            if let Some(published) = recover::follow(&shared.store, &shared.objects, signer.verifier()).await? {
                shared.metrics.audit_size.set(i64::try_from(published.size()).unwrap_or(i64::MAX));
                break (Arc::new(Running::new(&signer, keys, published)), None);
            }
            // Another node begins the log just now.
            tokio::time::sleep(AGAIN).await;
        };
        let begin = running.published().size() == 0;
        let task = node::run(Arc::clone(shared), Arc::clone(&running), signer, office, first);
        *lock(&running.task) = Some(tokio::spawn(task));
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

    /// Begins to sequence at start: what was published before is known from the object store alone.
    async fn begin(
        &self,
        signer: &Arc<CheckpointSigner>,
        keys: &Arc<dyn OpeningKeySource>,
        lease: Lease,
    ) -> Result<(Arc<Running>, Sequencing), (Lease, LedgerError)> {
        let shared = &self.0;
        let recovered = async {
            let head = recover::fence(&shared.store, signer.verifier()).await?;
            let recovered = recover::recover(&shared.store, &shared.objects, signer, head).await?;
            let checkpoint = match recovered.published {
                Some(checkpoint) => checkpoint,
                None => signer.sign(recovered.head.edge.size(), recovered.head.edge.root()),
            };
            if recovered.behind > 0 {
                publish::write(
                    &shared.objects,
                    Place::of(signer.verifier()),
                    &recovered.full,
                    &recovered.tiles,
                    &checkpoint,
                )
                .await?;
                let entries = recovered.behind;
                tracing::info!(entries, "published what the database had ahead of the published log");
            }
            let edge = recovered.head.edge.clone();
            let tiles = Arc::new(recovered.tiles.clone());
            let published = Published { checkpoint: Arc::new(checkpoint), edge, tiles };
            Ok((published, Committed { head: recovered.head, tiles: recovered.tiles }))
        };
        let (published, committed) = match recovered.await {
            Ok(recovered) => recovered,
            Err(e) => return Err((lease, e)),
        };
        shared.metrics.audit_size.set(i64::try_from(published.size()).unwrap_or(i64::MAX));
        let running = Arc::new(Running::new(signer, Arc::clone(keys), published));
        let sequencing = Sequencing::begin(shared, &running, signer, lease, committed);
        Ok((running, sequencing))
    }

    /// Stops taking entries: what is being committed and published is finished, what waits stays in the outbox, and
    /// another node may sequence.
    pub async fn close(&self) {
        let running = self.0.running.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        running.stop.cancel();
        let task = lock(&running.task).take();
        if let Some(mut task) = task
            && tokio::time::timeout(CLOSING, &mut task).await.is_err()
        {
            // A database or an object store that does not answer. What it was doing is as after a crash.
            task.abort();
        }
    }

    /// Whether the log has stopped while the vault runs: its copies disagree. What was opened before leans on it, since
    /// whoever wants to take it back must be proven to be who they are.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|running| running.stop.is_cancelled())
    }

    /// Learns what other nodes have published by now, or returns soon all the same.
    async fn look(&self, running: &Running) -> Result<(), LedgerError> {
        let held = lock(&running.held).clone();
        if let Some(held) = held
            && held.stands(&self.0).await?
        {
            // What this node publishes it knows.
            return Ok(());
        }
        let (done, looked) = oneshot::channel();
        lock(&self.0.looks).push(done);
        self.0.wake.notify_one();
        // The log may stand still; then nothing new is published either.
        let _ = tokio::time::timeout(LOOK_PATIENCE, looked).await;
        Ok(())
    }

    /// Waits until this node shows at least what any node has published so far. A log that stands still is not waited for.
    async fn catch_up(&self, running: &Running) -> Result<(), LedgerError> {
        // What is published was committed before.
        let committed = {
            let mut reader = self.0.store.read().await?;
            log::head(reader.conn()).await?.map_or(0, |head| head.edge.size())
        };
        let caught_up = async {
            while running.published().size() < committed {
                self.look(running).await?;
                tokio::time::sleep(CATCH_UP).await;
            }
            Ok(())
        };
        tokio::time::timeout(LOOK_PATIENCE, caught_up).await.unwrap_or(Ok(()))
    }

    fn set_running(&self, running: Running) {
        *self.0.running.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(running));
    }

    fn running(&self) -> Result<Arc<Running>, LedgerError> {
        let running = self.0.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let running = running.ok_or(LedgerError::Sealed)?;
        if running.stop.is_cancelled() { Err(LedgerError::Stopped) } else { Ok(running) }
    }

    /// Entries that wait in this node's memory.
    #[must_use]
    pub fn queued(&self) -> usize {
        lock(&self.0.queue).len()
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

    /// The published checkpoint, none older than another node has shown before: whoever asks one node after the other would
    /// take that for a log that was cut.
    pub async fn newest_checkpoint(&self) -> Result<Arc<VerifiedCheckpoint>, LedgerError> {
        self.catch_up(&*self.running()?).await?;
        self.checkpoint()
    }

    /// The published checkpoint, as far as this node knows.
    pub fn checkpoint(&self) -> Result<Arc<VerifiedCheckpoint>, LedgerError> {
        Ok(Arc::clone(&self.running()?.published().checkpoint))
    }
}

/// A lock that outlives a panic elsewhere: what it guards is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
