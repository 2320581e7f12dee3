//! Showing a collection's keys: states and numbers, never key bytes.

use std::collections::HashMap;

use vault_api::keys::{self as wire, CollectionKeys, KeyRotation, RotationStatus};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::ChildKind;
use vault_core::time::Timestamp;

use super::destroy::pending;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::keys::{self, KekRow, RotationRow, RotationState};

/// The keys of a collection.
pub async fn show(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<CollectionKeys, Failure> {
    let row = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(row.id))?;
    of(vault, row.id, &row.name).await
}

/// The rotation under way, or the last one, without counting anything.
pub async fn status(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<RotationStatus, Failure> {
    let row = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(row.id))?;
    let mut reader = vault.store.read().await?;
    let rotation = keys::rotation(reader.conn(), row.id).await?;
    Ok(RotationStatus { collection: row.name.to_string(), rotation: rotation.as_ref().map(rotation_shown) })
}

async fn of(vault: &Vault, id: CollectionId, name: &CollectionName) -> Result<CollectionKeys, Failure> {
    let mut reader = vault.store.read().await?;
    let held: HashMap<u32, u64> = keys::records_held(reader.conn(), id).await?.into_iter().collect();
    let children = keys::children(reader.conn(), id).await?;
    let rows = keys::keks(reader.conn(), id).await?;
    let rotation = keys::rotation(reader.conn(), id).await?;
    let destructions = pending(&mut reader, id).await?;
    Ok(CollectionKeys {
        collection: name.to_string(),
        versions: rows.into_iter().rev().map(|row| version(&row, &held, &children)).collect(),
        rotation: rotation.as_ref().map(rotation_shown),
        destructions,
    })
}

fn version(row: &KekRow, held: &HashMap<u32, u64>, children: &[(ChildKind, u32)]) -> wire::KeyVersion {
    let own = children.iter().filter(|(_, version)| *version == row.version);
    wire::KeyVersion {
        version: row.version,
        state: state(row.state),
        root_epoch: row.root_epoch,
        wraps: row.wraps,
        new_keys: row.wraps.saturating_sub(row.moved),
        records: held.get(&row.version).copied().unwrap_or(0),
        children: own.map(|(kind, _)| child(*kind)).collect(),
        created_at: row.created_at.to_string(),
        activated_at: row.activated_at.map(|at| at.to_string()),
        deactivated_at: row.deactivated_at.map(|at| at.to_string()),
    }
}

const fn child(kind: ChildKind) -> wire::ChildKey {
    match kind {
        ChildKind::StaffAudit => wire::ChildKey::StaffAudit,
        ChildKind::Subject => wire::ChildKey::Subject,
    }
}

/// A rotation as it is shown: rate and remaining time from what was done in the time it was worked on.
pub(super) fn rotation_shown(row: &RotationRow) -> KeyRotation {
    let worked = row.worked.as_millis().max(1);
    let per_second = u64::try_from(u128::from(row.done) * 1000 / worked).unwrap_or(u64::MAX);
    let remaining = row.total.saturating_sub(row.done);
    // What a throttle set in the middle allows is the better guess.
    let rate = row.throttle.map_or(per_second, |throttle| per_second.min(u64::from(throttle)));
    let running = row.state == RotationState::Running && rate > 0;
    KeyRotation {
        from_version: row.from,
        to_version: row.to,
        state: match row.state {
            RotationState::Running => wire::RotationState::Running,
            RotationState::Paused => wire::RotationState::Paused,
            RotationState::Done => wire::RotationState::Done,
        },
        because: row.because.clone(),
        moved: row.done,
        remaining,
        damaged: row.damaged,
        throttle: row.throttle,
        per_second,
        seconds_left: running.then(|| remaining.saturating_sub(row.damaged).div_ceil(rate)),
        started_at: row.started_at.to_string(),
        updated_at: row.updated_at.to_string(),
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
