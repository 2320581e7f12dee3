//! Writing entries about staff: what names a person lies in slots, sealed under the staff audit key.

use std::sync::Arc;

use vault_api::code::Code;
use vault_core::audit::entry::{Draft, DraftError, EntryKind, Prepared};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::keys::hierarchy::StaffAuditKey;
use vault_core::time::Timestamp;

use super::error::Failure;
use crate::state::Vault;

/// The staff audit key of one collection, or of the vault, ready to prepare entries inside a transaction.
pub struct StaffPen {
    collection: Option<CollectionId>,
    key: Arc<StaffAuditKey>,
}

impl StaffPen {
    /// For entries about `collection`, or about the vault as a whole.
    pub async fn of(vault: &Vault, collection: Option<CollectionId>) -> Result<Self, Failure> {
        let key = vault.keys()?.staff_audit_key(collection.unwrap_or(CollectionId::VAULT)).await?;
        Ok(Self { collection, key })
    }

    /// A draft by `staff`, or by nobody: what was entered when the vault was made.
    pub fn draft<E: EntryKind>(&self, at: Timestamp, staff: Option<PersonId>) -> Draft<E> {
        let mut draft = Draft::new(at);
        if let Some(collection) = self.collection {
            draft = draft.collection(collection);
        }
        match staff {
            Some(staff) => draft.slot(SlotName::Staff, staff.to_string(), OpeningUnder::Staff),
            None => draft,
        }
    }

    /// Fixes the entry's bytes and seals its openings.
    pub fn prepare<E: EntryKind>(&self, draft: Draft<E>) -> Result<Prepared<E>, Failure> {
        Ok(draft.prepare(&OpeningKeys { staff: self.key.as_ref(), record: None })?)
    }
}

impl From<DraftError> for Failure {
    /// Handlers bound the texts they take, so a draft that cannot be prepared is a defect.
    fn from(e: DraftError) -> Self {
        Self::new(Code::Internal).because(e)
    }
}
