//! The gate: evidence that showing an object is in the log (promise 4).

use crate::audit::entry::{EntryKind, PlaybackOpened, RecordReencrypting};
use crate::audit::evidence::Recorded;
use crate::audit::slot::SlotName;
use crate::ids::{ObjectId, RecordId};

/// Proof that the log has an entry for showing one object of one record.
///
/// Its fields are private; it is read out of a recorded entry and made nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Disclosure {
    record: RecordId,
    object: ObjectId,
}

/// The entry is about no object, or what it is about has been erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit entry does not name the record and object that are shown")]
pub struct NothingDisclosed;

impl Disclosure {
    /// The disclosure that an opened playback is: of the record and object its slots name.
    pub fn of_playback(evidence: &Recorded<PlaybackOpened>) -> Result<Self, NothingDisclosed> {
        Self::named(evidence)
    }

    /// The disclosure that writing a recording again is, to the job that does it: of the record and object its slots name.
    pub fn of_reencryption(evidence: &Recorded<RecordReencrypting>) -> Result<Self, NothingDisclosed> {
        Self::named(evidence)
    }

    fn named<E: EntryKind>(evidence: &Recorded<E>) -> Result<Self, NothingDisclosed> {
        let record = evidence.slot(SlotName::Record).and_then(|id| id.parse().ok());
        let object = evidence.slot(SlotName::Object).and_then(|id| id.parse().ok());
        match (record, object) {
            (Some(record), Some(object)) => Ok(Self { record, object }),
            _ => Err(NothingDisclosed),
        }
    }

    #[cfg(test)]
    pub(super) const fn for_test(record: RecordId, object: ObjectId) -> Self {
        Self { record, object }
    }

    pub(super) fn is_of(&self, record: RecordId, object: ObjectId) -> bool {
        self.record == record && self.object == object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::Draft;
    use crate::audit::evidence::testing::recorded;
    use crate::audit::slot::{OpeningKeys, OpeningUnder};
    use crate::keys::hierarchy::{RecordKey, StaffAuditKey};
    use crate::time::Timestamp;

    #[test]
    fn p4_a_disclosure_is_of_what_the_entry_names_and_nothing_else() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let (record, object) = (RecordId::new(at), ObjectId::new(at));
        let (staff, field) = (StaffAuditKey::generate(), RecordKey::generate().field_key());
        let keys = OpeningKeys { staff: &staff, record: Some((record, &field)) };
        let draft =
            || Draft::<PlaybackOpened>::new(at).slot(SlotName::Record, record.to_string(), OpeningUnder::Record);
        let whole = draft().slot(SlotName::Object, object.to_string(), OpeningUnder::Record);
        let evidence = recorded(whole.prepare(&keys).unwrap()).unwrap();
        let disclosure = Disclosure::of_playback(&evidence).unwrap();
        assert!(disclosure.is_of(record, object));
        assert!(!disclosure.is_of(RecordId::new(at), object) && !disclosure.is_of(record, ObjectId::new(at)));

        let reading = Draft::<RecordReencrypting>::new(at)
            .slot(SlotName::Record, record.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, object.to_string(), OpeningUnder::Record);
        let evidence = recorded(reading.prepare(&keys).unwrap()).unwrap();
        assert!(Disclosure::of_reencryption(&evidence).unwrap().is_of(record, object));

        let without_object = recorded(draft().prepare(&keys).unwrap()).unwrap();
        assert_eq!(Disclosure::of_playback(&without_object).unwrap_err(), NothingDisclosed);
        let unreadable = draft().slot(SlotName::Object, "everything", OpeningUnder::Record);
        assert!(Disclosure::of_playback(&recorded(unreadable.prepare(&keys).unwrap()).unwrap()).is_err());
    }
}
