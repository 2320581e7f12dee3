//! Closes sessions whose time is over, tells what was served of those that others close, and writes findings of damage to
//! the log.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::play;
use crate::state::Vault;

/// How often sessions are looked through.
const EVERY: Duration = Duration::from_secs(2);

/// How often rows of sessions closed long ago are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked which sessions are over: whoever closed one elsewhere waits for what was served here.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// After a failure: what failed is a database that does not answer, or a log that stands still.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Tells what was served of sessions that are over, until the vault closes.
pub(super) async fn tell(vault: Arc<Vault>) {
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = vault.closing.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let outcome = play::tell_over(&vault).await;
        if let Err(failure) = &outcome
            && !failing
        {
            tracing::warn!(%failure, causes = failure.causes(), "what was served is not told");
        }
        failing = outcome.is_err();
        if failing {
            tokio::time::sleep(TELL_AGAIN).await;
        }
    }
}

/// Until the vault closes.
pub(super) async fn run(vault: Arc<Vault>) {
    let Some(mut damage) = vault.sessions.take_damage() else { return };
    // Nothing to do while sealed: no session can be opened, and no entry written.
    tokio::select! {
        () = vault.closing.cancelled() => return,
        () = vault.reconciled.cancelled() => {}
    }
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forgetting = interval(FORGET_EVERY);
    forgetting.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = vault.closing.cancelled() => return,
            _ = ticks.tick() => match play::reap(&vault).await {
                Ok(0) => {}
                Ok(closed) => tracing::debug!(closed, "sessions closed"),
                Err(failure) => tracing::warn!(%failure, causes = failure.causes(), "sessions could not be closed"),
            },
            _ = forgetting.tick() => match play::forget_closed(&vault).await {
                Ok(0) => {}
                Ok(dropped) => tracing::debug!(dropped, "rows of closed sessions deleted"),
                Err(failure) => tracing::warn!(%failure, causes = failure.causes(), "rows of closed sessions stay"),
            },
            Some(found) = damage.recv() => {
                if let Err(failure) = play::write_finding(&vault, found).await {
                    tracing::error!(%failure, causes = failure.causes(), "a finding could not be written to the log");
                }
            }
        }
    }
}
