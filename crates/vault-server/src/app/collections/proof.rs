//! Holding a collection's name and policy against the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vault_api::code::Code;
use vault_core::audit::entry::CollectionCreated;
use vault_core::ids::{CollectionId, CollectionName};

use super::CollectionRow;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;

/// What the log says of a collection.
#[derive(Clone)]
struct Quoted {
    name: CollectionName,
    policy: [u8; 32],
}

/// The names and policy hashes that the log was found to quote; one of each for each collection.
#[derive(Default)]
pub struct Policies(Mutex<HashMap<CollectionId, Quoted>>);

impl Policies {
    fn quoted(&self, id: CollectionId) -> Option<Quoted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn keep(&self, id: CollectionId, quoted: Quoted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, quoted);
    }
}

/// What the log quotes of a collection; `None` when there is no such entry, or it is not about it.
async fn quoted(vault: &Vault, id: CollectionId) -> Result<Option<Quoted>, Failure> {
    if let Some(quoted) = vault.policies.quoted(id) {
        return Ok(Some(quoted));
    }
    let found = vault.ledger()?.find::<CollectionCreated>(&reference::collection(id)).await?;
    let found = found.filter(|entry| entry.collection() == Some(id));
    let quoted = found.and_then(|entry| {
        let name = entry.data("name")?.as_str()?.parse().ok()?;
        Some(Quoted { name, policy: *entry.policy()? })
    });
    if let Some(quoted) = &quoted {
        vault.policies.keep(id, quoted.clone());
    }
    Ok(quoted)
}

/// The collection that is called `name` where somebody wants it stopped: by the log's word for it, and where the log has
/// none by the row's.
pub(super) async fn meant(vault: &Vault, name: &CollectionName) -> Result<CollectionId, Failure> {
    let mut reader = vault.store.read().await?;
    let ids = CollectionRow::ids(reader.conn(), name).await?;
    let by_row = CollectionRow::id_of(reader.conn(), name).await?;
    drop(reader);
    for id in ids {
        if quoted(vault, id).await?.is_some_and(|quoted| quoted.name == *name) {
            return Ok(id);
        }
    }
    by_row.ok_or_else(|| Code::NotFound.into())
}

/// The row, if its name and policy are those that the log quotes. The name counts too: with two names swapped, what is
/// meant for one collection would be done to the other.
pub(super) async fn held_against_log(vault: &Vault, row: CollectionRow) -> Result<CollectionRow, Failure> {
    let quoted = quoted(vault, row.id).await?;
    if quoted.is_some_and(|quoted| quoted.name == row.name && quoted.policy == row.policy_hash) {
        return Ok(row);
    }
    tracing::error!(collection = %row.id, "the collection's name or policy is not the one that the log quotes");
    Err(Failure::new(Code::IntegrityFailure)
        .detail("the collection's name or policy is not the one that the log quotes"))
}
