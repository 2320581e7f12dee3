//! Taking a grant back. It bites at once, whether or not the log can be written now.
//!
//! Nothing that can be edited or damaged keeps a grant in force: a row that calls it revoked does not hold up the
//! restriction, and what only the entry needs (the record's key, the policy) is left out when it cannot be had.

use vault_api::access::Revocation;
use vault_api::code::Code;
use vault_core::access::decision::{Authorized, RevokeAccess, authorise_on};
use vault_core::access::person::Place;
use vault_core::audit::entry::{AccessRevoked, Draft, Prepared};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, GrantId};
use vault_core::time::Timestamp;

use super::request::REASON;
use super::show::told;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::play::findings::field_key;
use crate::app::reference;
use crate::app::restrict::{Kind, Refusal, Restriction, Subject};
use crate::state::Vault;
use crate::store::access::{self as rows, Revocable};
use crate::store::erasures;

/// Revokes a grant: running sessions stop before their next segment. Returns whether the act is journalled.
pub async fn revoke(vault: &Vault, caller: &Caller, id: GrantId, why: Revocation) -> Result<bool, Failure> {
    let now = vault.clock.now();
    let reason = match why.reason.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(reason) => Some(text("reason", reason, REASON)?),
    };
    let mut reader = vault.store.read().await?;
    let row = rows::revocable(&mut reader, id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let authorised = authorise_on::<RevokeAccess>(caller.held(), Place::Collection(row.collection))
        .map_err(|denial| told(denial, caller, row.requester, row.collection))?;
    // What is in force is what the restrictions say, not the row.
    if vault.restrictions.check(&Subject::new().grant(id)) == Err(Refusal::Restricted(Kind::GrantRevoked)) {
        return Err(Code::RequestDecided.into());
    }
    let prepared = entry(vault, &authorised, id, &row, reason.clone(), now).await?;
    match take_back(vault, id, &row, prepared, now).await {
        // The record was encrypted anew at this very moment.
        Err(failure) if failure.code() == Code::RecordKeyChanged => {
            let prepared = entry(vault, &authorised, id, &row, reason, now).await?;
            take_back(vault, id, &row, prepared, now).await
        }
        outcome => outcome,
    }
}

async fn take_back(
    vault: &Vault,
    id: GrantId,
    row: &Revocable,
    entry: Prepared<AccessRevoked>,
    now: Timestamp,
) -> Result<bool, Failure> {
    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("revoke_grant").await?;
    if let Some(record) = row.record {
        // The entry needs its row in a moment, and whoever changes its texts holds it before this request's.
        let _erased = erasures::hold_key(&mut tx, record).await?;
    }
    rows::revoke(&mut tx, id, row.request, now).await?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::access_revoked(id))).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::grant_revoked(id), now).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    Ok(journalled)
}

async fn entry(
    vault: &Vault,
    authorised: &Authorized<RevokeAccess>,
    id: GrantId,
    row: &Revocable,
    reason: Option<String>,
    now: Timestamp,
) -> Result<Prepared<AccessRevoked>, Failure> {
    let keys = vault.keys()?;
    let mut draft = Draft::new(now);
    let staff = match keys.staff_audit_key(row.collection).await {
        Ok(key) => {
            draft = draft.collection(row.collection);
            key
        }
        Err(e) => {
            // Openings are found by the entry's collection, so an entry under the vault's key names none.
            tracing::error!(collection = %row.collection, error = %e, "a revocation is logged under the vault's key");
            keys.staff_audit_key(CollectionId::VAULT).await?
        }
    };
    if let Ok(collection) = collections::get(vault, row.collection).await {
        draft = draft.policy(collection.policy_hash);
    }
    draft = draft
        .slot(SlotName::Request, row.request.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, authorised.person().to_string(), OpeningUnder::Staff)
        .slot(SlotName::Grant, id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Person, row.requester.to_string(), OpeningUnder::Staff);
    let record = match row.record {
        Some(record) => field_key(vault, record).await?.map(|field| (record, field)),
        None => None,
    };
    let under = if record.is_some() { OpeningUnder::Record } else { OpeningUnder::Staff };
    if let Some((record, _)) = &record {
        draft = draft.slot(SlotName::Record, record.to_string(), under);
    }
    if let Some(reason) = reason {
        draft = draft.slot(SlotName::Reason, reason, under);
    }
    let record = record.as_ref().map(|(record, field)| (*record, field));
    Ok(draft.prepare(&OpeningKeys { staff: staff.as_ref(), record })?)
}
