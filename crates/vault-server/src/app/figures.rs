//! Gauges that are set when somebody looks, because nothing passes by that could keep them up to date.

use core::time::Duration;

use vault_core::keys::lifecycle::KeyState;

use crate::app::keys::{cycle_age, log_key_left};
use crate::state::Vault;
use crate::store::figures;

/// How long the database may take over its figures: a scrape is answered while it is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sets them. What cannot be learnt keeps its last value, and `figures_fresh` says so.
pub async fn refresh(vault: &Vault) {
    let metrics = &vault.metrics;
    if let Ok(checks) = tokio::time::timeout(PATIENCE, vault.checks()).await {
        checks.into_iter().for_each(|(name, ok)| metrics.check(name, ok));
    } else {
        metrics.check("database", false);
    }
    // Before the first poll there is no age; since the process began is the truth that alarms.
    metrics.restrictions_age.set(vault.restrictions.age().as_secs_f64());
    metrics.audit_queue.set(number(vault.ledger.queued()));
    metrics.uploads_active.set(number(vault.uploads.active()));
    metrics.buffer_free.set(i64::try_from(vault.uploads.free_bytes()).unwrap_or(i64::MAX));

    let read = tokio::time::timeout(PATIENCE, figures::read(&vault.store)).await;
    let Ok(Ok(figures)) = read else {
        metrics.figures_fresh.set(0);
        return;
    };
    metrics.figures_fresh.set(1);
    metrics.uploads_open.set(figures.uploads_open);
    metrics.audit_outbox.set(figures.outbox);
    metrics.restrictions_unjournalled.set(figures.unjournalled);
    metrics.garbage.set(figures.garbage);
    // Every state is there, so that an alarm on one that is not reached yet has a series to look at.
    for state in KeyState::ALL {
        let found = figures.keys.iter().find(|(name, _)| name == state.as_str());
        metrics.keys(state.as_str(), found.map_or(0, |(_, count)| *count));
    }
    if let Ok(Ok(nearest)) = tokio::time::timeout(PATIENCE, figures::nearest_ceiling(&vault.store)).await {
        metrics.key_wraps_left.set(nearest.left);
        metrics.key_wraps_ceiling.set(nearest.ceiling);
    }
    if let Ok(Ok(left)) = tokio::time::timeout(PATIENCE, log_key_left(vault)).await {
        metrics.log_key_left.set(i64::try_from(left.as_secs()).unwrap_or(i64::MAX));
    }
    if let Ok(Ok(age)) = tokio::time::timeout(PATIENCE, cycle_age(vault)).await {
        metrics.key_cycle.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
