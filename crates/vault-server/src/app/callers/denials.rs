//! Refusals by role, in the log: one entry for each token, action and reason in an hour, of each node, so that a caller who tries
//! again and again does not fill it, and a harmless refusal does not hide an attempt at self-approval.

use vault_core::access::denial::Denial;
use vault_core::access::role::Action;
use vault_core::audit::entry::{Decision, DecisionDenied};
use vault_core::time::Timestamp;

use super::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::state::Vault;

/// Notes that `caller` was refused `action`. The refusal stands whether or not it can be noted.
pub async fn note_denial(vault: &Vault, caller: &Caller, action: Action, denial: Denial) {
    let now = vault.clock.now();
    if !vault.callers.first_denial(caller.token(), action, denial, now.as_millis() / 3_600_000) {
        return;
    }
    if let Err(failure) = queue(vault, caller, action, denial, now).await {
        vault.callers.unmark_denial(caller.token(), action, denial);
        tracing::warn!(%failure, causes = failure.causes(), "a refusal could not be noted in the log");
    }
}

async fn queue(vault: &Vault, caller: &Caller, action: Action, denial: Denial, now: Timestamp) -> Result<(), Failure> {
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen
        .draft::<DecisionDenied>(now, Some(caller.person()))
        .decision(Decision::Denied)
        .data("action", action.name())
        .data("denial", denial.name());
    let entry = pen.prepare(draft)?;
    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("note_denial").await?;
    let ticket = ledger.enqueue(&mut tx, entry, None).await?;
    tx.commit().await?;
    ledger.settle_later(ticket);
    Ok(())
}
