//! Publishing: tiles and bundles to the object store, then the checkpoint, then the release of those who wait; and
//! serving what was published.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{mpsc, oneshot};
use vault_core::audit::checkpoint::VerifiedCheckpoint;
use vault_core::audit::merkle::Hash;
use vault_core::audit::tile::{self, Kind, Tile, TileError, WIDTH};

use super::tiles::{EdgeTiles, Full, bytes_of, full_name};
use super::{Ledger, LedgerError, Release, Running, Shared, lock};
use crate::objects::{Name, ObjectError, Objects};

/// After a failure the first pause, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Full tiles kept in memory for proofs: 8 KiB each.
const CACHED_TILES: usize = 256;

/// A committed group on its way out.
pub(super) struct Publication {
    pub(super) checkpoint: Arc<VerifiedCheckpoint>,
    pub(super) tiles: Arc<EdgeTiles>,
    pub(super) full: Vec<Full>,
    pub(super) releases: Vec<(oneshot::Sender<Release>, Release)>,
}

/// What readers see: a checkpoint, and the partial tiles of exactly its size.
pub(super) struct Published {
    pub(super) checkpoint: Arc<VerifiedCheckpoint>,
    pub(super) tiles: Arc<EdgeTiles>,
}

impl Running {
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Publishes in order until the sequencer ends. A failure is tried again for ever: meanwhile nobody is released, and
/// those who wait time out.
pub(super) async fn run(shared: Arc<Shared>, running: Arc<Running>, mut publications: mpsc::Receiver<Publication>) {
    while let Some(publication) = publications.recv().await {
        let Publication { checkpoint, tiles, full, releases } = publication;
        let mut pause = FIRST_PAUSE;
        while let Err(e) = write(&shared.objects, &full, &tiles, &checkpoint).await {
            if running.stop.is_cancelled() {
                // Committed and not published: the next opening publishes it.
                return;
            }
            shared.publish_failed.store(true, Ordering::Relaxed);
            tracing::warn!(error = %e, "the audit log could not be published; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        shared.publish_failed.store(false, Ordering::Relaxed);
        let published = Arc::new(Published { checkpoint, tiles });
        *running.published.write().unwrap_or_else(PoisonError::into_inner) = published;
        for (done, release) in releases {
            // Whoever gave up has a committed entry that released nothing.
            let _ = done.send(release);
        }
    }
}

/// Writes what is new, the checkpoint last: a reader who has it finds all that it covers.
pub(super) async fn write(
    objects: &Objects,
    full: &[Full],
    tiles: &EdgeTiles,
    checkpoint: &VerifiedCheckpoint,
) -> Result<(), LedgerError> {
    let mut puts = Vec::with_capacity(full.len() + 1);
    for (tile, bytes) in full {
        puts.push((name(full_name(*tile))?, bytes.clone()));
    }
    if let Some(partial) = tiles.partial_bundle() {
        puts.push(name(partial)?);
    }
    // At most a handful at once: after a long outage there may be thousands.
    for some in puts.chunks(16) {
        try_join_all(some.iter().map(|(name, bytes)| objects.put(name, bytes.clone()))).await?;
    }
    objects.put(&checkpoint_name()?, checkpoint.note().to_owned()).await?;
    Ok(())
}

/// Paths of tiles are names of objects; were one not, nothing could be published.
pub(super) fn name<T>(made: Result<T, crate::objects::InvalidName>) -> Result<T, LedgerError> {
    made.map_err(|_| LedgerError::Tile(TileError::Path))
}

pub(super) fn checkpoint_name() -> Result<Name, LedgerError> {
    name(Name::log("checkpoint"))
}

/// Full tiles of hashes by level and index.
type FullTiles = HashMap<(u8, u64), Arc<Vec<Hash>>>;

/// Full tiles kept in memory; they never change.
#[derive(Default)]
pub(super) struct TileCache(Mutex<FullTiles>);

impl TileCache {
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
pub(super) async fn full_hashes(objects: &Objects, level: u8, index: u64) -> Result<Vec<Hash>, LedgerError> {
    let tile = Tile::full(level, index);
    Ok(tile::hashes(tile, &objects.get(&name(full_name(tile))?).await?)?)
}

impl Ledger {
    /// A tile or bundle of the published log, byte for byte as tlog-tiles has it; `None` when the published tree does
    /// not have that many hashes or entries there. A partial tile of any width stays readable: it is a prefix.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, LedgerError> {
        let running = self.running()?;
        let published = running.published();
        let size = published.checkpoint.size();
        let Some(whole) = Tile::of_size(tile.kind, tile.index, size) else { return Ok(None) };
        if tile.width > whole.width {
            return Ok(None);
        }
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
        let full = self.0.objects.get(&name(full_name(tile))?).await?;
        let length = match tile.kind {
            Kind::Hashes(_) => usize::from(tile.width) * 32,
            Kind::Entries => tile::prefix_len(tile.width, &full)?,
        };
        if length > full.len() {
            return Err(ObjectError::Short.into());
        }
        Ok(Some(full.slice(..length)))
    }

    /// The tiles that prove entry `index` of the published tree.
    pub(super) async fn proving_tiles(
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
                    let hashes = Arc::new(full_hashes(&self.0.objects, level, whole.index).await?);
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
pub(super) struct ProvingTiles {
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
