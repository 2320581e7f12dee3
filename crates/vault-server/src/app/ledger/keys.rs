//! The keys that open slots, from the vault's own key service.

use std::sync::Arc;

use async_trait::async_trait;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};

use super::OpeningKeySource;
use crate::custody::KeyService;
use crate::store::{Store, records};

/// Staff audit keys by collection, field keys by way of the record's wrap.
pub struct VaultKeys {
    keys: Arc<KeyService>,
    store: Store,
}

impl VaultKeys {
    /// Keys of this vault.
    #[must_use]
    pub const fn new(keys: Arc<KeyService>, store: Store) -> Self {
        Self { keys, store }
    }
}

#[async_trait]
impl OpeningKeySource for VaultKeys {
    async fn staff_audit_key(&self, collection: CollectionId) -> Option<Arc<StaffAuditKey>> {
        self.keys.staff_audit_key(collection).await.ok()
    }

    async fn field_key(&self, record: RecordId) -> Option<FieldKey> {
        let row = records::find(&self.store, record).await.ok()??;
        let wrap = row.wrap?;
        let key = self.keys.unwrap_record_key(row.collection, record, row.kek_version, &wrap).await.ok()?;
        Some(key.field_key())
    }
}
