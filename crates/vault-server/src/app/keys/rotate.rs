//! A key officer rotates a collection's KEK, or asks what that would do.

use std::collections::HashMap;

use vault_api::code::Code;
use vault_api::keys::{KeyPlan, KeyRotation, PlannedOperation};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::keys::lifecycle::{Demand, Operation};

use super::begin::{Wanted, begin, versions, without_destruction};
use super::control::checked_throttle;
use super::pen_of;
use super::show::rotation_shown;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::state::Vault;
use crate::store::{StoreError, keys};

/// How a key officer wants a rotation.
pub struct Wish<'a> {
    /// Why.
    pub reason: &'a str,
    /// At most so many record keys a second.
    pub throttle: Option<u32>,
}

/// Record keys under each version, counted on a connection for reading.
pub(super) async fn held(vault: &Vault, collection: CollectionId) -> Result<HashMap<u32, u64>, StoreError> {
    let mut reader = vault.store.read().await?;
    Ok(keys::records_held(reader.conn(), collection).await?.into_iter().collect())
}

/// Gives the collection a fresh active KEK version at once; record keys follow in the background.
pub async fn rotate(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    wish: &Wish<'_>,
) -> Result<KeyRotation, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    let reason = text("reason", wish.reason, 2000)?;
    let wanted = Wanted {
        collection: collection.id,
        policy: collection.policy.key_policy(),
        demand: Demand::Rotate,
        asked: Some((caller.person(), &reason)),
        throttle: checked_throttle(wish.throttle)?,
        held: held(vault, collection.id).await?.values().sum(),
    };
    let pen = pen_of(vault, collection.id).await?;
    let mut tx = vault.store.begin("rotate_kek").await?;
    let begun = begin(vault, &mut tx, &pen, &wanted, vault.clock.now()).await?;
    // Who asks for a rotation gets one: nothing else is planned for that demand.
    let begun = begun.ok_or(Code::Internal)?;
    tx.commit().await?;
    vault.keys()?.rotation_begun();
    vault.ledger()?.settle(begun.ticket).await?;
    Ok(rotation_shown(&begun.rotation))
}

/// What [`rotate`] would do now. Changes nothing.
pub async fn planned(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    wish: &Wish<'_>,
) -> Result<KeyPlan, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    text("reason", wish.reason, 2000)?;
    checked_throttle(wish.throttle)?;
    let held = held(vault, collection.id).await?;
    let (under_way, versions) = {
        let mut reader = vault.store.read().await?;
        let under_way = keys::rotation(reader.conn(), collection.id).await?.is_some_and(|row| !row.is_over());
        (under_way, versions(reader.conn(), collection.id).await?)
    };
    if under_way {
        return Err(Code::RotationRunning.into());
    }
    let policy = collection.policy.key_policy();
    let planned = without_destruction(vault.clock.now(), &versions, &policy, Demand::Rotate)?;
    let operations = planned.into_iter().map(|one| {
        let (to_version, records) = match one.operation {
            Operation::Rewrap { from, to } => (Some(to), Some(held.get(&from).copied().unwrap_or(0))),
            _ => (None, None),
        };
        PlannedOperation {
            operation: one.operation.as_str().to_owned(),
            version: one.operation.version(),
            to_version,
            records,
            because: one.reason.as_str().to_owned(),
        }
    });
    Ok(KeyPlan { collection: collection.name.to_string(), operations: operations.collect() })
}
