//! Writing recordings again under fresh keys, whenever a key officer has asked for it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::reencrypt::Worker;
use crate::state::Vault;

/// How often it is looked for one that has begun, or that another node has left.
const LOOK: Duration = Duration::from_secs(1);
/// After trouble: a log that stands still, keys on their way out of a compromised version.
const AGAIN: Duration = Duration::from_secs(5);

/// Until the vault stops.
pub(super) async fn run(vault: Arc<Vault>) {
    tokio::select! {
        () = vault.stopping.cancelled() => return,
        () = vault.reconciled.cancelled() => {}
    }
    let mut worker = Worker::new();
    loop {
        let pause = match worker.round(&vault).await {
            Ok(()) => LOOK,
            Err(e) => {
                tracing::warn!(causes = e.causes(), "a re-encryption cannot go on now: {e}");
                AGAIN
            }
        };
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
