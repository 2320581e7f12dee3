//! Sees erasures through to their end.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::erase;
use crate::state::Vault;

/// How often it is looked whether anything is left of an erased record. The collector takes a minute or so.
const EVERY: Duration = Duration::from_secs(5);

/// How often erased records are looked for that have a key. The first time is at start: that is when an older copy of the
/// database begins to be used.
const AGAIN_EVERY: Duration = Duration::from_hours(1);

/// Until the vault closes.
pub(super) async fn run(vault: Arc<Vault>) {
    tokio::select! {
        () = vault.closing.cancelled() => return,
        () = vault.reconciled.cancelled() => {}
    }
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut again = interval(AGAIN_EVERY);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (done, what) = tokio::select! {
            () = vault.closing.cancelled() => return,
            _ = again.tick() => (erase::again(&vault).await, "records erased again"),
            _ = ticks.tick() => (erase::finish(&vault).await, "erasures are complete"),
        };
        match done {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "{what}"),
            Err(failure) => tracing::warn!(%failure, causes = failure.causes(), "erasures are left for later"),
        }
    }
}
