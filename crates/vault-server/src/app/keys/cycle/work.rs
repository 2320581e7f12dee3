//! The steps of a cycle, on one node at a time.
//!
//! A lease saves two nodes from doing the same; each transaction compares its fence, so that one that slept does nothing late.
//! Each step is whole by itself, and after a crash the next look finds what is left.

use vault_api::code::Code;
use vault_core::ids::CollectionId;
use vault_core::keys::cycle::{self, Next, Scope, Step, VersionsGone, next};
use vault_core::keys::lifecycle::{Demand, Reason};
use vault_core::keys::wrap::KekRef;

use super::told::{Agreement, Word, word};
use super::world::{Gone, world};
use super::{quoting, take_back};
use crate::app::collections;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::begin::{Wanted, begin};
use crate::app::keys::destroy::{carry_out_due, put_down};
use crate::app::keys::office::Office;
use crate::app::keys::pen_of;
use crate::app::keys::root::rotate_for_cycle;
use crate::app::keys::rotate::held;
use crate::app::reference;
use crate::app::restored;
use crate::state::Vault;
use crate::store::Hold;
use crate::store::keys::{self, CycleRow, CycleState};
use crate::store::leases::Lease;

/// Rotations under way at once: each moves record keys as fast as it may.
const AT_ONCE: usize = 4;
/// Steps that follow from each other without anybody's doing, at most: destroy, turn the root, end.
const ROUNDS: usize = 4;

/// One node's work on cycles: it stands for the lease, and remembers what the log said for good.
#[derive(Default)]
pub struct Carrier {
    office: Office,
    gone: Gone,
}

/// Takes the cycle under way as far as it goes now. Answers whether there is one, to look at again soon.
pub async fn carry_on(vault: &Vault, carrier: &mut Carrier) -> Result<bool, Failure> {
    if restored::waits(vault).await? {
        return Ok(false);
    }
    let last = {
        let mut reader = vault.store.read().await?;
        keys::last_cycle(reader.conn()).await?
    };
    let Some(row) = last else { return Ok(false) };
    if row.state != CycleState::Running {
        // What a crash kept from being taken back.
        return take_back(vault, row.number, None).await.map(|()| false);
    }
    let Some(lease) = carrier.office.stand(vault, "cycle").await? else { return Ok(true) };
    let mut outcome = Ok(true);
    for _ in 0..ROUNDS {
        outcome = round(vault, &row, &lease, &mut carrier.gone).await;
        if !matches!(outcome, Ok(true)) {
            break;
        }
    }
    lease.release(&vault.store).await?;
    outcome.map(|_| true)
}

/// One look, and what follows from it. Whether another look may find more to do.
async fn round(vault: &Vault, row: &CycleRow, lease: &Lease, gone: &mut Gone) -> Result<bool, Failure> {
    // Whoever watches it sees it change.
    if !lease.renew(&vault.store, vault.clock.now()).await? {
        return Ok(false);
    }
    let word = word(vault, row).await?;
    if let Some(state) = word.ended {
        // The row is older than the log: it came back with an older database.
        let mut tx = vault.store.begin("end_cycle").await?;
        tx.hold(Hold::Keys).await?;
        keys::end_cycle(tx.conn(), row.number, state, vault.clock.now()).await?;
        tx.commit().await?;
        return Ok(false);
    }
    let cannot = |e| Failure::new(Code::IntegrityFailure).because(e).detail("the cycle of keys cannot go on");
    let mut world = world(vault, row.number, word.agreement.is_some()).await?;
    let mut then = next(&word.scope, &world).map_err(cannot)?;
    if !matches!(then, Next::Versions { .. }) {
        // Which epochs have to go is the log's word, not the rows'.
        gone.prove(vault, &word.scope, &mut world).await?;
        then = next(&word.scope, &world).map_err(cannot)?;
    }
    match then {
        Next::Versions { steps, .. } => step_by_step(vault, row, &word, steps, lease).await,
        Next::Root(gone) => turn_root(vault, row, gone, lease).await.map(|()| true),
        Next::Epochs(_) => Ok(false),
        Next::Done => finish(vault, row, &word, lease).await.map(|()| false),
    }
}

/// Takes the steps. Trouble with one collection keeps no other waiting; the last is answered.
async fn step_by_step(
    vault: &Vault,
    row: &CycleRow,
    word: &Word,
    steps: Vec<Step>,
    lease: &Lease,
) -> Result<bool, Failure> {
    let under_way = {
        let mut reader = vault.store.read().await?;
        keys::rotations_running(reader.conn()).await?
    };
    let mut places =
        AT_ONCE.saturating_sub(under_way.iter().filter(|row| row.because == Reason::Cycle.as_str()).count());
    let (mut put, mut outcome) = (false, Ok(()));
    for step in steps {
        let taken = match (step, word.agreement) {
            (Step::Rotate(collection), _) if places > 0 => {
                places -= 1;
                rotate(vault, row, collection, lease).await
            }
            (Step::Rotate(_), _) | (Step::Destroy(_), None) => continue,
            (Step::Destroy(kek), Some(agreement)) => {
                let done = destroy(vault, row, kek, (&agreement, &word.scope), lease).await;
                put |= done.is_ok();
                done
            }
        };
        if let Err(failure) = taken {
            tracing::warn!(?step, causes = failure.causes(), "a step of the cycle of keys fails: {failure}");
            outcome = Err(failure);
        }
        // Lost, there is another node that does the rest.
        if !lease.renew(&vault.store, vault.clock.now()).await? {
            return Ok(false);
        }
    }
    if put {
        // What is due at once is gone at once; anything else waits for its job.
        carry_out_due(vault).await?;
    }
    outcome.map(|()| put)
}

/// A fresh version for a collection. One whose rotation somebody has begun meanwhile waits for the next look.
async fn rotate(vault: &Vault, row: &CycleRow, collection: CollectionId, lease: &Lease) -> Result<(), Failure> {
    let policy = collections::get(vault, collection).await?.policy.key_policy();
    let held = held(vault, collection).await?.values().sum();
    let wanted = Wanted { collection, policy, demand: Demand::Cycle, asked: None, throttle: row.throttle, held };
    let pen = pen_of(vault, collection).await?;
    let mut tx = vault.store.begin("rotate_kek").await?;
    tx.hold(Hold::Keys).await?;
    if !lease.check(&mut tx).await? || !keys::hold_cycle(tx.conn(), row.number).await? {
        return Ok(tx.rollback().await?);
    }
    let Some(begun) = begin(vault, &mut tx, &pen, &wanted, vault.clock.now()).await? else {
        return Ok(tx.rollback().await?);
    };
    tx.commit().await?;
    vault.keys()?.rotation_begun();
    vault.ledger()?.settle_later(begun.ticket);
    tracing::info!(%collection, cycle = row.number, to = begun.rotation.to, "a rotation begins for the cycle of keys");
    Ok(())
}

/// Puts the destruction of a version down, as two officers have agreed. Nothing is destroyed here: its time and what needs it are
/// looked at in the transaction that does.
async fn destroy(
    vault: &Vault,
    row: &CycleRow,
    kek: KekRef,
    (agreement, scope): (&Agreement, &Scope),
    lease: &Lease,
) -> Result<(), Failure> {
    let put = put_down::Ready::of(vault, cycle::destruction(row.number, kek), kek).await?;
    // It has read every wrap of the collection.
    lease.renew(&vault.store, vault.clock.now()).await?;
    let now = vault.clock.now();
    let mut tx = vault.store.begin("put_destruction_down").await?;
    tx.hold(Hold::Keys).await?;
    if !lease.check(&mut tx).await? || !keys::hold_cycle(tx.conn(), row.number).await? {
        return Ok(tx.rollback().await?);
    }
    if !put.put_down(vault, &mut tx, (row.number, scope.sha256()), agreement, now).await? {
        return Ok(tx.rollback().await?);
    }
    Ok(tx.commit().await?)
}

/// A fresh root epoch: every version of the scope is gone, so that it wraps none of them.
async fn turn_root(vault: &Vault, row: &CycleRow, gone: VersionsGone, lease: &Lease) -> Result<(), Failure> {
    let mut tx = vault.store.begin("begin_cycle_root").await?;
    let mine = lease.check(&mut tx).await? && keys::hold_cycle(tx.conn(), row.number).await?;
    tx.commit().await?;
    if mine {
        rotate_for_cycle(vault, gone, row.number).await?;
        tracing::info!(cycle = row.number, "a root epoch begins for the cycle of keys");
    }
    Ok(())
}

async fn finish(vault: &Vault, row: &CycleRow, word: &Word, lease: &Lease) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let entry = pen.prepare(quoting(&pen, now, None, "cycle-done", row.number, &word.scope))?;
    let mut tx = vault.store.begin("finish_cycle").await?;
    tx.hold(Hold::Keys).await?;
    if !lease.check(&mut tx).await? || !keys::end_cycle(tx.conn(), row.number, CycleState::Done, now).await? {
        return Ok(tx.rollback().await?);
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::cycle_ended(row.number))).await?;
    tx.commit().await?;
    vault.ledger()?.settle_later(ticket);
    tracing::info!(cycle = row.number, "the cycle of keys has come to its end");
    Ok(())
}
