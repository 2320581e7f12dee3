//! The cycle that makes erasures final (`docs/keys.md` §8): begun by a key officer or by schedule, agreed to by two, carried out by
//! whichever node looks first.
//!
//! | file | does |
//! | --- | --- |
//! | here | begin, agree, cancel, show |
//! | `told` | what the log says of a cycle: its scope, who agreed, whether it ended |
//! | `world` | the keys as they stand, and a cycle as it is shown |
//! | `work` | the steps, on one node at a time |
//! | `schedule` | numbers, and when the next is due |
//!
//! What comes next is decided by [`vault_core::keys::cycle`] alone, each time anew from the keys as they stand: a crash, another
//! node, or somebody who rotates beside it leave nothing behind that would have to be undone.

mod schedule;
#[cfg(test)]
mod tests;
mod told;
mod work;
mod world;

use core::time::Duration;

use vault_api::code::Code;
use vault_api::cycle::{self as wire, Cycle, CycleStatus};
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::{Draft, RootOperation};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::PersonId;
use vault_core::keys::cycle::{Scope, destruction};
use vault_core::keys::lifecycle::KeyState;
use vault_core::time::Timestamp;

pub use schedule::{age, begin_due};
pub(super) use told::{Agreement, BEGUN, CALLED_OFF, CYCLE, SCOPE, agreement_on};
pub use work::{Carrier, carry_on};

use super::control::checked_throttle;
use super::destroy::{end, still_officer};
use crate::app::callers::{Caller, note_denial};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restored;
use crate::state::Vault;
use crate::store::keys::{self, CycleRow, CycleState, Doomed};
use crate::store::{Conn, Hold, StoreError};

use told::{NOT_BEFORE, running, word};

/// Who begins a cycle or agrees to one wants all of this.
const ACTS: [Action; 4] = [Action::KeyRotate, Action::RootRotate, Action::KeyDestroy, Action::RootDestroy];

/// How a key officer wants a cycle.
pub struct CycleWish<'a> {
    /// Why.
    pub reason: &'a str,
    /// At most so many record keys a second in each collection.
    pub throttle: Option<u32>,
}

fn permitted(caller: &Caller) -> Result<(), Failure> {
    ACTS.iter().try_for_each(|action| caller.permit(*action, Place::Vault).map(drop))
}

/// The cycle under way or the last one, and when the next is due.
pub async fn show_cycle(vault: &Vault, caller: &Caller) -> Result<CycleStatus, Failure> {
    caller.permit(Action::RootRead, Place::Vault)?;
    let row = {
        let mut reader = vault.store.read().await?;
        keys::last_cycle(reader.conn()).await?
    };
    let cycle = match &row {
        Some(row) => Some(shown(vault, row).await?),
        None => None,
    };
    Ok(CycleStatus { cycle, next_at: schedule::next_at(vault).await?.map(|at| at.to_string()) })
}

async fn shown(vault: &Vault, row: &CycleRow) -> Result<Cycle, Failure> {
    let scope = match told::scope(row) {
        Ok(scope) => scope,
        Err(failure) => {
            // It can be cancelled, and so it is shown.
            let nothing = Scope::new(0, [0; 16], []).map_err(|e| Failure::new(Code::Internal).because(e))?;
            let cycle = world::shown(vault, row, &nothing, None).await?;
            return Ok(Cycle { trouble: failure.what().map(str::to_owned), ..cycle });
        }
    };
    let word = match word(vault, row).await {
        Ok(word) => Some(word),
        // Nothing of it is in the log, or not yet.
        Err(failure) if matches!(failure.code(), Code::NotInLog | Code::LogUnavailable) => None,
        Err(failure) => return Err(failure),
    };
    world::shown(vault, row, &scope, word.as_ref()).await
}

/// What a cycle that begins now would be about. Changes nothing.
pub async fn planned_cycle(vault: &Vault, caller: &Caller, wish: &CycleWish<'_>) -> Result<Cycle, Failure> {
    permitted(caller)?;
    text("reason", wish.reason, 2000)?;
    let throttle = checked_throttle(wish.throttle)?;
    none_runs(vault).await?;
    let number = schedule::highest(vault).await?.checked_add(1).ok_or(Code::Internal)?;
    let scope = {
        let mut reader = vault.store.read().await?;
        scope_now(vault, reader.conn()).await?
    };
    let row = CycleRow {
        number,
        state: CycleState::Running,
        scope: scope.text(),
        throttle,
        requested_by: None,
        confirmed_by: None,
        started_at: vault.clock.now(),
        ended_at: None,
    };
    let cycle = world::shown(vault, &row, &scope, None).await?;
    Ok(Cycle { state: wire::CycleState::Planned, trouble: None, ..cycle })
}

/// Begins a cycle. Who begins it has agreed to its scope; another key officer has to.
pub async fn begin_cycle(vault: &Vault, caller: &Caller, wish: &CycleWish<'_>) -> Result<Cycle, Failure> {
    permitted(caller)?;
    let reason = text("reason", wish.reason, 2000)?;
    let throttle = checked_throttle(wish.throttle)?;
    none_is_unconfirmed(vault).await?;
    let row = open(vault, Some((caller.person(), reason)), throttle).await?;
    shown(vault, &row).await
}

async fn none_is_unconfirmed(vault: &Vault) -> Result<(), Failure> {
    if restored::waits(vault).await? {
        return Err(Failure::new(Code::Conflict).detail("a restore is not confirmed: no key is destroyed until then"));
    }
    Ok(())
}

async fn none_runs(vault: &Vault) -> Result<(), Failure> {
    match running(vault).await? {
        Some(row) => Err(under_way(row.number)),
        None => Ok(()),
    }
}

fn under_way(number: u32) -> Failure {
    Failure::new(Code::Conflict)
        .detail(format!("cycle {number} is under way; it ends, or is cancelled, before another begins"))
}

/// Every version that is alive, of every collection, and the highest epoch.
async fn scope_now(vault: &Vault, conn: &mut Conn) -> Result<Scope, Failure> {
    let epoch = vault.keys()?.epochs()?.iter().map(|epoch| epoch.epoch).max().ok_or(Code::Internal)?;
    let known = keys::collections_there(conn).await?;
    let alive = keys::keks_now(conn).await?.into_iter();
    // Rows of a collection that there is not hold nothing of the vault's, and nothing up.
    let alive = alive.filter(|one| one.state != KeyState::Destroyed && known.contains(&one.kek.collection));
    let too_long =
        |e| Failure::new(Code::Conflict).because(e).detail("there are more collections than one cycle takes");
    Scope::new(epoch, salt(), alive.map(|one| one.kek)).map_err(too_long)
}

fn salt() -> [u8; 16] {
    vault_core::random::array()
}

/// Begins a cycle, by somebody's wish or by schedule.
async fn open(vault: &Vault, asked: Option<(PersonId, String)>, throttle: Option<u32>) -> Result<CycleRow, Failure> {
    none_runs(vault).await?;
    let number = schedule::highest(vault).await?.checked_add(1).ok_or(Code::Internal)?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let mut tx = vault.store.begin("begin_cycle").await?;
    tx.hold(Hold::Keys).await?;
    let scope = scope_now(vault, tx.conn()).await?;
    let row = CycleRow {
        number,
        state: CycleState::Running,
        scope: scope.text(),
        throttle,
        requested_by: asked.as_ref().map(|(person, _)| *person),
        confirmed_by: None,
        started_at: now,
        ended_at: None,
    };
    match row.insert(tx.conn()).await {
        Err(StoreError::Conflict) => return Err(Failure::new(Code::Conflict).detail("a cycle began a moment ago")),
        outcome => outcome?,
    }
    let (collections, versions) = (scope.collections().count(), scope.keks().count());
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let staff = asked.as_ref().map(|(person, _)| *person);
    let mut draft = quoting(&pen, now, staff, BEGUN, number, &scope)
        .data("because", if asked.is_some() { "requested" } else { "scheduled" })
        .data("epoch", i64::from(scope.root_epoch()))
        .data("collections", count(collections))
        .data("versions", count(versions));
    if let Some((_, reason)) = asked {
        draft = draft.slot(SlotName::Reason, reason, OpeningUnder::Staff);
    }
    let ledger = vault.ledger()?;
    let begun = ledger.enqueue(&mut tx, pen.prepare(draft)?, Some(reference::cycle_begun(number))).await?;
    let requested = match staff {
        Some(_) => {
            let entry = pen.prepare(quoting(&pen, now, staff, "cycle-requested", number, &scope))?;
            Some(ledger.enqueue(&mut tx, entry, Some(reference::cycle_requested(number))).await?)
        }
        None => None,
    };
    tx.commit().await?;
    ledger.settle(begun).await?;
    // What the job acts on is the log's word.
    vault.keys()?.cycle_to_go();
    if let Some(requested) = requested {
        ledger.settle(requested).await?;
    }
    Ok(row)
}

/// The draft of an entry about a cycle: each quotes the scope.
fn quoting(
    pen: &StaffPen,
    now: Timestamp,
    staff: Option<PersonId>,
    operation: &'static str,
    number: u32,
    scope: &Scope,
) -> Draft<RootOperation> {
    pen.draft::<RootOperation>(now, staff)
        .data("operation", operation)
        .data(CYCLE, i64::from(number))
        .data(SCOPE, scope.sha256())
}

async fn expected(vault: &Vault) -> Result<CycleRow, Failure> {
    running(vault).await?.ok_or_else(|| Failure::new(Code::Conflict).detail("no cycle is under way"))
}

/// Agrees to the scope of the cycle under way: two persons have to, both of them key officers when the second does. Who began it
/// is the first.
pub async fn confirm_cycle(vault: &Vault, caller: &Caller, scope_sha256: &str) -> Result<Cycle, Failure> {
    permitted(caller)?;
    none_is_unconfirmed(vault).await?;
    let row = expected(vault).await?;
    let word = word(vault, &row).await?;
    if scope_sha256 != word.scope.sha256() {
        return Err(Failure::new(Code::Conflict).detail("the cycle under way has another scope: look at it once more"));
    }
    if word.agreement.is_some() {
        return Err(Failure::new(Code::Conflict).detail("two key officers have agreed to it already"));
    }
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let mut draft = quoting(&pen, now, Some(caller.person()), "cycle-requested", row.number, &word.scope);
    let mut reference = reference::cycle_requested(row.number);
    if let Some(first) = word.asked {
        if first == caller.person() {
            note_denial(vault, caller, Action::KeyDestroy, Denial::SelfApproval).await;
            return Err(Denial::SelfApproval.into());
        }
        still_officer(vault, first, Doomed::Epoch(word.scope.root_epoch())).await?;
        let not_before = now.plus(Duration::from_hours(vault.config.keys.destroy_cooling_off_hours));
        draft = quoting(&pen, now, Some(caller.person()), "cycle-confirmed", row.number, &word.scope)
            .data(NOT_BEFORE, not_before.to_string())
            .slot(SlotName::Person, first.to_string(), OpeningUnder::Staff);
        reference = reference::cycle_confirmed(row.number);
    }
    let entry = pen.prepare(draft)?;
    let mut tx = vault.store.begin("confirm_cycle").await?;
    tx.hold(Hold::Keys).await?;
    let noted = match word.asked {
        None => keys::request_cycle(tx.conn(), row.number, caller.person()).await?,
        Some(_) => keys::confirm_cycle(tx.conn(), row.number, caller.person()).await?,
    };
    if !noted {
        return Err(Failure::new(Code::Conflict).detail("somebody agreed to it, or ended it, a moment ago"));
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference)).await?;
    tx.commit().await?;
    vault.ledger()?.settle(ticket).await?;
    vault.keys()?.cycle_to_go();
    shown(vault, &row).await
}

/// Cancels the cycle under way: any key officer. What is destroyed stays so; what it put down and what has not come to its time is not
/// destroyed.
pub async fn cancel_cycle(vault: &Vault, caller: &Caller) -> Result<Cycle, Failure> {
    permitted(caller)?;
    let row = expected(vault).await?;
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, None).await?;
    let draft = pen
        .draft::<RootOperation>(now, Some(caller.person()))
        .data("operation", "cycle-cancelled")
        .data(CYCLE, i64::from(row.number));
    let draft = match told::scope(&row) {
        Ok(scope) => draft.data(SCOPE, scope.sha256()),
        // Its row was edited: that is a reason to end it, and none not to.
        Err(_) => draft,
    };
    let entry = pen.prepare(draft)?;
    let mut tx = vault.store.begin("cancel_cycle").await?;
    tx.hold(Hold::Keys).await?;
    if !keys::end_cycle(tx.conn(), row.number, CycleState::Cancelled, now).await? {
        return Err(Failure::new(Code::Conflict).detail("it ended a moment ago"));
    }
    let ticket = vault.ledger()?.enqueue(&mut tx, entry, Some(reference::cycle_ended(row.number))).await?;
    tx.commit().await?;
    // What takes nothing away but an intention waits for no log. Nothing more is put down or carried out from here on.
    vault.ledger()?.settle_later(ticket);
    take_back(vault, row.number, Some(caller.person())).await?;
    shown(vault, &CycleRow { state: CycleState::Cancelled, ended_at: Some(now), ..row }).await
}

/// Ends the destructions that a cycle put down which has ended itself: nobody carries them out, and they would be in the way of
/// others. One that cannot be ended now is by the next look.
async fn take_back(vault: &Vault, cycle: u32, staff: Option<PersonId>) -> Result<(), Failure> {
    let pending = {
        let mut reader = vault.store.read().await?;
        keys::all_pending_destructions(reader.conn()).await?
    };
    for row in pending {
        let Doomed::Kek(kek) = row.what else { continue };
        if row.id != destruction(cycle, kek) {
            continue;
        }
        match end(vault, &row, staff, "cycle-cancelled").await {
            Ok(()) => {}
            // Ended or destroyed a moment ago.
            Err(failure) if failure.code() == Code::Conflict => {}
            Err(failure) => {
                tracing::warn!(%kek, cycle, causes = failure.causes(), "a destruction is taken back later: {failure}");
            }
        }
    }
    Ok(())
}
