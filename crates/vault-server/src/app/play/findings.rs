//! Damage found while playing: told here, written to the audit log by a job, so that no listener waits for it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use vault_api::code::Code;
use vault_core::audit::entry::{Draft, FindingReported};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, ObjectId, RecordId, SessionId};
use vault_core::keys::hierarchy::FieldKey;
use vault_core::time::Timestamp;

use super::open::record_key;
use crate::app::error::Failure;
use crate::app::reencrypt;
use crate::state::Vault;
use crate::store::records;
use crate::store::sessions::SessionRow;

/// Most findings that wait to be written; a session tells one at the most.
const MOST: usize = 1024;

/// Damage of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What was found, as the log names it.
    pub finding: &'static str,
    /// Of which collection.
    pub collection: CollectionId,
    /// Of which record.
    pub record: RecordId,
    /// Of which object, where it is known.
    pub object: Option<ObjectId>,
    /// In which session, if there was one.
    pub session: Option<SessionId>,
}

/// Most (record, finding) pairs remembered; more than so much damage in an hour is told without the others' being known.
const REMEMBERED: usize = 16_384;

/// What was written in one hour.
#[derive(Default)]
struct Written {
    hour: i64,
    known: HashSet<(RecordId, &'static str)>,
}

/// Where damage is told.
#[derive(Clone)]
pub struct Findings {
    told: mpsc::Sender<Damage>,
    written: Arc<Mutex<Written>>,
}

impl Findings {
    /// A place to tell damage, and what the job reads from.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Damage>) {
        let (sender, receiver) = mpsc::channel(MOST);
        (Self { told: sender, written: Arc::default() }, receiver)
    }

    /// Whether this is the first such finding about the record in the hour of `now`, as far as this process knows. A log
    /// that repeats itself with every session hides what is new.
    fn is_first(&self, damage: &Damage, now: Timestamp) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now.as_millis() / 3_600_000;
        if written.hour != hour || written.known.len() >= REMEMBERED {
            *written = Written { hour, known: HashSet::new() };
        }
        written.known.insert((damage.record, damage.finding))
    }

    /// It could not be written after all.
    fn forget(&self, damage: &Damage) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.known.remove(&(damage.record, damage.finding));
    }

    /// Tells damage found in `session`.
    pub fn tell(&self, session: &SessionRow, finding: &'static str) {
        self.tell_of(Damage {
            finding,
            collection: session.collection,
            record: session.record,
            object: Some(session.object),
            session: Some(session.id),
        });
    }

    /// Tells damage.
    pub fn tell_of(&self, damage: Damage) {
        let Damage { finding, record, .. } = damage;
        tracing::error!(finding, %record, "what is stored is damaged");
        if self.told.try_send(damage).is_err() {
            tracing::error!(finding, %record, "a finding could not be handed to the audit log");
        }
    }
}

/// Writes a finding to the audit log, once an hour for each record and finding; it waits there if the log cannot be
/// written now.
pub async fn write(vault: &Vault, damage: Damage) -> Result<(), Failure> {
    if let Some(object) = damage.object
        && reencrypt::replaced(vault, damage.record, object).await
    {
        // Read by somebody who did not know yet that another object is in its place.
        return Ok(());
    }
    let findings = vault.sessions.findings();
    if !findings.is_first(&damage, vault.clock.now()) {
        return Ok(());
    }
    let written = queue(vault, damage).await;
    if written.is_err() {
        findings.forget(&damage);
    }
    written
}

async fn queue(vault: &Vault, damage: Damage) -> Result<(), Failure> {
    let staff = vault.keys()?.staff_audit_key(damage.collection).await?;
    // What names the record goes with the record, unless its key is what is damaged.
    let field = field_key(vault, damage.record).await?;
    let under = if field.is_some() { OpeningUnder::Record } else { OpeningUnder::Staff };
    let mut draft = Draft::<FindingReported>::new(vault.clock.now())
        .collection(damage.collection)
        .data("finding", damage.finding)
        .slot(SlotName::Record, damage.record.to_string(), under);
    if let Some(object) = damage.object {
        draft = draft.slot(SlotName::Object, object.to_string(), under);
    }
    if let Some(session) = damage.session {
        draft = draft.slot(SlotName::Session, session.to_string(), OpeningUnder::Staff);
    }
    let record = field.as_ref().map(|field| (damage.record, field));
    let entry = draft.prepare(&OpeningKeys { staff: staff.as_ref(), record })?;
    let mut tx = vault.store.begin("report_finding").await?;
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, None).await?;
    tx.commit().await?;
    vault.ledger()?.settle_later(ticket);
    Ok(())
}

/// The record's field key; none when the record is erased, or its row or wrap is damaged. A database that does not answer is
/// an error: what names the record would be sealed under a key that outlives it.
pub(in crate::app) async fn field_key(vault: &Vault, record: RecordId) -> Result<Option<FieldKey>, Failure> {
    let key = match records::find(&vault.store, record).await {
        Ok(Some(row)) => record_key(vault, &row).await,
        Ok(None) => return Ok(None),
        Err(e) => Err(e.into()),
    };
    match key {
        Ok(key) => Ok(Some(key.field_key())),
        Err(failure) if matches!(failure.code(), Code::Unavailable | Code::Sealed) => Err(failure),
        Err(_) => Ok(None),
    }
}
