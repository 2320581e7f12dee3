//! Pausing a rotation, letting it go on, and setting its speed. Each takes effect with the next batch: a batch that finds
//! the rotation paused when it commits is taken back.

use vault_api::code::Code;
use vault_api::keys::KeyRotation;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::KeyOperation;
use vault_core::ids::{CollectionId, CollectionName};

use super::pen_of;
use super::show::rotation_shown;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::invalid;
use crate::state::Vault;
use crate::store::keys::{self, RotationRow, RotationState};

/// A throttle that somebody asks for.
pub(super) fn checked_throttle(throttle: Option<u32>) -> Result<Option<u32>, Failure> {
    if throttle == Some(0) { Err(invalid("throttle: at least 1; pause the rotation instead")) } else { Ok(throttle) }
}

/// The collection whose keys the caller may rotate, and its rotation under way.
async fn under_way(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<RotationRow, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    last(vault, collection.id).await?.filter(|row| !row.is_over()).ok_or_else(|| Code::RotationNotRunning.into())
}

async fn last(vault: &Vault, collection: CollectionId) -> Result<Option<RotationRow>, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(keys::rotation(reader.conn(), collection).await?)
}

/// Stops the moving of record keys until somebody resumes it. The new version wraps what is new all the same.
pub async fn pause(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<KeyRotation, Failure> {
    change(vault, caller, name, Change::Pause).await
}

/// Lets a paused rotation go on.
pub async fn resume(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<KeyRotation, Failure> {
    change(vault, caller, name, Change::Resume).await
}

/// Sets how many record keys a second may be moved; none for as fast as it goes.
pub async fn throttle(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    throttle: Option<u32>,
) -> Result<KeyRotation, Failure> {
    change(vault, caller, name, Change::Throttle(checked_throttle(throttle)?)).await
}

#[derive(Clone, Copy)]
enum Change {
    Pause,
    Resume,
    Throttle(Option<u32>),
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause-rewrap",
            Self::Resume => "resume-rewrap",
            Self::Throttle(_) => "throttle-rewrap",
        }
    }

    fn is_so(self, row: &RotationRow) -> bool {
        match self {
            Self::Pause => row.state == RotationState::Paused,
            Self::Resume => row.state == RotationState::Running,
            Self::Throttle(throttle) => row.throttle == throttle,
        }
    }
}

async fn change(vault: &Vault, caller: &Caller, name: &CollectionName, change: Change) -> Result<KeyRotation, Failure> {
    let row = under_way(vault, caller, name).await?;
    if change.is_so(&row) {
        return Ok(rotation_shown(&row));
    }
    let now = vault.clock.now();
    let pen = pen_of(vault, row.collection).await?;
    let draft =
        pen.draft::<KeyOperation>(now, Some(caller.person())).kek_version(row.to).data("operation", change.name());
    let draft = match change {
        Change::Throttle(Some(throttle)) => draft.data("records_per_second", i64::from(throttle)),
        _ => draft,
    };
    let entry = pen.prepare(draft)?;
    let mut tx = vault.store.begin("control_rotation").await?;
    let done = match change {
        Change::Pause => keys::pause_rotation(tx.conn(), &row, true, now).await?,
        Change::Resume => keys::pause_rotation(tx.conn(), &row, false, now).await?,
        Change::Throttle(throttle) => keys::throttle_rotation(tx.conn(), &row, throttle, now).await?,
    };
    if !done {
        return Err(Code::RotationNotRunning.into());
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, None).await?;
    tx.commit().await?;
    vault.keys()?.rotation_begun();
    vault.ledger()?.settle(ticket).await?;
    let row = last(vault, row.collection).await?.ok_or(Code::RotationNotRunning)?;
    Ok(rotation_shown(&row))
}
