//! Showing a collection's keys: states and numbers, never key bytes.

use std::collections::HashMap;

use vault_api::code::Code;
use vault_api::keys::{self as wire, CollectionKeys, KeyRotation, RotationState};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::keys::{self, KekRow, RotationRow};

/// The keys of a collection.
pub async fn show(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<CollectionKeys, Failure> {
    let row = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(row.id))?;
    of(vault, row.id, &row.name).await
}

/// Destroying a version: who may, and that this version of the vault does not. Without the proven inventory and the
/// erasure horizon that come with it, destroying would be losing.
pub async fn destroy(vault: &Vault, caller: &Caller, name: &CollectionName, version: u32) -> Result<(), Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyDestroy, Place::Collection(collection.id))?;
    let kek = KekRef { collection: collection.id, version };
    let mut reader = vault.store.read().await?;
    let row = keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?;
    let detail = format!("version {version} is {}; destroying versions is not available yet", row.state);
    Err(Failure::new(Code::KeyUnusable).detail(detail))
}

pub(super) async fn of(vault: &Vault, id: CollectionId, name: &CollectionName) -> Result<CollectionKeys, Failure> {
    let mut reader = vault.store.read().await?;
    let held: HashMap<u32, u64> = keys::records_held(reader.conn(), id).await?.into_iter().collect();
    let rows = keys::keks(reader.conn(), id).await?;
    let rotation = keys::rotation(reader.conn(), id).await?;
    Ok(CollectionKeys {
        collection: name.to_string(),
        versions: rows.into_iter().rev().map(|row| version(row, &held)).collect(),
        rotation: rotation.map(|row| {
            let remaining = held.iter().filter(|(version, _)| **version != row.to).map(|(_, held)| held).sum();
            running(row, remaining)
        }),
    })
}

fn version(row: KekRow, held: &HashMap<u32, u64>) -> wire::KeyVersion {
    wire::KeyVersion {
        version: row.version,
        state: state(row.state),
        root_epoch: row.root_epoch,
        wraps: row.wraps,
        records: held.get(&row.version).copied().unwrap_or(0),
        created_at: row.created_at.to_string(),
        activated_at: row.activated_at.map(|at| at.to_string()),
        deactivated_at: row.deactivated_at.map(|at| at.to_string()),
    }
}

fn running(row: RotationRow, remaining: u64) -> KeyRotation {
    KeyRotation {
        from_version: row.from,
        to_version: row.to,
        state: if row.finished_at.is_some() { RotationState::Done } else { RotationState::Running },
        moved: row.done,
        remaining,
        started_at: row.started_at.to_string(),
        finished_at: row.finished_at.as_ref().map(Timestamp::to_string),
    }
}

pub(super) const fn state(state: KeyState) -> wire::KeyState {
    match state {
        KeyState::PreActive => wire::KeyState::PreActive,
        KeyState::Active => wire::KeyState::Active,
        KeyState::Deactivated => wire::KeyState::Deactivated,
        KeyState::Compromised => wire::KeyState::Compromised,
        KeyState::Destroyed => wire::KeyState::Destroyed,
    }
}
