//! At start: every copy of the head is compared, with one branch for each way they can differ.
//!
//! | database | published | what is done |
//! | --- | --- | --- |
//! | none | none | a log is begun |
//! | ahead, and extends what is published | older | published |
//! | equal | equal | nothing |
//! | behind, and a prefix of what is published | newer | the published entries are replayed into the database |
//! | any | tiles or bundles without a checkpoint | refused |
//! | neither extends the other | | refused |
//!
//! What is published counts only under the log's own signature.

use futures_util::future::try_join_all;
use vault_core::audit::checkpoint::VerifiedCheckpoint;
use vault_core::audit::entry::Entry;
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::note::VerifierKey;
use vault_core::audit::tile::{self, Kind, Tile, TileError, TileNodes, WIDTH};

use super::LedgerError;
use super::publish::{checkpoint_name, full_hashes, name};
use super::tiles::{EdgeTiles, Full, full_name, partial_bundle_name};
use crate::objects::{ObjectError, Objects};
use crate::store::Store;
use crate::store::log::{self, Head, NewEntry};

/// Entries read from the database at once.
const READ: u64 = 1_024;

/// The one state that the copies agree on.
pub(super) struct Recovered {
    pub(super) head: Head,
    pub(super) tiles: EdgeTiles,
    /// What was published before; the same tree unless `behind` is not zero.
    pub(super) published: Option<VerifiedCheckpoint>,
    /// Entries that are to be published.
    pub(super) behind: u64,
    pub(super) full: Vec<Full>,
}

/// Compares the copies and brings the database up to date.
pub(super) async fn recover(store: &Store, objects: &Objects, key: &VerifierKey) -> Result<Recovered, LedgerError> {
    let published = published_checkpoint(objects, key).await?;
    let head = {
        let mut reader = store.read().await?;
        log::head(reader.conn()).await?
    };
    let head = match head {
        Some(head) => head,
        None => {
            let mut tx = store.begin("begin_log").await?;
            let head = log::begin(&mut tx).await?;
            tx.commit().await?;
            head
        }
    };
    let Some(checkpoint) = published else {
        refuse_without_checkpoint(objects, &head).await?;
        // Nothing was published, or all of it was lost: the database has everything.
        let recovered = forward(store, Edge::default(), EdgeTiles::default(), head, None).await?;
        return Ok(recovered);
    };
    let (edge, tiles) = published_edge(objects, &checkpoint).await?;
    if head.edge.size() >= checkpoint.size() {
        forward(store, edge, tiles, head, Some(checkpoint)).await
    } else {
        let head = replay(store, objects, &edge, head, &checkpoint).await?;
        Ok(Recovered { head, tiles, published: Some(checkpoint), behind: 0, full: Vec::new() })
    }
}

/// Tiles or bundles without a checkpoint: it was taken away, and with it what says which tree was signed. Signing the
/// database's would sign whatever it was made to be.
///
/// One case is honest: the very first publication, of `log.started` alone, ended before its last write.
async fn refuse_without_checkpoint(objects: &Objects, head: &Head) -> Result<(), LedgerError> {
    let full = |kind| name(full_name(Tile { kind, index: 0, width: WIDTH }));
    let mut there = objects.exists(&full(Kind::Entries)?).await? || objects.exists(&full(Kind::Hashes(0))?).await?;
    if head.edge.size() != 1 {
        there |= objects.exists(&name(partial_bundle_name(0))?).await?;
    }
    if there {
        let what = "the published checkpoint is missing, and entries that it signed are there";
        return Err(LedgerError::Disagreement { what, database: head.edge.size(), published: 0 });
    }
    Ok(())
}

async fn published_checkpoint(objects: &Objects, key: &VerifierKey) -> Result<Option<VerifiedCheckpoint>, LedgerError> {
    match objects.get(&checkpoint_name()?).await {
        Ok(bytes) => {
            let note = core::str::from_utf8(&bytes).map_err(|_| LedgerError::Tile(TileError::Contents))?;
            Ok(Some(key.verify_checkpoint(note)?))
        }
        Err(ObjectError::Missing) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The edge of the published tree out of its tiles, checked against the signed root.
async fn published_edge(objects: &Objects, checkpoint: &VerifiedCheckpoint) -> Result<(Edge, EdgeTiles), LedgerError> {
    let size = checkpoint.size();
    let mut tiles = EdgeTiles { size, ..EdgeTiles::default() };
    for level in 0_u8..8 {
        let width = Tile::level_width(size, level);
        if width == 0 {
            break;
        }
        let (index, partial) = (width / u64::from(WIDTH), width % u64::from(WIDTH));
        let hashes = if level == 0 {
            tiles.bundle = bundle(objects, index, u16::try_from(partial).unwrap_or(0)).await?;
            tile::entries(u16::try_from(partial).unwrap_or(0), &tiles.bundle)?.into_iter().map(Hash::leaf).collect()
        } else {
            let below = (index * u64::from(WIDTH)..width).map(|n| full_hashes(objects, level - 1, n));
            try_join_all(below).await?.iter().map(|h| tile::fold(h)).collect()
        };
        tiles.hashes.push(hashes);
    }
    // Peaks lie in the partial tiles.
    let edge = Edge::from_nodes(&TileNodes::new(&EdgeOnly(&tiles), size), size)?;
    if edge.root() != *checkpoint.root() {
        return Err(LedgerError::Tile(TileError::Contents));
    }
    Ok((edge, tiles))
}

struct EdgeOnly<'t>(&'t EdgeTiles);

impl tile::Tiles for EdgeOnly<'_> {
    type Error = TileError;

    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, TileError> {
        let missing = TileError::Missing(Tile { kind: Kind::Hashes(level), index, width });
        self.0.partial(level, width).map(<[Hash]>::to_vec).ok_or(missing)
    }
}

/// The first `width` entries of a published bundle, from the partial object or the full one.
async fn bundle(objects: &Objects, index: u64, width: u16) -> Result<Vec<u8>, LedgerError> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let full = name(full_name(Tile { kind: Kind::Entries, index, width: WIDTH }))?;
    let partial = name(partial_bundle_name(index))?;
    let bytes = match objects.get(if width == WIDTH { &full } else { &partial }).await {
        Err(ObjectError::Missing) if width < WIDTH => objects.get(&full).await?,
        other => other?,
    };
    let length = tile::prefix_len(width, &bytes)?;
    Ok(bytes.get(..length).ok_or(TileError::Contents)?.to_vec())
}

/// Continues the published tree with the database's entries, which must lead to the database's head.
async fn forward(
    store: &Store,
    mut edge: Edge,
    mut tiles: EdgeTiles,
    head: Head,
    published: Option<VerifiedCheckpoint>,
) -> Result<Recovered, LedgerError> {
    let (from, to) = (edge.size(), head.edge.size());
    let disagreement = |what| LedgerError::Disagreement { what, database: to, published: from };
    let mut full = Vec::new();
    let mut at = from;
    while at < to {
        let entries = {
            let mut reader = store.read().await?;
            log::entries(reader.conn(), at, to.min(at + READ)).await?
        };
        for (index, entry) in &entries {
            if *index != at {
                return Err(disagreement("an entry is missing from the database"));
            }
            let leaf = Hash::leaf(entry);
            edge.append(leaf);
            tiles.append(entry, leaf, &mut full)?;
            at += 1;
        }
        if entries.is_empty() {
            return Err(disagreement("an entry is missing from the database"));
        }
        edge.settle();
    }
    if edge.to_bytes() != head.edge.to_bytes() {
        return Err(disagreement("the database's head does not follow from what is published and its own entries"));
    }
    Ok(Recovered { head, tiles, published: published.filter(|_| from == to), behind: to - from, full })
}

/// Brings the database forward to the published tree. Openings and references are not published: what was lost with
/// the database's last entries stays lost, and those slots will show as missing.
async fn replay(
    store: &Store,
    objects: &Objects,
    edge: &Edge,
    head: Head,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Head, LedgerError> {
    let (from, to) = (head.edge.size(), checkpoint.size());
    let disagreement = |what| LedgerError::Disagreement { what, database: from, published: to };
    tracing::warn!(from, to, "the database is behind the published log: replaying published entries");
    // First the whole way in memory: nothing is written unless the database's head leads to the published root.
    let mut walked = head.edge.clone();
    let mut at = from;
    while at < to {
        for entry in entries_of(objects, at, to).await? {
            Entry::parse(&entry)?;
            walked.append(Hash::leaf(&entry));
            at += 1;
        }
        walked.settle();
    }
    if walked.to_bytes() != edge.to_bytes() {
        return Err(disagreement("the published log does not extend the database's"));
    }
    let mut current = head;
    while current.edge.size() < to {
        let first = current.edge.size();
        let new: Vec<NewEntry> = entries_of(objects, first, to)
            .await?
            .into_iter()
            .map(|entry| NewEntry { entry, sealed: Vec::new(), reference: None })
            .collect();
        let mut next = Head { edge: current.edge.clone(), fence: current.fence + 1 };
        for new in &new {
            next.edge.append(Hash::leaf(&new.entry));
        }
        next.edge.settle();
        let mut tx = store.begin("replay_log").await?;
        log::insert(&mut tx, first, &new.iter().collect::<Vec<_>>()).await?;
        if !log::advance(&mut tx, &current, &next).await? {
            return Err(disagreement("the database's head moved during the replay"));
        }
        tx.commit().await?;
        current = next;
    }
    Ok(current)
}

/// The published entries from `first` to the end of its bundle, or to `to`.
pub(super) async fn entries_of(objects: &Objects, first: u64, to: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
    let width = u64::from(WIDTH);
    let index = first / width;
    let count = u16::try_from((to - index * width).min(width)).unwrap_or(WIDTH);
    let bundle = bundle(objects, index, count).await?;
    let skipped = usize::try_from(first % width).unwrap_or(usize::MAX);
    Ok(tile::entries(count, &bundle)?.into_iter().skip(skipped).map(<[u8]>::to_vec).collect())
}
