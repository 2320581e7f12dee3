//! The gate: evidence that showing an object is in the log (promise 4).

use crate::ids::{ObjectId, RecordId};

/// Proof that the log has an entry for showing one object of one record.
///
/// Its fields are private and nothing outside `media` makes one.
#[derive(Clone, Copy, Debug)]
pub struct Disclosure {
    record: RecordId,
    object: ObjectId,
}

impl Disclosure {
    #[cfg(test)]
    pub(super) const fn for_test(record: RecordId, object: ObjectId) -> Self {
        Self { record, object }
    }

    pub(super) fn is_of(&self, record: RecordId, object: ObjectId) -> bool {
        self.record == record && self.object == object
    }
}
