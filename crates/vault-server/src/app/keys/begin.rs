//! Carrying a plan out: everything but the moving of record keys, in one transaction.
//!
//! The transaction holds [`Hold::Keys`], so that of two who rotate at once the second sees what the first has done. It
//! plans on what it reads itself, and looks once more before the commit that exactly one version is active.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::keys::lifecycle::{Demand, KeyState, KeyVersion, Operation, PlanError, Planned, Policy, Reason, plan};
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::drafted;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::ledger::Ticket;
use crate::state::Vault;
use crate::store::keys::{self, RotationRow, RotationState};
use crate::store::{Conn, Hold, StoreError, Tx};

/// Whose keys, and what is wanted of them.
pub(super) struct Wanted<'a> {
    /// The collection, or the vault itself.
    pub(super) collection: CollectionId,
    /// When its keys are due.
    pub(super) policy: Policy,
    /// What is wanted beyond that.
    pub(super) demand: Demand,
    /// Who wants it, and why; nobody where it is only due.
    pub(super) asked: Option<(PersonId, &'a str)>,
    /// At most so many record keys a second.
    pub(super) throttle: Option<u32>,
    /// Record keys under the versions there are now, counted before the transaction: only to be shown.
    pub(super) held: u64,
}

/// A rotation that was begun.
pub(super) struct Begun {
    /// As it is written down.
    pub(super) rotation: RotationRow,
    /// The entry of its last operation.
    pub(super) ticket: Ticket<KeyOperation>,
}

/// What the planner needs to know of a collection's versions. That one still wraps record keys is enough for a plan; counting
/// a million of them is not for a transaction.
pub(super) async fn versions(conn: &mut Conn, collection: CollectionId) -> Result<Vec<KeyVersion>, StoreError> {
    let children = keys::children(conn, collection).await?;
    let mut versions = Vec::new();
    for row in keys::keks(conn, collection).await? {
        let own = children.iter().filter(|(_, version)| *version == row.version).count();
        let records = keys::holds_records(conn, KekRef { collection, version: row.version }).await?;
        versions.push(row.planned(u64::try_from(own).unwrap_or(u64::MAX).saturating_add(u64::from(records))));
    }
    Ok(versions)
}

/// The plan without destructions: those are no part of a rotation.
pub(super) fn without_destruction(
    now: Timestamp,
    versions: &[KeyVersion],
    policy: &Policy,
    demand: Demand,
) -> Result<Vec<Planned>, PlanError> {
    let mut planned = plan(now, versions, policy, demand)?;
    planned.retain(|one| !matches!(one.operation, Operation::Destroy(_)));
    Ok(planned)
}

/// The version that a plan activates, and why; none when it does not rotate.
pub(super) fn activated(planned: &[Planned]) -> Option<(u32, Reason)> {
    planned.iter().find_map(|one| match one.operation {
        Operation::Activate(version) => Some((version, one.reason)),
        _ => None,
    })
}

/// Begins a rotation in the caller's transaction; none when nothing is due any more. What is only due waits for a rotation that
/// runs, and stays paused where one is paused; who asks is told of either.
pub(super) async fn begin(
    vault: &Vault,
    tx: &mut Tx,
    pen: &StaffPen,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Option<Begun>, Failure> {
    tx.hold(Hold::Keys).await?;
    let Wanted { collection, policy, demand, .. } = wanted;
    let under_way = keys::rotation(tx.conn(), *collection).await?.filter(|row| !row.is_over());
    let (state, throttle) = match (under_way, demand) {
        (Some(_), Demand::Rotate) => return Err(Code::RotationRunning.into()),
        (Some(row), Demand::Upkeep) if row.state == RotationState::Running => return Ok(None),
        (Some(row), Demand::Upkeep) => (row.state, row.throttle),
        // A cycle has time: it lets what is under way end, and leaves what somebody paused.
        (Some(_), Demand::Cycle) => return Ok(None),
        // What is compromised waits for nobody.
        (_, _) => (RotationState::Running, wanted.throttle),
    };
    let versions = versions(tx.conn(), *collection).await?;
    let planned = without_destruction(now, &versions, policy, *demand)?;
    let Some((to, because)) = activated(&planned) else { return Ok(None) };
    let mut last = None;
    for one in &planned {
        carry_out(vault, tx, *collection, one.operation, now).await?;
        let mut draft = drafted(pen, now, wanted.asked.map(|(staff, _)| staff), *one);
        if let Some((_, reason)) = wanted.asked {
            draft = draft.slot(SlotName::Reason, reason, OpeningUnder::Staff);
        }
        last = Some(vault.ledger()?.enqueue(tx, pen.prepare(draft)?, None).await?);
    }
    exactly_one_active(tx, *collection, to).await?;
    let from = versions.iter().find(|key| key.state == KeyState::Active).map_or(to, |key| key.version);
    let rotation = RotationRow {
        collection: *collection,
        from,
        to,
        state,
        because: because.as_str().to_owned(),
        priority: u32::from(because == Reason::Compromised),
        throttle,
        total: wanted.held,
        done: 0,
        damaged: 0,
        worked: Duration::ZERO,
        started_at: now,
        updated_at: now,
        finished_at: None,
    };
    keys::put_rotation(tx.conn(), &rotation).await?;
    // A plan that activates has at least that operation.
    Ok(last.map(|ticket| Begun { rotation, ticket }))
}

/// One operation of the plan, in the transaction. Moving record keys is left to the background.
pub(super) async fn carry_out(
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
        Operation::MarkCompromised(_) => {
            let held = keys::hold_kek(tx.conn(), me).await?.ok_or(Code::NotFound)?;
            let to = held.step(KeyState::Compromised).map_err(|e| Failure::new(Code::KeyUnusable).because(e))?;
            (held, to)
        }
        // That takes two officers: `destroy`.
        Operation::Destroy(_) => return Err(Code::KeyUnusable.into()),
    };
    if !keys::step_kek(tx.conn(), me, step.0, step.1, now).await? {
        return Err(Code::Conflict.into());
    }
    if let Operation::Activate(_) = operation {
        // The collection's two own keys move here and now: they are what the next entry and pseudonym need.
        vault.keys()?.move_children(tx, me).await?;
    }
    Ok(())
}

/// The last look before the commit: a plan or a row that lies must not leave a collection with no key or two.
pub(super) async fn exactly_one_active(tx: &mut Tx, collection: CollectionId, expected: u32) -> Result<(), Failure> {
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
