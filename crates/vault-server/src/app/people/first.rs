//! The first persons, entered when the vault is made and nobody can sign in yet.
//!
//! Their entries name no giver, which only a vault without persons writes: the log begins with them, and the checks of
//! vault-core take them for what they are.

use std::collections::HashSet;

use vault_api::code::Code;
use vault_core::access::binding::{Terms, compatible};
use vault_core::access::person::{Kind, Narrowing};
use vault_core::access::role::Role;
use vault_core::audit::entry::{PersonAdded, RoleGranted, TokenIssued};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{BindingId, PersonId, TokenId};
use vault_core::time::Timestamp;

use super::{BindingRow, BindingState, FEWEST_ADMINISTRATORS, PersonRow, TokenRow, invalid, text};
use crate::app::callers::{TokenTerms, TokenText};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::ledger::{Ledger, Ticket};
use crate::app::reference;
use crate::state::Vault;
use crate::store::{Hold, Tx};

/// A person or machine of the beginning.
#[derive(Clone, Debug)]
pub struct First {
    /// Display name.
    pub name: String,
    /// Human or machine.
    pub kind: Kind,
    /// Roles, for the whole vault.
    pub roles: Vec<Role>,
    /// When the token made for them ends.
    pub token_ends: Timestamp,
}

/// Enters everybody in one transaction, each with the token of the same place in `tokens`: made by the caller, who has
/// written them down before they are in force. Refused once there is anybody.
pub async fn enter_first(vault: &Vault, people: &[First], tokens: &[TokenText]) -> Result<Vec<PersonId>, Failure> {
    let administrators = people.iter().filter(|first| first.roles.contains(&Role::Administrator)).count();
    if administrators < FEWEST_ADMINISTRATORS {
        return Err(Failure::new(Code::LastAdministrator).detail("a vault begins with two administrators at least"));
    }
    if people.len() != tokens.len() {
        return Err(invalid("tokens: one for each"));
    }
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("enter_first_people").await?;
    tx.hold(Hold::People).await?;
    if !PersonRow::page(tx.conn(), "", 1).await?.is_empty() {
        return Err(Failure::new(Code::Conflict).detail("the vault has people already"));
    }
    let mut ids = Vec::with_capacity(people.len());
    let (mut added, mut given, mut issued) = (Vec::new(), Vec::new(), Vec::new());
    for (first, secret) in people.iter().zip(tokens) {
        let name = text("name", &first.name, 200)?;
        let person = PersonRow { id: PersonId::new(now), name, kind: first.kind, created_at: now, disabled_at: None };
        person.insert(tx.conn()).await?;
        let draft = pen.draft::<PersonAdded>(now, None).data("kind", first.kind.name());
        let entry = pen.prepare(draft.slot(SlotName::Person, person.id.to_string(), OpeningUnder::Staff))?;
        added.push(ledger.enqueue(&mut tx, entry, Some(reference::person(person.id))).await?);
        let roles: HashSet<Role> = first.roles.iter().copied().collect();
        for role in &first.roles {
            let others: Vec<Role> = roles.iter().copied().filter(|other| other != role).collect();
            compatible(*role, &others)?;
            given.push(give(ledger, &mut tx, &pen, &person, *role).await?);
        }
        ids.push(person.id);
        issued.push(token(ledger, &mut tx, &pen, &person, secret, first.token_ends).await?);
    }
    tx.commit().await?;
    for ticket in added {
        ledger.settle(ticket).await?;
    }
    for ticket in given {
        ledger.settle(ticket).await?;
    }
    for ticket in issued {
        ledger.settle(ticket).await?;
    }
    Ok(ids)
}

async fn give(
    ledger: &Ledger,
    tx: &mut Tx,
    pen: &StaffPen,
    person: &PersonRow,
    role: Role,
) -> Result<Ticket<RoleGranted>, Failure> {
    let now = person.created_at;
    let terms = Terms {
        binding: BindingId::new(now),
        person: person.id,
        kind: person.kind,
        role,
        collection: None,
        proposed_by: None,
        confirmed_by: None,
        until: None,
    };
    terms.check()?;
    let row = BindingRow {
        id: terms.binding,
        person: person.id,
        role,
        collection: None,
        state: BindingState::Active,
        proposed_by: None,
        proposed_at: now,
        confirmed_by: None,
        active_at: Some(now),
        until: None,
        revoked_at: None,
    };
    row.insert(tx.conn()).await?;
    let draft = pen
        .draft::<RoleGranted>(now, None)
        .data("role", role.name())
        .slot(SlotName::Binding, terms.to_slot(), OpeningUnder::Staff)
        .slot(SlotName::Person, person.id.to_string(), OpeningUnder::Staff);
    Ok(ledger.enqueue(tx, pen.prepare(draft)?, Some(reference::role(row.id))).await?)
}

async fn token(
    ledger: &Ledger,
    tx: &mut Tx,
    pen: &StaffPen,
    person: &PersonRow,
    secret: &TokenText,
    expires_at: Timestamp,
) -> Result<Ticket<TokenIssued>, Failure> {
    let row = TokenRow {
        id: TokenId::new(person.created_at),
        person: person.id,
        hash: secret.hash(),
        label: "first".to_owned(),
        narrowing: Narrowing::default(),
        issued_by: None,
        confirmed_by: None,
        created_at: person.created_at,
        expires_at,
        revoked_at: None,
    };
    row.insert(tx.conn()).await?;
    let draft = pen
        .draft::<TokenIssued>(row.created_at, None)
        .slot(SlotName::Person, person.id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Token, TokenTerms::of(&row).to_slot(), OpeningUnder::Staff);
    Ok(ledger.enqueue(tx, pen.prepare(draft)?, Some(reference::token(row.id))).await?)
}
