//! An incident: that a version of a collection's key is compromised, as the log has it.
//!
//! A compromised version opens nothing any more, but for the one job that moves what is under it to its successor. That job
//! asks with an [`Incident`], and only the log's entry makes one: whoever has not said so in the log does not open it.

use super::wrap::KekRef;
use crate::audit::entry::KeyOperation;
use crate::audit::evidence::Recorded;

/// The value of `operation` in the entry.
pub const MARK_COMPROMISED: &str = "mark-compromised";

/// Proof that a version was marked as compromised.
#[derive(Debug)]
pub struct Incident(KekRef);

impl Incident {
    /// Reads it out of its entry; nothing when the entry tells of another operation.
    #[must_use]
    pub fn from_evidence(evidence: &Recorded<KeyOperation>) -> Option<Self> {
        let operation = evidence.data("operation")?.as_str()?;
        let kek = KekRef { collection: evidence.collection()?, version: evidence.kek_version()? };
        (operation == MARK_COMPROMISED).then_some(Self(kek))
    }

    /// The version that it is about.
    #[must_use]
    pub const fn kek(&self) -> KekRef {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::Draft;
    use crate::audit::evidence::testing::recorded;
    use crate::audit::slot::OpeningKeys;
    use crate::ids::CollectionId;
    use crate::keys::hierarchy::StaffAuditKey;
    use crate::time::Timestamp;

    #[test]
    fn only_the_entry_of_an_incident_makes_one() {
        let staff = StaffAuditKey::generate();
        let collection = CollectionId::from_bytes([7; 16]);
        let said = |operation: &'static str| {
            let draft = Draft::<KeyOperation>::new(Timestamp::from_millis(1_790_000_000_000));
            let draft = draft.collection(collection).kek_version(3).data("operation", operation);
            recorded(draft.prepare(&OpeningKeys { staff: &staff, record: None }).unwrap()).unwrap()
        };
        let incident = Incident::from_evidence(&said("mark-compromised")).unwrap();
        assert_eq!(incident.kek(), KekRef { collection, version: 3 });
        assert!(Incident::from_evidence(&said("rewrap")).is_none());
    }
}
