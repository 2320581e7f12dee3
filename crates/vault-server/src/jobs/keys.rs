//! What a rotation leaves to do: moving record keys, and root wraps that a crash left under an old epoch.

use std::sync::Arc;
use std::time::Duration;

use crate::app::keys::{rewrap_all, settle_root};
use crate::state::Vault;

/// How soon a rotation is gone on with that another node, or this one before it stopped, has left.
const LEFT_OVERS: Duration = Duration::from_secs(30);

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

/// Waits until the vault is unsealed; false when it stops before.
async fn opened(vault: &Vault) -> bool {
    tokio::select! {
        () = vault.opened.cancelled() => true,
        () = vault.stopping.cancelled() => false,
    }
}
