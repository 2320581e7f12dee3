//! Before a node sequences, at its start or because another has gone: every copy of the head is compared, with one branch
//! for each way they can differ.
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
//! What is published counts only under the log's own signature, and what the database has beyond it only under the MAC with
//! which the vault committed the head: whoever writes the database appends nothing that is signed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use vault_core::audit::checkpoint::{CheckpointSigner, VerifiedCheckpoint};
use vault_core::audit::entry::Entry;
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::note::VerifierKey;
use vault_core::audit::succession::Declaration;
use vault_core::audit::tile::{self, Kind, Tile, TileError, TileNodes, WIDTH};
use vault_core::keys::hierarchy::OutboxKey;

use super::LedgerError;
use super::publish::{Published, checkpoint_name, full_hashes, name};
use super::tiles::{EdgeTiles, Full, Place};
use crate::app::reference;
use crate::objects::{Name, ObjectError, Objects};
use crate::store::log::{self, Head, NewEntry};
use crate::store::{Store, keys};

/// Objects looked for at once.
const AT_ONCE: usize = 16;

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

/// Raises the head's fence, so that no transaction of whoever sequenced before can append any more. Begins a log where
/// there is none.
pub(super) async fn fence(store: &Store, key: &VerifierKey) -> Result<Head, LedgerError> {
    let mut missed = 0;
    loop {
        let head = {
            let mut reader = store.read().await?;
            log::head(reader.conn()).await?
        };
        let mut tx = store.begin("fence_log").await?;
        let raised = match head {
            Some(head) => {
                let raised = log::raise_fence(&mut tx, &head).await?;
                // With the head held: a succession moves it in the transaction that ends the key.
                if raised && keys::log_key_has_ended(tx.conn(), &key.to_string()).await? {
                    tx.rollback().await?;
                    return Err(succeeded(&head));
                }
                raised.then(|| Head { fence: head.fence + 1, ..head })
            }
            None => Some(log::begin(&mut tx).await?),
        };
        // An unknown outcome leaves a fence that is higher than this node knows, and costs it the office.
        match raised {
            Some(head) => {
                tx.commit().await?;
                return Ok(head);
            }
            // Whoever sequenced before appends to its end.
            None if missed < 100 => {
                tx.rollback().await?;
                missed += 1;
            }
            None => return Err(LedgerError::Timeout),
        }
    }
}

/// A node that still holds the key of a log that was succeeded.
pub(super) fn succeeded(head: &Head) -> LedgerError {
    let what = "the log was succeeded: this node's key signs nothing any more";
    LedgerError::Disagreement { what, database: head.edge.size(), published: 0 }
}

/// Compares the copies and brings the database up to date. For the node that sequences: it has raised the fence to `head`.
pub(super) async fn recover(
    store: &Store,
    objects: &Objects,
    signer: &CheckpointSigner,
    head: Head,
) -> Result<Recovered, LedgerError> {
    let (key, outbox) = (signer.verifier(), signer.outbox_key());
    let Some(checkpoint) = published_checkpoint(objects, key).await? else {
        refuse_without_checkpoint(store, objects, key, &head).await?;
        refuse_if_followed(objects, key).await?;
        // Nothing was published, or all of it was lost: the database has everything.
        let recovered = forward(store, outbox, Edge::default(), EdgeTiles::default(), head, None, |_, _| ()).await?;
        return Ok(recovered);
    };
    refuse_if_followed(objects, key).await?;
    let (edge, tiles) = published_edge(store, objects, Place::of(key), &checkpoint).await?;
    if head.edge.size() >= checkpoint.size() {
        forward(store, outbox, edge, tiles, head, Some(checkpoint), |_, _| ()).await
    } else {
        let head = replay(store, objects, signer, &edge, head, &checkpoint).await?;
        Ok(Recovered { head, tiles, published: Some(checkpoint), behind: 0, full: Vec::new() })
    }
}

/// What is published, for a node that follows; `None` before the first publication.
pub(super) async fn follow(
    store: &Store,
    objects: &Objects,
    key: &VerifierKey,
) -> Result<Option<Published>, LedgerError> {
    let Some(checkpoint) = published_checkpoint(objects, key).await? else { return Ok(None) };
    let (edge, tiles) = published_edge(store, objects, Place::of(key), &checkpoint).await?;
    Ok(Some(Published { checkpoint: Arc::new(checkpoint), edge, tiles: Arc::new(tiles) }))
}

/// Tiles or bundles without a checkpoint: it was taken away, and with it what says which tree was signed. Signing the
/// database's would sign whatever it was made to be.
///
/// Two cases are honest: the very first publication, of `log.started` alone, or of a successor up to its declaration, ended
/// before its last write.
async fn refuse_without_checkpoint(
    store: &Store,
    objects: &Objects,
    key: &VerifierKey,
    head: &Head,
) -> Result<(), LedgerError> {
    // What that publication writes is honest; what is wider was written after its checkpoint.
    let honest = match head.edge.size() {
        1 => 1,
        size if ends_with_declaration(store, key, head).await? => size,
        _ => 0,
    };
    let place = Place::of(key);
    let index = honest / u64::from(WIDTH);
    let full = |kind| name(place.full(Tile { kind, index, width: WIDTH }));
    let mut there = objects.exists(&full(Kind::Entries)?).await? || objects.exists(&full(Kind::Hashes(0))?).await?;
    let first = u16::try_from(honest % u64::from(WIDTH)).unwrap_or(0) + 1;
    let partials: Vec<_> =
        (first..WIDTH).map(|width| name(place.partial_bundle(index, width))).collect::<Result<_, _>>()?;
    for some in partials.chunks(AT_ONCE) {
        there |= try_join_all(some.iter().map(|name| objects.exists(name))).await?.contains(&true);
    }
    if there {
        let what = "the published checkpoint is missing, and entries that it signed are there";
        return Err(LedgerError::Disagreement { what, database: head.edge.size(), published: 0 });
    }
    Ok(())
}

/// A database from before a succession has the former key again; what was published since says that it signs nothing.
async fn refuse_if_followed(objects: &Objects, key: &VerifierKey) -> Result<(), LedgerError> {
    if is_followed(objects, key).await? {
        let what = "this log was succeeded, and the database is from before";
        return Err(LedgerError::Disagreement { what, database: 0, published: 0 });
    }
    Ok(())
}

/// Whether a successor of the log with this key is published.
pub async fn is_followed(objects: &Objects, key: &VerifierKey) -> Result<bool, LedgerError> {
    Ok(objects.exists(&name(Place::of(key).next().checkpoint())?).await?)
}

/// Whether the last entry in the database declares the successor log whose key this is: nothing was appended to it, which
/// takes a publication first.
async fn ends_with_declaration(store: &Store, key: &VerifierKey, head: &Head) -> Result<bool, LedgerError> {
    let size = head.edge.size();
    let last = {
        let mut reader = store.read().await?;
        log::entries(reader.conn(), size.saturating_sub(1), size).await?
    };
    let Some((_, last)) = last.first() else { return Ok(false) };
    let declaration = Entry::parse(last).ok().and_then(|entry| Declaration::of(&entry)?.ok());
    Ok(declaration.is_some_and(|declaration| declaration.key == *key && declaration.carried + 1 == size))
}

/// The checkpoint in the object store, under the log's own signature.
pub async fn published_checkpoint(
    objects: &Objects,
    key: &VerifierKey,
) -> Result<Option<VerifiedCheckpoint>, LedgerError> {
    match objects.get(&checkpoint_name(Place::of(key))?).await {
        Ok(bytes) => {
            let note = core::str::from_utf8(&bytes).map_err(|_| LedgerError::Tile(TileError::Contents))?;
            Ok(Some(key.verify_checkpoint(note)?))
        }
        Err(ObjectError::Missing) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The edge of the published tree out of its tiles, checked against the signed root.
pub(super) async fn published_edge(
    store: &Store,
    objects: &Objects,
    place: Place,
    checkpoint: &VerifiedCheckpoint,
) -> Result<(Edge, EdgeTiles), LedgerError> {
    let size = checkpoint.size();
    let mut tiles = EdgeTiles { size, ..EdgeTiles::default() };
    for level in 0_u8..8 {
        let width = Tile::level_width(size, level);
        if width == 0 {
            break;
        }
        let (index, partial) = (width / u64::from(WIDTH), width % u64::from(WIDTH));
        let hashes = if level == 0 {
            let width = u16::try_from(partial).unwrap_or(0);
            tiles.bundle = match named(objects, place, index, width).await? {
                Some(bundle) => bundle,
                None => match kept(store, index, width).await? {
                    Some(bundle) => bundle,
                    None => bundle(objects, place, index, width).await?,
                },
            };
            tile::entries(width, &tiles.bundle)?.into_iter().map(Hash::leaf).collect()
        } else {
            let below = (index * u64::from(WIDTH)..width).map(|n| full_hashes(objects, place, level - 1, n));
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

/// The first `width` entries of a bundle as the database has them, if it has them. Whoever asks holds them against a
/// signed root.
async fn kept(store: &Store, index: u64, width: u16) -> Result<Option<Vec<u8>>, LedgerError> {
    let first = index * u64::from(WIDTH);
    let mut reader = store.read().await?;
    let entries = log::entries(reader.conn(), first, first + u64::from(width)).await?;
    let mut bundle = Vec::new();
    for (expected, (found, entry)) in (first..).zip(&entries) {
        if *found != expected {
            return Ok(None);
        }
        tile::push_entry(&mut bundle, entry)?;
    }
    Ok((entries.len() == usize::from(width)).then_some(bundle))
}

/// The first `width` entries of a published bundle, from the object of that width or the full one.
async fn named(objects: &Objects, place: Place, index: u64, width: u16) -> Result<Option<Vec<u8>>, LedgerError> {
    if width == 0 {
        return Ok(Some(Vec::new()));
    }
    let partial = match width {
        WIDTH => None,
        _ => there(objects, &name(place.partial_bundle(index, width))?).await?,
    };
    let found = match partial {
        Some(bytes) => Some(bytes),
        None => there(objects, &name(place.full(Tile { kind: Kind::Entries, index, width: WIDTH }))?).await?,
    };
    found.map(|bytes| prefix(width, &bytes)).transpose()
}

/// The same from whatever object has them. Partial bundles are deleted once they are no longer needed, and an older
/// checkpoint may have come back over a newer one: then a wider one is there.
pub(super) async fn bundle(objects: &Objects, place: Place, index: u64, width: u16) -> Result<Vec<u8>, LedgerError> {
    if let Some(bundle) = named(objects, place, index, width).await? {
        return Ok(bundle);
    }
    for wider in width + 1..WIDTH {
        if let Some(bytes) = there(objects, &name(place.partial_bundle(index, wider))?).await? {
            return prefix(width, &bytes);
        }
    }
    Err(ObjectError::Missing.into())
}

fn prefix(width: u16, bundle: &[u8]) -> Result<Vec<u8>, LedgerError> {
    let length = tile::prefix_len(width, bundle)?;
    Ok(bundle.get(..length).ok_or(TileError::Contents)?.to_vec())
}

pub(super) async fn there(objects: &Objects, name: &Name) -> Result<Option<Bytes>, ObjectError> {
    match objects.get(name).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ObjectError::Missing) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Continues the published tree with the database's entries, which must lead to the database's head, and that must be one
/// which the vault committed.
pub(super) async fn forward(
    store: &Store,
    key: &OutboxKey,
    mut edge: Edge,
    mut tiles: EdgeTiles,
    head: Head,
    published: Option<VerifiedCheckpoint>,
    each: impl Fn(u64, Hash),
) -> Result<Recovered, LedgerError> {
    let (from, to) = (edge.size(), head.edge.size());
    let mut full = Vec::new();
    read_on(store, &mut edge, &mut tiles, to, |index, leaf, filled| {
        each(index, leaf);
        full.extend(filled);
    })
    .await?;
    if edge.to_bytes() != head.edge.to_bytes() {
        let what = "the database's head does not follow from what is published and its own entries";
        return Err(LedgerError::Disagreement { what, database: to, published: from });
    }
    if to > from && !log::is_vouched(store.read().await?.conn(), key, &head.edge).await? {
        let what = "the vault did not commit what the database has beyond the published log";
        return Err(LedgerError::Disagreement { what, database: to, published: from });
    }
    Ok(Recovered { head, tiles, published: published.filter(|_| from == to), behind: to - from, full })
}

/// Appends the database's entries up to `to` to a tree; `each` is told index and hash, and what the entry filled.
pub(super) async fn read_on(
    store: &Store,
    edge: &mut Edge,
    tiles: &mut EdgeTiles,
    to: u64,
    mut each: impl FnMut(u64, Hash, Vec<Full>),
) -> Result<(), LedgerError> {
    let published = edge.size();
    let mut at = published;
    while at < to {
        let entries = {
            let mut reader = store.read().await?;
            log::entries(reader.conn(), at, to.min(at + READ)).await?
        };
        let before = at;
        for (index, entry) in &entries {
            if *index != at {
                break;
            }
            let leaf = Hash::leaf(entry);
            let mut full = Vec::new();
            edge.append(leaf);
            tiles.append(entry, leaf, &mut full)?;
            each(at, leaf, full);
            at += 1;
        }
        if at == before || at != (before + READ).min(to) {
            let what = "an entry is missing from the database";
            return Err(LedgerError::Disagreement { what, database: at, published });
        }
        edge.settle();
    }
    Ok(())
}

/// Brings the database forward to the published tree. Openings and references are not published: what was lost with
/// the database's last entries stays lost, and those slots will show as missing. References that follow from what an entry
/// says in the clear are made again: those of keys.
async fn replay(
    store: &Store,
    objects: &Objects,
    signer: &CheckpointSigner,
    edge: &Edge,
    head: Head,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Head, LedgerError> {
    let place = Place::of(signer.verifier());
    let (from, to) = (head.edge.size(), checkpoint.size());
    let disagreement = |what| LedgerError::Disagreement { what, database: from, published: to };
    tracing::warn!(from, to, "the database is behind the published log: replaying published entries");
    // First the whole way in memory: nothing is written unless the database's head leads to the published root.
    let mut walked = head.edge.clone();
    let mut at = from;
    while at < to {
        for entry in entries_of(objects, place, at, to).await? {
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
        let new: Vec<NewEntry> = entries_of(objects, place, first, to)
            .await?
            .into_iter()
            .map(|entry| NewEntry { reference: reference::derived(&entry), entry, sealed: Vec::new() })
            .collect();
        let mut next = Head { edge: current.edge.clone(), fence: current.fence + 1 };
        for new in &new {
            next.edge.append(Hash::leaf(&new.entry));
        }
        next.edge.settle();
        let mut tx = store.begin("replay_log").await?;
        log::insert(&mut tx, first, &new.iter().collect::<Vec<_>>()).await?;
        if !log::advance(&mut tx, signer.outbox_key(), &current, &next).await? {
            return Err(disagreement("the database's head moved during the replay"));
        }
        tx.commit().await?;
        current = next;
    }
    Ok(current)
}

/// The published entries from `first` to the end of its bundle, or to `to`, as the object store has them.
pub(super) async fn entries_of(
    objects: &Objects,
    place: Place,
    first: u64,
    to: u64,
) -> Result<Vec<Vec<u8>>, LedgerError> {
    let width = u64::from(WIDTH);
    let index = first / width;
    let count = u16::try_from((to - index * width).min(width)).unwrap_or(WIDTH);
    after(first, count, &bundle(objects, place, index, count).await?)
}

/// The same for whoever has verified the checkpoint and holds what this answers against its root.
pub async fn published_entries(
    objects: &Objects,
    key: &VerifierKey,
    first: u64,
    to: u64,
) -> Result<Vec<Vec<u8>>, LedgerError> {
    entries_of(objects, Place::of(key), first, to).await
}

/// The entries from `first` on out of a bundle of `count`.
pub(super) fn after(first: u64, count: u16, bundle: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError> {
    let width = u64::from(WIDTH);
    let skipped = usize::try_from(first % width).unwrap_or(usize::MAX);
    Ok(tile::entries(count, bundle)?.into_iter().skip(skipped).map(<[u8]>::to_vec).collect())
}
