//! A database, an object store that can fail, and the offline verifier as oracle.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use tempfile::TempDir;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened, Prepared};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::audit::tile::Tile;
use vault_core::audit::verify::{self, Claim, Report, Shown, Source};
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, LogSeed, StaffAuditKey};
use vault_core::time::{Clock, Timestamp};

use super::super::{Ledger, LedgerError, OpeningKeySource, OpeningState};
use crate::clock::HeldClock;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::store::Store;
use crate::store::faults::Fault;

/// A staff audit key for everything, no record keys.
pub struct OneKey(pub Arc<StaffAuditKey>);

#[async_trait]
impl OpeningKeySource for OneKey {
    async fn staff_audit_key(&self, _: CollectionId) -> Result<Option<Arc<StaffAuditKey>>, LedgerError> {
        Ok(Some(Arc::clone(&self.0)))
    }

    async fn field_key(&self, _: RecordId) -> Result<Option<FieldKey>, LedgerError> {
        Ok(None)
    }
}

/// An object store whose next writes fail, having happened or not.
#[derive(Debug, Default)]
pub struct Faulty {
    inner: InMemory,
    /// For each of the next writes whether it succeeds, or what it suffers.
    next: Mutex<VecDeque<Option<Fault>>>,
    down: AtomicBool,
}

impl Faulty {
    /// The next write fails.
    pub fn fail_next(&self, fault: Fault) {
        self.next.lock().unwrap().push_back(Some(fault));
    }

    /// The next write succeeds; what was said of later ones is for those behind it.
    pub fn succeed_next(&self) {
        self.next.lock().unwrap().push_back(None);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.next.lock().unwrap().clear();
        self.set_down(false);
    }

    /// Every write fails, and does not happen, until it is up again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Puts bytes there behind everybody's back.
    pub async fn plant(&self, path: &str, bytes: Vec<u8>) {
        self.inner.put_opts(&Path::from(path), bytes.into(), PutOptions::default()).await.unwrap();
    }

    /// Takes away what lies there.
    pub async fn remove(&self, path: &str) {
        self.inner.delete(&Path::from(path)).await.unwrap();
    }

    /// What lies there.
    pub async fn look(&self, path: &str) -> Option<Bytes> {
        self.inner.get_opts(&Path::from(path), GetOptions::default()).await.ok()?.bytes().await.ok()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "as asked".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let fault = self.next.lock().unwrap().pop_front().flatten();
        if self.down.load(Ordering::SeqCst) || fault == Some(Fault::NotPersisted) {
            return Err(failed());
        }
        let done = self.inner.put_opts(at, bytes, options).await?;
        if fault == Some(Fault::Persisted) { Err(failed()) } else { Ok(done) }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A node of a world: a database connection and a log of its own.
pub struct Node {
    pub store: Store,
    pub ledger: Ledger,
}

impl Node {
    pub async fn open(&self, world: &World) -> Result<(), LedgerError> {
        world.opening().open(&self.ledger).await
    }

    /// The same node.
    pub fn again(&self) -> Self {
        Self { store: self.store.clone(), ledger: self.ledger.clone() }
    }
}

/// What a log is opened with.
pub struct Opening {
    signer: Arc<CheckpointSigner>,
    staff: Arc<StaffAuditKey>,
}

impl Opening {
    pub async fn open(self, ledger: &Ledger) -> Result<(), LedgerError> {
        ledger.open(self.signer, Arc::new(OneKey(self.staff))).await
    }
}

/// Everything that outlives a process, and one process on it.
pub struct World {
    pub folder: TempDir,
    pub objects: Arc<Faulty>,
    pub store: Store,
    pub ledger: Ledger,
    pub seed: LogSeed,
    pub staff: Arc<StaffAuditKey>,
    pub clock: Arc<HeldClock>,
    pub wait: core::time::Duration,
}

impl World {
    /// A fresh log, open.
    pub async fn new() -> Self {
        let world = Self::closed().await;
        world.open().await.unwrap();
        world
    }

    /// A fresh log that nobody opened.
    pub async fn closed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(HeldClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let objects = Arc::new(Faulty::default());
        let wait = core::time::Duration::from_millis(700);
        let (store, ledger) = start(&folder, &objects, &clock, wait).await;
        let staff = Arc::new(StaffAuditKey::generate());
        Self { folder, objects, store, ledger, seed: LogSeed::generate(), staff, clock, wait }
    }

    pub fn signer(&self) -> Arc<CheckpointSigner> {
        Arc::new(CheckpointSigner::new("log.example/v", &self.seed).unwrap())
    }

    pub async fn open(&self) -> Result<(), LedgerError> {
        self.opening().open(&self.ledger).await
    }

    pub fn opening(&self) -> Opening {
        Opening { signer: self.signer(), staff: Arc::clone(&self.staff) }
    }

    /// Another node beside this one; its log is not open yet.
    pub async fn node(&self) -> Node {
        let (store, ledger) = start(&self.folder, &self.objects, &self.clock, self.wait).await;
        Node { store, ledger }
    }

    pub fn as_node(&self) -> Node {
        Node { store: self.store.clone(), ledger: self.ledger.clone() }
    }

    /// The process ends and another begins; the log is not open yet.
    pub async fn restart(&mut self) {
        self.ledger.close().await;
        self.store.close().await;
        (self.store, self.ledger) = start(&self.folder, &self.objects, &self.clock, self.wait).await;
    }

    pub fn entry(&self, number: u64) -> Prepared<PlaybackOpened> {
        Draft::<PlaybackOpened>::new(self.clock.now())
            .data("number", number)
            .slot(SlotName::Staff, format!("person {number}"), OpeningUnder::Staff)
            .prepare(&OpeningKeys { staff: &self.staff, record: None })
            .unwrap()
    }

    /// The oracle: reads the published log to its end, with every opening, and verifies it.
    pub async fn verify(&self, known: &[String]) -> Report {
        self.verify_on(&self.ledger, known).await
    }

    async fn verify_on(&self, ledger: &Ledger, known: &[String]) -> Report {
        let checkpoint = ledger.checkpoint().unwrap();
        let (note, size) = (checkpoint.note().to_owned(), checkpoint.size());
        let mut shown = Reader { note, tiles: BTreeMap::new(), openings: Vec::new() };
        for tile in Tile::new_since(0, size) {
            if let Some(bytes) = ledger.tile(tile).await.unwrap() {
                shown.tiles.insert(tile, bytes.to_vec());
            }
        }
        let page = ledger.page(0, usize::MAX, None, |_| true, |_| true).await.unwrap();
        assert!(page.views.len() as u64 >= size, "every entry is in the database");
        for view in page.views.into_iter().filter(|view| view.index < size) {
            for slot in view.slots {
                shown.openings.push((view.index, slot.slot, slot.state));
            }
        }
        let Ok(report) = verify::verify(&mut shown, self.signer().verifier(), known, |_, _| ());
        report
    }

    /// The oracle finds nothing; answers how many entries there are.
    pub async fn sound(&self, known: &[String]) -> u64 {
        self.sound_on(&self.ledger, known).await
    }

    /// The same on another node.
    pub async fn sound_on(&self, ledger: &Ledger, known: &[String]) -> u64 {
        let report = self.verify_on(ledger, known).await;
        assert_eq!(report.findings, []);
        assert_eq!(report.known_extended, known.len() as u64);
        report.entries
    }
}

async fn start(
    folder: &TempDir,
    objects: &Arc<Faulty>,
    clock: &Arc<HeldClock>,
    wait: core::time::Duration,
) -> (Store, Ledger) {
    let metrics = Arc::new(Metrics::new());
    let source = crate::store::testing::source(&folder.path().join("vault.db")).await;
    let store = Store::open(&source, Arc::clone(&metrics)).await.unwrap();
    let objects = Objects::over(Arc::clone(objects) as Arc<dyn ObjectStore>);
    let ledger = Ledger::new(store.clone(), objects, Arc::clone(clock) as Arc<dyn Clock>, metrics, wait);
    (store, ledger)
}

/// A log as a reader over HTTP sees it.
struct Reader {
    note: String,
    tiles: BTreeMap<Tile, Vec<u8>>,
    openings: Vec<(u64, SlotName, OpeningState)>,
}

impl Source for Reader {
    type Error = Infallible;

    fn checkpoint(&mut self) -> Result<String, Infallible> {
        Ok(self.note.clone())
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&bundle).cloned())
    }

    fn has_tiles(&self) -> bool {
        true
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&tile).cloned())
    }

    fn openings(&mut self, first: u64, end: u64) -> Result<Vec<Shown>, Infallible> {
        let mut shown = Vec::new();
        for (index, slot, state) in self.openings.extract_if(.., |(index, _, _)| (first..end).contains(index)) {
            let claim = match state {
                OpeningState::Opened(opening) => Claim::Opened(opening),
                OpeningState::Erased => Claim::Erased,
                OpeningState::Withheld => Claim::Withheld,
                OpeningState::Missing => Claim::Missing,
            };
            shown.push(Shown { index, slot, claim });
        }
        Ok(shown)
    }

    fn is_complete(&self) -> bool {
        true
    }
}
