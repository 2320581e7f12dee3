//! Giving and taking roles.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::access::binding::{NotGivable, Terms, compatible};
use vault_core::access::decision::{self, RoleRefused};
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;
use vault_core::access::role::{Action, Role};
use vault_core::audit::entry::{Draft, EntryKind, RoleGranted, RoleProposed, RoleRevoked};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{BindingId, CollectionName, PersonId};
use vault_core::time::Timestamp;

use super::{
    Administrators, BindingFilter, BindingRow, BindingState, BindingView, PersonRow, collection_named, invalid, text,
};
use crate::app::callers::{self, Caller, MAX_ROLES};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::{Hold, Tx};

/// How long a proposal waits for the second administrator.
const WAITS: Duration = Duration::from_hours(14 * 24);

/// A role to be given.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Who is to hold it.
    pub person: PersonId,
    /// The role.
    pub role: Role,
    /// In which collection; `None` for the whole vault.
    pub collection: Option<CollectionName>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// Gives a role that one administrator may give, or proposes one that a second has to confirm.
pub async fn propose(vault: &Vault, caller: &Caller, proposal: Proposal) -> Result<BindingView, Failure> {
    caller.permit(Action::RolePropose, Place::Vault)?;
    let now = vault.clock.now();
    let reason = text("reason", &proposal.reason, 2000)?;
    if proposal.until.is_some_and(|until| until <= now) {
        return Err(invalid("until: lies in the past"));
    }
    let mut reader = vault.store.read().await?;
    let person = PersonRow::get(reader.conn(), proposal.person).await?;
    let person = person.filter(|p| p.disabled_at.is_none()).ok_or_else(|| invalid("person_id: no such person"))?;
    drop(reader);
    let collection = collection_named(vault, proposal.collection.as_ref()).await?;

    let terms = Terms {
        binding: BindingId::new(now),
        person: person.id,
        kind: person.kind,
        role: proposal.role,
        collection,
        proposed_by: Some(caller.person()),
        confirmed_by: None,
        until: proposal.until,
    };
    let at_once = match terms.check() {
        Ok(()) => true,
        // All that is missing is the second administrator.
        Err(NotGivable::SecondPersonMissing) => false,
        Err(e) => {
            note_refusal(vault, caller, Action::RolePropose, e.into()).await;
            return Err(e.into());
        }
    };
    let pen = StaffPen::of(vault, collection).await?;
    let row = BindingRow {
        id: terms.binding,
        person: person.id,
        role: terms.role,
        collection,
        state: if at_once { BindingState::Active } else { BindingState::Proposed },
        proposed_by: terms.proposed_by,
        proposed_at: now,
        confirmed_by: None,
        active_at: at_once.then_some(now),
        until: terms.until,
        revoked_at: None,
    };

    let mut tx = vault.store.begin("propose_role").await?;
    tx.hold(Hold::People).await?;
    let held = held_beside(&mut tx, &row).await?;
    compatible(row.role, &held)?;
    row.insert(tx.conn()).await?;
    if at_once {
        let authorised = decision::decide_role(caller.held(), terms, &held)?;
        let draft = about(&pen, now, caller.person(), authorised.detail());
        let entry = pen.prepare::<RoleGranted>(draft.slot(SlotName::Reason, reason, OpeningUnder::Staff))?;
        let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::role(row.id))).await?;
        tx.commit().await?;
        vault.ledger()?.settle(ticket).await?;
        vault.callers.forget();
    } else {
        let draft = about(&pen, now, caller.person(), &terms);
        let entry = pen.prepare::<RoleProposed>(draft.slot(SlotName::Reason, reason, OpeningUnder::Staff))?;
        let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::role_proposed(row.id))).await?;
        tx.commit().await?;
        vault.ledger()?.settle(ticket).await?;
    }
    show(vault, row.id).await
}

/// Brings a proposed role into force: another administrator's act. What is confirmed is what the log says was proposed.
pub async fn confirm(vault: &Vault, caller: &Caller, id: BindingId) -> Result<BindingView, Failure> {
    caller.permit_on(Action::RoleConfirm, Place::Vault)?;
    let now = vault.clock.now();
    let mut reader = vault.store.read().await?;
    let row = BindingRow::get(reader.conn(), id).await?.ok_or(Code::NotFound)?;
    let person = PersonRow::get(reader.conn(), row.person).await?.filter(|person| person.disabled_at.is_none());
    drop(reader);
    let lapsed = now >= row.proposed_at.plus(WAITS) || row.until.is_some_and(|until| until <= now);
    if row.state != BindingState::Proposed || lapsed || person.is_none() {
        return Err(Code::RequestDecided.into());
    }
    let proposed = vault.ledger()?.find_settled::<RoleProposed>(&reference::role_proposed(id)).await?;
    let slot = proposed.as_ref().and_then(|evidence| evidence.slot(SlotName::Binding)).ok_or(Code::NotInLog)?;
    let mut terms: Terms = serde_json::from_str(slot).map_err(|_| Code::NotInLog)?;
    let proposer = terms.proposed_by.filter(|_| same(&terms, &row)).ok_or(Code::NotInLog)?;
    let still = callers::proven_roles(vault, proposer).await?;
    if !still.iter().any(|held| held.role().may(Action::RolePropose) && held.reaches(Place::Vault)) {
        return Err(Failure::new(Code::Conflict).detail("who proposed it is no administrator any more"));
    }
    terms.confirmed_by = Some(caller.person());
    let pen = StaffPen::of(vault, terms.collection).await?;

    let mut tx = vault.store.begin("confirm_role").await?;
    tx.hold(Hold::People).await?;
    let held = held_beside(&mut tx, &row).await?;
    let authorised = match decision::decide_role(caller.held(), terms, &held) {
        Ok(authorised) => authorised,
        Err(refused) => {
            // The refusal is noted in a transaction of its own, and there is one writer at a time.
            tx.rollback().await?;
            note_refusal(vault, caller, Action::RoleConfirm, refused).await;
            return Err(refused.into());
        }
    };
    let entry = pen.prepare::<RoleGranted>(about(&pen, now, caller.person(), authorised.detail()))?;
    if !BindingRow::confirm(tx.conn(), id, caller.person(), now).await? {
        return Err(Code::RequestDecided.into());
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::role(id))).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    vault.callers.forget();
    show(vault, id).await
}

/// At most `limit` bindings behind `after`.
pub async fn list(
    vault: &Vault,
    caller: &Caller,
    filter: BindingFilter,
    after: &str,
    limit: u32,
) -> Result<Vec<BindingView>, Failure> {
    caller.permit(Action::PersonRead, Place::Vault)?;
    let mut reader = vault.store.read().await?;
    Ok(BindingView::page(reader.conn(), filter, vault.clock.now(), after, limit).await?)
}

/// Takes a role away, or withdraws a proposal; bites at once. Returns whether the act is journalled.
pub async fn revoke(vault: &Vault, caller: &Caller, id: BindingId) -> Result<bool, Failure> {
    caller.permit_on(Action::RoleRevoke, Place::Vault)?;
    let now = vault.clock.now();
    let mut reader = vault.store.read().await?;
    let row = BindingRow::get(reader.conn(), id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let administrators = Administrators::now(vault).await?;
    let pen = StaffPen::of(vault, row.collection).await?;
    let draft = pen
        .draft::<RoleRevoked>(now, Some(caller.person()))
        .data("role", row.role.name())
        .slot(SlotName::Binding, id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Person, row.person.to_string(), OpeningUnder::Staff);
    let entry = pen.prepare(draft)?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("revoke_role").await?;
    tx.hold(Hold::People).await?;
    administrators.remain_without(&mut tx, |other| other.id == id).await?;
    if !BindingRow::revoke(tx.conn(), id, now).await? {
        return Err(Failure::new(Code::Conflict).detail("revoked already"));
    }
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::role_revoked(id))).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::role_revoked(id), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    vault.callers.forget();
    Ok(journalled)
}

/// Notes a refusal that is about who acts; that a role cannot be held so is none.
async fn note_refusal(vault: &Vault, caller: &Caller, action: Action, refused: RoleRefused) {
    let denial = match refused {
        RoleRefused::Denied(denial) => denial,
        RoleRefused::NotGivable(NotGivable::ToOneself) => Denial::SelfApproval,
        RoleRefused::NotGivable(_) => return,
    };
    callers::note_denial(vault, caller, action, denial).await;
}

async fn show(vault: &Vault, id: BindingId) -> Result<BindingView, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(BindingView::get(reader.conn(), id).await?.ok_or(Code::NotFound)?)
}

/// The roles the person holds or is to hold beside `row`. More than a caller's limit, or the same role twice, is
/// refused here, under the transaction's lock.
async fn held_beside(tx: &mut Tx, row: &BindingRow) -> Result<Vec<Role>, Failure> {
    let mut others = BindingRow::unrevoked_of(tx.conn(), row.person).await?;
    others.retain(|other| other.id != row.id);
    if others.len() >= MAX_ROLES as usize {
        return Err(Failure::new(Code::Conflict).detail("the person holds as many roles as anybody may"));
    }
    if others.iter().any(|other| other.role == row.role && other.collection == row.collection) {
        return Err(Failure::new(Code::Conflict).detail("the person holds this role already, or it is proposed"));
    }
    Ok(others.iter().map(|other| other.role).collect())
}

/// An entry about a role: whose, which, by whom.
fn about<E: EntryKind>(pen: &StaffPen, now: Timestamp, staff: PersonId, terms: &Terms) -> Draft<E> {
    pen.draft::<E>(now, Some(staff))
        .data("role", terms.role.name())
        .slot(SlotName::Binding, terms.to_slot(), OpeningUnder::Staff)
        .slot(SlotName::Person, terms.person.to_string(), OpeningUnder::Staff)
}

/// Whether the row tells what the log does.
fn same(terms: &Terms, row: &BindingRow) -> bool {
    terms.binding == row.id
        && terms.person == row.person
        && terms.role == row.role
        && terms.collection == row.collection
        && terms.proposed_by == row.proposed_by
        && terms.until == row.until
}

impl From<NotGivable> for Failure {
    fn from(e: NotGivable) -> Self {
        let code = match e {
            NotGivable::ToOneself => Code::SelfApproval,
            NotGivable::WrongKind | NotGivable::SecondPersonMissing | NotGivable::Conflict(_) => Code::RoleNotGivable,
        };
        Self::new(code).detail(e.to_string())
    }
}

impl From<RoleRefused> for Failure {
    fn from(e: RoleRefused) -> Self {
        match e {
            RoleRefused::Denied(denial) => denial.into(),
            RoleRefused::NotGivable(e) => e.into(),
        }
    }
}
