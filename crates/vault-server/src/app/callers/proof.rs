//! Holding rows against the log.

use vault_core::access::binding::Binding;
use vault_core::access::role::Role;
use vault_core::audit::entry::{PersonDisabled, RoleGranted, RoleRevoked, TokenConfirmed, TokenIssued, TokenRevoked};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::time::Timestamp;

use super::token::TokenTerms;
use super::{Callers, MAX_ROLES};
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::{Refusal, Subject};
use crate::state::Vault;
use crate::store::people::{BindingRow, TokenRow};

/// The token as the log tells it, if the row tells the same and the log does not take it back.
pub(super) async fn token(
    vault: &Vault,
    row: &TokenRow,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<TokenTerms>, Failure> {
    let Some(terms) = token_terms(vault, row).await? else {
        tracing::warn!(token = %row.id, "a token whose row the log does not prove was refused");
        return Ok(None);
    };
    if terms.sha256 != hex::encode(hash) || now >= terms.expires_at {
        return Ok(None);
    }
    let revoked = vault.ledger()?.find::<TokenRevoked>(&reference::token_revoked(row.id)).await?.is_some();
    let disabled = vault.ledger()?.find::<PersonDisabled>(&reference::person_disabled(row.person)).await?.is_some();
    Ok((!revoked && !disabled).then_some(terms))
}

/// What was issued, and by whom it was confirmed, as far as row and log agree.
async fn token_terms(vault: &Vault, row: &TokenRow) -> Result<Option<TokenTerms>, Failure> {
    let issued = TokenTerms::of(row);
    match vault.callers.token(row.id) {
        // What was issued never changes: a row that tells otherwise was edited, whatever it says of a confirmation.
        Some(kept) if !kept.agrees_with(&issued) => return Ok(None),
        Some(kept) if kept.confirmed_by == row.confirmed_by => return Ok(Some(kept)),
        Some(_) => {}
        None => {
            let found = vault.ledger()?.find::<TokenIssued>(&reference::token(row.id)).await?;
            if found.as_ref().and_then(TokenTerms::from_evidence).as_ref() != Some(&issued) {
                return Ok(None);
            }
        }
    }
    let mut terms = issued;
    if row.confirmed_by.is_some() {
        let found = vault.ledger()?.find::<TokenConfirmed>(&reference::token_confirmed(row.id)).await?;
        let confirmed = found.as_ref().and_then(TokenTerms::from_evidence);
        // A confirmation that the log does not have confirms nothing; the token keeps what it had.
        if let Some(confirmed) = confirmed.filter(|c| c.agrees_with(&terms) && c.confirmed_by == row.confirmed_by) {
            terms = confirmed;
        }
    }
    vault.callers.keep_token(terms.clone());
    Ok(Some(terms))
}

/// Those of `rows` that the log proves to be in force at `now`.
pub(super) async fn proven(vault: &Vault, rows: &[BindingRow], now: Timestamp) -> Result<Vec<Binding>, Failure> {
    let mut held = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(binding) = binding(vault, row).await?
            && binding.in_force(now)
        {
            held.push(binding);
        }
    }
    Ok(held)
}

/// The binding as the log has it, unless it has none or took it back.
async fn binding(vault: &Vault, row: &BindingRow) -> Result<Option<Binding>, Failure> {
    match vault.restrictions.check(&Subject::new().binding(row.id).person(row.person)) {
        Ok(()) => {}
        Err(Refusal::Restricted(_)) => return Ok(None),
        Err(Refusal::Stale) => return Err(Refusal::Stale.into()),
    }
    let binding = match vault.callers.binding(row.id) {
        Some(binding) => Some(binding),
        None => granted(&vault.callers, vault.ledger()?.find::<RoleGranted>(&reference::role(row.id)).await?.as_ref()),
    };
    // The entry says whose role it is and which: a row that points to another's entry, or calls it by another name,
    // is not believed.
    let own = |binding: &Binding| {
        let same_holder = binding.id() == row.id && binding.person() == row.person;
        same_holder && binding.role() == row.role && binding.collection() == row.collection
    };
    let Some(binding) = binding.filter(own) else {
        tracing::warn!(binding = %row.id, "a role without its log entry was refused");
        return Ok(None);
    };
    let revoked = vault.ledger()?.find::<RoleRevoked>(&reference::role_revoked(row.id)).await?.is_some();
    Ok((!revoked).then_some(binding))
}

fn granted(
    callers: &Callers,
    evidence: Option<&vault_core::audit::evidence::Recorded<RoleGranted>>,
) -> Option<Binding> {
    let binding = Binding::from_evidence(evidence?).ok()?;
    callers.keep_binding(binding.clone());
    Some(binding)
}

/// The roles that the log proves `person` to hold now.
pub async fn proven_roles(vault: &Vault, person: PersonId) -> Result<Vec<Binding>, Failure> {
    let mut reader = vault.store.read().await?;
    let rows = BindingRow::active_of(reader.conn(), person, MAX_ROLES).await?;
    drop(reader);
    proven(vault, &rows, vault.clock.now()).await
}

/// The bindings that give `role` for the whole vault, or for `collection` where one is given, and that the log proves
/// to be in force now.
pub async fn proven_holders(
    vault: &Vault,
    role: Role,
    collection: Option<CollectionId>,
) -> Result<Vec<Binding>, Failure> {
    let mut reader = vault.store.read().await?;
    let rows = BindingRow::reaching(reader.conn(), role, collection).await?;
    drop(reader);
    proven(vault, &rows, vault.clock.now()).await
}
