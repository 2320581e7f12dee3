//! Destroying keys when their time has come, and forgetting those that were destroyed elsewhere.

use std::sync::Arc;
use std::time::Duration;

use crate::app::keys::{again, carry_out_due, withdraw};
use crate::state::Vault;

/// How often it is looked for what is due. A destruction waits for hours; what is due at once is done where it is confirmed.
const LOOK: Duration = Duration::from_secs(10);

/// On every node: lets go of what is destroyed as soon as this node learns of it, until the vault closes.
pub(super) async fn forget(vault: Arc<Vault>) {
    let mut destroyed = vault.restrictions.watch_keys();
    loop {
        withdraw(&vault);
        tokio::select! {
            () = vault.closing.cancelled() => return,
            // The sender lives as long as the vault.
            _ = destroyed.changed() => {}
        }
    }
}

/// Destroys what is due, until the vault stops.
pub(super) async fn destroy(vault: Arc<Vault>) {
    tokio::select! {
        () = vault.stopping.cancelled() => return,
        () = vault.reconciled.cancelled() => {}
    }
    // What a crash kept from being emptied out of the database's own log.
    vault.store.scrub_soon();
    loop {
        if let Err(e) = again(&vault).await {
            tracing::warn!(causes = e.causes(), "a destroyed key's row cannot be emptied now: {e}");
        }
        // What failed was told, one by one.
        let _told = carry_out_due(&vault).await;
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
