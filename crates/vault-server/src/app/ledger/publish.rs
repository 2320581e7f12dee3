//! Publishing what is committed: signed, tiles and bundles to the object store, then the checkpoint, then the release of
//! those who wait; and serving what was published.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::join;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::VerifiedCheckpoint;
use vault_core::audit::merkle::{self, Edge, Hash};
use vault_core::audit::tile::{self, Kind, Tile, TileError, TileNodes, WIDTH};

use super::tiles::{EdgeTiles, Full, Place, bytes_of};
use super::{Ledger, LedgerError, Release, Running, Shared, lock, recover};
use crate::objects::{DEADLINE, Name, ObjectError, Objects};

/// After a failure the first pause, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Full tiles kept in memory for proofs: 8 KiB each.
const CACHED_TILES: usize = 256;

/// So long after the last publication the checkpoint is read again: no PUT that was begun before can land any more.
const LOOK_AGAIN: Duration = Duration::from_secs(DEADLINE.as_secs() + 5);

/// Partial bundles that stay behind the newest: whoever has just read a checkpoint finds what it covers.
const KEPT_PARTIALS: usize = 3;

/// Somebody who waits for an entry that is committed.
pub(super) struct Due {
    pub(super) index: u64,
    pub(super) done: oneshot::Sender<Release>,
}

/// A committed group on its way out. Only what is committed is sent here, and only what was sent here is signed.
pub(super) struct Publication {
    /// The tree it led to, which holds what proves the group's entries.
    pub(super) grown: Edge,
    pub(super) tiles: Arc<EdgeTiles>,
    pub(super) full: Vec<Full>,
    pub(super) due: Vec<Due>,
}

impl Publication {
    /// Those who wait, each with what they will get under the group's own checkpoint.
    fn releases(&mut self, checkpoint: &Arc<VerifiedCheckpoint>) -> Vec<(Due, Vec<Hash>, Arc<VerifiedCheckpoint>)> {
        let due = core::mem::take(&mut self.due).into_iter();
        let proven = due.filter_map(|due| {
            // Held: it was appended since the edge was settled.
            let inclusion = self.grown.inclusion_proof(due.index).ok()?;
            Some((due, inclusion, Arc::clone(checkpoint)))
        });
        proven.collect()
    }
}

/// What readers see: a checkpoint, and the edge and the partial tiles of exactly its size.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) checkpoint: Arc<VerifiedCheckpoint>,
    pub(super) edge: Edge,
    pub(super) tiles: Arc<EdgeTiles>,
}

impl Published {
    pub(super) fn size(&self) -> u64 {
        self.checkpoint.size()
    }
}

impl Running {
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where this log lies in the object store.
    pub(super) fn place(&self) -> Place {
        Place::of(&self.verifier)
    }

    /// What readers see from now on. They never see less than before.
    pub(super) fn publish(&self, published: Published) {
        let mut seen = self.published.write().unwrap_or_else(PoisonError::into_inner);
        if published.size() >= seen.size() {
            *seen = Arc::new(published);
        }
    }
}

/// The task that publishes for as long as this node sequences.
pub(super) struct Publisher {
    pub(super) shared: Arc<Shared>,
    pub(super) running: Arc<Running>,
    /// Cancelled when another node sequences.
    pub(super) lost: CancellationToken,
    /// The bundle that another node, or an earlier life, began: what lies there is not known here.
    pub(super) inherited: Option<u64>,
}

impl Publisher {
    /// Publishes in order until the sequencer ends. A failure is tried again for as long as this node sequences: meanwhile
    /// nobody is released, and those who wait time out.
    pub(super) async fn run(mut self, mut publications: mpsc::Receiver<Publication>) {
        let mut partials = VecDeque::new();
        loop {
            let first = match timeout(LOOK_AGAIN, publications.recv()).await {
                Ok(Some(publication)) => publication,
                Ok(None) => return,
                Err(_) => {
                    self.look_again().await;
                    continue;
                }
            };
            // One bundle and one checkpoint stand for all that have come together. Whoever waits for an entry of an earlier
            // group still gets the checkpoint of their own, whose tree the published one extends.
            let mut groups = vec![first];
            while let Ok(next) = publications.try_recv() {
                groups.push(next);
            }
            let sign = |group: &Publication| Arc::new(self.running.signer.sign(group.grown.size(), group.grown.root()));
            let Some(newest) = groups.last() else { continue };
            let checkpoint = sign(newest);
            let (mut edge, tiles) = (newest.grown.clone(), Arc::clone(&newest.tiles));
            edge.settle();
            let published = Published { checkpoint, edge, tiles };
            let full: Vec<Full> = groups.iter_mut().flat_map(|group| core::mem::take(&mut group.full)).collect();
            // Proofs are made while the object store is waited for.
            let proving = async {
                let mut releases = Vec::new();
                for group in &mut groups {
                    let newest = group.grown.size() == published.size();
                    let own = if newest { Arc::clone(&published.checkpoint) } else { sign(group) };
                    releases.extend(group.releases(&own));
                }
                releases
            };
            let (written, releases) = join(self.write(&published, &full), proving).await;
            if !written {
                // Committed and not published: whoever sequences next publishes it, and those who wait learn it then.
                publications.close();
                self.shared.set_aside(releases.into_iter().map(|(due, ..)| due));
                while let Some(publication) = publications.recv().await {
                    self.shared.set_aside(publication.due.into_iter());
                }
                return;
            }
            self.shared.publish_failed.store(false, Ordering::Relaxed);
            self.tidy(&mut partials, &published.tiles, &full);
            self.running.publish(published);
            for (Due { index, done }, inclusion, checkpoint) in releases {
                // Whoever gave up has a committed entry that released nothing.
                let _ = done.send(Release { index, inclusion, checkpoint });
            }
            self.shared.release_placed(&self.running).await;
        }
    }

    /// False when it was given up.
    async fn write(&self, published: &Published, full: &[Full]) -> bool {
        let Published { checkpoint, tiles, .. } = published;
        let mut pause = FIRST_PAUSE;
        loop {
            let written = tokio::select! {
                biased;
                () = self.lost.cancelled() => return false,
                written = write(&self.shared.objects, self.running.place(), full, tiles, checkpoint) => written,
            };
            let Err(e) = written else { return true };
            if self.running.stop.is_cancelled() {
                return false;
            }
            self.shared.publish_failed.store(true, Ordering::Relaxed);
            self.shared.metrics.audit_failure("publish");
            tracing::warn!(error = %e, "the audit log could not be published; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// A PUT that was given up, by this node or by one that sequenced before, may have landed late: an older checkpoint
    /// over a newer one. Nobody here reads it back in time, so it is put right.
    async fn look_again(&self) {
        let published = self.running.published();
        let outcome = async {
            match recover::published_checkpoint(&self.shared.objects, &self.running.verifier).await? {
                Some(found) if found.size() >= published.size() => return Ok(()),
                _ => tracing::warn!(size = published.size(), "the published checkpoint was older than it had been"),
            }
            self.shared
                .objects
                .put(&checkpoint_name(self.running.place())?, published.checkpoint.note().to_owned())
                .await?;
            Ok::<_, LedgerError>(())
        };
        if let Err(e) = outcome.await {
            tracing::warn!(error = %e, "the published checkpoint could not be looked at again");
        }
    }

    /// Deletes partial bundles that no current checkpoint needs, beside everything else. What somebody else began goes
    /// when the bundle is full: then every width of it is garbage. One that cannot be deleted is told, and left.
    fn tidy(&mut self, partials: &mut VecDeque<Name>, tiles: &EdgeTiles, full: &[Full]) {
        let place = self.running.place();
        if let Some(Ok((name, _))) = tiles.partial_bundle(place) {
            partials.push_back(name);
        }
        let surplus = partials.len().saturating_sub(KEPT_PARTIALS);
        let mut names: Vec<_> = partials.drain(..surplus).collect();
        let filled = |index: &u64| full.iter().any(|(tile, _)| tile.kind == Kind::Entries && tile.index == *index);
        if let Some(index) = self.inherited.take_if(|index| filled(index)) {
            names.extend((1..WIDTH).filter_map(|width| place.partial_bundle(index, width).ok()));
        }
        if names.is_empty() {
            return;
        }
        let objects = self.shared.objects.clone();
        tokio::spawn(async move {
            for name in names {
                if let Err(e) = objects.discard(&name).await {
                    tracing::warn!(error = %e, %name, "a partial bundle that nobody needs is left");
                }
            }
        });
    }
}

/// Writes what is new, the checkpoint last: a reader who has it finds all that it covers.
pub(super) async fn write(
    objects: &Objects,
    place: Place,
    full: &[Full],
    tiles: &EdgeTiles,
    checkpoint: &VerifiedCheckpoint,
) -> Result<(), LedgerError> {
    let mut puts = Vec::with_capacity(full.len() + 1);
    for (tile, bytes) in full {
        puts.push((name(place.full(*tile))?, bytes.clone()));
    }
    if let Some(partial) = tiles.partial_bundle(place) {
        puts.push(name(partial)?);
    }
    let last = (checkpoint_name(place)?, Bytes::copy_from_slice(checkpoint.note().as_bytes()));
    Ok(objects.put_before(puts, last).await?)
}

/// Paths of tiles are names of objects; were one not, nothing could be published.
pub(super) fn name<T>(made: Result<T, crate::objects::InvalidName>) -> Result<T, LedgerError> {
    made.map_err(|_| LedgerError::Tile(TileError::Path))
}

pub(super) fn checkpoint_name(place: Place) -> Result<Name, LedgerError> {
    name(place.checkpoint())
}

/// Full tiles of hashes by level and index.
pub(super) type FullTiles = HashMap<(u8, u64), Arc<Vec<Hash>>>;

/// Full tiles kept in memory; they never change.
#[derive(Default)]
pub(super) struct TileCache(Mutex<FullTiles>);

impl TileCache {
    /// Everything that will be asked for.
    pub(super) fn of(tiles: FullTiles) -> Self {
        Self(Mutex::new(tiles))
    }

    fn get(&self, level: u8, index: u64) -> Option<Arc<Vec<Hash>>> {
        lock(&self.0).get(&(level, index)).cloned()
    }

    fn keep(&self, level: u8, index: u64, hashes: &Arc<Vec<Hash>>) {
        let mut held = lock(&self.0);
        if held.len() >= CACHED_TILES {
            // Rare, and what is needed comes back with the next read.
            held.clear();
        }
        held.insert((level, index), Arc::clone(hashes));
    }
}

/// A full tile of hashes from the object store.
pub(super) async fn full_hashes(
    objects: &Objects,
    place: Place,
    level: u8,
    index: u64,
) -> Result<Vec<Hash>, LedgerError> {
    let tile = Tile::full(level, index);
    Ok(tile::hashes(tile, &objects.get(&name(place.full(tile))?).await?)?)
}

impl Ledger {
    /// A tile or bundle of the published log, byte for byte as tlog-tiles has it; `None` when the published tree does
    /// not have that many hashes or entries there. A partial tile of any width stays readable: it is a prefix.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, LedgerError> {
        let running = self.running()?;
        let within = |published: &Published| {
            let whole = Tile::of_size(tile.kind, tile.index, published.checkpoint.size());
            whole.filter(|whole| tile.width <= whole.width)
        };
        let mut published = running.published();
        if within(&published).is_none() {
            // The checkpoint that whoever asks has may be another node's.
            self.catch_up(&running).await?;
            published = running.published();
        }
        let Some(whole) = within(&published) else { return Ok(None) };
        if whole.width < WIDTH {
            return match tile.kind {
                Kind::Hashes(level) => Ok(published.tiles.partial(level, tile.width).map(bytes_of)),
                Kind::Entries => {
                    let bundle = &published.tiles.bundle;
                    let length = tile::prefix_len(tile.width, bundle)?;
                    Ok(bundle.get(..length).map(Bytes::copy_from_slice))
                }
            };
        }
        let full = self.0.objects.get(&name(running.place().full(tile))?).await?;
        let length = match tile.kind {
            Kind::Hashes(_) => usize::from(tile.width) * 32,
            Kind::Entries => tile::prefix_len(tile.width, &full)?,
        };
        if length > full.len() {
            return Err(ObjectError::Short.into());
        }
        Ok(Some(full.slice(..length)))
    }
}

impl Shared {
    /// Keeps those whose entries are committed until a checkpoint covers them.
    pub(super) fn set_aside(&self, due: impl Iterator<Item = Due>) {
        lock(&self.placed).extend(due.map(|due| (due.index, due.done)));
    }

    /// Releases those whose entries the published checkpoint covers.
    pub(super) async fn release_placed(&self, running: &Running) {
        let published = running.published();
        let ready: Vec<_> = lock(&self.placed).extract_if(.., |(index, _)| *index < published.size()).collect();
        for (index, done) in ready {
            if done.is_closed() {
                continue;
            }
            match self.inclusion(running, &published, index).await {
                Ok(inclusion) => {
                    let _ = done.send(Release { index, inclusion, checkpoint: Arc::clone(&published.checkpoint) });
                }
                Err(e) => {
                    tracing::warn!(error = %e, index, "an entry cannot be proven yet");
                    lock(&self.placed).push((index, done));
                }
            }
        }
    }

    /// The proof that entry `index` is in the published tree.
    pub(super) async fn inclusion(
        &self,
        running: &Running,
        published: &Published,
        index: u64,
    ) -> Result<Vec<Hash>, LedgerError> {
        let tiles = self.proving_tiles(running, published, index).await?;
        Ok(merkle::inclusion_proof(&TileNodes::new(&tiles, published.size()), index, published.size())?)
    }

    /// The tiles that prove entry `index` of the published tree.
    async fn proving_tiles(
        &self,
        running: &Running,
        published: &Published,
        index: u64,
    ) -> Result<ProvingTiles, LedgerError> {
        let mut path = FullTiles::new();
        for level in 0_u8..8 {
            let tile_index = index >> (8 * (u32::from(level) + 1)).min(63);
            let whole = Tile::of_size(Kind::Hashes(level), tile_index, published.checkpoint.size());
            let Some(whole) = whole.filter(Tile::is_full) else { continue };
            let hashes = match running.full_tiles.get(level, whole.index) {
                Some(hashes) => hashes,
                None => {
                    let hashes = Arc::new(full_hashes(&self.objects, running.place(), level, whole.index).await?);
                    running.full_tiles.keep(level, whole.index, &hashes);
                    hashes
                }
            };
            path.insert((level, whole.index), hashes);
        }
        Ok(ProvingTiles { path, edge: Arc::clone(&published.tiles) })
    }
}

/// Full tiles on the way from an entry to the root, and the partial ones at the edge: all that a proof needs, since
/// what is not beside the path is a peak, and peaks lie in partial tiles.
struct ProvingTiles {
    path: FullTiles,
    edge: Arc<EdgeTiles>,
}

impl tile::Tiles for ProvingTiles {
    type Error = TileError;

    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, TileError> {
        let missing = TileError::Missing(Tile { kind: Kind::Hashes(level), index, width });
        if width == WIDTH {
            return self.path.get(&(level, index)).map(|h| h.as_ref().clone()).ok_or(missing);
        }
        self.edge.partial(level, width).map(<[Hash]>::to_vec).ok_or(missing)
    }
}
