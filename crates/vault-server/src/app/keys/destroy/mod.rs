//! Destroying versions of a collection's key, and root epochs (`docs/keys.md`).
//!
//! ```text
//! request   a key officer; refused with the list while anything needs the key
//! confirm   another person, by the log's word; the list is made again, and the cooling-off time begins
//! cancel    any key officer, until the time has come
//! due       once the time has come, on whichever node looks first: the key is taken out of use, then the list is made
//!           once more in the same transaction, which is rolled back when there is any
//! again     what came back with an older copy of database or keyring is destroyed when that is noticed
//! ```
//!
//! A cycle puts destructions down by itself, agreed to with its scope ([`put_down`]).
//!
//! Rows say what waits; who wanted it, and from when on it may be done, is believed by the log alone ([`agreed`]).

mod agreed;
mod due;
mod entries;
pub(super) mod put_down;
#[cfg(test)]
mod tests;
mod undone;

use core::time::Duration;

use vault_api::code::Code;
use vault_api::destruction::{self as wire, Destruction};
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::slot::SlotName;
use vault_core::ids::{CollectionId, CollectionName, DestructionId, PersonId};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;

pub use due::{again, carry_out_due, withdraw};

use super::inventory::{Survey, nothing_needs, written};
use crate::app::callers::{Caller, note_denial, proven_roles};
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{self, DestructionRow, DestructionState, Doomed};
use crate::store::{Hold, Reader, Tx};

use entries::{CANCELLED, NOT_BEFORE, Said, enqueue, pen_of};

/// Longest reason.
const REASON: usize = 2000;

const fn place(what: Doomed) -> Place {
    match what {
        Doomed::Kek(kek) => Place::Collection(kek.collection),
        Doomed::Epoch(_) => Place::Vault,
    }
}

const fn action(what: Doomed) -> Action {
    match what {
        Doomed::Kek(_) => Action::KeyDestroy,
        Doomed::Epoch(_) => Action::RootDestroy,
    }
}

/// The version that an address names, once the caller may destroy in its collection.
pub async fn version(vault: &Vault, caller: &Caller, name: &CollectionName, version: u32) -> Result<Doomed, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyDestroy, Place::Collection(collection.id))?;
    let kek = KekRef { collection: collection.id, version };
    let mut reader = vault.store.read().await?;
    let row = keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?;
    if row.state == KeyState::Destroyed {
        return Err(Failure::new(Code::KeyUnusable).detail(format!("version {version} is destroyed")));
    }
    Ok(Doomed::Kek(kek))
}

/// The root epoch that an address names, once the caller may destroy one.
pub fn epoch(vault: &Vault, caller: &Caller, epoch: u32) -> Result<Doomed, Failure> {
    caller.permit_on(Action::RootDestroy, Place::Vault)?;
    if state_of(vault, epoch)? == KeyState::Destroyed {
        return Err(Failure::new(Code::KeyUnusable).detail(format!("root epoch {epoch} is destroyed")));
    }
    Ok(Doomed::Epoch(epoch))
}

fn state_of(vault: &Vault, epoch: u32) -> Result<KeyState, Failure> {
    let epochs = vault.keys()?.epochs()?;
    let found = epochs.into_iter().find(|one| one.epoch == epoch);
    Ok(found.ok_or(Code::NotFound)?.state)
}

/// Asks for the destruction of a key. Another key officer has to confirm it. `copies`: of the keyring file with a root
/// epoch's key in it, as far as the caller knows.
pub async fn request(
    vault: &Vault,
    caller: &Caller,
    what: Doomed,
    reason: &str,
    copies: u32,
) -> Result<Destruction, Failure> {
    let reason = text("reason", reason, REASON)?;
    let now = vault.clock.now();
    let pen = pen_of(vault, what).await?;
    let survey = Survey::of(vault, what).await?;

    let mut tx = vault.store.begin("request_destruction").await?;
    let state = hold(vault, &mut tx, what).await?;
    let mut inventory = survey.count(&mut tx, what, state).await?;
    inventory.copies = u64::from(copies);
    nothing_needs(&inventory)?;
    if keys::pending_destruction(tx.conn(), what).await?.is_some() {
        return Err(Failure::new(Code::Conflict).detail("its destruction is asked for already"));
    }
    let row = DestructionRow {
        id: DestructionId::new(now),
        what,
        state: DestructionState::Requested,
        requested_by: caller.person(),
        requested_at: now,
        confirmed_by: None,
        confirmed_at: None,
        not_before: None,
        inventory: written(&inventory)?,
    };
    row.insert(tx.conn()).await?;
    let said = Said {
        operation: "destroy-requested",
        staff: Some(caller.person()),
        data: Vec::new(),
        slots: vec![(SlotName::Reason, reason)],
        reference: reference::destroy_requested(row.id),
    };
    let waiting = enqueue(vault, &mut tx, &pen, &row, said, now).await?;
    tx.commit().await?;
    waiting.settle(vault).await?;
    shown(&row)
}

/// Confirms a destruction: another person than asked for it, both of them key officers now.
pub async fn confirm(vault: &Vault, caller: &Caller, what: Doomed) -> Result<Destruction, Failure> {
    let row = waiting(vault, what).await?;
    if row.state != DestructionState::Requested {
        return Err(Failure::new(Code::Conflict).detail("its destruction is confirmed already"));
    }
    let asked = agreed::asked(vault, &row).await?;
    if asked.by() == caller.person() {
        note_denial(vault, caller, action(what), Denial::SelfApproval).await;
        return Err(Denial::SelfApproval.into());
    }
    still_officer(vault, asked.by(), what).await?;
    let now = vault.clock.now();
    let not_before = now.plus(Duration::from_hours(vault.config.keys.destroy_cooling_off_hours));
    let pen = pen_of(vault, what).await?;
    let survey = Survey::of(vault, what).await?;

    let mut tx = vault.store.begin("confirm_destruction").await?;
    let state = hold(vault, &mut tx, what).await?;
    let inventory = survey.count(&mut tx, what, state).await?;
    nothing_needs(&inventory)?;
    let inventory = written(&inventory)?;
    if !keys::confirm_destruction(tx.conn(), row.id, caller.person(), now, not_before, &inventory).await? {
        return Err(Failure::new(Code::Conflict).detail("its destruction was confirmed or cancelled meanwhile"));
    }
    let row = DestructionRow { inventory, ..row };
    let said = Said {
        operation: "destroy-confirmed",
        staff: Some(caller.person()),
        data: vec![(NOT_BEFORE, not_before.to_string().into())],
        slots: vec![(SlotName::Person, asked.by().to_string())],
        reference: reference::destroy_confirmed(row.id),
    };
    let entry = enqueue(vault, &mut tx, &pen, &row, said, now).await?;
    tx.commit().await?;
    entry.settle(vault).await?;
    if not_before <= now {
        // Should it not come to its end here, the job goes on with it.
        carry_out_due(vault).await?;
    }
    let mut reader = vault.store.read().await?;
    shown(&keys::destruction(reader.conn(), row.id).await?.ok_or(Code::NotFound)?)
}

/// Cancels a destruction that is asked for or confirmed.
pub async fn cancel(vault: &Vault, caller: &Caller, what: Doomed) -> Result<Destruction, Failure> {
    let row = waiting(vault, what).await?;
    end(vault, &row, Some(caller.person()), "cancelled").await?;
    shown(&DestructionRow { state: DestructionState::Cancelled, ..row })
}

/// Ends a destruction without destroying anything.
pub(super) async fn end(
    vault: &Vault,
    row: &DestructionRow,
    staff: Option<PersonId>,
    because: &'static str,
) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = pen_of(vault, row.what).await?;
    let mut tx = vault.store.begin("cancel_destruction").await?;
    tx.hold(Hold::Keys).await?;
    if !keys::cancel_destruction(tx.conn(), row.id, now).await? {
        return Err(Failure::new(Code::Conflict).detail("it was cancelled or destroyed meanwhile"));
    }
    let said = Said {
        operation: CANCELLED,
        staff,
        data: vec![("because", because.into())],
        slots: Vec::new(),
        reference: reference::destroy_cancelled(row.id),
    };
    let entry = enqueue(vault, &mut tx, &pen, row, said, now).await?;
    tx.commit().await?;
    // What takes nothing away but an intention waits for no log.
    entry.settle_later(vault)
}

/// The destructions that wait in a collection; in the vault itself: of root epochs.
pub(super) async fn pending(reader: &mut Reader, collection: CollectionId) -> Result<Vec<Destruction>, Failure> {
    keys::pending_destructions(reader.conn(), collection).await?.iter().map(shown).collect()
}

async fn waiting(vault: &Vault, what: Doomed) -> Result<DestructionRow, Failure> {
    let mut reader = vault.store.read().await?;
    let row = keys::pending_destruction(reader.conn(), what).await?;
    row.ok_or_else(|| Failure::new(Code::Conflict).detail("nobody has asked for its destruction"))
}

/// Somebody whose role was taken away meanwhile wants nothing destroyed any more.
pub(super) async fn still_officer(vault: &Vault, person: PersonId, what: Doomed) -> Result<(), Failure> {
    let held = proven_roles(vault, person).await?;
    if held.iter().any(|held| held.role().may(action(what)) && held.reaches(place(what))) {
        return Ok(());
    }
    Err(Failure::new(Code::Conflict).detail("who asked for it is no key officer any more"))
}

/// Makes the keys the transaction's own, and answers the state of one.
async fn hold(vault: &Vault, tx: &mut Tx, what: Doomed) -> Result<KeyState, Failure> {
    tx.hold(Hold::Keys).await?;
    match what {
        Doomed::Kek(kek) => Ok(keys::hold_kek(tx.conn(), kek).await?.ok_or(Code::NotFound)?),
        Doomed::Epoch(epoch) => state_of(vault, epoch),
    }
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
