//! What the log says was taken away for good: read from the published entries themselves.
//!
//! The column by which entries are found again ([`super::evidence`]) is a hint that whoever writes the database can
//! clear, and an answer "no such entry" cannot be proven. So at start the whole published log is read once, front to
//! back, a bundle at a time, against the signed root; what it holds besides a bundle is one identifier for each act.

use std::collections::{BTreeMap, BTreeSet};

use vault_core::audit::entry::{Entry, Kind};
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::slot::{KeptUnder, SealedOpening, SlotName};
use vault_core::audit::tile::{TileError, WIDTH};
use vault_core::audit::verify::listed_as_erased;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::wrap::KekRef;

use super::evidence::Keys;
use super::publish::Published;
use super::recover::{after, entries_of};
use super::{Ledger, LedgerError, Running};
use crate::store::log::{self, StoredOpening};
use crate::store::restrictions::{Kind as Restricted, Restriction, Target};

/// The operation of an entry that says that a key was destroyed.
pub const DESTROY: &str = "destroy";

/// The operation of an entry that says that a version is compromised.
const MARK_COMPROMISED: &str = "mark-compromised";

/// What the log says of a collection's key versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The greatest number that was ever given.
    pub highest: u32,
    /// The version that became active last.
    pub active: Option<u32>,
    /// Versions that are compromised.
    pub compromised: BTreeSet<u32>,
    /// Versions that are destroyed.
    pub destroyed: BTreeSet<u32>,
}

impl KeyFacts {
    fn take(&mut self, operation: &str, version: u32) {
        self.highest = self.highest.max(version);
        match operation {
            "activate" => self.active = Some(version),
            MARK_COMPROMISED => drop(self.compromised.insert(version)),
            DESTROY => drop(self.destroyed.insert(version)),
            _ => {}
        }
    }
}

/// What the log takes away.
#[derive(Debug, Default)]
pub struct TakenAway {
    /// What it says of keys, collection by collection; the vault's own among them.
    pub keys: BTreeMap<CollectionId, KeyFacts>,
    /// What is known.
    pub restrictions: Vec<Restriction>,
    /// Root epochs that are destroyed.
    pub epochs: Vec<u32>,
    /// Entries that take something away whose opening is gone: the journal may know of what.
    pub unknown: usize,
}

/// The kind of act, and the slot that names what it is done to.
const fn taken(kind: Kind) -> Option<(Restricted, SlotName)> {
    match kind {
        Kind::AccessRevoked => Some((Restricted::GrantRevoked, SlotName::Grant)),
        Kind::RoleRevoked => Some((Restricted::RoleRevoked, SlotName::Binding)),
        Kind::TokenRevoked => Some((Restricted::TokenRevoked, SlotName::Token)),
        Kind::PersonDisabled => Some((Restricted::PersonDisabled, SlotName::Person)),
        Kind::RecordErased => Some((Restricted::RecordErased, SlotName::Record)),
        _ => None,
    }
}

/// The kind of restriction that an entry of this kind tells of, where it does not say of what in the clear.
#[must_use]
pub fn restricts(kind: Kind) -> Option<Restricted> {
    taken(kind).map(|(restricted, _)| restricted)
}

/// What an entry says was done to a version of a collection's key: it is named in the clear.
fn of_key<'e>(entry: &'e Entry<'_>) -> Option<(KekRef, &'e str)> {
    let operation = entry.data("operation")?.as_str()?;
    let collection = entry.collection().unwrap_or(CollectionId::VAULT);
    (entry.kind() == Kind::KeyOperation).then_some(())?;
    Some((KekRef { collection, version: entry.kek_version()? }, operation))
}

/// A version that is destroyed or compromised by that.
fn withdrawn(kek: KekRef, operation: &str) -> Option<Restriction> {
    let kind = match operation {
        DESTROY => Restricted::KeyDestroyed,
        MARK_COMPROMISED => Restricted::KeyCompromised,
        _ => return None,
    };
    Some(Restriction::known(kind, kek.tag().into()))
}

/// A root epoch that the entry says is destroyed.
fn destroyed_epoch(entry: &Entry<'_>) -> Option<u32> {
    let operation = entry.data("operation")?.as_str()?;
    let epoch = entry.data("epoch")?.as_number()?;
    (entry.kind() == Kind::RootOperation && operation == DESTROY).then(|| u32::try_from(epoch).ok())?
}

impl Ledger {
    /// Everything that the published log takes away. Refuses a log that does not lead to its signed root.
    pub async fn taken_away(&self) -> Result<TakenAway, LedgerError> {
        let running = self.running()?;
        let published = running.published();
        let checkpoint = std::sync::Arc::clone(&published.checkpoint);
        let mut keys = Keys::new(running.keys.as_ref());
        let (mut edge, mut found) = (Edge::default(), TakenAway::default());
        let mut nameless = BTreeSet::new();
        while edge.size() < checkpoint.size() {
            let entries = self.stretch(&running, &published, edge.size()).await?;
            if entries.is_empty() {
                return Err(LedgerError::Tile(TileError::Contents));
            }
            for bytes in entries {
                let index = edge.size();
                edge.append(Hash::leaf(&bytes));
                // Bytes that are no entry tell of nothing; the verifier names them.
                let Ok(entry) = Entry::parse(&bytes) else { continue };
                if let Some((kek, operation)) = of_key(&entry) {
                    found.restrictions.extend(withdrawn(kek, operation));
                    found.keys.entry(kek.collection).or_default().take(operation, kek.version);
                }
                found.epochs.extend(destroyed_epoch(&entry));
                let Some((kind, slot)) = taken(entry.kind()) else { continue };
                match self.target(&entry, index, slot, &mut keys).await? {
                    Some(target) => found.restrictions.push(Restriction::known(kind, target)),
                    None => {
                        found.unknown += 1;
                        nameless.extend(listed_as_erased(index, &bytes));
                    }
                }
            }
            edge.settle();
        }
        if edge.root() != *checkpoint.root() {
            return Err(LedgerError::Tile(TileError::Contents));
        }
        let records = self.records_behind(&nameless, &mut keys).await?;
        found.restrictions.extend(records.into_iter().map(Restriction::record_erased));
        Ok(found)
    }

    /// The records whose erasures list these openings, where the openings are there again: the database came from a copy of before.
    /// An erasure whose own opening is lost says by them what it erased: what it lists opened under the record's key and nothing else's.
    async fn records_behind(
        &self,
        pairs: &BTreeSet<(u64, SlotName)>,
        keys: &mut Keys<'_>,
    ) -> Result<BTreeSet<RecordId>, LedgerError> {
        let mut back: BTreeMap<u64, Vec<StoredOpening>> = BTreeMap::new();
        for (index, slot) in pairs {
            let stored = {
                let mut reader = self.0.store.read().await?;
                log::openings(reader.conn(), *index, index + 1).await?
            };
            let again = stored.into_iter().filter(|opening| opening.slot == *slot && opening.sealed.is_some());
            for opening in again {
                back.entry(*index).or_default().push(opening);
            }
        }
        if back.is_empty() {
            return Ok(BTreeSet::new());
        }
        // By the commitments of the published entries: rows can say anything.
        let mut sealed: Vec<(RecordId, SealedOpening)> = Vec::new();
        self.read_through(|index, entry| {
            for opening in back.get(&index).into_iter().flatten() {
                if let (KeptUnder::Record(record), Some(commitment)) = (opening.under, entry.commitment(opening.slot)) {
                    sealed.extend(opening.with(*commitment).map(|sealed| (record, sealed)));
                }
            }
        })
        .await?;
        let mut records = BTreeSet::new();
        for (record, sealed) in sealed {
            if !records.contains(&record) && keys.open(&sealed).await?.is_some() {
                records.insert(record);
            }
        }
        Ok(records)
    }

    /// Published entries from `first` on, as they come.
    async fn stretch(&self, running: &Running, published: &Published, first: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        if let Some(remains) = &running.remains {
            return remains.entries(&self.0.store, &self.0.objects, first).await;
        }
        // The last bundle, if it is not full, from memory: the object of just this width goes when the log grows.
        match published.checkpoint.size() - first {
            left if left < u64::from(WIDTH) => {
                after(first, u16::try_from(left).unwrap_or(WIDTH), &published.tiles.bundle)
            }
            _ => entries_of(&self.0.objects, running.place(), first, published.checkpoint.size()).await,
        }
    }

    /// Shows every entry of the published log, read against the signed root: the one way to know that something is not in it. For
    /// what is done seldom, and cannot be undone.
    pub async fn read_through(&self, mut each: impl FnMut(u64, &Entry<'_>)) -> Result<(), LedgerError> {
        let running = self.running()?;
        let published = running.published();
        let mut edge = Edge::default();
        while edge.size() < published.checkpoint.size() {
            let entries = self.stretch(&running, &published, edge.size()).await?;
            if entries.is_empty() {
                return Err(LedgerError::Tile(TileError::Contents));
            }
            for bytes in entries {
                let index = edge.size();
                edge.append(Hash::leaf(&bytes));
                if let Ok(entry) = Entry::parse(&bytes) {
                    each(index, &entry);
                }
            }
            edge.settle();
        }
        if edge.root() != *published.checkpoint.root() {
            return Err(LedgerError::Tile(TileError::Contents));
        }
        Ok(())
    }

    /// What `slot` of entry `index` names: by an opening that matches the entry's commitment, or not at all.
    async fn target(
        &self,
        entry: &Entry<'_>,
        index: u64,
        slot: SlotName,
        keys: &mut Keys<'_>,
    ) -> Result<Option<Target>, LedgerError> {
        let stored = {
            let mut reader = self.0.store.read().await?;
            log::openings(reader.conn(), index, index + 1).await?
        };
        let Some(stored) = stored.iter().find(|opening| opening.slot == slot) else { return Ok(None) };
        let Some(sealed) = entry.commitment(slot).and_then(|commitment| stored.with(*commitment)) else {
            return Ok(None);
        };
        Ok(keys.open(&sealed).await?.and_then(|opening| opening.value().parse().ok()))
    }
}
