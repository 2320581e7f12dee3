//! Work without a caller: collecting garbage, expiring uploads, closing dead sessions, seeing erasures through.

pub mod collector;
mod copier;
mod destructions;
mod erasures;
mod keys;
mod learning;
mod reaper;
mod reencryptions;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::Role;
use crate::state::Vault;

/// Starts this node's jobs. They end when the vault closes: while running requests end, restrictions are still learnt of.
#[must_use = "dropped, the set ends its jobs"]
pub fn start(vault: &Arc<Vault>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    jobs.spawn(learning::run(vault.restrictions.clone(), vault.closing.clone()));
    jobs.spawn(vault.restrictions.clone().journal_until(Arc::clone(&vault.clock), vault.closing.clone()));
    // Each node knows what it has served, and closes at least its own sessions.
    jobs.spawn(reaper::run(Arc::clone(vault)));
    jobs.spawn(reaper::tell(Arc::clone(vault)));
    jobs.spawn(copier::run(Arc::clone(vault)));
    // Each node holds keys in memory.
    jobs.spawn(destructions::forget(Arc::clone(vault)));
    if vault.config.has(Role::Jobs) {
        jobs.spawn(destructions::destroy(Arc::clone(vault)));
        jobs.spawn(collector::Collector::of(vault).run_until(vault.closing.clone()));
        jobs.spawn(keys::rewrap(Arc::clone(vault)));
        jobs.spawn(keys::keep_up(Arc::clone(vault)));
        jobs.spawn(keys::cycle(Arc::clone(vault)));
        jobs.spawn(reencryptions::run(Arc::clone(vault)));
        jobs.spawn(erasures::run(Arc::clone(vault)));
    }
    jobs
}
