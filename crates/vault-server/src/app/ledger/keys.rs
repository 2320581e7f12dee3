//! The keys that open slots, from the vault's own key service.

use std::sync::Arc;

use async_trait::async_trait;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{FieldKey, StaffAuditKey};

use super::{LedgerError, OpeningKeySource};
use crate::custody::{KeyError, KeyService};
use crate::store::{Store, StoreError, records};

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
    async fn staff_audit_key(&self, collection: CollectionId) -> Result<Option<Arc<StaffAuditKey>>, LedgerError> {
        told(self.keys.staff_audit_key(collection).await)
    }

    async fn field_key(&self, record: RecordId) -> Result<Option<FieldKey>, LedgerError> {
        let row = told(records::find(&self.store, record).await.map_err(KeyError::from))?.flatten();
        let Some((row, wrap)) = row.and_then(|mut row| row.wrap.take().map(|wrap| (row, wrap))) else {
            return Ok(None);
        };
        let key = told(self.keys.unwrap_record_key(row.collection, record, row.kek_version, &wrap).await)?;
        Ok(key.map(|key| key.field_key()))
    }
}

/// What is damaged is not there; what cannot be read now may be.
fn told<T>(outcome: Result<T, KeyError>) -> Result<Option<T>, LedgerError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(KeyError::Store(e @ (StoreError::Unavailable(_) | StoreError::CommitUnknown(_)))) => Err(e.into()),
        Err(_) => Ok(None),
    }
}
