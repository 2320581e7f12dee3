//! The root key's epochs.

use std::collections::HashMap;

use vault_api::destruction as wire;
use vault_api::keys::{LogKeyStatus, RootEpoch, RootStatus};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::RootOperation;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::audit::succession::generation;
use vault_core::ids::{CollectionId, PersonId};
use vault_core::keys::cycle::VersionsGone;
use vault_core::keys::keyring::EpochInfo;
use vault_core::keys::lifecycle::{Demand, KeyState, KeyVersion, Policy, plan};

use super::destroy::pending;
use super::show::state;
use crate::app::callers::Caller;
use crate::app::entry::StaffPen;
use crate::app::erase;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::restored;
use crate::custody::Worth;
use crate::state::Vault;
use crate::store::keys;

/// The root's epochs.
pub async fn show_root(vault: &Vault, caller: &Caller) -> Result<RootStatus, Failure> {
    caller.permit(Action::RootRead, Place::Vault)?;
    view(vault).await
}

async fn view(vault: &Vault) -> Result<RootStatus, Failure> {
    let held: HashMap<u32, u64> = {
        let mut reader = vault.store.read().await?;
        keys::held_by_epochs(reader.conn()).await?.into_iter().collect()
    };
    let shown = |epoch: EpochInfo| RootEpoch {
        epoch: epoch.epoch,
        state: state(epoch.state),
        wrapped: held.get(&epoch.epoch).copied().unwrap_or(0),
        created_at: epoch.created_at.to_string(),
    };
    let epochs = vault.keys()?.epochs()?.into_iter().rev().map(shown).collect();
    let destructions = {
        let mut reader = vault.store.read().await?;
        pending(&mut reader, CollectionId::VAULT).await?
    };
    let destruction = match vault.keys()?.worth() {
        Worth::Destroyed => wire::Worth::Destroyed,
        Worth::Scheduled => wire::Worth::Scheduled,
        Worth::Attested => wire::Worth::Attested,
    };
    let (backups, oldest_restorable_backup) = restored::backups(vault).await?;
    Ok(RootStatus {
        log_key: log_key(vault).await?,
        backups,
        oldest_restorable_backup,
        restore_unconfirmed: restored::waits(vault).await?,
        custody: vault.keys()?.kind().to_owned(),
        epochs,
        open_erasures: erase::open(vault).await?,
        destruction,
        destructions,
    })
}

/// The log's key, and when the planner says that it is due.
pub(super) async fn log_key(vault: &Vault) -> Result<LogKeyStatus, Failure> {
    let (name, since) = vault.keys()?.log_key_since().await?;
    let policy = Policy::log_signing();
    let key = KeyVersion {
        version: generation(&name),
        state: KeyState::Active,
        activated_at: Some(since),
        deactivated_at: None,
        wraps: 0,
        moved: 0,
        holds: 0,
    };
    let due = !plan(vault.clock.now(), &[key], &policy, Demand::Upkeep)?.is_empty();
    Ok(LogKeyStatus { name, since: since.to_string(), due_at: since.plus(policy.cryptoperiod).to_string(), due })
}

/// How long the log's key has until it is due; nothing once it is.
pub async fn log_key_left(vault: &Vault) -> Result<core::time::Duration, Failure> {
    let (_, since) = vault.keys()?.log_key_since().await?;
    Ok(since.plus(Policy::log_signing().cryptoperiod).since(vault.clock.now()))
}

/// Makes a fresh root epoch and moves every KEK and the log key under it. The former epoch stays in custody, unused,
/// until it is destroyed.
///
/// Custody comes first, then the wraps with their entry in one transaction. A crash in between leaves a current epoch
/// that wraps nothing yet; the next rotation, or the next start, moves what is left.
pub async fn rotate_root(vault: &Vault, caller: &Caller, reason: &str) -> Result<RootStatus, Failure> {
    caller.permit(Action::RootRotate, Place::Vault)?;
    let reason = text("reason", reason, 2000)?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let epoch = vault.keys()?.rotate_root(now).await?;

    move_all(vault, &pen, epoch, Why::Requested(caller.person(), reason)).await?;
    view(vault).await
}

/// Makes a fresh root epoch once every version of a cycle's scope is gone: it wraps none of them.
pub(super) async fn rotate_for_cycle(vault: &Vault, gone: VersionsGone, cycle: u32) -> Result<(), Failure> {
    let pen = StaffPen::of(vault, None).await?;
    let epoch = vault.keys()?.rotate_root(vault.clock.now()).await?;
    tracing::debug!(epoch, reached = gone.reached(), "epochs that wrapped versions of the cycle may go");
    move_all(vault, &pen, epoch, Why::Cycle(cycle)).await
}

/// Why keys move to another epoch.
enum Why {
    /// A key officer wants it.
    Requested(PersonId, String),
    /// A cycle of this number has come to the root.
    Cycle(u32),
    /// A crash, or another node, left keys behind.
    Left,
}

/// Moves what a crash between custody and database has left under an old epoch; with nothing left it does nothing.
pub async fn settle_root(vault: &Vault) -> Result<(), Failure> {
    let Some(current) = vault.keys()?.epochs()?.last().map(|epoch| epoch.epoch) else { return Ok(()) };
    let left = {
        let mut reader = vault.store.read().await?;
        keys::held_by_epochs(reader.conn()).await?.iter().any(|(epoch, _)| *epoch != current)
    };
    if left {
        let pen = StaffPen::of(vault, None).await?;
        move_all(vault, &pen, current, Why::Left).await?;
    }
    Ok(())
}

async fn move_all(vault: &Vault, pen: &StaffPen, epoch: u32, why: Why) -> Result<(), Failure> {
    let mut tx = vault.store.begin("rotate_root").await?;
    let moved = vault.keys()?.move_to_current_epoch(&mut tx).await?;
    let staff = if let Why::Requested(staff, _) = &why { Some(*staff) } else { None };
    let mut draft = pen
        .draft::<RootOperation>(vault.clock.now(), staff)
        .data("operation", if matches!(why, Why::Left) { "settle" } else { "rotate" })
        .data("epoch", i64::from(epoch))
        .data("moved", i64::try_from(moved).unwrap_or(i64::MAX));
    match why {
        Why::Requested(_, reason) => draft = draft.slot(SlotName::Reason, reason, OpeningUnder::Staff),
        Why::Cycle(number) => draft = draft.data("cycle", i64::from(number)),
        Why::Left => {}
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    // Former wraps are overwritten in their pages; the database's own log has them until it is emptied, for which a reader may be in the
    // way: the keys have moved all the same.
    if vault.store.scrub().await.is_err() {
        vault.store.scrub_soon();
    }
    Ok(())
}
