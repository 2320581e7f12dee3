//! Destroying versions of a collection's key (`docs/keys.md`).
//!
//! ```text
//! request   a key officer; refused with the list while anything needs the version
//! confirm   another person, by the log's word; the list is made again, and the cooling-off time begins
//! cancel    any key officer, until the time has come
//! due       once the time has come, on whichever node looks first: the version is emptied, then the list is made once
//!           more in the same transaction, which is rolled back when there is any
//! again     a version that came back with an older copy of the database is emptied when that is noticed
//! ```
//!
//! Rows say what waits; who wanted it, and from when on it may be done, is believed by the log alone ([`agreed`]).

mod agreed;
mod due;
#[cfg(test)]
mod tests;

use core::time::Duration;

use vault_api::code::Code;
use vault_api::destruction::{self as wire, Destruction};
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::{Draft, KeyOperation};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, CollectionName, DestructionId, PersonId};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

pub use due::{again, carry_out_due, withdraw};

use super::inventory::{Survey, hash, nothing_needs, written};
use crate::app::callers::{Caller, note_denial, proven_roles};
use crate::app::collections;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{self, DestructionRow, DestructionState, Doomed};
use crate::store::{Hold, Reader, Tx};

/// Longest reason.
const REASON: usize = 2000;

/// The version that an address names, once the caller may destroy in its collection.
async fn doomed(vault: &Vault, caller: &Caller, name: &CollectionName, version: u32) -> Result<KekRef, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyDestroy, Place::Collection(collection.id))?;
    let kek = KekRef { collection: collection.id, version };
    let mut reader = vault.store.read().await?;
    let row = keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?;
    if row.state == KeyState::Destroyed {
        return Err(Failure::new(Code::KeyUnusable).detail(format!("version {version} is destroyed")));
    }
    Ok(kek)
}

/// Asks for the destruction of a version. Another key officer has to confirm it.
pub async fn request(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    version: u32,
    reason: &str,
) -> Result<Destruction, Failure> {
    let kek = doomed(vault, caller, name, version).await?;
    let reason = text("reason", reason, REASON)?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(kek.collection)).await?;
    let survey = Survey::of(vault, Doomed::Kek(kek)).await?;

    let mut tx = vault.store.begin("request_destruction").await?;
    tx.hold(Hold::Keys).await?;
    let state = keys::hold_kek(tx.conn(), kek).await?.ok_or(Code::NotFound)?;
    let inventory = survey.count(&mut tx, kek, state).await?;
    nothing_needs(&inventory)?;
    if keys::pending_destruction(tx.conn(), Doomed::Kek(kek)).await?.is_some() {
        return Err(Failure::new(Code::Conflict).detail("its destruction is asked for already"));
    }
    let row = DestructionRow {
        id: DestructionId::new(now),
        what: Doomed::Kek(kek),
        state: DestructionState::Requested,
        requested_by: caller.person(),
        requested_at: now,
        confirmed_by: None,
        confirmed_at: None,
        not_before: None,
        inventory: written(&inventory)?,
    };
    row.insert(tx.conn()).await?;
    let draft = drafted(&pen, now, "destroy-requested", &row, Some(caller.person()));
    let draft = draft.slot(SlotName::Reason, reason, OpeningUnder::Staff);
    let ticket =
        vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::destroy_requested(row.id))).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    shown(&row)
}

/// Confirms a destruction: another person than asked for it, both of them key officers now.
pub async fn confirm(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    version: u32,
) -> Result<Destruction, Failure> {
    let kek = doomed(vault, caller, name, version).await?;
    let row = waiting(vault, kek).await?;
    if row.state != DestructionState::Requested {
        return Err(Failure::new(Code::Conflict).detail("its destruction is confirmed already"));
    }
    let asked = agreed::asked(vault, &row).await?;
    if asked.by() == caller.person() {
        note_denial(vault, caller, Action::KeyDestroy, Denial::SelfApproval).await;
        return Err(Denial::SelfApproval.into());
    }
    still_officer(vault, asked.by(), kek.collection).await?;
    let now = vault.clock.now();
    let not_before = now.plus(Duration::from_hours(vault.config.keys.destroy_cooling_off_hours));
    let pen = StaffPen::of(vault, Some(kek.collection)).await?;
    let survey = Survey::of(vault, Doomed::Kek(kek)).await?;

    let mut tx = vault.store.begin("confirm_destruction").await?;
    tx.hold(Hold::Keys).await?;
    let state = keys::hold_kek(tx.conn(), kek).await?.ok_or(Code::NotFound)?;
    let inventory = survey.count(&mut tx, kek, state).await?;
    nothing_needs(&inventory)?;
    let inventory = written(&inventory)?;
    if !keys::confirm_destruction(tx.conn(), row.id, caller.person(), now, not_before, &inventory).await? {
        return Err(Failure::new(Code::Conflict).detail("its destruction was confirmed or cancelled meanwhile"));
    }
    let row = DestructionRow { inventory, ..row };
    let draft = drafted(&pen, now, "destroy-confirmed", &row, Some(caller.person()))
        .data(agreed::NOT_BEFORE, not_before.to_string())
        .slot(SlotName::Person, asked.by().to_string(), OpeningUnder::Staff);
    let ticket =
        vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::destroy_confirmed(row.id))).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    if not_before <= now {
        // Should it not come to its end here, the job goes on with it.
        carry_out_due(vault).await?;
    }
    let mut reader = vault.store.read().await?;
    shown(&keys::destruction(reader.conn(), row.id).await?.ok_or(Code::NotFound)?)
}

/// Cancels a destruction that is asked for or confirmed.
pub async fn cancel(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    version: u32,
) -> Result<Destruction, Failure> {
    let kek = doomed(vault, caller, name, version).await?;
    let row = waiting(vault, kek).await?;
    end(vault, &row, Some(caller.person()), "cancelled").await?;
    shown(&DestructionRow { state: DestructionState::Cancelled, ..row })
}

/// Ends a destruction without destroying anything.
async fn end(
    vault: &Vault,
    row: &DestructionRow,
    staff: Option<PersonId>,
    because: &'static str,
) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(row.what.collection())).await?;
    let mut tx = vault.store.begin("cancel_destruction").await?;
    tx.hold(Hold::Keys).await?;
    if !keys::cancel_destruction(tx.conn(), row.id, now).await? {
        return Err(Failure::new(Code::Conflict).detail("it was cancelled or destroyed meanwhile"));
    }
    let draft = drafted(&pen, now, "destroy-cancelled", row, staff).data("because", because);
    let ticket =
        vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::destroy_cancelled(row.id))).await?;
    tx.commit().await?;
    // What takes nothing away but an intention waits for no log.
    vault.ledger()?.settle_later(ticket);
    Ok(())
}

/// The destructions that wait in a collection.
pub(super) async fn pending(reader: &mut Reader, collection: CollectionId) -> Result<Vec<Destruction>, Failure> {
    keys::pending_destructions(reader.conn(), collection).await?.iter().map(shown).collect()
}

async fn waiting(vault: &Vault, kek: KekRef) -> Result<DestructionRow, Failure> {
    let mut reader = vault.store.read().await?;
    let row = keys::pending_destruction(reader.conn(), Doomed::Kek(kek)).await?;
    row.ok_or_else(|| Failure::new(Code::Conflict).detail("nobody has asked for its destruction"))
}

/// Somebody whose role was taken away meanwhile wants nothing destroyed any more.
async fn still_officer(vault: &Vault, person: PersonId, collection: CollectionId) -> Result<(), Failure> {
    let held = proven_roles(vault, person).await?;
    let place = Place::Collection(collection);
    if held.iter().any(|held| held.role().may(Action::KeyDestroy) && held.reaches(place)) {
        return Ok(());
    }
    Err(Failure::new(Code::Conflict).detail("who asked for it is no key officer any more"))
}

/// An entry about a destruction. Which one, of what, and by which inventory is in the clear.
fn drafted(
    pen: &StaffPen,
    now: Timestamp,
    operation: &'static str,
    row: &DestructionRow,
    staff: Option<PersonId>,
) -> Draft<KeyOperation> {
    pen.draft::<KeyOperation>(now, staff)
        .kek_version(row.what.number())
        .data("operation", operation)
        .data(agreed::DESTRUCTION, row.id.to_string())
        .data("inventory_sha256", hash(&row.inventory))
}

fn shown(row: &DestructionRow) -> Result<Destruction, Failure> {
    let inventory = serde_json::from_str(&row.inventory)
        .map_err(|e| Failure::new(Code::IntegrityFailure).because(e).detail("a stored inventory cannot be read"))?;
    Ok(Destruction {
        id: row.id.to_string(),
        number: row.what.number(),
        state: match row.state {
            DestructionState::Requested => wire::DestructionState::Requested,
            DestructionState::Confirmed => wire::DestructionState::Confirmed,
            DestructionState::Cancelled => wire::DestructionState::Cancelled,
            DestructionState::Done => wire::DestructionState::Done,
        },
        requested_by: row.requested_by.to_string(),
        requested_at: row.requested_at.to_string(),
        confirmed_by: row.confirmed_by.map(|person| person.to_string()),
        confirmed_at: row.confirmed_at.map(|at| at.to_string()),
        not_before: row.not_before.map(|at| at.to_string()),
        inventory,
    })
}

/// The transaction of a destruction, with the version's row in its hands.
async fn held(vault: &Vault) -> Result<Tx, Failure> {
    let mut tx = vault.store.begin("destroy_key").await?;
    tx.hold(Hold::Keys).await?;
    Ok(tx)
}
