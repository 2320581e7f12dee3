//! One re-encryption from where it stands to its end.
//!
//! One node works on it, under a lease whose fence each transaction compares and renews; when it dies another takes over. What is left to do is
//! asked of the records themselves: a record that has a fresh key is exposed no more.

use std::sync::Arc;
use std::time::Instant;

use vault_api::code::Code;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::exposure::Leak;
use vault_core::keys::wrap::KekRef;

use super::rewrite::{LOOK, Outcome, Trouble};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::{Office, held, incident};
use crate::app::play::findings::Damage;
use crate::app::reference;
use crate::state::Vault;
use crate::store::leases::Lease;
use crate::store::reencryptions::{self as rows, Advance, ReencryptionRow, ReencryptionState, What};
use crate::store::{keys, records, restores};

/// Records looked at with one query.
const PAGE: u32 = 1_000;

/// This node as one that encrypts anew: one recording at a time, so that uploads and playback go first.
pub struct Worker {
    office: Office,
}

impl Worker {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { office: Office::new() }
    }

    /// Works on the re-encryptions that run, one after the other, until each is done, stopped or another node's. The first trouble is
    /// answered when the others have had their turn.
    pub async fn round(&mut self, vault: &Arc<Vault>) -> Result<(), Failure> {
        let running = {
            let mut reader = vault.store.read().await?;
            if restores::is_unconfirmed(reader.conn()).await? {
                // It deletes what an older copy may still need.
                return Ok(());
            }
            rows::running(reader.conn()).await?
        };
        let mut outcome = Ok(());
        for row in running {
            if vault.stopping.is_cancelled() {
                break;
            }
            // A row that somebody inserted has nothing read.
            if let Err(failure) = wanted(vault, &row).await {
                tracing::warn!(id = %row.id, causes = failure.causes(), "a re-encryption is not worked on: {failure}");
                outcome = outcome.and(Err(failure));
                continue;
            }
            let name = format!("reencryption:{}", row.collection);
            let Some(lease) = self.office.stand(vault, &name).await? else { continue };
            let work = Work { vault, row, lease };
            let ended = work.run().await;
            // One that is not given back is taken when it has stood still for a while.
            let _ = work.lease.release(&vault.store).await;
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

/// That a key officer asked for just this, by the log's word; and of a version, that it is compromised.
async fn wanted(vault: &Vault, row: &ReencryptionRow) -> Result<(), Failure> {
    let found = vault.ledger()?.find_settled::<KeyOperation>(&reference::reencryption(row.id)).await?;
    let told = |entry: &Recorded<KeyOperation>| {
        let text = |name: &str| entry.data(name).and_then(|value| value.as_str());
        let of_what = match row.what {
            What::ExposedBy(version) => entry.kek_version() == Some(version),
            What::Record(record) => {
                entry.kek_version().is_none() && entry.slot(SlotName::Record) == Some(record.to_string().as_str())
            }
        };
        of_what
            && text("operation") == Some("reencrypt")
            && text("reencryption") == Some(row.id.to_string().as_str())
            && entry.collection() == Some(row.collection)
    };
    if !found.as_ref().is_some_and(told) {
        return Err(Failure::new(Code::NotInLog).detail("the log does not say that anybody asked for it"));
    }
    if let What::ExposedBy(version) = row.what {
        incident(vault, KekRef { collection: row.collection, version }).await?;
    }
    Ok(())
}

/// A re-encryption that this node works on.
pub(super) struct Work<'v> {
    pub(super) vault: &'v Arc<Vault>,
    pub(super) row: ReencryptionRow,
    pub(super) lease: Lease,
}

impl Work<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let mut cursor = self.row.cursor.clone();
        loop {
            let found = page(self.vault, self.row.collection, self.row.what, &cursor).await?;
            for (record, _) in found.records {
                if !self.one(record).await? {
                    return Ok(());
                }
            }
            match found.next {
                Some(next) => cursor = next,
                None => return self.finish().await,
            }
        }
    }

    /// Deals with one record; false when this is not to be worked on any more.
    async fn one(&self, record: RecordId) -> Result<bool, Failure> {
        let began = Instant::now();
        // What it waits for, the log or the object store, may take longer than a lease lasts.
        let renewing = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let _lost_is_noticed_by_the_next_step =
                    self.lease.renew(&self.vault.store, self.vault.clock.now()).await;
            }
        };
        let rewritten = tokio::select! {
            rewritten = self.rewrite(record) => rewritten,
            () = renewing => return Ok(false),
        };
        let by = match rewritten {
            Ok(Outcome::Anew) => return Ok(true),
            Ok(Outcome::Stopped) => return Ok(false),
            Ok(Outcome::Gone) => Advance { skipped: 1, ..Advance::default() },
            Err(Trouble::Damaged { finding, object }) => {
                let collection = self.row.collection;
                let damage = Damage { finding, collection, record, object, session: None };
                self.vault.sessions.findings().tell_of(damage);
                Advance { damaged: 1, ..Advance::default() }
            }
            Err(Trouble::Failed(failure)) => return Err(failure),
        };
        let now = self.vault.clock.now();
        let mut tx = self.vault.store.begin("advance_reencryption").await?;
        let by = Advance { worked: began.elapsed(), ..by };
        let mine = self.lease.check_and_renew(&mut tx).await?
            && rows::advance(tx.conn(), &self.row, &record.to_string(), by, now).await?;
        if mine {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        Ok(mine)
    }

    async fn finish(&self) -> Result<(), Failure> {
        let (vault, now) = (self.vault, self.vault.clock.now());
        let pen = StaffPen::of(vault, Some(self.row.collection)).await?;
        let mut tx = vault.store.begin("finish_reencryption").await?;
        let done = [ReencryptionState::Running; 2];
        let mine = self.lease.check_and_renew(&mut tx).await?
            && rows::step(tx.conn(), &self.row, done, ReencryptionState::Done, now).await?;
        if !mine {
            return Ok(tx.rollback().await?);
        }
        let ended = rows::find(tx.conn(), self.row.collection).await?.ok_or(Code::Internal)?;
        rows::end_rewrites(tx.conn(), ended.id).await?;
        let mut draft = pen
            .draft::<KeyOperation>(now, None)
            .data("operation", "reencrypted")
            .data("reencryption", ended.id.to_string())
            .data("records", ended.done.records)
            .data("bytes", ended.done.bytes)
            .data("skipped", ended.skipped)
            .data("damaged", ended.damaged);
        if let What::ExposedBy(version) = ended.what {
            draft = draft.kek_version(version);
        }
        let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
        tx.commit().await?;
        vault.ledger()?.settle_later(ticket);
        let (collection, records, damaged) = (ended.collection, ended.done.records, ended.damaged);
        tracing::info!(%collection, records, damaged, "re-encryption done");
        Ok(())
    }

    /// Whether record keys of the collection are still on their way out of a compromised version.
    pub(super) async fn keys_are_moving(&self) -> Result<bool, Failure> {
        let mut reader = self.vault.store.read().await?;
        let rotation = keys::rotation(reader.conn(), self.row.collection).await?;
        Ok(rotation.is_some_and(|rotation| !rotation.is_over()))
    }
}

/// What a look at some of the collection's records found.
pub(super) struct Found {
    /// Those that are to be encrypted anew, with the bytes of each as its row has them.
    pub(super) records: Vec<(RecordId, u64)>,
    /// How many were looked at.
    pub(super) looked_at: u64,
    /// Where to go on.
    pub(super) next: Option<String>,
}

/// The records behind `cursor` that are to be encrypted anew.
pub(super) async fn page(vault: &Vault, collection: CollectionId, what: What, cursor: &str) -> Result<Found, Failure> {
    let version = match what {
        What::ExposedBy(version) => version,
        What::Record(record) => {
            let row = records::find(&vault.store, record).await?;
            let size = row.filter(|row| row.wrap.is_some()).map_or(0, |row| row.size);
            // Once it is dealt with it is the cursor.
            let records = if cursor.is_empty() { vec![(record, size)] } else { Vec::new() };
            return Ok(Found { looked_at: records.len() as u64, records, next: None });
        }
    };
    let kek = KekRef { collection, version };
    let mut reader = vault.store.read().await?;
    let row = keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?;
    let leak = Leak { version, active_until: row.deactivated_at };
    let rows = keys::all_keys(reader.conn(), collection, cursor, PAGE).await?;
    drop(reader);
    let whole = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
    let exposed = rows.iter().filter(|row| leak.exposes(held(kek, row)).is_some());
    Ok(Found {
        records: exposed.filter_map(|row| Some((row.id.parse().ok()?, row.size.unwrap_or(0)))).collect(),
        looked_at: rows.len() as u64,
        next: rows.last().filter(|_| whole).map(|row| row.id.clone()),
    })
}
