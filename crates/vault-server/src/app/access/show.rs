//! Looking at requests: one's own, or those of the collections where one decides or audits.

use vault_api::access::{
    AccessRequest, AccessRequestQuery, BatchScope, Limits as WireLimits, RecordFilter, RequestState,
    Right as WireRight, Scope as WireScope, StandingScope,
};
use vault_api::code::Code;
use vault_api::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use vault_api::people::PersonRef;
use vault_api::records::MediaKind;
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;
use vault_core::access::request::State;
use vault_core::access::role::Action;
use vault_core::access::scope::{Limits, Media, Right, Scope};
use vault_core::ids::{CollectionId, PersonId, RecordId, RequestId};
use vault_core::time::Timestamp;

use super::pen::{Column, Pen};
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::invalid;
use crate::state::Vault;
use crate::store::access::{self as rows, Filter, RequestRow, Seen};

/// The actions whose holders see the requests of others.
const OVERSEE: [Action; 2] = [Action::AccessDecide, Action::AuditRead];

/// One request; absent to whoever neither filed it, nor decides, nor audits there.
pub async fn show(vault: &Vault, caller: &Caller, id: RequestId) -> Result<AccessRequest, Failure> {
    let mut reader = vault.store.read().await?;
    let row = rows::find(&mut reader, id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    let place = Place::Collection(row.request.collection);
    caller.permit_on(Action::AccessRead, place)?;
    if !sees(caller, row.request.requester, row.request.collection) {
        return Err(Code::NotFound.into());
    }
    tell(vault, &row, vault.clock.now()).await
}

/// Whether the caller may know of a request in `collection` that `requester` filed.
pub(super) fn sees(caller: &Caller, requester: PersonId, collection: CollectionId) -> bool {
    let oversees = |action: &Action| caller.held().holds(*action, Place::Collection(collection)).is_some();
    requester == caller.person() || OVERSEE.iter().any(oversees)
}

/// What the caller is told of a refusal about a request or its grant: it looks absent unless they may know of it. An analyst
/// reads requests in a collection, and only their own.
pub(super) fn told(denial: Denial, caller: &Caller, requester: PersonId, collection: CollectionId) -> Denial {
    if denial == Denial::Forbidden && !sees(caller, requester, collection) { Denial::Absent } else { denial }
}

/// A page of requests, newest first.
pub async fn list(vault: &Vault, caller: &Caller, query: AccessRequestQuery) -> Result<Page<AccessRequest>, Failure> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(invalid("limit: 1 to 500"));
    }
    let now = vault.clock.now();
    let collection = match query.collection.as_deref() {
        Some(name) => {
            let found = collections::find(vault, &name.parse().map_err(|_| Code::NotFound)?).await?;
            caller.permit_on(Action::AccessRead, Place::Collection(found.id))?;
            Some(found.id)
        }
        None => None,
    };
    let record: Option<RecordId> =
        query.record_id.as_deref().map(|id| id.parse().map_err(|_| invalid("record_id: an identifier"))).transpose()?;
    let before = query.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| Code::InvalidCursor)).transpose()?;
    let filter = Filter { seen: seen(caller), state: query.state.map(core_state), collection, record, before };
    let mut reader = vault.store.read().await?;
    let mut found = rows::page(&mut reader, &filter, now, limit + 1).await?;
    drop(reader);
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = if more { found.last().map(|row| row.request.id.to_string()) } else { None };
    let mut items = Vec::with_capacity(found.len());
    for row in &found {
        items.push(tell(vault, row, now).await?);
    }
    Ok(Page { items, next_cursor })
}

/// What the caller may see at all.
fn seen(caller: &Caller) -> Seen {
    let mut collections: Option<Vec<CollectionId>> = Some(Vec::new());
    for action in OVERSEE {
        collections = match (collections, caller.held().collections(action)) {
            (Some(mut all), Some(more)) => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        };
    }
    Seen { own: Some(caller.person()), collections }
}

async fn tell(vault: &Vault, row: &RequestRow, now: Timestamp) -> Result<AccessRequest, Failure> {
    let collection = collections::get(vault, row.request.collection).await?;
    let pen = Pen::of(vault, &collection, row.under.as_ref()).await?;
    let open = |column, sealed: &[u8]| pen.open(row.request.id, column, sealed);
    let scope = match &row.request.scope {
        Scope::Record(_) => None,
        Scope::Batch(batch) => {
            Some(WireScope::Batch(BatchScope { record_ids: batch.ids().iter().map(ToString::to_string).collect() }))
        }
        Scope::Standing(filter) => Some(WireScope::Standing(StandingScope {
            collection: row.collection_name.clone(),
            filter: RecordFilter {
                kind: filter.kind.map(|kind| match kind {
                    Media::Audio => MediaKind::Audio,
                    Media::Video => MediaKind::Video,
                }),
                received_from: filter.received_from.map(|at| at.to_string()),
                received_until: filter.received_until.map(|at| at.to_string()),
            },
        })),
    };
    Ok(AccessRequest {
        id: row.request.id.to_string(),
        state: wire_state(row.state(now)),
        collection: row.collection_name.clone(),
        record_id: row.request.scope.single().map(|id| id.to_string()),
        scope,
        purpose: row.request.purpose.clone(),
        reason: open(Column::Reason, &row.sealed.reason),
        case_number: row.sealed.case_number.as_deref().and_then(|sealed| open(Column::CaseNumber, sealed)),
        rights: Vec::from(row.request.rights).into_iter().map(wire_right).collect(),
        limits: (row.request.limits != Limits::default()).then_some(WireLimits {
            sessions: row.request.limits.sessions,
            records_per_day: row.request.limits.records_per_day,
        }),
        requested_by: named(row.request.requester, Some(row.requester_name.clone())),
        requested_at: row.request.created_at.to_string(),
        decided_by: row.decided_by.map(|id| named(id, row.decider_name.clone())),
        decided_at: row.decided_at.map(|at| at.to_string()),
        comment: row.sealed.comment.as_deref().and_then(|sealed| open(Column::Comment, sealed)),
        grant_id: row.grant.map(|grant| grant.id.to_string()),
        expires_at: row.ends_at().to_string(),
    })
}

fn named(id: PersonId, name: Option<String>) -> PersonRef {
    PersonRef { id: id.to_string(), name }
}

const fn wire_right(right: Right) -> WireRight {
    match right {
        Right::View => WireRight::View,
        Right::Export => WireRight::Export,
    }
}

pub(super) const fn wire_state(state: State) -> RequestState {
    match state {
        State::Pending => RequestState::Pending,
        State::Approved => RequestState::Approved,
        State::Denied => RequestState::Denied,
        State::Expired => RequestState::Expired,
        State::Revoked => RequestState::Revoked,
    }
}

const fn core_state(state: RequestState) -> State {
    match state {
        RequestState::Pending => State::Pending,
        RequestState::Approved => State::Approved,
        RequestState::Denied => State::Denied,
        RequestState::Expired => State::Expired,
        RequestState::Revoked => State::Revoked,
    }
}
