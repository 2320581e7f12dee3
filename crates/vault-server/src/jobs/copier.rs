//! Copying the embedded database's own log into its file before it is long, so that no commit has to.

use std::sync::Arc;
use std::time::Duration;

use crate::state::Vault;

/// How often, while somebody writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Copies until the vault closes. Trouble is left to the writer, which copies by itself what has grown too long.
pub(super) async fn run(vault: Arc<Vault>) {
    let mut seen = 0;
    loop {
        tokio::select! {
            () = vault.closing.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let asked = vault.store.asked();
        if asked != seen {
            seen = asked;
            if let Err(e) = vault.store.checkpoint().await {
                tracing::debug!(error = %e, "the database's own log is copied later");
            }
        }
    }
}
