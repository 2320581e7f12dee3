//! Setting up, opening, suspending.

use vault_api::code::Code;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::{CollectionCreated, CollectionStateChanged, Draft};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::privacy::policy::{CollectionPolicy, InvalidPolicy};
use vault_core::time::Timestamp;

use super::{CollectionRow, CollectionState, Shown, find, missing, shown, stands};
use crate::app::callers::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;

/// Sets up a collection with keys of its own, as a draft: it takes nothing yet.
pub async fn create(
    vault: &Vault,
    caller: &Caller,
    name: CollectionName,
    policy: CollectionPolicy,
) -> Result<Shown, Failure> {
    caller.permit(Action::CollectionCreate, Place::Vault)?;
    policy.check()?;
    let now = vault.clock.now();
    let id = CollectionId::new(now);
    let policy_hash = policy.hash();
    let row = CollectionRow { id, name, state: CollectionState::Draft, policy, policy_hash, created_at: now };
    let (keys, ledger) = (vault.keys()?, vault.ledger()?);

    let mut tx = vault.store.begin("create_collection").await?;
    row.insert(tx.conn()).await?;
    let kek = keys.create_collection(&mut tx, id, now).await?;
    // The key was made in this transaction; the key service holds it already.
    let pen = StaffPen::of(vault, Some(id)).await?;
    let draft = pen
        .draft::<CollectionCreated>(now, Some(caller.person()))
        .kek_version(kek.version)
        .policy(policy_hash)
        .data("name", row.name.as_str().to_owned());
    let ticket = ledger.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::collection(id))).await?;
    tx.commit().await?;
    ledger.settle(ticket).await?;
    shown(vault, row).await
}

/// Lets the collection take recordings, once nothing is missing.
pub async fn open(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<Shown, Failure> {
    let row = find(vault, name).await?;
    caller.permit_on(Action::CollectionOpen, Place::Collection(row.id))?;
    let now = vault.clock.now();
    may_become(&row, CollectionState::Open)?;
    stands(missing(vault, &row, now).await?)?;
    let ledger = vault.ledger()?;
    let pen = StaffPen::of(vault, Some(row.id)).await?;
    let entry = pen.prepare(changed(&pen, caller, &row, CollectionState::Open, now))?;

    let mut tx = vault.store.begin("open_collection").await?;
    if !CollectionRow::change_state(tx.conn(), row.id, row.state, CollectionState::Open).await? {
        return Err(Code::Conflict.into());
    }
    let ticket = ledger.enqueue(&mut tx, entry, None).await?;
    if row.state == CollectionState::Suspended {
        let lifted = Restriction::collection_suspended(row.id).lifted();
        let imposed = vault.restrictions.impose(&mut tx, lifted, now).await?;
        vault.restrictions.commit(tx, imposed).await?;
    } else {
        tx.commit().await?;
    }
    ledger.settle(ticket).await?;
    shown(vault, CollectionRow { state: CollectionState::Open, ..row }).await
}

/// Stops the collection at once; it does not wait for the log. Returns it, and whether the act is journalled.
pub async fn suspend(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    reason: &str,
) -> Result<(Shown, bool), Failure> {
    let row = find(vault, name).await?;
    caller.permit_on(Action::CollectionSuspend, Place::Collection(row.id))?;
    let reason = text("reason", reason, 2000)?;
    may_become(&row, CollectionState::Suspended)?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(row.id)).await?;
    let draft = changed(&pen, caller, &row, CollectionState::Suspended, now);
    let entry = pen.prepare(draft.slot(SlotName::Reason, reason, OpeningUnder::Staff))?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("suspend_collection").await?;
    if !CollectionRow::change_state(tx.conn(), row.id, row.state, CollectionState::Suspended).await? {
        return Err(Code::Conflict.into());
    }
    let ticket = ledger.enqueue(&mut tx, entry, None).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::collection_suspended(row.id), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    Ok((shown(vault, CollectionRow { state: CollectionState::Suspended, ..row }).await?, journalled))
}

fn may_become(row: &CollectionRow, next: CollectionState) -> Result<(), Failure> {
    if row.state.may_become(next) {
        return Ok(());
    }
    Err(Failure::new(Code::CollectionState).detail(format!("it is {}", row.state.name())))
}

fn changed(
    pen: &StaffPen,
    caller: &Caller,
    row: &CollectionRow,
    next: CollectionState,
    now: Timestamp,
) -> Draft<CollectionStateChanged> {
    pen.draft::<CollectionStateChanged>(now, Some(caller.person()))
        .policy(row.policy_hash)
        .data("from", row.state.name())
        .data("to", next.name())
}

impl From<InvalidPolicy> for Failure {
    fn from(e: InvalidPolicy) -> Self {
        Self::new(Code::InvalidValue).detail(e.to_string())
    }
}
