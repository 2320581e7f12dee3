//! What still needs a key: counted before anybody may destroy it, and again in the transaction that does.
//!
//! Two parts. The *survey* reads every wrap of the collection, outside any transaction: how many record keys each version
//! holds, and whether a wrap names this version while its row names another. Nobody makes such rows but by hand, and
//! nobody makes wraps under a version that is retired, so what a survey finds stays true. The *count* is what decides: by
//! index, after the update that holds the version's row, in the transaction that relies on it.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use vault_api::code::Code;
use vault_api::destruction::Inventory;
use vault_core::ids::RecordId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;

use super::show::state;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::Tx;
use crate::store::keys::{self, Doomed};

/// Records named in an inventory.
const FIRST: usize = 20;

/// What was read outside the transaction.
#[derive(Default)]
pub(super) struct Survey {
    held: BTreeMap<String, u64>,
    misnamed: Vec<RecordId>,
}

impl Survey {
    /// Reads every wrap that could be under `what`.
    pub(super) async fn of(vault: &Vault, what: Doomed) -> Result<Self, Failure> {
        let Doomed::Kek(kek) = what else { return Ok(Self::default()) };
        let mut reader = vault.store.read().await?;
        let held = keys::records_held(reader.conn(), kek.collection).await?;
        let misnamed = keys::misnamed(reader.conn(), kek).await?;
        Ok(Self { held: held.into_iter().map(|(version, held)| (version.to_string(), held)).collect(), misnamed })
    }

    /// Counts what needs a key, which the caller's transaction has made its own; `state_of` is the one it was in.
    pub(super) async fn count(&self, tx: &mut Tx, what: Doomed, state_of: KeyState) -> Result<Inventory, Failure> {
        match what {
            Doomed::Kek(kek) => self.of_version(tx, kek, state_of).await,
            Doomed::Epoch(epoch) => {
                let wrapped = keys::held_by_epochs(tx.conn()).await?;
                Ok(Inventory {
                    children: Vec::new(),
                    collection_id: None,
                    copies: 0,
                    held: wrapped.iter().map(|(epoch, held)| (epoch.to_string(), *held)).collect(),
                    misnamed: 0,
                    number: epoch,
                    record_ids: Vec::new(),
                    records: 0,
                    rotation: false,
                    state: state(state_of),
                    wrapped: keys::wrapped_by(tx.conn(), epoch).await?,
                })
            }
        }
    }

    async fn of_version(&self, tx: &mut Tx, kek: KekRef, state_of: KeyState) -> Result<Inventory, Failure> {
        let records = keys::records_held(tx.conn(), kek.collection).await?;
        let records = records.into_iter().find(|(version, _)| *version == kek.version).map_or(0, |(_, held)| held);
        let mut first = keys::first_records(tx.conn(), kek, FIRST as u32).await?;
        first.extend(self.misnamed.iter().take(FIRST - first.len().min(FIRST)));
        let rotation = keys::rotation(tx.conn(), kek.collection).await?;
        Ok(Inventory {
            children: keys::children_under(tx.conn(), kek).await?,
            collection_id: Some(kek.collection.to_string()),
            copies: 0,
            held: self.held.clone(),
            misnamed: u64::try_from(self.misnamed.len()).unwrap_or(u64::MAX),
            number: kek.version,
            record_ids: first.iter().map(RecordId::to_string).collect(),
            records,
            rotation: rotation.is_some_and(|row| row.finished_at.is_none()),
            state: state(state_of),
            wrapped: 0,
        })
    }
}

/// An inventory in the one form that it is stored and hashed in.
pub(super) fn written(inventory: &Inventory) -> Result<String, Failure> {
    serde_json::to_string(inventory).map_err(|e| Failure::new(Code::Internal).because(e))
}

/// What the log says of an inventory.
pub(super) fn hash(written: &str) -> String {
    hex::encode(Sha256::digest(written))
}

/// Refuses with the list while something needs the key.
pub(super) fn nothing_needs(inventory: &Inventory) -> Result<(), Failure> {
    let needs = inventory.needs();
    if needs.is_empty() {
        return Ok(());
    }
    let shown = serde_json::to_value(inventory).map_err(|e| Failure::new(Code::Internal).because(e))?;
    Err(Failure::new(Code::KeyInUse).detail(needs.join("; ")).member("inventory", shown))
}
