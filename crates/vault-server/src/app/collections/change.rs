//! Setting up, opening, suspending.

use vault_api::code::Code;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::{CollectionCreated, CollectionStateChanged, Prepared};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::privacy::policy::{CollectionPolicy, InvalidPolicy};
use vault_core::time::Timestamp;

use super::{CollectionRow, CollectionState, Shown, find, missing, proof, shown, stands};
use crate::app::callers::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restrict::{Kind, Refusal, Restriction, Subject};
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
    let state = if is_suspended(vault, row.id) { CollectionState::Suspended } else { row.state };
    may_become(state, CollectionState::Open)?;
    stands(missing(vault, &row, now).await?)?;
    let ledger = vault.ledger()?;
    let pen = StaffPen::of(vault, Some(row.id)).await?;
    let draft = pen
        .draft::<CollectionStateChanged>(now, Some(caller.person()))
        .policy(row.policy_hash)
        .data("from", state.name())
        .data("to", CollectionState::Open.name());
    let entry = pen.prepare(draft)?;

    let mut tx = vault.store.begin("open_collection").await?;
    if !CollectionRow::change_state(tx.conn(), row.id, row.state, CollectionState::Open).await? {
        return Err(Code::Conflict.into());
    }
    let ticket = ledger.enqueue(&mut tx, entry, None).await?;
    if state == CollectionState::Suspended {
        let lifted = Restriction::collection_suspended(row.id).lifted();
        let imposed = vault.restrictions.impose(&mut tx, lifted, now).await?;
        vault.restrictions.commit(tx, imposed).await?;
    } else {
        tx.commit().await?;
    }
    ledger.settle(ticket).await?;
    shown(vault, CollectionRow { state: CollectionState::Open, ..row }).await
}

/// A suspension that is in force.
pub struct Suspension {
    /// The collection; damage of its row does not undo the act.
    pub shown: Result<Shown, Failure>,
    /// Whether the act is journalled.
    pub journalled: bool,
}

/// Stops the collection at once; it does not wait for the log.
///
/// Nothing that can be edited or damaged keeps it going: what is in force is what the restrictions say, not the row's
/// state; and what only the entry needs (the policy, the collection's key) is left out when it cannot be had.
pub async fn suspend(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    reason: &str,
) -> Result<Suspension, Failure> {
    let id = proof::meant(vault, name).await?;
    caller.permit_on(Action::CollectionSuspend, Place::Collection(id))?;
    let reason = text("reason", reason, 2000)?;
    if is_suspended(vault, id) {
        return Err(Failure::new(Code::CollectionState).detail("it is suspended"));
    }
    let now = vault.clock.now();
    let entry = suspended(vault, caller, id, name, reason, now).await?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("suspend_collection").await?;
    CollectionRow::suspend(tx.conn(), id).await?;
    let ticket = ledger.enqueue(&mut tx, entry, None).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::collection_suspended(id), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    let shown = match find(vault, name).await {
        Ok(row) => shown(vault, row).await,
        Err(failure) => Err(failure),
    };
    Ok(Suspension { shown, journalled })
}

/// Whether the suspension is in force, as this node knows.
fn is_suspended(vault: &Vault, id: CollectionId) -> bool {
    let stands = vault.restrictions.check(&Subject::new().collection(id));
    stands == Err(Refusal::Restricted(Kind::CollectionSuspended))
}

async fn suspended(
    vault: &Vault,
    caller: &Caller,
    id: CollectionId,
    name: &CollectionName,
    reason: String,
    now: Timestamp,
) -> Result<Prepared<CollectionStateChanged>, Failure> {
    let (pen, named) = match StaffPen::of(vault, Some(id)).await {
        Ok(pen) => (pen, None),
        Err(e) => {
            // Openings are found by the entry's collection, so an entry under the vault's key says in words which it is.
            tracing::error!(collection = %id, error = %e, "a suspension is logged under the vault's key");
            (StaffPen::of(vault, None).await?, Some(name.as_str().to_owned()))
        }
    };
    let mut draft = pen.draft::<CollectionStateChanged>(now, Some(caller.person()));
    if let Ok(row) = super::get(vault, id).await {
        draft = draft.policy(row.policy_hash).data("from", row.state.name());
    }
    if let Some(named) = named {
        draft = draft.data("name", named);
    }
    let draft = draft.data("to", CollectionState::Suspended.name());
    pen.prepare(draft.slot(SlotName::Reason, reason, OpeningUnder::Staff))
}

fn may_become(state: CollectionState, next: CollectionState) -> Result<(), Failure> {
    if state.may_become(next) {
        return Ok(());
    }
    Err(Failure::new(Code::CollectionState).detail(format!("it is {}", state.name())))
}

impl From<InvalidPolicy> for Failure {
    fn from(e: InvalidPolicy) -> Self {
        Self::new(Code::InvalidValue).detail(e.to_string())
    }
}
