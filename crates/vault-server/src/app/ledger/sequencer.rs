//! The sequencer: takes what waits, in memory and in the outbox, and commits it in groups. One node at a time does, while it
//! holds the lease.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, Entry, EntryKind, FindingReported, OpeningsErased};
use vault_core::audit::merkle::Hash;
use vault_core::audit::slot::{KeptUnder, OpeningKeys};
use vault_core::audit::verify::{ERASED, erased_portions};
use vault_core::keys::hierarchy::StaffAuditKey;

use super::office::Held;
use super::publish::{Due, Publication};
use super::tiles::{EdgeTiles, Full};
use super::{Item, LedgerError, Shared, lock};
use crate::store::log::{self, Head, NewEntry, Waiting};
use crate::store::{StoreError, Tx};

/// Entries in one transaction. Beyond a few hundred the commit is no longer what costs.
const MAX_GROUP: usize = 512;

/// How often the outbox is looked at without being told: for rows that an earlier life left, or the first one of a node
/// that has just begun to follow.
const LOOK: Duration = Duration::from_millis(250);

/// The same while other nodes follow, whose acts wait for it.
const LOOK_FOR_OTHERS: Duration = Duration::from_millis(20);

/// After a failure the first pause, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How far the log is committed, as this node knows it.
#[derive(Clone)]
pub(super) struct Committed {
    pub(super) head: Head,
    pub(super) tiles: EdgeTiles,
}

/// Why the sequencer ended.
pub(super) enum End {
    /// The vault is sealed, or stops.
    Stopped,
    /// Another node sequences.
    Lost,
    /// The copies of the log disagree: nobody may go on.
    Disagreement,
}

/// The sequencer of this node, while it holds the lease.
pub(super) struct Sequencer {
    pub(super) shared: Arc<Shared>,
    pub(super) signer: Arc<CheckpointSigner>,
    pub(super) committed: Committed,
    pub(super) commits: mpsc::Sender<Publication>,
    pub(super) held: Held,
}

/// What one transaction appends, and what follows from it.
struct Group {
    next: Committed,
    leaves: Vec<Hash>,
    full: Vec<Full>,
}

impl Group {
    /// Further entries: a further move of the head.
    fn append<'e>(&mut self, entries: impl Iterator<Item = &'e [u8]>) -> Result<(), LedgerError> {
        for entry in entries {
            let leaf = Hash::leaf(entry);
            self.leaves.push(leaf);
            self.next.head.edge.append(leaf);
            self.next.tiles.append(entry, leaf, &mut self.full)?;
        }
        self.next.head.fence += 1;
        Ok(())
    }
}

/// An entry of the log's own, without slots: the key seals nothing.
fn unslotted<E: EntryKind>(draft: Draft<E>) -> Result<NewEntry, LedgerError> {
    let staff = StaffAuditKey::generate();
    let (entry, sealed, _) = draft.prepare(&OpeningKeys { staff: &staff, record: None })?.into_parts();
    Ok(NewEntry { entry, sealed, reference: None })
}

/// What became of a step.
enum Sequenced {
    /// Nothing waited.
    Nothing,
    /// The outbox's rows, then the entries from memory, were committed.
    Appended(Group),
    /// Another node has raised the fence.
    Lost,
}

/// What became of a commit.
enum Outcome {
    Committed,
    NotCommitted,
    Moved,
}

/// Whether a row can stand in the log: an entry in its one form, and openings of its own slots, each once. One that
/// cannot would stop every other, even if it is the vault's own.
fn is_entry(new: &NewEntry) -> bool {
    let Ok(entry) = Entry::parse(&new.entry) else { return false };
    let mut seen = Vec::with_capacity(new.sealed.len());
    new.sealed.iter().all(|opening| {
        let first = !seen.contains(&opening.slot);
        seen.push(opening.slot);
        first && entry.commitment(opening.slot) == Some(&opening.commitment)
    })
}

impl Sequencer {
    /// Runs until `stop` is cancelled, the lease is lost or the log's copies disagree.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> End {
        let lost = self.held.lost.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            let step = tokio::select! {
                // A step is never dropped half-way: a commit whose outcome is unknown would be left unknown.
                biased;
                () = stop.cancelled() => return End::Stopped,
                () = lost.cancelled() => return End::Lost,
                () = self.something_waits() => self.step().await,
            };
            match step {
                Ok(true) => {
                    self.shared.commit_failed.store(false, Ordering::Relaxed);
                    pause = FIRST_PAUSE;
                }
                Ok(false) => return if stop.is_cancelled() { End::Stopped } else { End::Lost },
                Err(e @ LedgerError::Disagreement { .. }) => {
                    tracing::error!(error = %e, "the audit log stops: nothing that needs it is done");
                    return End::Disagreement;
                }
                Err(e) => {
                    self.shared.commit_failed.store(true, Ordering::Relaxed);
                    self.shared.metrics.audit_failure("commit");
                    tracing::warn!(error = %e, "the audit log could not be written; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Returns when an entry waits in memory, and every now and then for what other nodes, or an earlier life, left.
    async fn something_waits(&self) {
        if lock(&self.shared.queue).is_empty() {
            let look = if self.held.is_followed() { LOOK_FOR_OTHERS } else { LOOK };
            let _ = tokio::time::timeout(look, self.shared.wake.notified()).await;
        }
    }

    /// One group: taken, committed, handed to be published. False when this node sequences no longer.
    async fn step(&mut self) -> Result<bool, LedgerError> {
        // A place for the publication first: while none is free the group grows instead of waiting committed.
        let place = tokio::select! {
            place = self.commits.clone().reserve_owned() => place,
            () = self.held.lost.cancelled() => return Ok(false),
        };
        let Ok(place) = place else { return Ok(false) };
        let items = self.take();
        let sequenced = self.sequence(&items).await;
        match sequenced {
            Ok(Sequenced::Appended(group)) => {
                place.send(self.publication(group));
                Ok(true)
            }
            Ok(Sequenced::Nothing) => {
                self.put_back(items);
                Ok(true)
            }
            Ok(Sequenced::Lost) => {
                self.put_back(items);
                Ok(false)
            }
            Err(e) => {
                self.put_back(items);
                Err(e)
            }
        }
    }

    /// Takes a committed group as the new head: what is to be signed and published, and who waits for it. Signatures and
    /// proofs are made by the publisher, while the next group is committed.
    fn publication(&mut self, group: Group) -> Publication {
        let Group { mut next, leaves, full } = group;
        let first = self.committed.head.edge.size();
        let waits = |(index, leaf): (u64, Hash)| Some(Due { index, done: self.shared.waits_for(&leaf)? });
        let due = (first..).zip(leaves).filter_map(waits).collect();
        let grown = next.head.edge.clone();
        next.head.edge.settle();
        self.shared.metrics.audit_entries.inc_by(grown.size() - first);
        self.shared.metrics.audit_size.set(i64::try_from(grown.size()).unwrap_or(i64::MAX));
        self.committed = next;
        Publication { grown, tiles: Arc::new(self.committed.tiles.clone()), full, due }
    }

    /// Takes what waits in memory, but for what nobody waits for any more.
    fn take(&self) -> Vec<Item> {
        self.shared.take(MAX_GROUP)
    }

    fn put_back(&self, items: Vec<Item>) {
        self.shared.put_back(items);
    }

    /// Commits what waits in memory and in the outbox.
    async fn sequence(&mut self, items: &[Item]) -> Result<Sequenced, LedgerError> {
        if items.is_empty() && !self.outbox_waits().await? {
            return Ok(Sequenced::Nothing);
        }
        let mut tx = self.shared.store.begin("append_to_log").await?;
        let room = MAX_GROUP.saturating_sub(items.len()).max(1);
        // Before the outbox is read: whoever changes what waits there holds the head as well.
        log::hold(&mut tx).await?;
        let waiting = self.waiting(&mut tx, room).await?;
        let new: Vec<&NewEntry> = waiting.iter().map(|w| &w.new).chain(items.iter().map(|i| &i.new)).collect();
        if new.is_empty() {
            tx.rollback().await?;
            return Ok(Sequenced::Nothing);
        }
        if waiting.len() == room {
            self.shared.wake.notify_one();
        }
        let mut group = self.group(new.iter().map(|n| n.entry.as_slice()))?;
        // The head first: when it has moved, the rows would only collide with another node's.
        if !log::advance(&mut tx, self.signer.outbox_key(), &self.committed.head, &group.next.head).await? {
            tx.rollback().await?;
            return self.lost().await;
        }
        log::insert(&mut tx, self.committed.head.edge.size(), &new).await?;
        self.empty_late(&mut tx, &new, &mut group).await?;
        let ids: Vec<&str> = waiting.iter().map(|w| w.id.as_str()).collect();
        log::unqueue(&mut tx, &ids).await?;
        let outcome = match tx.commit().await {
            Ok(()) => Outcome::Committed,
            Err(e) => self.learn(&group.next.head, &e).await,
        };
        match outcome {
            Outcome::Committed => Ok(Sequenced::Appended(group)),
            Outcome::NotCommitted => Err(LedgerError::Timeout),
            Outcome::Moved => self.lost().await,
        }
    }

    /// Entries may have been drafted before a record was erased, and come after it. What of them opened under its key is
    /// emptied before anybody can read it, and further entries of the same group say so: no state of the log leaves an
    /// opening gone unexplained.
    async fn empty_late(&self, tx: &mut Tx, new: &[&NewEntry], group: &mut Group) -> Result<(), LedgerError> {
        let of_record = |new: &&NewEntry| new.sealed.iter().any(|o| matches!(o.under, KeptUnder::Record(_)));
        if !new.iter().any(of_record) {
            return Ok(());
        }
        let emptied = log::empty_late(tx, self.committed.head.edge.size()).await?;
        let said = erased_portions(&emptied).into_iter().map(|listed| self.erased(listed));
        let said = said.collect::<Result<Vec<NewEntry>, LedgerError>>()?;
        if said.is_empty() {
            return Ok(());
        }
        let from = group.next.head.clone();
        group.append(said.iter().map(|new| new.entry.as_slice()))?;
        if !log::advance(tx, self.signer.outbox_key(), &from, &group.next.head).await? {
            // This transaction holds the head since it was moved to `from`.
            return Err(LedgerError::Timeout);
        }
        Ok(log::insert(tx, from.edge.size(), &said.iter().collect::<Vec<_>>()).await?)
    }

    /// What the log says of openings that came too late.
    fn erased(&self, listed: Vec<String>) -> Result<NewEntry, LedgerError> {
        let draft = Draft::<OpeningsErased>::new(self.shared.clock.now()).data(ERASED, listed);
        unslotted(draft)
    }

    /// The oldest rows of the outbox, as they can stand in the log. What the vault did not write is not signed: a finding
    /// takes its place.
    async fn waiting(&self, tx: &mut Tx, room: usize) -> Result<Vec<Waiting>, LedgerError> {
        let key = self.signer.outbox_key();
        let (mut waiting, unreadable) = match log::waiting(tx.conn(), key, room).await {
            Err(StoreError::Corrupt { .. }) => {
                let removed = log::remove_unreadable(tx, key, room).await?;
                (log::waiting(tx.conn(), key, room - removed).await?, removed)
            }
            read => (read?, 0),
        };
        for row in waiting.iter_mut().filter(|row| !row.genuine || !is_entry(&row.new)) {
            tracing::error!(row = %row.id, "a row of the outbox is no entry of the vault's; a finding takes its place in the log");
            row.new = self.finding()?;
        }
        for _ in 0..unreadable {
            tracing::error!("a row of the outbox cannot be read; a finding takes its place in the log");
            waiting.push(Waiting { id: String::new(), new: self.finding()?, genuine: true });
        }
        Ok(waiting)
    }

    /// What the log says in place of a row that is no entry.
    fn finding(&self) -> Result<NewEntry, LedgerError> {
        let draft = Draft::<FindingReported>::new(self.shared.clock.now()).data("finding", "outbox-row-no-entry");
        unslotted(draft)
    }

    async fn outbox_waits(&self) -> Result<bool, StoreError> {
        let mut reader = self.shared.store.read().await?;
        log::any_waiting(reader.conn()).await
    }

    fn group<'e>(&self, entries: impl Iterator<Item = &'e [u8]>) -> Result<Group, LedgerError> {
        let mut group = Group { next: self.committed.clone(), leaves: Vec::new(), full: Vec::new() };
        group.append(entries)?;
        Ok(group)
    }

    /// A commit failed, or did not say: reads the head until the database answers. It is at `next`, at where it was, or
    /// somebody else moved it; nothing else is possible, and nothing is guessed.
    async fn learn(&self, next: &Head, error: &StoreError) -> Outcome {
        self.shared.commit_failed.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "a commit of the audit log failed; reading the head again");
        let mut pause = FIRST_PAUSE;
        loop {
            match self.read_head().await {
                Ok(Some(head)) if head.fence == next.fence && head.edge.to_bytes() == next.edge.to_bytes() => {
                    return Outcome::Committed;
                }
                Ok(Some(head)) if head == self.committed.head => return Outcome::NotCommitted,
                Ok(_) => return Outcome::Moved,
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// The head as it is when nothing is under way: a connection that broke may have left a commit behind it that is
    /// still to happen.
    async fn read_head(&self) -> Result<Option<Head>, StoreError> {
        let mut tx = self.shared.store.begin("settle_head").await?;
        let head = log::settled_head(&mut tx).await?;
        tx.rollback().await?;
        Ok(head)
    }

    /// Another node has raised the fence, and may have appended: stops if the database does not extend what this node has
    /// committed. Whoever waits here for an entry that is committed, by this node in its last transaction or by the other
    /// one, waits for its publication from now on, and the entry is not appended again.
    async fn lost(&mut self) -> Result<Sequenced, LedgerError> {
        let (from, head, entries) = {
            let mut reader = self.shared.store.read().await?;
            let head = log::head(reader.conn()).await?;
            let from = self.committed.head.edge.size();
            let to = head.as_ref().map_or(0, |h| h.edge.size());
            (from, head, log::entries(reader.conn(), from, to).await?)
        };
        let disagreement = |database| LedgerError::Disagreement {
            what: "the database was rewound or rewritten under a running log",
            database,
            published: from,
        };
        let Some(head) = head else { return Err(disagreement(0)) };
        let group = self.group(entries.iter().map(|(_, entry)| entry.as_slice()))?;
        if group.next.head.edge.to_bytes() != head.edge.to_bytes() {
            return Err(disagreement(head.edge.size()));
        }
        for (index, leaf) in (from..).zip(group.leaves) {
            self.shared.place(index, leaf);
        }
        Ok(Sequenced::Lost)
    }
}
