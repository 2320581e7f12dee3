//! Entering, showing and disabling persons and machines.

use vault_api::code::Code;
use vault_core::access::person::{Kind, Place};
use vault_core::access::role::Action;
use vault_core::audit::entry::{PersonAdded, PersonDisabled};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::PersonId;

use super::{Administrators, BindingView, PersonRow, TokenView, text};
use crate::app::callers::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::Hold;
use crate::store::people::{BindingRow, TokenRow};

/// Enters a person or machine. They can do nothing yet.
pub async fn add(vault: &Vault, caller: &Caller, name: &str, kind: Kind) -> Result<PersonRow, Failure> {
    caller.permit(Action::PersonAdd, Place::Vault)?;
    let now = vault.clock.now();
    let name = text("name", name, 200)?;
    let person = PersonRow { id: PersonId::new(now), name, kind, created_at: now, disabled_at: None };
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen.draft::<PersonAdded>(now, Some(caller.person())).data("kind", kind.name());
    let entry = pen.prepare(draft.slot(SlotName::Person, person.id.to_string(), OpeningUnder::Staff))?;

    let mut tx = vault.store.begin("add_person").await?;
    person.insert(tx.conn()).await?;
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::person(person.id))).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    Ok(person)
}

/// At most `limit` persons behind `after`.
pub async fn list(vault: &Vault, caller: &Caller, after: &str, limit: u32) -> Result<Vec<PersonRow>, Failure> {
    caller.permit(Action::PersonRead, Place::Vault)?;
    let mut reader = vault.store.read().await?;
    Ok(PersonRow::page(reader.conn(), after, limit).await?)
}

/// One person.
pub async fn get(vault: &Vault, caller: &Caller, id: PersonId) -> Result<PersonRow, Failure> {
    caller.permit_on(Action::PersonRead, Place::Vault)?;
    let mut reader = vault.store.read().await?;
    Ok(PersonRow::get(reader.conn(), id).await?.ok_or(Code::NotFound)?)
}

/// Disables a person: roles, tokens and playback sessions end at once. Returns the person, and whether the act is
/// journalled.
pub async fn disable(vault: &Vault, caller: &Caller, id: PersonId, reason: &str) -> Result<(PersonRow, bool), Failure> {
    caller.permit_on(Action::RoleRevoke, Place::Vault)?;
    let reason = text("reason", reason, 2000)?;
    let now = vault.clock.now();
    let administrators = Administrators::now(vault).await?;
    let pen = StaffPen::of(vault, None).await?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("disable_person").await?;
    tx.hold(Hold::People).await?;
    let person = PersonRow::get(tx.conn(), id).await?.ok_or(Code::NotFound)?;
    administrators.remain_without(&mut tx, |row| row.person == id).await?;
    if !PersonRow::disable(tx.conn(), id, now).await? {
        return Err(Failure::new(Code::Conflict).detail("disabled already"));
    }
    let bindings = BindingRow::unrevoked_of(tx.conn(), id).await?;
    for binding in &bindings {
        BindingRow::revoke(tx.conn(), binding.id, now).await?;
    }
    TokenRow::revoke_of(tx.conn(), id, now).await?;
    let draft = pen
        .draft::<PersonDisabled>(now, Some(caller.person()))
        .data("roles", u32::try_from(bindings.len()).unwrap_or(u32::MAX))
        .slot(SlotName::Person, id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Reason, reason, OpeningUnder::Staff);
    let ticket = ledger.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::person_disabled(id))).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::person_disabled(id), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    vault.callers.forget();
    Ok((PersonRow { disabled_at: Some(now), ..person }, journalled))
}

/// Whom the presented token stands for and what they can do now.
#[derive(Clone, Debug)]
pub struct Me {
    /// The person or machine.
    pub person: PersonRow,
    /// Their roles, as proven.
    pub roles: Vec<BindingView>,
    /// The token.
    pub token: TokenView,
}

/// The caller's own affairs.
pub async fn me(vault: &Vault, caller: &Caller) -> Result<Me, Failure> {
    let mut reader = vault.store.read().await?;
    let person = PersonRow::get(reader.conn(), caller.person()).await?.ok_or(Code::NotFound)?;
    let token = TokenView::get(reader.conn(), caller.token()).await?.ok_or(Code::NotFound)?;
    let mut roles = Vec::new();
    for binding in caller.held().bindings() {
        roles.extend(BindingView::get(reader.conn(), binding.id()).await?);
    }
    Ok(Me { person, roles, token })
}
