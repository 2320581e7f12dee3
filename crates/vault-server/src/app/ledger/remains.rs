//! What there is of a log that may not open: read from every copy, signing and repairing nothing. The two officers who
//! declare a successor are believed by what survives of it.
//!
//! [`Remains`] is found by [`remains`]; [`Ledger::examine`] makes a log of it that can be read, and takes no entry: evidence is
//! proven under a tree over the entries that survive, which nobody signed but a key that is forgotten at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use vault_core::audit::checkpoint::{CheckpointSigner, VerifiedCheckpoint};
use vault_core::audit::entry::{Draft, EntryKind, OpeningsErased, Prepared};
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::note::VerifierKey;
use vault_core::audit::slot::{OpeningKeys, SlotName};
use vault_core::audit::succession::{Survivors, survivors};
use vault_core::audit::tile::{self, Kind, Tile, WIDTH};
use vault_core::audit::verify::{ERASED, erased_portions, listed_as_erased};
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::{LogSeed, StaffAuditKey};

use super::office::Office;
use super::publish::{Published, TileCache, name};
use super::tiles::{EdgeTiles, Place};
use super::{Ledger, LedgerError, OpeningKeySource, Running, follow, recover};
use crate::app::reference;
use crate::objects::Objects;
use crate::store::leases::Lease;
use crate::store::log::{self, Head, NewEntry};
use crate::store::{Store, StoreError, Tx, succession};

/// Entries read from the database at once.
const READ: u64 = 1_024;

/// How long a node that sequences is given to show itself.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(8);
const AGAIN: core::time::Duration = core::time::Duration::from_millis(250);

/// What there is of a log.
#[derive(Debug)]
pub struct Remains {
    /// Its key.
    pub key: VerifierKey,
    /// Entries in the database, without a gap from the first.
    pub database: u64,
    /// Entries among the published files, likewise.
    pub published: u64,
    /// The newest checkpoint known, published or seen outside.
    pub known: Option<VerifiedCheckpoint>,
    /// What survives.
    pub survivors: Survivors,
    /// Entries that are known to be lost.
    pub lost: u64,
    /// Whether the vault would open this log by itself.
    pub whole: bool,
    head: Option<Head>,
    /// The hashes of the entries that survive.
    leaves: Vec<Hash>,
}

impl Remains {
    /// Entries that survive as the database has them; those behind come from the published files.
    #[must_use]
    pub fn from_database(&self) -> u64 {
        if self.survivors.from_published { self.survivors.alike } else { self.survivors.size }
    }

    /// Entries that survive, from `first` on to the end of a bundle or of where they come from.
    pub(super) async fn entries(
        &self,
        store: &Store,
        objects: &Objects,
        first: u64,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let (size, database) = (self.survivors.size, self.from_database());
        let width = u64::from(WIDTH);
        if first >= database {
            return recover::entries_of(objects, Place::of(&self.key), first, size).await;
        }
        let end = database.min((first / width + 1) * width);
        let mut reader = store.read().await?;
        let rows = log::entries(reader.conn(), first, end).await?;
        Ok(rows.into_iter().map(|(_, entry)| entry).collect())
    }
}

/// Reads every copy. `known`: checkpoints of this log that were seen outside.
pub async fn remains(
    store: &Store,
    objects: &Objects,
    signer: &CheckpointSigner,
    known: Vec<VerifiedCheckpoint>,
) -> Result<Remains, LedgerError> {
    let key = signer.verifier();
    let place = Place::of(key);
    let head = {
        let mut reader = store.read().await?;
        match log::head(reader.conn()).await {
            Err(StoreError::Corrupt { .. }) => None,
            head => head?,
        }
    };
    let most = head.as_ref().map_or(u64::MAX, |head| head.edge.size());
    let mut database = in_database(store, most).await?;
    // A head that the vault did not commit says nothing.
    let vouched = match head.as_ref().filter(|head| head_follows(&database, Some(head))) {
        Some(head) => log::is_vouched(store.read().await?.conn(), signer.outbox_key(), &head.edge).await?,
        None => false,
    };
    let (checkpoint, garbled) = match recover::published_checkpoint(objects, key).await {
        Ok(checkpoint) => (checkpoint, false),
        // Present, and not this log's word.
        Err(LedgerError::Checkpoint(_) | LedgerError::Tile(_)) => (None, true),
        Err(e) => return Err(e),
    };
    let published = in_files(objects, place).await?;
    let signed: Vec<_> = checkpoint.iter().chain(&known).map(|seen| (seen.size(), *seen.root())).collect();
    if !vouched {
        // Nor do entries that only the database has and no signature covers.
        let covered = signed.iter().map(|(size, _)| *size).max().unwrap_or(0).max(wide(published.len()));
        database.truncate(usize::try_from(covered).unwrap_or(usize::MAX));
    }
    let survivors = survivors(&database, &published, &signed);
    let opens = match &checkpoint {
        Some(checkpoint) => recover::published_edge(store, objects, place, checkpoint).await.is_ok(),
        None => published.is_empty() && !garbled,
    };
    let newest = checkpoint.into_iter().chain(known).max_by_key(VerifiedCheckpoint::size);
    let had = newest.as_ref().map_or(0, VerifiedCheckpoint::size);
    let had = had.max(head.as_ref().filter(|_| vouched).map_or(0, |head| head.edge.size()));
    let (longest, follows) = (wide(database.len()).max(wide(published.len())), head_follows(&database, head.as_ref()));
    let apart = survivors.alike < wide(database.len().min(published.len()));
    let lost = had.saturating_sub(survivors.size);
    let copy = if survivors.from_published { &published } else { &database };
    let leaves = copy.iter().take(usize::try_from(survivors.size).unwrap_or(usize::MAX)).copied().collect();
    Ok(Remains {
        key: key.clone(),
        database: wide(database.len()),
        published: wide(published.len()),
        known: newest,
        survivors,
        lost,
        whole: opens && follows && !apart && lost == 0 && survivors.size == longest,
        head,
        leaves,
    })
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Whether the database's head is that of its own entries.
fn head_follows(leaves: &[Hash], head: Option<&Head>) -> bool {
    head.is_some_and(|head| {
        head.edge.size() == wide(leaves.len()) && head.edge.to_bytes() == edge_of(leaves).to_bytes()
    })
}

fn edge_of(leaves: &[Hash]) -> Edge {
    let mut edge = Edge::default();
    for leaf in leaves {
        edge.append(*leaf);
        edge.settle();
    }
    edge
}

/// Hashes of the database's entries up to the first that is missing.
async fn in_database(store: &Store, most: u64) -> Result<Vec<Hash>, LedgerError> {
    let mut leaves = Vec::new();
    loop {
        let at = wide(leaves.len());
        let rows = {
            let mut reader = store.read().await?;
            log::entries(reader.conn(), at, most.min(at.saturating_add(READ))).await?
        };
        let found = (at..).zip(&rows).take_while(|(expected, (index, _))| expected == index);
        leaves.extend(found.map(|(_, (_, entry))| Hash::leaf(entry)));
        if wide(leaves.len()) < at.saturating_add(READ) {
            return Ok(leaves);
        }
    }
}

/// Hashes of the published entries up to the first that is missing or cannot be read. A store that does not answer is an error:
/// nothing is lost because it cannot be asked.
async fn in_files(objects: &Objects, place: Place) -> Result<Vec<Hash>, LedgerError> {
    let mut leaves = Vec::new();
    let take = |leaves: &mut Vec<Hash>, width, bytes: &[u8]| match tile::entries(width, bytes) {
        Ok(entries) => {
            leaves.extend(entries.into_iter().map(Hash::leaf));
            true
        }
        Err(_) => false,
    };
    for index in 0.. {
        let full = name(place.full(Tile { kind: Kind::Entries, index, width: WIDTH }))?;
        if let Some(bytes) = recover::there(objects, &full).await?
            && take(&mut leaves, WIDTH, &bytes)
        {
            continue;
        }
        for width in (1..WIDTH).rev() {
            if let Some(bytes) = recover::there(objects, &name(place.partial_bundle(index, width))?).await?
                && take(&mut leaves, width, &bytes)
            {
                break;
            }
        }
        break;
    }
    Ok(leaves)
}

impl Ledger {
    /// Opens what remains for reading. Nothing is appended: no task takes entries.
    pub fn examine(&self, remains: Remains, keys: Arc<dyn OpeningKeySource>) -> Result<(), LedgerError> {
        let (mut tiles, mut full) = (EdgeTiles::default(), Vec::new());
        for leaf in &remains.leaves {
            tiles.append_hash(*leaf, &mut full);
        }
        let mut cache = HashMap::new();
        for (tile, bytes) in full {
            if let Kind::Hashes(level) = tile.kind {
                cache.insert((level, tile.index), Arc::new(tile::hashes(tile, &bytes)?));
            }
        }
        let edge = edge_of(&remains.leaves);
        // A key of this moment: evidence asks for a signature, and the log's own signs nothing here.
        let signer = CheckpointSigner::new("examined", &LogSeed::generate()).map_err(|_| LedgerError::Sealed)?;
        let checkpoint = Arc::new(signer.sign(edge.size(), edge.root()));
        let published = Published { checkpoint, edge, tiles: Arc::new(tiles) };
        let running = Running {
            full_tiles: TileCache::of(cache),
            remains: Some(remains),
            ..Running::new(&Arc::new(signer), keys, published)
        };
        self.set_running(running);
        Ok(())
    }

    /// What is being examined.
    fn examined(&self) -> Result<Arc<Running>, LedgerError> {
        let running = self.running()?;
        if running.remains.is_some() { Ok(running) } else { Err(LedgerError::Sealed) }
    }

    /// The right to sequence, which nobody has while every node is stopped; `None` when one shows itself.
    pub async fn take_office(&self) -> Result<Option<Lease>, LedgerError> {
        let mut office = Office::new(Arc::clone(&self.0));
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            office.beat().await?;
            if let Some(lease) = office.stand().await? {
                return Ok(Some(lease));
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(None)
    }

    /// Gives it back.
    pub async fn leave_office(&self, lease: &Lease) {
        follow::give_back(&self.0, lease).await;
    }

    /// Makes the examined log its successor's, in the caller's transaction: what does not survive goes, what the published files
    /// have more comes in, `declaration` follows, and what waits in the outbox waits on under the key of `to`. False when
    /// the log is not what was examined any more. `erased`: records whose openings are rightly gone.
    pub async fn succeed<E: EntryKind>(
        &self,
        tx: &mut Tx,
        from: &CheckpointSigner,
        to: &CheckpointSigner,
        declaration: Prepared<E>,
        declared_as: String,
        erased: &HashSet<RecordId>,
    ) -> Result<bool, LedgerError> {
        let running = self.examined()?;
        let Some(remains) = &running.remains else { return Err(LedgerError::Sealed) };
        let now = succession::held_head(tx).await?;
        if now.as_ref().map(place_of) != remains.head.as_ref().map(place_of) {
            return Ok(false);
        }
        let (mut at, size) = (remains.from_database(), remains.survivors.size);
        succession::cut(tx, at).await?;
        while at < size {
            let new: Vec<NewEntry> = recover::entries_of(&self.0.objects, Place::of(&remains.key), at, size)
                .await?
                .into_iter()
                .map(|entry| NewEntry { reference: reference::derived(&entry), entry, sealed: Vec::new() })
                .collect();
            let known = remains.leaves.iter().skip(usize::try_from(at).unwrap_or(usize::MAX));
            if !new.iter().map(|new| Hash::leaf(&new.entry)).eq(known.take(new.len()).copied()) || new.is_empty() {
                return Ok(false);
            }
            log::insert(tx, at, &new.iter().collect::<Vec<_>>()).await?;
            at += wide(new.len());
        }
        let mut edge = running.published().edge.clone();
        let (entry, sealed, _) = declaration.into_parts();
        edge.append(Hash::leaf(&entry));
        edge.settle();
        log::insert(tx, size, &[&NewEntry { entry, sealed, reference: Some(declared_as) }]).await?;
        succession::set_head(tx, &edge).await?;
        log::vouch(tx, to.outbox_key(), &edge).await?;
        succession::requeue(tx, from.outbox_key(), to.outbox_key()).await?;
        self.tell_of_erased(tx, remains, to, erased).await?;
        Ok(true)
    }

    /// Openings that are gone with their record, while the entry that said so is lost: the successor's own entries say so again.
    /// What somebody else emptied stays a finding.
    async fn tell_of_erased(
        &self,
        tx: &mut Tx,
        remains: &Remains,
        to: &CheckpointSigner,
        erased: &HashSet<RecordId>,
    ) -> Result<(), LedgerError> {
        use SlotName::{Binding, Person, Staff, Token};
        let gone = succession::erased_openings(tx.conn(), remains.survivors.size).await?.into_iter();
        // What names staff is under no record's key, whatever a row says.
        let gone =
            gone.filter(|(_, slot, of)| erased.contains(of) && !matches!(slot, Staff | Person | Binding | Token));
        let mut gone: Vec<(u64, SlotName)> = gone.map(|(index, slot, _)| (index, slot)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let (mut at, mut told) = (0, HashSet::new());
        while at < remains.survivors.size {
            let end = remains.survivors.size.min(at + READ);
            for (index, entry) in log::entries(tx.conn(), at, end).await? {
                told.extend(listed_as_erased(index, &entry));
            }
            at = end;
        }
        gone.retain(|pair| !told.contains(pair));
        for portion in erased_portions(&gone) {
            let draft = Draft::<OpeningsErased>::new(self.0.clock.now()).data(ERASED, portion);
            // No slots: the key seals nothing.
            let prepared = draft.prepare(&OpeningKeys { staff: &StaffAuditKey::generate(), record: None })?;
            let new = NewEntry { entry: prepared.entry().to_vec(), sealed: Vec::new(), reference: None };
            log::queue(tx, to.outbox_key(), &self.0.row_id(), &new).await?;
        }
        Ok(())
    }
}

fn place_of(head: &Head) -> (i64, Vec<u8>) {
    (head.fence, head.edge.to_bytes())
}
