//! What keys need without anybody asking: moving record keys, rotating what is due, root wraps that a crash left under
//! an old epoch, and the cycle that destroys what may go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::keys::{CycleCarrier, begin_due_cycle, carry_cycle_on, rewrap_all, settle_root, upkeep};
use crate::state::Vault;

/// How soon a rotation is gone on with that another node, or this one before it stopped, has left.
const LEFT_OVERS: Duration = Duration::from_secs(5);
/// How soon a cycle under way is looked at again: what it waits for ends on any node.
const NEXT_STEP: Duration = Duration::from_secs(2);
/// How often it is looked whether a key is due. Its uses tell of themselves (`KeyService::due_key`).
const UPKEEP: Duration = Duration::from_hours(1);
/// The transaction that found a version due commits by then.
const COMMITTED: Duration = Duration::from_secs(1);

/// Moves record keys whenever a rotation is under way, until the vault stops.
pub(super) async fn rewrap(vault: Arc<Vault>) {
    if !opened(&vault).await {
        return;
    }
    loop {
        // Left by a crash, or wrapped by another node in the moment of a rotation.
        if let Err(e) = settle_root(&vault).await {
            tracing::warn!(causes = e.causes(), "keys under an old root epoch cannot be moved now: {e}");
        }
        if let Err(e) = rewrap_all(&vault).await {
            tracing::warn!(causes = e.causes(), "a rotation cannot go on now: {e}");
        }
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = vault.keys.rotation_to_run() => {}
            () = tokio::time::sleep(LEFT_OVERS) => {}
        }
    }
}

/// Rotates what is due: at the start, every hour by a clock that nobody can set, and when a version reaches a ceiling.
pub(super) async fn keep_up(vault: Arc<Vault>) {
    if !opened(&vault).await {
        return;
    }
    loop {
        // What failed was told, collection by collection.
        let again = if upkeep(&vault).await.is_ok() { UPKEEP } else { UPKEEP / 60 };
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = vault.keys.due_key() => tokio::time::sleep(COMMITTED).await,
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// Takes a cycle of keys as far as it goes, and begins one when it is due, until the vault stops.
pub(super) async fn cycle(vault: Arc<Vault>) {
    if !opened(&vault).await {
        return;
    }
    let (mut looked, mut again, mut carrier) = (None::<Instant>, UPKEEP, CycleCarrier::default());
    loop {
        if looked.is_none_or(|at| at.elapsed() >= again) {
            match begin_due_cycle(&vault).await {
                Ok(()) => (looked, again) = (Some(Instant::now()), UPKEEP),
                Err(e) => {
                    tracing::warn!(causes = e.causes(), "a cycle of keys cannot begin now: {e}");
                    again = UPKEEP / 60;
                    looked = Some(Instant::now());
                }
            }
        }
        let pause = match carry_cycle_on(&vault, &mut carrier).await {
            Ok(true) => NEXT_STEP,
            Ok(false) => LEFT_OVERS,
            Err(e) => {
                tracing::warn!(causes = e.causes(), "the cycle of keys cannot go on now: {e}");
                LEFT_OVERS
            }
        };
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = vault.keys.cycle_going() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits until the vault is unsealed; false when it stops before.
async fn opened(vault: &Vault) -> bool {
    tokio::select! {
        () = vault.reconciled.cancelled() => true,
        () = vault.stopping.cancelled() => false,
    }
}
