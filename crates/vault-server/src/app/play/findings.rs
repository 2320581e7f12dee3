//! Damage found while playing: told here, written to the audit log by a job, so that no listener waits for it.

use tokio::sync::mpsc;
use vault_core::ids::{CollectionId, ObjectId, RecordId, SessionId};

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
    /// Of which object.
    pub object: ObjectId,
    /// In which session.
    pub session: SessionId,
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
        tracing::error!(finding, record = %session.record, object = %session.object, "what is stored is damaged");
        let damage = Damage {
            finding,
            collection: session.collection,
            record: session.record,
            object: session.object,
            session: session.id,
        };
        if self.0.try_send(damage).is_err() {
            tracing::error!(finding, record = %session.record, "a finding could not be handed to the audit log");
        }
    }
}
