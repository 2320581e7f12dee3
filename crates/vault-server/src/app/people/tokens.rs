//! Issuing and revoking bearer tokens.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::access::denial::Denial;
use vault_core::access::person::{Narrowing, Place};
use vault_core::access::role::{Action, Role};
use vault_core::audit::entry::{TokenConfirmed, TokenIssued, TokenRevoked};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionName, PersonId, TokenId};
use vault_core::time::Timestamp;

use super::{PersonRow, TokenRow, TokenView, collection_named, invalid, text};
use crate::app::callers::{self, Caller, TokenTerms, TokenText};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;

/// The longest a token lasts: a year and a day, so that "a year ahead" on the caller's clock is not refused.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// A token to be issued.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whom it stands for.
    pub person: PersonId,
    /// What it is for.
    pub label: String,
    /// Only these roles.
    pub roles: Option<Vec<Role>>,
    /// Only this collection.
    pub collection: Option<CollectionName>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Issues a token. The text is returned this once and kept nowhere. Until another administrator confirms it, it carries
/// only the roles that one administrator may give ([`TokenTerms::carries`]).
pub async fn issue(vault: &Vault, caller: &Caller, new: NewToken) -> Result<(TokenView, TokenText), Failure> {
    caller.permit(Action::TokenIssue, Place::Vault)?;
    let now = vault.clock.now();
    let label = text("label", &new.label, 100)?;
    if new.expires_at <= now || new.expires_at > now.plus(LONGEST) {
        return Err(invalid("expires_at: within a year from now"));
    }
    if new.roles.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("roles: at least one, or leave it out"));
    }
    let mut reader = vault.store.read().await?;
    let person = PersonRow::get(reader.conn(), new.person).await?;
    let person = person.filter(|p| p.disabled_at.is_none()).ok_or_else(|| invalid("person_id: no such person"))?;
    drop(reader);
    let collection = collection_named(vault, new.collection.as_ref()).await?;

    let secret = TokenText::generate();
    let row = TokenRow {
        id: TokenId::new(now),
        person: person.id,
        hash: secret.hash(),
        label,
        narrowing: Narrowing { roles: new.roles, collection },
        issued_by: Some(caller.person()),
        confirmed_by: None,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen
        .draft::<TokenIssued>(now, Some(caller.person()))
        .slot(SlotName::Person, row.person.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Token, TokenTerms::of(&row).to_slot(), OpeningUnder::Staff);
    let entry = pen.prepare(draft)?;

    let mut tx = vault.store.begin("issue_token").await?;
    row.insert(tx.conn()).await?;
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::token(row.id))).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    let mut reader = vault.store.read().await?;
    let view = TokenView::get(reader.conn(), row.id).await?.ok_or(Code::NotFound)?;
    Ok((view, secret))
}

/// Confirms a token that another administrator issued: from now on it carries all their roles. What is
/// confirmed is what the log says was issued.
pub async fn confirm(vault: &Vault, caller: &Caller, id: TokenId) -> Result<TokenView, Failure> {
    caller.permit_on(Action::RoleConfirm, Place::Vault)?;
    let now = vault.clock.now();
    let mut reader = vault.store.read().await?;
    let row = TokenRow::get(reader.conn(), id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let open = row.confirmed_by.is_none() && row.revoked_at.is_none() && now < row.expires_at;
    let issuer = row.issued_by.filter(|_| open).ok_or(Code::RequestDecided)?;
    if caller.person() == issuer {
        callers::note_denial(vault, caller, Action::RoleConfirm, Denial::SelfApproval).await;
        return Err(Denial::SelfApproval.into());
    }
    let (ledger, issued) = (vault.ledger()?, TokenTerms::of(&row));
    let found = ledger.find_settled::<TokenIssued>(&reference::token(id)).await?;
    if found.as_ref().and_then(TokenTerms::from_evidence).as_ref() != Some(&issued) {
        return Err(Code::NotInLog.into());
    }
    let terms = TokenTerms { confirmed_by: Some(caller.person()), ..issued };
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen
        .draft::<TokenConfirmed>(now, Some(caller.person()))
        .slot(SlotName::Person, row.person.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Token, terms.to_slot(), OpeningUnder::Staff);
    let entry = pen.prepare(draft)?;

    let mut tx = vault.store.begin("confirm_token").await?;
    if !TokenRow::confirm(tx.conn(), id, caller.person()).await? {
        return Err(Code::RequestDecided.into());
    }
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::token_confirmed(id))).await?;
    tx.commit().await?;
    ledger.settle(ticket).await?;
    vault.callers.forget();
    let mut reader = vault.store.read().await?;
    Ok(TokenView::get(reader.conn(), id).await?.ok_or(Code::NotFound)?)
}

/// At most `limit` tokens behind `after`, of `person` where one is given.
pub async fn list(
    vault: &Vault,
    caller: &Caller,
    person: Option<PersonId>,
    after: &str,
    limit: u32,
) -> Result<Vec<TokenView>, Failure> {
    caller.permit(Action::PersonRead, Place::Vault)?;
    let mut reader = vault.store.read().await?;
    Ok(TokenView::page(reader.conn(), person, after, limit).await?)
}

/// Revokes a token: an administrator's act, or that of whom it stands for. Returns whether it is journalled.
pub async fn revoke(vault: &Vault, caller: &Caller, id: TokenId) -> Result<bool, Failure> {
    let now = vault.clock.now();
    let mut reader = vault.store.read().await?;
    let row = TokenRow::get(reader.conn(), id).await?;
    drop(reader);
    // Somebody else's token looks absent to all but those who may see tokens.
    if row.as_ref().is_none_or(|row| row.person != caller.person()) {
        caller.permit_on(Action::TokenRevoke, Place::Vault)?;
    }
    let row = row.ok_or(Code::NotFound)?;
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen
        .draft::<TokenRevoked>(now, Some(caller.person()))
        .slot(SlotName::Person, row.person.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Token, id.to_string(), OpeningUnder::Staff);
    let entry = pen.prepare(draft)?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("revoke_token").await?;
    if !TokenRow::revoke(tx.conn(), id, now).await? {
        return Err(Failure::new(Code::Conflict).detail("revoked already"));
    }
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::token_revoked(id))).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::token_revoked(id, row.expires_at), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    vault.callers.forget();
    Ok(journalled)
}
