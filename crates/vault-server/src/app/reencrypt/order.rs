//! A key officer has recordings encrypted anew, or asks how much that would be; pauses it, lets it go on, ends it.
//!
//! One person is enough, as for marking a version as compromised: it takes nothing from anybody. What approves it is the incident: of a version
//! the log's entry that it is compromised, of one record the incident that is named.

use vault_api::code::Code;
use vault_api::reencryption::{Reencryption, ReencryptionPlan};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionName, RecordId, ReencryptionId};
use vault_core::keys::wrap::KekRef;

use super::show::shown;
use super::work::page;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::incident;
use crate::app::people::{invalid, text};
use crate::app::reference;
use crate::state::Vault;
use crate::store::collections::CollectionRow;
use crate::store::records;
use crate::store::reencryptions::{self as rows, Amount, ReencryptionRow, ReencryptionState as State, What};

/// Longest name of an incident, and longest reason.
const INCIDENT: usize = 200;
const REASON: usize = 2000;

/// What is to be encrypted anew.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// What this version exposes.
    ExposedBy(u32),
    /// This record.
    Record(RecordId),
}

/// How a key officer wants it.
pub struct Wish<'a> {
    /// Of what.
    pub what: Asked,
    /// The incident, where no entry of the log names it.
    pub incident: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// At most so many bytes a second.
    pub throttle: Option<u64>,
}

/// A wish that can be fulfilled, as far as it can be told beforehand.
struct Checked {
    collection: CollectionRow,
    what: What,
    incident: Option<String>,
    reason: String,
    throttle: Option<u64>,
}

async fn checked(vault: &Vault, caller: &Caller, name: &CollectionName, wish: &Wish<'_>) -> Result<Checked, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    let reason = text("reason", wish.reason, REASON)?;
    let incident = wish.incident.map(|incident| text("incident", incident, INCIDENT)).transpose()?;
    if wish.throttle == Some(0) {
        return Err(invalid("bytes_per_second: at least 1; pause it instead"));
    }
    let what = match wish.what {
        Asked::ExposedBy(version) => What::ExposedBy(version),
        Asked::Record(_) if incident.is_none() => return Err(invalid("incident: needed for a single record")),
        Asked::Record(record) => {
            let row = records::find(&vault.store, record).await?.filter(|row| row.collection == collection.id);
            if row.ok_or(Code::NotFound)?.wrap.is_none() {
                return Err(Code::RecordNotAvailable.into());
            }
            What::Record(record)
        }
    };
    Ok(Checked { collection, what, incident, reason, throttle: wish.throttle })
}

/// How much there is, by a walk over the collection's rows.
async fn amount(vault: &Vault, collection: &CollectionRow, what: What) -> Result<(u64, Amount), Failure> {
    let (mut looked_at, mut all, mut cursor) = (0, Amount::default(), String::new());
    loop {
        let found = page(vault, collection.id, what, &cursor).await?;
        looked_at += found.looked_at;
        for (_, size) in &found.records {
            all.records += 1;
            all.bytes = all.bytes.saturating_add(*size);
        }
        match found.next {
            Some(next) => cursor = next,
            None => return Ok((looked_at, all)),
        }
    }
}

/// What [`begin`] would deal with now. Changes nothing, and takes no incident: it can be asked beforehand what a leak would cost.
pub async fn planned(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    wish: &Wish<'_>,
) -> Result<ReencryptionPlan, Failure> {
    let Checked { collection, what, .. } = checked(vault, caller, name, wish).await?;
    let (looked_at, Amount { records, bytes }) = amount(vault, &collection, what).await?;
    Ok(ReencryptionPlan { collection: collection.name.to_string(), looked_at, records, bytes })
}

/// Begins; the job does it while the vault is used.
pub async fn begin(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    wish: &Wish<'_>,
) -> Result<Reencryption, Failure> {
    let Checked { collection, what, incident: named, reason, throttle } = checked(vault, caller, name, wish).await?;
    let (_, total) = amount(vault, &collection, what).await?;
    if let What::ExposedBy(version) = what {
        let kek = KekRef { collection: collection.id, version };
        incident(vault, kek).await.map_err(|failure| match failure.code() {
            Code::NotInLog => Failure::new(Code::KeyUnusable).detail("the version is not marked as compromised"),
            _ => failure,
        })?;
    }
    let now = vault.clock.now();
    let row = ReencryptionRow {
        id: ReencryptionId::new(now),
        collection: collection.id,
        what,
        state: State::Running,
        throttle,
        total,
        done: Amount::default(),
        skipped: 0,
        damaged: 0,
        cursor: String::new(),
        worked: core::time::Duration::ZERO,
        started_at: now,
        updated_at: now,
        finished_at: None,
    };
    let pen = StaffPen::of(vault, Some(collection.id)).await?;
    let mut draft = pen
        .draft::<KeyOperation>(now, Some(caller.person()))
        .data("operation", "reencrypt")
        .data("reencryption", row.id.to_string())
        .data("records", total.records)
        .data("bytes", total.bytes)
        .slot(SlotName::Reason, reason, OpeningUnder::Staff);
    draft = match what {
        What::ExposedBy(version) => draft.kek_version(version).data("because", "compromised"),
        What::Record(record) => {
            draft.data("because", "requested").slot(SlotName::Record, record.to_string(), OpeningUnder::Staff)
        }
    };
    if let Some(named) = named {
        draft = draft.slot(SlotName::CaseNumber, named, OpeningUnder::Staff);
    }
    let entry = pen.prepare(draft)?;
    let mut tx = vault.store.begin("begin_reencryption").await?;
    if !rows::begin(tx.conn(), &row).await? {
        tx.rollback().await?;
        return Err(Code::ReencryptionRunning.into());
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::reencryption(row.id))).await?;
    tx.commit().await?;
    if let Err(e) = vault.ledger()?.settle(ticket).await {
        // No recording is opened before the log takes entries again.
        tracing::warn!(error = %e, "a re-encryption has begun while its entry waits for the log");
    }
    Ok(shown(&row))
}

/// Stops it until somebody resumes it. A recording under way is begun anew then.
pub async fn pause(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<Reencryption, Failure> {
    control(vault, caller, name, State::Paused).await
}

/// Lets it go on.
pub async fn resume(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<Reencryption, Failure> {
    control(vault, caller, name, State::Running).await
}

/// Ends it. What is encrypted anew stays so.
pub async fn cancel(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<Reencryption, Failure> {
    control(vault, caller, name, State::Cancelled).await
}

async fn control(vault: &Vault, caller: &Caller, name: &CollectionName, to: State) -> Result<Reencryption, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    let find = async || {
        let mut reader = vault.store.read().await?;
        rows::find(reader.conn(), collection.id).await
    };
    let row = find().await?.ok_or(Code::ReencryptionNotRunning)?;
    if row.state == to {
        return Ok(shown(&row));
    }
    let (from, operation) = match to {
        State::Paused => ([State::Running; 2], "pause-reencrypt"),
        State::Running => ([State::Paused; 2], "resume-reencrypt"),
        State::Cancelled | State::Done => ([State::Running, State::Paused], "cancel-reencrypt"),
    };
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(collection.id)).await?;
    let draft = pen
        .draft::<KeyOperation>(now, Some(caller.person()))
        .data("operation", operation)
        .data("reencryption", row.id.to_string());
    let entry = pen.prepare(draft)?;
    let mut tx = vault.store.begin("control_reencryption").await?;
    if !rows::step(tx.conn(), &row, from, to, now).await? {
        tx.rollback().await?;
        return Err(Code::ReencryptionNotRunning.into());
    }
    if to != State::Running {
        // A recording under way is begun anew, if at all.
        rows::end_rewrites(tx.conn(), row.id).await?;
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, None).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    Ok(shown(&find().await?.ok_or(Code::ReencryptionNotRunning)?))
}
