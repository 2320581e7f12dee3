//! Rotating a collection's KEK.

use std::collections::HashMap;

use vault_api::code::Code;
use vault_api::keys::KeyRotation;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::keys::lifecycle::{Demand, KeyState, KeyVersion, Operation, PlanError, Planned, plan};
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::drafted;
use super::show::of;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::state::Vault;
use crate::store::keys::{self, RotationRow};
use crate::store::{Hold, StoreError, Tx};

/// Gives the collection a fresh active KEK version at once; record keys follow in the background.
pub async fn rotate(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    reason: &str,
) -> Result<KeyRotation, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRotate, Place::Collection(collection.id))?;
    let reason = text("reason", reason, 2000)?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(collection.id)).await?;

    let mut tx = vault.store.begin("rotate_kek").await?;
    tx.hold(Hold::Keys).await?;
    if keys::rotation(tx.conn(), collection.id).await?.is_some_and(|r| r.finished_at.is_none()) {
        return Err(Code::RotationRunning.into());
    }
    let versions = versions(&mut tx, collection.id).await?;
    let planned = plan(now, &versions, vault.keys()?.policy(), Demand::Rotate)?;
    let mut last = None;
    for one in &planned {
        carry_out(vault, &mut tx, collection.id, one.operation, now).await?;
        let draft = drafted(&pen, now, Some(caller.person()), *one);
        let draft = draft.slot(SlotName::Reason, reason.clone(), OpeningUnder::Staff);
        last = Some(vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?);
    }
    let rotation = rotation_of(collection.id, &versions, &planned, now)?;
    exactly_one_active(&mut tx, collection.id, rotation.to).await?;
    keys::put_rotation(tx.conn(), &rotation).await?;
    tx.commit().await?;
    vault.keys()?.rotation_begun();
    if let Some(ticket) = last {
        vault.ledger()?.settle(ticket).await?;
    }
    let shown = of(vault, collection.id, &collection.name).await?;
    shown.rotation.ok_or_else(|| Code::Internal.into())
}

async fn versions(tx: &mut Tx, collection: CollectionId) -> Result<Vec<KeyVersion>, StoreError> {
    let held: HashMap<u32, u64> = keys::records_held(tx.conn(), collection).await?.into_iter().collect();
    let rows = keys::keks(tx.conn(), collection).await?;
    Ok(rows.iter().map(|row| row.planned(held.get(&row.version).copied().unwrap_or(0))).collect())
}

/// One operation of the plan, in the transaction. Moving record keys is left to the background.
async fn carry_out(
    vault: &Vault,
    tx: &mut Tx,
    collection: CollectionId,
    operation: Operation,
    now: Timestamp,
) -> Result<(), Failure> {
    let me = KekRef { collection, version: operation.version() };
    let step = match operation {
        Operation::Create(_) => {
            vault.keys()?.make_kek(tx, me, now).await?;
            return Ok(());
        }
        Operation::Rewrap { .. } => return Ok(()),
        Operation::Activate(_) => (KeyState::PreActive, KeyState::Active),
        Operation::Deactivate(_) => (KeyState::Active, KeyState::Deactivated),
        // A demand to rotate plans neither of them.
        Operation::MarkCompromised(_) | Operation::Destroy(_) => return Err(Code::KeyUnusable.into()),
    };
    if !keys::step_kek(tx.conn(), me, step.0, step.1, now).await? {
        return Err(Code::Conflict.into());
    }
    if let Operation::Activate(_) = operation {
        // The collection's two own keys move here and now: they are what the next entry and pseudonym need.
        let (active, kek) = vault.keys()?.count(tx, collection, 2).await?;
        vault.keys()?.rewrap_children(tx, active, &kek).await?;
    }
    Ok(())
}

fn rotation_of(
    collection: CollectionId,
    before: &[KeyVersion],
    planned: &[Planned],
    now: Timestamp,
) -> Result<RotationRow, Failure> {
    let activated = planned.iter().find_map(|p| match p.operation {
        Operation::Activate(version) => Some(version),
        _ => None,
    });
    let to = activated.ok_or(Code::Internal)?;
    let from = before.iter().find(|k| k.state == KeyState::Active).map_or(to, |k| k.version);
    Ok(RotationRow { collection, from, to, cursor: String::new(), done: 0, started_at: now, finished_at: None })
}

/// The last look before the commit: a plan or a row that lies must not leave a collection with no key or two.
async fn exactly_one_active(tx: &mut Tx, collection: CollectionId, expected: u32) -> Result<(), Failure> {
    let rows = keys::keks(tx.conn(), collection).await?;
    let mut active = rows.iter().filter(|row| row.state == KeyState::Active).map(|row| row.version);
    match (active.next(), active.next()) {
        (Some(one), None) if one == expected => Ok(()),
        _ => Err(Failure::new(Code::IntegrityFailure).detail("a collection has exactly one active key")),
    }
}

impl From<PlanError> for Failure {
    fn from(e: PlanError) -> Self {
        let code = match e {
            PlanError::TwoActive(..) => Code::IntegrityFailure,
            PlanError::NoSuchVersion(_) => Code::NotFound,
            PlanError::Illegal(_) | PlanError::Exhausted => Code::KeyUnusable,
        };
        Self::new(code).because(e)
    }
}
