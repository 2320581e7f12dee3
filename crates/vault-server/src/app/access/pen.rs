//! Sealing the texts of a request, and writing the entries about it.

use std::sync::Arc;

use vault_core::access::scope::{Right, Rights, Scope};
use vault_core::audit::entry::{Draft, EntryKind, Prepared};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{PersonId, RecordId, RequestId};
use vault_core::keys::field::{FieldContext, FieldSealer};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};
use vault_core::time::Timestamp;

use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::access::RecordWrap;
use crate::store::collections::CollectionRow;

/// A column of sealed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Reason,
    CaseNumber,
    Comment,
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::CaseNumber => "case_number",
            Self::Comment => "comment",
        }
    }
}

/// The keys for one request's texts and entries. Fetched before a transaction begins.
pub(super) struct Pen<'c> {
    collection: &'c CollectionRow,
    staff: Arc<StaffAuditKey>,
    /// The one record that the request is about.
    record: Option<RecordId>,
    /// Its field key; gone once the record is erased.
    field: Option<FieldKey>,
}

impl<'c> Pen<'c> {
    /// The keys for a request under `collection`, about the record whose wrap is given, if it is about one.
    pub(super) async fn of(
        vault: &Vault,
        collection: &'c CollectionRow,
        under: Option<&RecordWrap>,
    ) -> Result<Self, Failure> {
        let staff = vault.keys.staff_audit_key(collection.id).await?;
        let field = match under {
            Some(RecordWrap { record, kek_version, wrap: Some(wrap) }) => {
                Some(vault.keys.unwrap_record_key(collection.id, *record, *kek_version, wrap).await?.field_key())
            }
            _ => None,
        };
        Ok(Self { collection, staff, record: under.map(|wrap| wrap.record), field })
    }

    fn sealer(&self) -> Option<&dyn FieldSealer> {
        match (self.record, &self.field) {
            (None, _) => Some(self.staff.as_ref()),
            (Some(_), Some(field)) => Some(field),
            (Some(_), None) => None,
        }
    }

    /// Seals a text of `request`. `None` once the record is erased: there is nothing left to seal it under.
    pub(super) fn seal(&self, request: RequestId, column: Column, text: &str) -> Option<Vec<u8>> {
        Some(self.sealer()?.seal(context(&request, column), text.as_bytes()))
    }

    /// Opens a text of `request`; `None` when it went with its record. What does not open was not written by the vault: it is
    /// left out and told to the operator, and the rest of the row is still of use.
    pub(super) fn open(&self, request: RequestId, column: Column, sealed: &[u8]) -> Option<String> {
        let opened = self.sealer()?.open(context(&request, column), sealed);
        match opened.map(|text| String::from_utf8(text.to_vec())) {
            Ok(Ok(text)) => Some(text),
            _ => {
                tracing::error!(%request, column = column.name(), "a sealed text of an access request is damaged");
                None
            }
        }
    }

    /// Where openings of the request's own texts belong.
    pub(super) fn under(&self) -> OpeningUnder {
        if self.field.is_some() { OpeningUnder::Record } else { OpeningUnder::Staff }
    }

    /// An entry about `request` by `staff`.
    pub(super) fn draft<E: EntryKind>(&self, at: Timestamp, request: RequestId, staff: PersonId) -> Draft<E> {
        let draft = Draft::new(at)
            .collection(self.collection.id)
            .policy(self.collection.policy_hash)
            .slot(SlotName::Request, request.to_string(), OpeningUnder::Staff)
            .slot(SlotName::Staff, staff.to_string(), OpeningUnder::Staff);
        match (self.record, &self.field) {
            (Some(record), Some(_)) => draft.slot(SlotName::Record, record.to_string(), OpeningUnder::Record),
            _ => draft,
        }
    }

    /// Fixes the entry's bytes and seals its openings.
    pub(super) fn prepare<E: EntryKind>(&self, draft: Draft<E>) -> Result<Prepared<E>, Failure> {
        let record = self.record.zip(self.field.as_ref());
        Ok(draft.prepare(&OpeningKeys { staff: self.staff.as_ref(), record })?)
    }
}

const fn context(request: &RequestId, column: Column) -> FieldContext<'_> {
    text_place(request, column.name())
}

/// Where a text of a request is sealed.
pub(in crate::app) const fn text_place<'r>(request: &'r RequestId, column: &'static str) -> FieldContext<'r> {
    FieldContext { table: "access_requests", row: request.as_bytes(), column }
}

/// The kind of a scope, as entries name it.
pub(super) const fn kind_of(scope: &Scope) -> &'static str {
    match scope {
        Scope::Record(_) => "record",
        Scope::Batch(_) => "batch",
        Scope::Standing(_) => "standing",
    }
}

/// Rights, as entries list them.
pub(super) fn names_of(rights: Rights) -> Vec<&'static str> {
    if rights.has(Right::Export) { vec!["view", "export"] } else { vec!["view"] }
}
