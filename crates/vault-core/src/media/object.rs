//! What names an object: its place, its key, its header (`docs/format.md` §2).

use super::floe::{FloeError, FloeKey, Parameters};
use super::layout::SegmentLength;
use crate::framing::framed;
use crate::ids::{CollectionId, ObjectId, RecordId};
use crate::keys::hierarchy::ObjectKey;

const OBJECT: &str = "feedback-vault/v1/object";

/// The place an object is bound to: it opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectContext {
    /// The collection of its record.
    pub collection: CollectionId,
    /// Its record.
    pub record: RecordId,
    /// The object.
    pub object: ObjectId,
    /// How it is cut.
    pub segment: SegmentLength,
}

impl ObjectContext {
    /// The associated data of the object's FLOE message.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let length = self.segment.plaintext_u32().to_be_bytes();
        framed(OBJECT, &[self.collection.as_bytes(), self.record.as_bytes(), self.object.as_bytes(), &length])
    }

    /// FLOE's parameters for the object.
    pub(super) const fn parameters(&self) -> Result<Parameters, FloeError> {
        Parameters::new(self.segment.encrypted_u32())
    }
}

/// The FLOE key of an object.
pub(super) fn floe_key(key: &ObjectKey) -> FloeKey {
    FloeKey::copy_of(key.stream_key().secret())
}
