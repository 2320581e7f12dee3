//! Damage found while playing: told here, written to the audit log by a job, so that no listener waits for it.

use tokio::sync::mpsc;
use vault_core::audit::entry::{Draft, FindingReported};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, ObjectId, RecordId, SessionId};
use vault_core::keys::hierarchy::FieldKey;

use super::open::record_key;
use crate::app::error::Failure;
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

/// Where damage is told.
#[derive(Clone)]
pub struct Findings(mpsc::Sender<Damage>);

impl Findings {
    /// A place to tell damage, and what the job reads from.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Damage>) {
        let (sender, receiver) = mpsc::channel(MOST);
        (Self(sender), receiver)
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
        if self.0.try_send(damage).is_err() {
            tracing::error!(finding, %record, "a finding could not be handed to the audit log");
        }
    }
}

/// Writes a finding to the audit log; it waits there if the log cannot be written now.
pub async fn write(vault: &Vault, damage: Damage) -> Result<(), Failure> {
    let staff = vault.keys()?.staff_audit_key(damage.collection).await?;
    // What names the record goes with the record, unless its key is what is damaged.
    let field = field_key(vault, damage.record).await;
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

async fn field_key(vault: &Vault, record: RecordId) -> Option<FieldKey> {
    let row = records::find(&vault.store, record).await.ok()??;
    Some(record_key(vault, &row).await.ok()?.field_key())
}
