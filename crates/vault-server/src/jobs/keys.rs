//! Jobs of keys: moving record keys after a rotation, destroying resume keys of past days.

use std::sync::Arc;
use std::time::Duration;

use crate::app::keys::rewrap_all;
use crate::state::Vault;

/// How soon a rotation is gone on with that another node, or this one before it stopped, has left.
const LEFT_OVERS: Duration = Duration::from_secs(30);
/// Resume keys are one a day; an hour more or less is within their grace.
const RESUME_KEYS: Duration = Duration::from_secs(600);

/// Moves record keys whenever a rotation is under way, until the vault stops.
pub(super) async fn rewrap(vault: Arc<Vault>) {
    if !opened(&vault).await {
        return;
    }
    loop {
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

/// Destroys the resume keys that no upload needs any more.
pub(super) async fn resume_keys(vault: Arc<Vault>) {
    if !opened(&vault).await {
        return;
    }
    loop {
        match vault.keys.destroy_resume_keys().await {
            Ok(destroyed) if destroyed.is_empty() => {}
            Ok(destroyed) => tracing::info!(keys = destroyed.len(), "resume keys of past days destroyed"),
            Err(e) => tracing::warn!(error = %e, "resume keys of past days cannot be destroyed now"),
        }
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = tokio::time::sleep(RESUME_KEYS) => {}
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
