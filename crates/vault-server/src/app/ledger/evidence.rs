//! Finding entries again: evidence by reference, and pages of the log with their openings.

use std::collections::HashMap;
use std::sync::Arc;

use vault_core::audit::entry::{Entry, EntryKind};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::proof::TlogProof;
use vault_core::audit::slot::{Commitment, KeptUnder, Opening, SealedOpening, SlotName};
use vault_core::audit::tile::TileError;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};

use super::{Ledger, LedgerError, OpeningKeySource, Running};
use crate::app::reference;
use crate::store::Store;
use crate::store::log::{self, StoredOpening};

/// Entries read at once while a page is filled.
const SCAN: u64 = 512;

/// Entries looked at for one page: a filter that matches little answers a short page with a cursor.
const MAX_SCAN: u64 = 16_384;

/// What is known of a slot.
#[derive(Debug)]
pub enum OpeningState {
    /// It opens, and matches its commitment.
    Opened(Opening),
    /// It was erased: the row is there without its content.
    Erased,
    /// Its key is not at hand, so nobody can say.
    Withheld,
    /// It should be here and is not, or does not open.
    Missing,
}

/// A slot of an entry with what is known of its opening.
#[derive(Debug)]
pub struct SlotView {
    /// The slot.
    pub slot: SlotName,
    /// Its opening.
    pub state: OpeningState,
}

/// An entry as a page of the log shows it.
#[derive(Debug)]
pub struct View {
    /// Its index.
    pub index: u64,
    /// Its canonical bytes.
    pub entry: Vec<u8>,
    /// Its slots.
    pub slots: Vec<SlotView>,
}

/// A page of the log.
#[derive(Debug)]
pub struct Page {
    /// Its entries.
    pub views: Vec<View>,
    /// Where the next page begins.
    pub next: Option<u64>,
    /// Entries in the published log.
    pub size: u64,
}

/// What was found under a reference.
enum Found<E> {
    /// The newest entry, proven.
    Proven(Recorded<E>),
    /// One proven, and a newer one that is not published as far as this node knows.
    Older(Recorded<E>),
    /// One or more that are not published as far as this node knows.
    Unpublished,
    /// None.
    Nothing,
}

/// Between two looks for an entry that is on its way.
const POLL: core::time::Duration = core::time::Duration::from_millis(10);

impl Ledger {
    /// The newest entry of type `E` under `reference`, proven under the published checkpoint, with the openings whose
    /// keys are at hand. The reference is only a hint: whoever asks compares what the entry itself says.
    ///
    /// A row that is not in the log is an error and not an absence: somebody wrote it.
    pub async fn find<E: EntryKind>(&self, reference: &str) -> Result<Option<Recorded<E>>, LedgerError> {
        let running = self.running()?;
        let mut looked = false;
        loop {
            match self.find_in::<E>(&running, reference).await? {
                Found::Proven(recorded) => return Ok(Some(recorded)),
                // Another node may have published it a moment ago.
                Found::Older(_) | Found::Unpublished if !looked => self.look(&running).await?,
                Found::Older(recorded) => return Ok(Some(recorded)),
                Found::Unpublished | Found::Nothing => return Ok(None),
            }
            looked = true;
        }
    }

    async fn find_in<E: EntryKind>(&self, running: &Running, reference: &str) -> Result<Found<E>, LedgerError> {
        let published = running.published();
        let rows = {
            let mut reader = self.0.store.read().await?;
            log::by_reference(reader.conn(), reference).await?
        };
        let mut found = Found::Nothing;
        for (index, bytes) in rows {
            let entry = Entry::parse(&bytes)?;
            if entry.kind() != E::KIND {
                continue;
            }
            // Committed and not published, as far as this node knows: not evidence yet.
            if index >= published.size() {
                found = Found::Unpublished;
                continue;
            }
            let openings = self.opened(running, &entry, index).await?;
            let inclusion = self.0.inclusion(running, &published, index).await?;
            let recorded = Recorded::prove(&bytes, index, &inclusion, &published.checkpoint, openings)?;
            // A newer one counts, once this node has looked whether it is published.
            return Ok(if matches!(found, Found::Unpublished) {
                Found::Older(recorded)
            } else {
                Found::Proven(recorded)
            });
        }
        Ok(found)
    }

    /// The openings of an entry whose keys are at hand.
    async fn opened(&self, running: &Running, entry: &Entry<'_>, index: u64) -> Result<Vec<Opening>, LedgerError> {
        let mut keys = Keys::new(running.keys.as_ref());
        let mut again = false;
        loop {
            let stored = {
                let mut reader = self.0.store.read().await?;
                log::openings(reader.conn(), index, index + 1).await?
            };
            let (mut openings, mut closed) = (Vec::new(), false);
            for opening in &stored {
                let sealed = entry.commitment(opening.slot).and_then(|commitment| opening.with(*commitment));
                let Some(sealed) = sealed else { continue };
                match keys.open(&sealed).await? {
                    Some(opening) => openings.push(opening),
                    None => closed |= keys.changes(sealed.under).await?,
                }
            }
            if !closed || again {
                return Ok(openings);
            }
            // The record was encrypted anew between the two reads: row and key of one moment open each other.
            again = true;
        }
    }

    /// Like [`Ledger::find`], but an entry that is committed and not published, or waits to be appended, is
    /// [`LedgerError::Timeout`]: it is no evidence yet, and whoever asks may come back. The act it tells of was done by another
    /// request, perhaps on a node that has gone since.
    pub async fn find_settled<E: EntryKind>(&self, reference: &str) -> Result<Option<Recorded<E>>, LedgerError> {
        if let Some(recorded) = self.find::<E>(reference).await? {
            return Ok(Some(recorded));
        }
        let on_its_way = {
            let mut reader = self.0.store.read().await?;
            log::is_waiting(reader.conn(), reference).await?
        };
        if on_its_way {
            return Err(LedgerError::Timeout);
        }
        // Between the two looks it may have left the outbox.
        match self.find_in::<E>(&*self.running()?, reference).await? {
            Found::Proven(recorded) | Found::Older(recorded) => Ok(Some(recorded)),
            Found::Unpublished => Err(LedgerError::Timeout),
            Found::Nothing => Ok(None),
        }
    }

    /// Like [`Ledger::find`], but an entry that another request or node has committed to the outbox is waited for, as
    /// long as an append would wait. Polled: it may be another node that sequences it.
    pub async fn find_soon<E: EntryKind>(&self, reference: &str) -> Result<Recorded<E>, LedgerError> {
        let found = async {
            loop {
                if let Some(recorded) = self.find::<E>(reference).await? {
                    return Ok(recorded);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(self.0.wait, found).await.unwrap_or(Err(LedgerError::Timeout))
    }

    /// Waits until everything that was committed is published, as long as an append would wait: for a start that has to
    /// know what an earlier one left. [`LedgerError::Timeout`]: the log stands still, or takes no pause.
    pub async fn all_published(&self) -> Result<(), LedgerError> {
        let published = async {
            loop {
                let (waits, committed) = {
                    let mut reader = self.0.store.read().await?;
                    // In this order: what leaves the outbox between the two reads is then committed.
                    let waits = log::any_waiting(reader.conn()).await?;
                    (waits, log::head(reader.conn()).await?.map_or(0, |head| head.edge.size()))
                };
                let running = self.running()?;
                if !waits && committed <= running.published().size() {
                    return Ok(());
                }
                self.look(&running).await?;
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(self.0.wait, published).await.unwrap_or(Err(LedgerError::Timeout))
    }

    /// The proof of entry `index` under the published checkpoint, to be kept and verified anywhere; `None` when there
    /// is no such entry.
    pub async fn proof(&self, index: u64) -> Result<Option<TlogProof>, LedgerError> {
        let running = self.running()?;
        let published = running.published();
        if index >= published.checkpoint.size() {
            return Ok(None);
        }
        let inclusion = self.0.inclusion(&running, &published, index).await?;
        Ok(Some(TlogProof { extra: None, index, inclusion, checkpoint: published.checkpoint.note().to_owned() }))
    }

    /// Entry `index` to the byte with its proof under the published checkpoint, for whoever is to verify it elsewhere.
    pub async fn witness(&self, index: u64) -> Result<Option<(Vec<u8>, TlogProof)>, LedgerError> {
        let Some(proof) = self.proof(index).await? else { return Ok(None) };
        let mut rows = {
            let mut reader = self.0.store.read().await?;
            log::entries(reader.conn(), index, index + 1).await?
        };
        let Some((_, entry)) = rows.pop() else { return Ok(None) };
        // A row is a hint: what it says is in the log or is not shown.
        proof.verify(&entry, &self.running()?.verifier).map_err(|_| LedgerError::Tile(TileError::Contents))?;
        Ok(Some((entry, proof)))
    }

    /// The newest entry under `reference` that is published, with its proof. Its openings are not looked at.
    pub async fn witness_of(&self, reference: &str) -> Result<Option<(Vec<u8>, TlogProof)>, LedgerError> {
        let rows = {
            let mut reader = self.0.store.read().await?;
            log::by_reference(reader.conn(), reference).await?
        };
        for (index, _) in rows {
            if let Some(witness) = self.witness(index).await? {
                return Ok(Some(witness));
            }
        }
        Ok(None)
    }

    /// Published entries from `first` on that are `wanted`, at most `limit`. Openings of those that are not `visible`
    /// are withheld, and so are those that were erased by an entry beyond the first `as_of`: a log of that many entries
    /// does not say yet why they are gone. An entry that the database no longer holds whole is shown without its slots: the others are not
    /// lost with it, and the verifier names it.
    pub async fn page(
        &self,
        first: u64,
        limit: usize,
        as_of: Option<u64>,
        wanted: impl Fn(&Entry<'_>) -> bool,
        visible: impl Fn(&Entry<'_>) -> bool,
    ) -> Result<Page, LedgerError> {
        let running = self.running()?;
        if as_of.is_some_and(|asked| asked > running.published().size()) {
            // The checkpoint that whoever asks has may be another node's.
            self.catch_up(&running).await?;
        }
        let size = running.published().checkpoint.size();
        let mut keys = Keys::new(running.keys.as_ref());
        let mut told =
            Told { store: &self.0.store, as_of: as_of.map_or(size, |asked| asked.min(size)), known: HashMap::new() };
        let (mut views, mut at) = (Vec::new(), first);
        let last = size.min(first.saturating_add(MAX_SCAN));
        while at < last && views.len() < limit {
            let end = last.min(at + SCAN);
            let (rows, stored) = {
                let mut reader = self.0.store.read().await?;
                let rows = log::entries(reader.conn(), at, end).await?;
                (rows, log::openings(reader.conn(), at, end).await?)
            };
            let mut by_index: HashMap<u64, Vec<StoredOpening>> = HashMap::new();
            for opening in stored {
                by_index.entry(opening.index).or_default().push(opening);
            }
            at = end;
            for (index, bytes) in rows {
                let slots = match Entry::parse(&bytes) {
                    Ok(entry) if !wanted(&entry) => continue,
                    Ok(entry) if visible(&entry) => {
                        slots(&entry, index, &by_index.remove(&index).unwrap_or_default(), &mut keys, &mut told).await?
                    }
                    Ok(entry) => withheld(&entry),
                    Err(_) => Vec::new(),
                };
                views.push(View { index, entry: bytes, slots });
                if views.len() == limit {
                    at = index + 1;
                    break;
                }
            }
        }
        Ok(Page { views, next: (at < size).then_some(at), size })
    }
}

fn withheld(entry: &Entry<'_>) -> Vec<SlotView> {
    let closed = |(slot, _): &(SlotName, _)| SlotView { slot: *slot, state: OpeningState::Withheld };
    entry.slots().iter().map(closed).collect()
}

async fn slots(
    entry: &Entry<'_>,
    index: u64,
    stored: &[StoredOpening],
    keys: &mut Keys<'_>,
    told: &mut Told<'_>,
) -> Result<Vec<SlotView>, LedgerError> {
    let mut views = Vec::with_capacity(entry.slots().len());
    for (slot, commitment) in entry.slots() {
        let row = stored.iter().find(|row| row.slot == *slot);
        let state = match row.map(|row| (row.under, row.with(*commitment))) {
            None => OpeningState::Missing,
            Some((under, None)) if told.erased(under).await? => OpeningState::Erased,
            Some((_, None)) => OpeningState::Withheld,
            Some((_, Some(sealed))) => match keys.open(&sealed).await? {
                Some(opening) => OpeningState::Opened(opening),
                None if keys.changes(sealed.under).await? => told.again(index, *slot, *commitment, keys).await?,
                None if keys.has(sealed.under).await? => OpeningState::Missing,
                None => OpeningState::Withheld,
            },
        };
        views.push(SlotView { slot: *slot, state });
    }
    Ok(views)
}

/// Whether the log tells of the erasures that a page meets. A record's key goes in one transaction, also while the log is
/// blocked; the entry that says so comes when it can.
struct Told<'s> {
    store: &'s Store,
    /// Entries that count.
    as_of: u64,
    known: HashMap<RecordId, bool>,
}

impl Told<'_> {
    /// An opening that did not open under its record's key: perhaps the record was encrypted anew since the page was read. Row and key are read
    /// again, in this order: then they are of one moment, or the row is of the later one and the key as well.
    async fn again(
        &self,
        index: u64,
        slot: SlotName,
        commitment: Commitment,
        keys: &mut Keys<'_>,
    ) -> Result<OpeningState, LedgerError> {
        let stored = {
            let mut reader = self.store.read().await?;
            log::openings(reader.conn(), index, index + 1).await?
        };
        let sealed = stored.iter().find(|row| row.slot == slot).and_then(|row| row.with(commitment));
        let Some(sealed) = sealed else { return Ok(OpeningState::Withheld) };
        Ok(match keys.open(&sealed).await? {
            Some(opening) => OpeningState::Opened(opening),
            None if keys.has(sealed.under).await? => OpeningState::Missing,
            None => OpeningState::Withheld,
        })
    }

    async fn erased(&mut self, under: KeptUnder) -> Result<bool, LedgerError> {
        let KeptUnder::Record(record) = under else { return Ok(true) };
        if let Some(told) = self.known.get(&record) {
            return Ok(*told);
        }
        let rows = {
            let mut reader = self.store.read().await?;
            log::by_reference(reader.conn(), &reference::record_erased(record)).await?
        };
        // The newest: of a record that was erased twice, the openings of both are gone.
        let told = rows.first().is_some_and(|(index, _)| *index < self.as_of);
        self.known.insert(record, told);
        Ok(told)
    }
}

/// Keys fetched while a page is read, each once.
pub(super) struct Keys<'k> {
    source: &'k dyn OpeningKeySource,
    staff: HashMap<CollectionId, Option<Arc<StaffAuditKey>>>,
    records: HashMap<RecordId, Option<FieldKey>>,
}

impl<'k> Keys<'k> {
    pub(super) fn new(source: &'k dyn OpeningKeySource) -> Self {
        Self { source, staff: HashMap::new(), records: HashMap::new() }
    }

    async fn fetch(&mut self, under: KeptUnder) -> Result<(), LedgerError> {
        match under {
            KeptUnder::Staff(id) => {
                if !self.staff.contains_key(&id) {
                    let key = self.source.staff_audit_key(id).await?;
                    self.staff.insert(id, key);
                }
            }
            KeptUnder::Record(id) => {
                if !self.records.contains_key(&id) {
                    let key = self.source.field_key(id).await?;
                    self.records.insert(id, key);
                }
            }
        }
        Ok(())
    }

    /// Whether the key is one that another may have taken the place of since it was fetched; the next use fetches it again.
    async fn changes(&mut self, under: KeptUnder) -> Result<bool, LedgerError> {
        Ok(match under {
            KeptUnder::Record(id) if self.has(under).await? => self.records.remove(&id).is_some(),
            _ => false,
        })
    }

    async fn has(&mut self, under: KeptUnder) -> Result<bool, LedgerError> {
        self.fetch(under).await?;
        Ok(match under {
            KeptUnder::Staff(id) => matches!(self.staff.get(&id), Some(Some(_))),
            KeptUnder::Record(id) => matches!(self.records.get(&id), Some(Some(_))),
        })
    }

    pub(super) async fn open(&mut self, sealed: &SealedOpening) -> Result<Option<Opening>, LedgerError> {
        self.fetch(sealed.under).await?;
        Ok(match sealed.under {
            KeptUnder::Staff(id) => {
                self.staff.get(&id).and_then(Option::as_deref).and_then(|key| sealed.open(key).ok())
            }
            KeptUnder::Record(id) => {
                self.records.get(&id).and_then(Option::as_ref).and_then(|key| sealed.open(key).ok())
            }
        })
    }
}
