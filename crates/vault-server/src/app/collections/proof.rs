//! Holding a collection's policy against the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vault_api::code::Code;
use vault_core::audit::entry::CollectionCreated;
use vault_core::ids::CollectionId;

use super::CollectionRow;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;

/// The policy hashes that the log was found to quote; one for each collection.
#[derive(Default)]
pub struct Policies(Mutex<HashMap<CollectionId, [u8; 32]>>);

impl Policies {
    fn quoted(&self, id: CollectionId) -> Option<[u8; 32]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    fn keep(&self, id: CollectionId, hash: [u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, hash);
    }
}

/// The row, if its policy is the one that the log quotes.
pub(super) async fn held_against_log(vault: &Vault, row: CollectionRow) -> Result<CollectionRow, Failure> {
    let quoted = match vault.policies.quoted(row.id) {
        Some(hash) => Some(hash),
        None => {
            let found = vault.ledger()?.find::<CollectionCreated>(&reference::collection(row.id)).await?;
            let found = found.filter(|entry| entry.collection() == Some(row.id));
            let hash = found.and_then(|entry| entry.policy().copied());
            if let Some(hash) = hash {
                vault.policies.keep(row.id, hash);
            }
            hash
        }
    };
    if quoted == Some(row.policy_hash) {
        return Ok(row);
    }
    tracing::error!(collection = %row.id, "the collection's policy is not the one that the log quotes");
    Err(Failure::new(Code::IntegrityFailure).detail("the collection's policy is not the one that the log quotes"))
}
