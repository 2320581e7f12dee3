//! Filing an access request.

use vault_api::access::{BatchScope, NewAccessRequest, RequestFiled, Scope as WireScope, StandingScope};
use vault_api::code::Code;
use vault_core::access::decision::{AskAccess, authorise_on};
use vault_core::access::person::Place;
use vault_core::access::request::{Request, State};
use vault_core::access::role::Action;
use vault_core::access::scope::{Batch, Filter, Limits, Media, Rights, Scope};
use vault_core::audit::entry::AccessRequested;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{RecordId, RequestId};
use vault_core::time::Timestamp;

use super::pen::{Column, Pen, kind_of, names_of};
use super::show::wire_state;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::{invalid, text};
use crate::app::reencrypt::once_more;
use crate::app::reference;
use crate::state::Vault;
use crate::store::Tx;
use crate::store::access::{self as rows, RecordWrap, Sealed};
use crate::store::collections::CollectionRow;
use crate::store::erasures;
use crate::store::records::{self, RecordRow, RecordState};

/// Longest reason and comment.
pub(super) const REASON: usize = 2000;

/// Longest case number.
const CASE_NUMBER: usize = 200;

/// Files a request. What it asks for must be grantable now; whether it is granted is for another person.
pub async fn file(vault: &Vault, caller: &Caller, asked: NewAccessRequest) -> Result<RequestFiled, Failure> {
    once_more(|| file_now(vault, caller, &asked)).await
}

async fn file_now(vault: &Vault, caller: &Caller, asked: &NewAccessRequest) -> Result<RequestFiled, Failure> {
    let now = vault.clock.now();
    let reason = text("reason", &asked.reason, REASON)?;
    let case_number = asked.case_number.as_deref().map(|given| text("case_number", given, CASE_NUMBER)).transpose()?;
    let what = resolve(vault, caller, asked).await?;
    let authorised = authorise_on::<AskAccess>(caller.held(), Place::Collection(what.collection.id))?;

    let request = Request {
        id: RequestId::new(now),
        collection: what.collection.id,
        requester: authorised.person(),
        scope: what.scope,
        purpose: asked.purpose.clone(),
        rights: rights(asked.rights.clone())?,
        limits: asked.limits.as_ref().map_or_else(Limits::default, |given| Limits {
            sessions: given.sessions,
            records_per_day: given.records_per_day,
        }),
        created_at: now,
        until: asked.until.as_deref().map(|given| moment("until", given)).transpose()?,
        state: State::Pending,
    };
    request.check(&what.collection.policy, case_number.is_some(), now)?;
    for record in &what.records {
        usable(record, &request, &what.collection, now)?;
    }

    let under = match what.records.as_slice() {
        [one] if request.scope.single().is_some() => {
            Some(RecordWrap { record: one.id, kek_version: one.kek_version, wrap: one.wrap.clone() })
        }
        _ => None,
    };
    let pen = Pen::of(vault, &what.collection, under.as_ref()).await?;
    let seal = |column, value: &str| pen.seal(request.id, column, value).ok_or(Code::RecordNotAvailable);
    let sealed = Sealed {
        reason: seal(Column::Reason, &reason)?,
        case_number: case_number.as_deref().map(|given| seal(Column::CaseNumber, given)).transpose()?,
        comment: None,
    };
    let mut draft = pen
        .draft::<AccessRequested>(now, request.id, request.requester)
        .data("scope", kind_of(&request.scope))
        .data("purpose", request.purpose.clone())
        .data("rights", names_of(request.rights))
        .slot(SlotName::Scope, request.to_slot(), OpeningUnder::Staff)
        .slot(SlotName::Reason, reason, pen.under());
    if let Some(case_number) = case_number {
        draft = draft.slot(SlotName::CaseNumber, case_number, pen.under());
    }
    let entry = pen.prepare(draft)?;

    let ledger = vault.ledger()?;
    let mut tx = vault.store.begin("file_access_request").await?;
    hold_key(&mut tx, request.scope.single()).await?;
    rows::insert(&mut tx, &request, &sealed).await?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::request(request.id))).await?;
    tx.commit().await?;
    ledger.settle(ticket).await?;
    Ok(RequestFiled { id: request.id.to_string(), state: wire_state(request.state) })
}

/// What is asked for, as far as the caller may see it.
struct What {
    collection: CollectionRow,
    scope: Scope,
    /// The records named; none for a standing scope.
    records: Vec<RecordRow>,
}

async fn resolve(vault: &Vault, caller: &Caller, asked: &NewAccessRequest) -> Result<What, Failure> {
    match (&asked.record_id, &asked.scope) {
        (Some(id), None) => {
            let record = record(vault, caller, id).await?;
            let collection = collections::get(vault, record.collection).await?;
            Ok(What { collection, scope: Scope::Record(record.id), records: vec![record] })
        }
        (None, Some(WireScope::Batch(batch))) => frozen(vault, caller, batch).await,
        (None, Some(WireScope::Standing(standing))) => {
            let name = standing.collection.parse().map_err(|_| Code::NotFound)?;
            let collection = collections::find(vault, &name).await?;
            caller.permit_on(Action::AccessRequest, Place::Collection(collection.id))?;
            Ok(What { collection, scope: Scope::Standing(filter(standing)?), records: Vec::new() })
        }
        _ => Err(Failure::new(Code::InvalidRequest).detail("record_id or scope, exactly one of them")),
    }
}

/// The records of a frozen batch: all of one collection, each of them there for the caller to see.
async fn frozen(vault: &Vault, caller: &Caller, batch: &BatchScope) -> Result<What, Failure> {
    let parsed: Result<Vec<RecordId>, _> = batch.record_ids.iter().map(|id| id.parse()).collect();
    let ids = parsed.map_err(|_| Code::NotFound)?;
    let batch = Batch::try_from(ids).map_err(|_| invalid("scope.record_ids: 1 to 500"))?;
    let mut records = Vec::with_capacity(batch.ids().len());
    for id in batch.ids() {
        records.push(record(vault, caller, &id.to_string()).await?);
    }
    let Some(first) = records.first() else { return Err(Code::ScopeNotAllowed.into()) };
    let collection = collections::get(vault, first.collection).await?;
    if records.iter().any(|one| one.collection != collection.id) {
        return Err(Code::ScopeNotAllowed.into());
    }
    Ok(What { collection, scope: Scope::Batch(batch), records })
}

async fn record(vault: &Vault, caller: &Caller, id: &str) -> Result<RecordRow, Failure> {
    let id: RecordId = id.parse().map_err(|_| Code::NotFound)?;
    let record = records::find(&vault.store, id).await?.ok_or(Code::NotFound)?;
    caller.permit_on(Action::RecordRead, Place::Collection(record.collection))?;
    Ok(record)
}

/// What is sealed under a record's key is not written once the key is gone: whoever erases the record comes before this
/// transaction, and it ends here, or after it, and empties what it wrote.
pub(super) async fn hold_key(tx: &mut Tx, record: Option<RecordId>) -> Result<(), Failure> {
    match record {
        Some(record) if !erasures::hold_key(tx, record).await? => Err(Code::RecordNotAvailable.into()),
        _ => Ok(()),
    }
}

/// Whether a named record can be used for the purpose at all: asking for what can only be refused wastes an approver's time.
pub(super) fn usable(
    record: &RecordRow,
    request: &Request,
    collection: &CollectionRow,
    now: Timestamp,
) -> Result<(), Failure> {
    if record.state != RecordState::Available || record.retain_until.is_some_and(|end| end <= now) {
        return Err(Code::RecordNotAvailable.into());
    }
    let by_consent = collection.policy.purpose(&request.purpose).is_some_and(|purpose| purpose.basis.is_consent());
    let named = record.terms.purposes.contains(&request.purpose);
    let ended = record.terms.expires_at.is_some_and(|end| end <= now);
    if by_consent && (!named || ended) {
        return Err(Code::PurposeNotAllowed.into());
    }
    Ok(())
}

fn filter(standing: &StandingScope) -> Result<Filter, Failure> {
    let time = |name, given: &Option<String>| given.as_deref().map(|given| moment(name, given)).transpose();
    Ok(Filter {
        kind: standing.filter.kind.map(|kind| match kind {
            vault_api::records::MediaKind::Audio => Media::Audio,
            vault_api::records::MediaKind::Video => Media::Video,
        }),
        received_from: time("scope.filter.received_from", &standing.filter.received_from)?,
        received_until: time("scope.filter.received_until", &standing.filter.received_until)?,
    })
}

fn moment(member: &'static str, given: &str) -> Result<Timestamp, Failure> {
    let wrong = |_| Failure::new(Code::InvalidValue).detail(format!("{member}: an RFC 3339 time"));
    Timestamp::parse(given).map_err(wrong)
}

/// To view, when nothing is said; a list that names nothing asks for nothing.
fn rights(asked: Option<Vec<vault_api::access::Right>>) -> Result<Rights, Failure> {
    match asked {
        None => Ok(Rights::VIEW),
        Some(named) if named.is_empty() => Err(invalid("rights: at least one")),
        Some(named) => Ok(Rights::from(named.into_iter().map(right).collect::<Vec<_>>())),
    }
}

const fn right(right: vault_api::access::Right) -> vault_core::access::scope::Right {
    match right {
        vault_api::access::Right::View => vault_core::access::scope::Right::View,
        vault_api::access::Right::Export => vault_core::access::scope::Right::Export,
    }
}
