//! Redeeming a grant: what the log proves, the decision, the entry, and only then something that can read media.
//!
//! ```text
//! rows     say where to look: the request's grant, the caller's role, the record
//! log      proves approval and role (`Recorded<AccessApproved>`, `Recorded<RoleGranted>`), and that neither was taken
//!          back
//! record   consent is read from what was sealed at the upload, not from columns
//! decision limits are counted and decided in the transaction that enters session and `playback.opened`
//! log      proves `playback.opened`; only that makes an `ObjectReader`
//! ```

use std::sync::Arc;

use vault_api::code::Code;
use vault_api::playback::{NewSession, Representation};
use vault_core::access::decision::{self, Ask, Authorized, Play, Used};
use vault_core::access::denial::Denial;
use vault_core::access::grant::Grant;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::access::scope::{Media, RecordFacts, Right};
use vault_core::audit::entry::{AccessApproved, AccessRevoked, Decision, Draft, PlaybackOpened, RoleGranted};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, GrantId, RecordId, RequestId, SessionId};
use vault_core::keys::field::{FieldContext, FieldSealer as _};
use vault_core::keys::hierarchy::{FieldKey, RecordKey};
use vault_core::privacy::consent::Consent;
use vault_core::privacy::retention::day_of;
use vault_core::time::Timestamp;

use super::findings::Damage;
use super::live::{Live, clock_set_back};
use super::{SERVED, build, keep};
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::limits;
use crate::app::reference;
use crate::app::restrict::Subject;
use crate::clock::Set;
use crate::state::Vault;
use crate::store::Tx;
use crate::store::collections::CollectionRow;
use crate::store::erasures;
use crate::store::records::{self, ObjectRow, RecordRow, RecordState};
use crate::store::sessions::{self, SessionRow};

/// Opens a session. When this returns, `playback.opened` is committed and published.
pub async fn open(
    vault: &Arc<Vault>,
    caller: &Caller,
    request: RequestId,
    asked: &NewSession,
) -> Result<Arc<Live>, Failure> {
    let opening = prepare(vault, caller, request, asked).await?;
    match enter(vault, caller, opening).await {
        // Another key took the place of the record's between the two: once more, with that.
        Err(failure) if failure.code() == Code::RecordKeyChanged => {
            let opening = prepare(vault, caller, request, asked).await?;
            enter(vault, caller, opening).await
        }
        outcome => outcome,
    }
}

/// Everything that is known before the transaction.
struct Opening {
    approval: Recorded<AccessApproved>,
    role: Recorded<RoleGranted>,
    collection: CollectionRow,
    record: RecordRow,
    facts: RecordFacts,
    key: RecordKey,
    object: ObjectRow,
    right: Right,
    now: Timestamp,
}

async fn prepare(vault: &Vault, caller: &Caller, request: RequestId, asked: &NewSession) -> Result<Opening, Failure> {
    let now = vault.clock.now();
    let pointer = sessions::pointer(&vault.store, request).await?;
    let pointer = pointer.filter(|p| p.requester == caller.person()).ok_or(Denial::Absent)?;
    let place = Place::Collection(pointer.collection);
    let binding = decision::permit_on(caller.held(), Action::PlaybackOpen, place)?.id();
    let grant = pointer.grant.filter(|_| !pointer.revoked).ok_or(Denial::GrantNotInForce)?;
    if vault.agreement.set(vault.clock.as_ref()) == Some(Set::Back) {
        return Err(clock_set_back());
    }

    let approval = approved(vault, grant, request).await?;
    let role = vault.ledger()?.find_settled::<RoleGranted>(&reference::role(binding)).await?.ok_or(Denial::NotInLog)?;
    let collection = collections::get(vault, pointer.collection).await?;
    let record = wanted(vault, &approval, asked).await?;
    let subject = Subject::new().person(caller.person()).token(caller.token()).binding(binding).grant(grant);
    vault.restrictions.check(&subject.collection(collection.id).record(record.id))?;

    let key = told(vault, &record, "record-key-damaged", record_key(vault, &record).await)?;
    let facts = told(vault, &record, "record-row-damaged", facts(&record, &key.field_key()))?;
    let rows = records::original(&vault.store, record.id).await.map_err(Failure::from);
    let rows = rows.and_then(|rows| rows.ok_or_else(|| Code::IntegrityFailure.into()));
    let (object, _) = told(vault, &record, "object-rows-damaged", rows)?;
    let right = if asked.representation == Some(Representation::Original) { Right::Export } else { Right::View };
    Ok(Opening { approval, role, collection, record, facts, key, object, right, now })
}

/// Tells damage of the record, if that is why something failed.
fn told<T>(
    vault: &Vault,
    record: &RecordRow,
    finding: &'static str,
    outcome: Result<T, Failure>,
) -> Result<T, Failure> {
    if let Err(failure) = &outcome
        && failure.code() == Code::IntegrityFailure
    {
        let (collection, record) = (record.collection, record.id);
        vault.sessions.findings().tell_of(Damage { finding, collection, record, object: None, session: None });
    }
    outcome
}

/// The approval of `grant`, as the log has it, for this request and not taken back.
async fn approved(vault: &Vault, grant: GrantId, request: RequestId) -> Result<Recorded<AccessApproved>, Failure> {
    let ledger = vault.ledger()?;
    let approval = ledger.find_settled::<AccessApproved>(&reference::approval(grant)).await?.ok_or(Denial::NotInLog)?;
    let logged = Grant::from_evidence(&approval)?;
    if logged.terms().grant != grant || logged.terms().request != request {
        return Err(Denial::NotInLog.into());
    }
    if ledger.find::<AccessRevoked>(&reference::access_revoked(grant)).await?.is_some() {
        return Err(Denial::GrantNotInForce.into());
    }
    Ok(approval)
}

/// The record that is to be played: the one asked for, or the only one of the grant. One that is not there, or of another
/// collection, is told as one that the grant does not cover: a grant is no way to learn which records exist.
async fn wanted(vault: &Vault, approval: &Recorded<AccessApproved>, asked: &NewSession) -> Result<RecordRow, Failure> {
    let grant = Grant::from_evidence(approval)?;
    let id = match &asked.record_id {
        Some(text) => text.parse::<RecordId>().map_err(|_| Failure::new(Code::InvalidValue).detail("record_id"))?,
        None => {
            let missing =
                || Failure::new(Code::InvalidValue).detail("record_id: the request covers more than one record");
            grant.terms().scope.single().ok_or_else(missing)?
        }
    };
    let row = records::find(&vault.store, id).await?;
    let row = row.filter(|row| row.collection == grant.terms().collection).ok_or(Denial::GrantNotCovering)?;
    // Before a key is unwrapped; the decision asks again, with everything it needs.
    if grant.terms().scope.covers(&outline(&row)?) { Ok(row) } else { Err(Denial::GrantNotCovering.into()) }
}

/// What the row alone says of a record: enough to tell whether a scope covers it, not for a decision.
fn outline(record: &RecordRow) -> Result<RecordFacts, Failure> {
    let kind = match record.media.as_str() {
        "audio" => Media::Audio,
        "video" => Media::Video,
        _ => return Err(Failure::new(Code::IntegrityFailure).because("a record is neither audio nor video")),
    };
    Ok(RecordFacts {
        id: record.id,
        collection: record.collection,
        available: record.state == RecordState::Available,
        kind,
        received_at: record.received_at,
        consented: Vec::new(),
        consent_expires_at: None,
        retain_until: record.retain_until,
    })
}

/// The record's key. A wrap that does not open, or is another's, is damage.
pub(in crate::app) async fn record_key(vault: &Vault, record: &RecordRow) -> Result<RecordKey, Failure> {
    let wrap = record.wrap.as_deref().ok_or(Code::RecordNotAvailable)?;
    Ok(vault.keys()?.unwrap_record_key(record.collection, record.id, record.kek_version, wrap).await?)
}

/// What the decision must know of the record. The consent is the sealed one: a column can be edited.
fn facts(record: &RecordRow, key: &FieldKey) -> Result<RecordFacts, Failure> {
    let damaged = |what: &'static str| Failure::new(Code::IntegrityFailure).because(what);
    let consent = match &record.consent {
        Some(sealed) => {
            let place = FieldContext { table: "records", row: record.id.as_bytes(), column: "consent" };
            let text = key.open(place, sealed).map_err(|_| damaged("a record's sealed consent does not open"))?;
            Some(Consent::parse(&text).map_err(|_| damaged("a record's sealed consent cannot be read"))?)
        }
        None => None,
    };
    let (consented, consent_expires_at) = consent.map(|c| (c.purposes, c.expires_at)).unwrap_or_default();
    Ok(RecordFacts { consented, consent_expires_at, ..outline(record)? })
}

/// Decides, enters session and entry together, waits for the evidence, and makes the session playable.
async fn enter(vault: &Arc<Vault>, caller: &Caller, opening: Opening) -> Result<Arc<Live>, Failure> {
    let Opening { approval, role, collection, record, facts, key, object, right, now } = opening;
    let (ledger, staff) = (vault.ledger()?, vault.keys()?.staff_audit_key(collection.id).await?);
    let field = key.field_key();
    let grant = Grant::from_evidence(&approval)?.terms().grant;

    let mut tx = vault.store.begin("open_session").await?;
    // Its entry needs the record's row in the end: in the order of a revocation, which holds it before the grant's.
    let _erased = erasures::hold_key(&mut tx, record.id).await?;
    within_cap(vault, &mut tx, caller, now).await?;
    let used = sessions::usage(&mut tx, grant, record.id, day_of(now)).await?;
    let used = Used { sessions: used.sessions, records_today: used.records, this_one_today: used.this_one };
    let ask = Ask { record: &facts, right, used, policy: &collection.policy, now };
    let authorised = decision::decide_play(caller.held(), &approval, &role, ask)?;
    let row = row(vault, &authorised, &object, now);
    let keys = OpeningKeys { staff: staff.as_ref(), record: Some((record.id, &field)) };
    let entry = draft(&row, &authorised, right, &record, &collection).prepare(&keys)?;
    sessions::insert(&mut tx, &row).await?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::session(row.id))).await?;
    tx.commit().await?;

    let evidence = ledger.settle(ticket).await?;
    // Its share was entered with it.
    keep(vault, build(vault, row, key, evidence).await?.joined()).await
}

/// Bounds what one person keeps open, so that nobody pushes others' sessions out of memory. Counted in the transaction
/// that enters the session.
async fn within_cap(vault: &Vault, tx: &mut Tx, caller: &Caller, now: Timestamp) -> Result<(), Failure> {
    let open = sessions::open_of(tx, caller.person(), now).await?;
    let Some(first) = open.first_ends.filter(|_| open.count >= vault.config.limits.sessions_per_person) else {
        return Ok(());
    };
    Err(limits::refused(&vault.metrics, Code::RateLimited, "sessions_per_person", first.since(now)))
}

/// The session's row. It ends with whatever it stands on, and with the vault's own limit.
fn row(vault: &Vault, authorised: &Authorized<Play>, object: &ObjectRow, now: Timestamp) -> SessionRow {
    let terms = authorised.detail();
    let longest = now.plus(core::time::Duration::from_secs(vault.config.sessions.minutes.saturating_mul(60)));
    SessionRow {
        id: SessionId::new(now),
        request: terms.request,
        grant: terms.grant,
        binding: terms.binding,
        collection: terms.collection,
        record: terms.record,
        object: object.id,
        person: authorised.person(),
        representation: SERVED.to_owned(),
        instance: vault.sessions.instance().to_owned(),
        created_at: now,
        expires_at: terms.ends_at.min(longest),
        closed_at: None,
    }
}

/// The entry. It presumes the whole representation disclosed until `playback.closed` says less.
fn draft(
    row: &SessionRow,
    authorised: &Authorized<Play>,
    right: Right,
    record: &RecordRow,
    collection: &CollectionRow,
) -> Draft<PlaybackOpened> {
    let right = match right {
        Right::View => "view",
        Right::Export => "export",
    };
    Draft::new(row.created_at)
        .collection(row.collection)
        .decision(Decision::Allowed)
        .kek_version(record.kek_version)
        .policy(collection.policy_hash)
        .data("representation", row.representation.clone())
        .data("right", right)
        .data("purpose", authorised.detail().purpose.clone())
        .data("expires_at", row.expires_at.to_string())
        .slot(SlotName::Session, row.id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Request, row.request.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Grant, row.grant.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Binding, row.binding.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, row.person.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Record, row.record.to_string(), OpeningUnder::Record)
        .slot(SlotName::Object, row.object.to_string(), OpeningUnder::Record)
}

/// Whether an entry is that of this row: a row edited by hand names another person, object or grant, or ends later.
pub(super) fn is_of(evidence: &Recorded<PlaybackOpened>, row: &SessionRow) -> bool {
    let slot = |name: SlotName, text: String| evidence.slot(name) == Some(text.as_str());
    let data = |name: &str, text: &str| evidence.data(name).and_then(|value| value.as_str()) == Some(text);
    slot(SlotName::Session, row.id.to_string())
        && slot(SlotName::Request, row.request.to_string())
        && slot(SlotName::Grant, row.grant.to_string())
        && slot(SlotName::Binding, row.binding.to_string())
        && slot(SlotName::Staff, row.person.to_string())
        && slot(SlotName::Record, row.record.to_string())
        && slot(SlotName::Object, row.object.to_string())
        && data("representation", &row.representation)
        && data("expires_at", &row.expires_at.to_string())
        && evidence.collection() == Some::<CollectionId>(row.collection)
}
