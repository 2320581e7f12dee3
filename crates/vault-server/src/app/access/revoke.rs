//! Taking a grant back. It bites at once, whether or not the log can be written now.

use vault_api::access::Revocation;
use vault_api::code::Code;
use vault_core::access::decision::{RevokeAccess, authorise_on};
use vault_core::access::person::Place;
use vault_core::audit::entry::AccessRevoked;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::GrantId;

use super::pen::Pen;
use super::request::REASON;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::access as rows;

/// Revokes a grant: running sessions stop before their next segment. Returns whether the act is journalled.
pub async fn revoke(vault: &Vault, caller: &Caller, id: GrantId, why: Revocation) -> Result<bool, Failure> {
    let now = vault.clock.now();
    let reason = match why.reason.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(reason) => Some(text("reason", reason, REASON)?),
    };
    let mut reader = vault.store.read().await?;
    let row = rows::find_by_grant(&mut reader, id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let authorised = authorise_on::<RevokeAccess>(caller.held(), Place::Collection(row.request.collection))?;
    let grant = row.grant.filter(|grant| grant.revoked_at.is_none()).ok_or(Code::RequestDecided)?;
    let collection = collections::get(vault, row.request.collection).await?;
    let pen = Pen::of(vault, &collection, row.under.as_ref()).await?;
    let mut draft = pen
        .draft::<AccessRevoked>(now, row.request.id, authorised.person())
        .slot(SlotName::Grant, id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Person, row.request.requester.to_string(), OpeningUnder::Staff);
    if let Some(reason) = reason {
        draft = draft.slot(SlotName::Reason, reason, pen.under());
    }
    let entry = pen.prepare(draft)?;

    let mut tx = vault.store.begin("revoke_grant").await?;
    if !rows::revoke(&mut tx, id, row.request.id, now).await? {
        return Err(Code::RequestDecided.into());
    }
    let restriction = Restriction::grant_revoked(id, grant.expires_at);
    let imposed = vault.restrictions.impose(&mut tx, restriction, now).await?;
    let ledger = vault.ledger()?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::access_revoked(id))).await?;
    let journalled = vault.restrictions.commit(tx, imposed).await?;
    ledger.settle_later(ticket);
    Ok(journalled)
}
