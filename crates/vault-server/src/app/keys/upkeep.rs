//! Upkeep: the vault rotates by itself what is due, by each collection's policy, and says why in the log.

use std::sync::Arc;

use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::{Demand, Policy};

use super::begin::{Wanted, activated, begin, versions, without_destruction};
use super::pen_of;
use super::rotate::held;
use crate::app::collections::{self, CollectionState};
use crate::app::error::Failure;
use crate::state::Vault;

/// Begins every rotation that is due. One collection's trouble is told and keeps no other from it; the last is answered.
pub async fn upkeep(vault: &Arc<Vault>) -> Result<(), Failure> {
    let rows = collections::all(vault).await?;
    let open = rows.iter().filter(|row| row.state != CollectionState::Closed);
    let policies = open.map(|row| (row.id, row.policy.key_policy()));
    let mut outcome = Ok(());
    for (id, policy) in [(CollectionId::VAULT, Policy::default())].into_iter().chain(policies) {
        if let Err(failure) = one(vault, id, policy).await {
            tracing::warn!(collection = %id, causes = failure.causes(), "keys cannot be kept up now: {failure}");
            outcome = Err(failure);
        }
    }
    outcome
}

async fn one(vault: &Vault, collection: CollectionId, policy: Policy) -> Result<(), Failure> {
    renew(vault, collection, policy, Demand::Upkeep).await
}

/// Gives a collection, or the vault itself, the fresh version that `demand` asks for, if it does.
pub async fn renew(vault: &Vault, collection: CollectionId, policy: Policy, demand: Demand) -> Result<(), Failure> {
    let now = vault.clock.now();
    let found = {
        let mut reader = vault.store.read().await?;
        versions(reader.conn(), collection).await?
    };
    // Mostly nothing is, and then nobody is kept from writing.
    if activated(&without_destruction(now, &found, &policy, demand)?).is_none() {
        return Ok(());
    }
    let held = held(vault, collection).await?.values().sum();
    let wanted = Wanted { collection, policy, demand, asked: None, throttle: None, held };
    let pen = pen_of(vault, collection).await?;
    let mut tx = vault.store.begin("rotate_kek").await?;
    let Some(begun) = begin(vault, &mut tx, &pen, &wanted, now).await? else { return Ok(tx.rollback().await?) };
    tx.commit().await?;
    vault.keys()?.rotation_begun();
    vault.ledger()?.settle_later(begun.ticket);
    tracing::info!(%collection, to = begun.rotation.to, because = begun.rotation.because, "a rotation begins by itself");
    Ok(())
}
