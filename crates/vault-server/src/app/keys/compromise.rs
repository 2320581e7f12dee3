//! A version that is known or feared to be compromised (`docs/keys.md` §7).
//!
//! One transaction: the version is marked, its successor active where it was the active one, the collection's own keys
//! under the successor, the entries written. From its commit on nothing is wrapped under the version, and it opens nothing
//! on any node, but for the job that moves its record keys, which shows the log's entry ([`incident`]). That job begins at
//! once and before all others.

use core::time::Duration;

use vault_api::code::Code;
use vault_api::keys::KeyRotation;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionName, PersonId};
use vault_core::keys::incident::Incident;
use vault_core::keys::lifecycle::{Demand, KeyState, Operation, Policy, Reason};
use vault_core::keys::wrap::KekRef;

use super::begin::{activated, carry_out, exactly_one_active, versions, without_destruction};
use super::destroy::withdraw;
use super::rotate::held;
use super::show::rotation_shown;
use super::{drafted, pen_of};
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::Hold;
use crate::store::keys::{self, RotationRow, RotationState};

/// Longest name of an incident.
const INCIDENT: usize = 200;

/// Marks a version as compromised, makes sure of a successor, and begins to move what is under it.
pub async fn mark_compromised(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    version: u32,
    incident: &str,
    reason: &str,
) -> Result<KeyRotation, Failure> {
    let collection = collections::find(vault, name).await?;
    // As destroying does, it takes a version out of use, and waits for no log.
    caller.permit_on(Action::KeyDestroy, Place::Collection(collection.id))?;
    let (incident, reason) = (text("incident", incident, INCIDENT)?, text("reason", reason, 2000)?);
    let kek = KekRef { collection: collection.id, version };
    let said = Some(Said { by: caller.person(), incident, reason });
    take_out(vault, kek, &collection.policy.key_policy(), said).await.map(|rotation| rotation_shown(&rotation))
}

/// What somebody said who marked a version.
struct Said {
    by: PersonId,
    incident: String,
    reason: String,
}

/// Marks a version again whose incident is in the log, since an older database has come back. The log's own entry stays the
/// one that opens it for the job that moves what is under it.
pub async fn mark_again(vault: &Vault, kek: KekRef, policy: &Policy) -> Result<(), Failure> {
    take_out(vault, kek, policy, None).await.map(drop)
}

async fn take_out(vault: &Vault, kek: KekRef, policy: &Policy, said: Option<Said>) -> Result<RotationRow, Failure> {
    let KekRef { collection, version } = kek;
    let total = held(vault, collection).await?.values().sum();
    let pen = pen_of(vault, collection).await?;
    let now = vault.clock.now();

    let mut tx = vault.store.begin("mark_compromised").await?;
    tx.hold(Hold::Keys).await?;
    let versions = versions(tx.conn(), collection).await?;
    let planned = without_destruction(now, &versions, policy, Demand::Compromised(version))?;
    let active = versions.iter().find(|key| key.state == KeyState::Active).map(|key| key.version);
    let to = activated(&planned).map(|(to, _)| to).or(active).ok_or(Code::Internal)?;
    let mut last = None;
    for one in &planned {
        let is_mark = matches!(one.operation, Operation::MarkCompromised(_));
        carry_out(vault, &mut tx, collection, one.operation, now).await?;
        let mut draft = drafted(&pen, now, said.as_ref().map(|said| said.by), *one);
        let mut reference = None;
        match &said {
            Some(said) => {
                draft = draft.slot(SlotName::Reason, said.reason.clone(), OpeningUnder::Staff);
                if is_mark {
                    draft = draft.slot(SlotName::CaseNumber, said.incident.clone(), OpeningUnder::Staff);
                    reference = Some(reference::key_compromised(collection, version));
                }
            }
            None => draft = draft.data("again", true),
        }
        last = Some(vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, reference).await?);
    }
    exactly_one_active(&mut tx, collection, to).await?;
    let rotation = RotationRow {
        collection,
        from: version,
        to,
        state: RotationState::Running,
        because: Reason::Compromised.as_str().to_owned(),
        priority: 1,
        throttle: None,
        total,
        done: 0,
        damaged: 0,
        worked: Duration::ZERO,
        started_at: now,
        updated_at: now,
        finished_at: None,
    };
    keys::put_rotation(tx.conn(), &rotation).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::key_compromised(kek.tag()), now).await?;
    vault.restrictions.commit(tx, imposed).await?;
    withdraw(vault);
    vault.keys()?.rotation_begun();
    if let Some(ticket) = last {
        // It stands whether or not the log can be written; moving the records waits for the entry.
        if let Err(e) = vault.ledger()?.settle(ticket).await {
            tracing::warn!(%kek, error = %e, "a version is marked as compromised while its entry waits for the log");
        }
    }
    Ok(rotation)
}

/// That a version is compromised, as the log has it: what opens it for the job that moves its record keys, and what lets its exposed
/// records be encrypted anew.
pub(in crate::app) async fn incident(vault: &Vault, kek: KekRef) -> Result<Incident, Failure> {
    let reference = reference::key_compromised(kek.collection, kek.version);
    let evidence = vault.ledger()?.find_settled::<KeyOperation>(&reference).await?.ok_or(Code::NotInLog)?;
    Ok(Incident::from_evidence(&evidence).filter(|incident| incident.kek() == kek).ok_or(Code::NotInLog)?)
}
