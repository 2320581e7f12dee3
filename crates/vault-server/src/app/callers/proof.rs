//! Holding rows against the log.

use vault_core::access::binding::Binding;
use vault_core::access::role::Role;
use vault_core::audit::entry::{PersonDisabled, RoleGranted, RoleRevoked, TokenIssued, TokenRevoked};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::time::Timestamp;

use super::token::TokenTerms;
use super::{Callers, MAX_ROLES};
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::{Refusal, Subject};
use crate::state::Vault;
use crate::store::people::{BindingRow, TokenRow};

/// Whether the log has this token, as the row tells it, and does not take it back.
pub(super) async fn token_stands(
    vault: &Vault,
    row: &TokenRow,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool, Failure> {
    let Some(terms) = token_terms(vault, row).await? else {
        tracing::warn!(token = %row.id, "a token without its log entry was refused");
        return Ok(false);
    };
    if terms != TokenTerms::of(row) || terms.sha256 != hex::encode(hash) || now >= terms.expires_at {
        tracing::warn!(token = %row.id, "a token whose row differs from its log entry was refused");
        return Ok(false);
    }
    let revoked = vault.ledger()?.find::<TokenRevoked>(&reference::token_revoked(row.id)).await?.is_some();
    let disabled = vault.ledger()?.find::<PersonDisabled>(&reference::person_disabled(row.person)).await?.is_some();
    Ok(!revoked && !disabled)
}

async fn token_terms(vault: &Vault, row: &TokenRow) -> Result<Option<TokenTerms>, Failure> {
    if let Some(terms) = vault.callers.token(row.id) {
        return Ok(Some(terms));
    }
    let found = vault.ledger()?.find::<TokenIssued>(&reference::token(row.id)).await?;
    let terms = found.as_ref().and_then(TokenTerms::from_evidence).filter(|terms| terms.token == row.id);
    if let Some(terms) = &terms {
        vault.callers.keep_token(terms.clone());
    }
    Ok(terms)
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
