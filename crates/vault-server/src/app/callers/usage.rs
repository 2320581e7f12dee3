//! A token's first use in an hour, in the log.

use vault_core::access::role::Action;
use vault_core::audit::entry::TokenUsed;
use vault_core::audit::slot::{OpeningUnder, SlotName};

use super::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::people::TokenRow;

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// How an act stands to the note of its token's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    /// None is made: reading the log appends nothing to it.
    None,
    /// It is committed with the database and sequenced when that is possible: a restriction bites even while the log
    /// cannot be written.
    Queued,
    /// It is in the log under a signed checkpoint before the act begins.
    Committed,
}

impl Trace {
    /// What `action` asks for.
    #[must_use]
    pub const fn of(action: Action) -> Self {
        use Action as A;
        match action {
            A::AuditRead => Self::None,
            A::CollectionSuspend
            | A::RoleRevoke
            | A::TokenRevoke
            | A::AccessRevoke
            | A::RecordErase
            | A::KeyDestroy
            | A::RootDestroy
            // Ends one's own session, among others: stopping must not wait.
            | A::PlaybackRead => Self::Queued,
            A::CollectionCreate
            | A::CollectionRead
            | A::CollectionOpen
            | A::PersonAdd
            | A::PersonRead
            | A::RolePropose
            | A::RoleConfirm
            | A::TokenIssue
            | A::UploadCreate
            | A::RecordRead
            | A::AccessRequest
            | A::AccessRead
            | A::AccessDecide
            | A::PlaybackOpen
            | A::KeyRead
            | A::KeyRotate
            | A::RootRead
            | A::RootRotate => Self::Committed,
        }
    }
}

/// Notes the caller's use of their token once an hour, as `trace` asks. A log that cannot be written is 503.
pub async fn note_use(vault: &Vault, caller: &Caller, trace: Trace) -> Result<(), Failure> {
    let now = vault.clock.now();
    let hour = now.as_millis() / HOUR;
    let needed = match trace {
        Trace::None => return Ok(()),
        Trace::Queued => false,
        Trace::Committed => true,
    };
    if vault.callers.used(caller.token(), hour).is_some_and(|committed| committed || !needed) {
        return Ok(());
    }
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen.draft::<TokenUsed>(now, Some(caller.person()));
    let entry = pen.prepare(draft.slot(SlotName::Token, caller.token().to_string(), OpeningUnder::Staff))?;
    let reference = reference::token_used(caller.token(), hour);

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("note_token_use").await?;
    let ticket = if TokenRow::mark_used(tx.conn(), caller.token(), hour).await? {
        let ticket = ledger.enqueue(&mut tx, entry, Some(reference.clone())).await?;
        tx.commit().await?;
        Some(ticket)
    } else {
        tx.rollback().await?;
        None
    };
    match ticket {
        Some(ticket) if needed => {
            ledger.settle(ticket).await?;
        }
        Some(ticket) => ledger.settle_later(ticket),
        // Noted by another request or node: in the log, or on its way there.
        None if needed => {
            ledger.find_soon::<TokenUsed>(&reference).await?;
        }
        None => {}
    }
    vault.callers.keep_used(caller.token(), hour, needed);
    Ok(())
}
