//! Numbers of cycles, and when the next one is due. Both are asked of the log: rows can be lost, and set back.

use core::time::Duration;

use vault_core::audit::entry::RootOperation;
use vault_core::keys::lifecycle::Cycle as Length;
use vault_core::time::Timestamp;

use super::open;
use super::told::running;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restored;
use crate::state::Vault;
use crate::store::keys;

/// The highest number that the log knows; 0 before the first.
pub(super) async fn highest(vault: &Vault) -> Result<u32, Failure> {
    let row = {
        let mut reader = vault.store.read().await?;
        keys::highest_cycle(reader.conn()).await?
    };
    // A row that the log does not know of counts for nothing. A restore takes rows back, and the log knows of more: a few each year.
    let mut highest = if begun(vault, row).await?.is_some() { row } else { 0 };
    while begun(vault, highest.saturating_add(1)).await?.is_some() {
        highest += 1;
    }
    Ok(highest)
}

async fn begun(vault: &Vault, number: u32) -> Result<Option<Timestamp>, Failure> {
    let entry = vault.ledger()?.find_settled::<RootOperation>(&reference::cycle_begun(number)).await?;
    Ok(entry.map(|entry| entry.at()))
}

/// When the next cycle begins by itself; `None`: there is no schedule, or one is under way.
pub(super) async fn next_at(vault: &Vault) -> Result<Option<Timestamp>, Failure> {
    let Ok(length) = Length::days(vault.config.keys.cycle_days) else { return Ok(None) };
    if running(vault).await?.is_some() {
        return Ok(None);
    }
    let now = vault.clock.now();
    let last = match begun(vault, highest(vault).await?).await? {
        // Begun while a clock was far ahead: the next one comes as if it had begun now, and not years late.
        Some(at) => Some(at.min(now)),
        // Before the first cycle it counts from the first root epoch.
        None => vault.keys()?.epochs()?.first().map(|epoch| epoch.created_at),
    };
    Ok(last.map(|at| at.plus(length.length())))
}

/// Begins a cycle if one is due. Two key officers have to agree to it before it destroys anything.
pub async fn begin_due(vault: &Vault) -> Result<(), Failure> {
    if restored::waits(vault).await? {
        return Ok(());
    }
    let now = vault.clock.now();
    if next_at(vault).await?.is_some_and(|at| at <= now) {
        let row = open(vault, None, None).await?;
        tracing::info!(cycle = row.number, "a cycle of keys begins by its schedule");
    }
    Ok(())
}

/// How long a cycle has been under way; zero when none is.
pub async fn age(vault: &Vault) -> Result<Duration, Failure> {
    Ok(running(vault).await?.map_or(Duration::ZERO, |row| vault.clock.now().since(row.started_at)))
}
