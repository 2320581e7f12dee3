//! Deciding on a request: another person's act.

use vault_api::access::{Approved, Decision, RequestFiled};
use vault_api::code::Code;
use vault_core::access::decision::{self, Approve, Authorized};
use vault_core::access::grant::Terms;
use vault_core::access::request::Event;
use vault_core::audit::entry::{AccessApproved, AccessDenied, AccessRequested, Decision as Logged};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{GrantId, RequestId};
use vault_core::time::Timestamp;

use super::pen::{Column, Pen, kind_of, names_of};
use super::request::{REASON, hold_key, usable};
use super::show::{told, wire_state};
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reencrypt::once_more;
use crate::app::reference;
use crate::state::Vault;
use crate::store::access::{self as rows, Decided, RequestRow};
use crate::store::collections::CollectionRow;
use crate::store::erasures;
use crate::store::records;

/// Approves a request: from now on its requester can open sessions, within what was asked and what the collection allows.
pub async fn approve(vault: &Vault, caller: &Caller, id: RequestId, said: Decision) -> Result<Approved, Failure> {
    once_more(|| approve_now(vault, caller, id, &said)).await
}

async fn approve_now(vault: &Vault, caller: &Caller, id: RequestId, said: &Decision) -> Result<Approved, Failure> {
    let now = vault.clock.now();
    let ready = ready(vault, caller, id, said, now).await?;
    let Ready { row, collection, authorised, comment } = &ready;
    let has_case = row.sealed.case_number.is_some();
    // Policy, consent or record may have changed since the request was filed.
    row.request.check(&collection.policy, has_case, now)?;
    if let Some(id) = row.request.scope.single() {
        let record = records::find(&vault.store, id).await?.ok_or(Code::RecordNotAvailable)?;
        usable(&record, &row.request, collection, now)?;
    }
    let terms = Terms::approving(authorised, GrantId::new(now), &row.request, &collection.policy, now);
    let pen = Pen::of(vault, collection, row.under.as_ref()).await?;
    let mut draft = pen
        .draft::<AccessApproved>(now, row.request.id, authorised.person())
        .decision(Logged::Allowed)
        .data("scope", kind_of(&terms.scope))
        .data("purpose", terms.purpose.clone())
        .data("rights", names_of(terms.rights))
        .data("expires_at", terms.expires_at.to_string())
        .slot(SlotName::Grant, terms.to_slot(), OpeningUnder::Staff)
        .slot(SlotName::Person, terms.requester.to_string(), OpeningUnder::Staff);
    if let Some(comment) = comment {
        draft = draft.slot(SlotName::Comment, comment.clone(), pen.under());
    }
    let entry = pen.prepare(draft)?;
    let sealed = comment.as_deref().and_then(|said| pen.seal(row.request.id, Column::Comment, said));

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("approve_access_request").await?;
    hold_key(&mut tx, row.request.scope.single()).await?;
    let decided = decided(&ready, Event::Approve, now, sealed.as_deref());
    if !rows::decide(&mut tx, decided).await? {
        return Err(Code::RequestDecided.into());
    }
    rows::insert_grant(&mut tx, terms.grant, row.request.id, now, terms.expires_at).await?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::approval(terms.grant))).await?;
    tx.commit().await?;
    ledger.settle(ticket).await?;
    Ok(Approved { grant_id: terms.grant.to_string(), expires_at: terms.expires_at.to_string() })
}

/// Refuses a request.
pub async fn deny(vault: &Vault, caller: &Caller, id: RequestId, said: Decision) -> Result<RequestFiled, Failure> {
    once_more(|| deny_now(vault, caller, id, &said)).await
}

async fn deny_now(vault: &Vault, caller: &Caller, id: RequestId, said: &Decision) -> Result<RequestFiled, Failure> {
    let now = vault.clock.now();
    let ready = ready(vault, caller, id, said, now).await?;
    let Ready { row, collection, authorised, comment } = &ready;
    let pen = Pen::of(vault, collection, row.under.as_ref()).await?;
    let mut draft = pen
        .draft::<AccessDenied>(now, row.request.id, authorised.person())
        .decision(Logged::Denied)
        .data("scope", kind_of(&row.request.scope))
        .slot(SlotName::Person, row.request.requester.to_string(), OpeningUnder::Staff);
    if let Some(comment) = comment {
        draft = draft.slot(SlotName::Comment, comment.clone(), pen.under());
    }
    let entry = pen.prepare(draft)?;
    let sealed = comment.as_deref().and_then(|said| pen.seal(row.request.id, Column::Comment, said));

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("deny_access_request").await?;
    if sealed.is_some() && row.under.is_some() {
        hold_key(&mut tx, row.request.scope.single()).await?;
    } else if let Some(record) = row.request.scope.single() {
        // The entry may name it: its row comes before the request's, whether or not it has a key.
        let _erased = erasures::hold_key(&mut tx, record).await?;
    }
    let decided = decided(&ready, Event::Deny, now, sealed.as_deref());
    if !rows::decide(&mut tx, decided).await? {
        return Err(Code::RequestDecided.into());
    }
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::denial(row.request.id))).await?;
    tx.commit().await?;
    ledger.settle(ticket).await?;
    Ok(RequestFiled { id: row.request.id.to_string(), state: wire_state(vault_core::access::request::State::Denied) })
}

/// A request that the caller may decide on, found to be what was asked.
struct Ready {
    row: RequestRow,
    collection: CollectionRow,
    authorised: Authorized<Approve>,
    comment: Option<String>,
}

async fn ready(
    vault: &Vault,
    caller: &Caller,
    id: RequestId,
    said: &Decision,
    now: Timestamp,
) -> Result<Ready, Failure> {
    let comment = match said.comment.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(said) => Some(text("comment", said, REASON)?),
    };
    let mut reader = vault.store.read().await?;
    let row = rows::find(&mut reader, id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let authorised = decision::decide_request(caller.held(), &row.request, now)
        .map_err(|denial| told(denial, caller, row.request.requester, row.request.collection))?;
    // The row shows what the approver reads; the log shows what was asked.
    let asked =
        vault.ledger()?.find_settled::<AccessRequested>(&reference::request(id)).await?.ok_or(Code::NotInLog)?;
    row.request.is_as_logged(&asked)?;
    let collection = collections::get(vault, row.request.collection).await?;
    Ok(Ready { row, collection, authorised, comment })
}

fn decided<'a>(ready: &Ready, event: Event, at: Timestamp, comment: Option<&'a [u8]>) -> Decided<'a> {
    Decided { request: ready.row.request.id, event, by: ready.authorised.person(), at, comment }
}
