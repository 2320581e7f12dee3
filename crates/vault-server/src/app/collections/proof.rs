//! Holding a collection's name and policy against the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vault_api::code::Code;
use vault_core::audit::entry::CollectionCreated;
use vault_core::ids::{CollectionId, CollectionName};

use super::CollectionRow;
use crate::app::error::Failure;
use crate::app::ledger::LedgerError;
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

/// What the log has of a collection.
enum Told {
    /// Its entry is published.
    Quoted(Quoted),
    /// Its entry is committed, and not published yet: the vault was stopped in the middle of making it, or another node is
    /// making it.
    OnItsWay,
    /// No entry, or none that is about it.
    Nothing,
}

async fn told(vault: &Vault, id: CollectionId) -> Result<Told, Failure> {
    if let Some(quoted) = vault.policies.quoted(id) {
        return Ok(Told::Quoted(quoted));
    }
    let found = match vault.ledger()?.find_settled::<CollectionCreated>(&reference::collection(id)).await {
        Err(LedgerError::Timeout) => return Ok(Told::OnItsWay),
        found => found?,
    };
    let found = found.filter(|entry| entry.collection() == Some(id));
    let quoted = found.and_then(|entry| {
        let name = entry.data("name")?.as_str()?.parse().ok()?;
        Some(Quoted { name, policy: *entry.policy()? })
    });
    Ok(match quoted {
        Some(quoted) => {
            vault.policies.keep(id, quoted.clone());
            Told::Quoted(quoted)
        }
        None => Told::Nothing,
    })
}

/// The collection that is called `name` where somebody wants it stopped: by the log's word for it, and where the log has
/// none by the row's.
pub(super) async fn meant(vault: &Vault, name: &CollectionName) -> Result<CollectionId, Failure> {
    let mut reader = vault.store.read().await?;
    let ids = CollectionRow::ids(reader.conn(), name).await?;
    let by_row = CollectionRow::id_of(reader.conn(), name).await?;
    drop(reader);
    for id in ids {
        if matches!(told(vault, id).await?, Told::Quoted(quoted) if quoted.name == *name) {
            return Ok(id);
        }
    }
    by_row.ok_or_else(|| Code::NotFound.into())
}

/// A row beside what the log has of it.
pub(super) enum Held {
    /// Its name and policy are those that the log quotes.
    Proven(Box<CollectionRow>),
    /// Its entry is not published yet. Nobody was told that the collection was made.
    OnItsWay,
    /// They are not; this is logged.
    Damaged,
}

impl Held {
    /// The row, if it is proven.
    pub(super) fn proven(self) -> Result<CollectionRow, Failure> {
        match self {
            Self::Proven(row) => Ok(*row),
            Self::OnItsWay => Err(LedgerError::Timeout.into()),
            Self::Damaged => Err(Failure::new(Code::IntegrityFailure)
                .detail("the collection's name or policy is not the one that the log quotes")),
        }
    }
}

/// Holds the row's name and policy against what the log quotes. The name counts too: with two names swapped, what is meant
/// for one collection would be done to the other.
pub(super) async fn held_against_log(vault: &Vault, row: CollectionRow) -> Result<Held, Failure> {
    match told(vault, row.id).await? {
        Told::Quoted(quoted) if quoted.name == row.name && quoted.policy == row.policy_hash => {
            Ok(Held::Proven(Box::new(row)))
        }
        Told::OnItsWay => Ok(Held::OnItsWay),
        Told::Quoted(_) | Told::Nothing => {
            tracing::error!(collection = %row.id, "the collection's name or policy is not the one that the log quotes");
            Ok(Held::Damaged)
        }
    }
}
