//! The table of legal steps by hand, and properties of every plan.

use core::time::Duration;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const POLICY: Policy = Policy {
    cryptoperiod: Duration::from_secs(10 * 3600),
    soft_ceiling: 100,
    hard_ceiling: 200,
    retire_after: Some(HOUR),
};

fn key(version: u32, state: KeyState) -> KeyVersion {
    let activated_at = (state != KeyState::PreActive).then(|| NOW.minus(HOUR));
    let deactivated_at = (!matches!(state, KeyState::PreActive | KeyState::Active)).then(|| NOW.minus(HOUR));
    KeyVersion { version, state, activated_at, deactivated_at, wraps: 1, moved: 0, holds: 0 }
}

#[test]
fn the_legal_steps_are_these() {
    use KeyState::{Active, Compromised, Deactivated, Destroyed, PreActive};
    let legal = [
        (PreActive, Active),
        (PreActive, Compromised),
        (PreActive, Destroyed),
        (Active, Deactivated),
        (Active, Compromised),
        (Deactivated, Compromised),
        (Deactivated, Destroyed),
        (Compromised, Destroyed),
    ];
    for from in KeyState::ALL {
        for to in KeyState::ALL {
            let expected = if legal.contains(&(from, to)) { Ok(to) } else { Err(IllegalTransition { from, to }) };
            assert_eq!(from.step(to), expected);
        }
        assert_eq!(KeyState::from_name(from.as_str()), Some(from));
    }
    assert_eq!(KeyState::from_name("suspended"), None);
}

fn operations(keys: &[KeyVersion], demand: Demand) -> Vec<(Operation, Reason)> {
    plan(NOW, keys, &POLICY, demand).unwrap().into_iter().map(|p| (p.operation, p.reason)).collect()
}

#[test]
fn a_first_key_is_made_and_activated() {
    let first = [(Operation::Create(1), Reason::NoActiveKey), (Operation::Activate(1), Reason::NoActiveKey)];
    assert_eq!(operations(&[], Demand::Upkeep), first);
    assert_eq!(operations(&[], Demand::Rotate), first);
}

#[test]
fn p7_a_rotation_supersedes_and_moves() {
    let mut old = key(1, KeyState::Active);
    old.holds = 5;
    let expected = [
        (Operation::Create(2), Reason::Requested),
        (Operation::Deactivate(1), Reason::Superseded),
        (Operation::Activate(2), Reason::Requested),
        (Operation::Rewrap { from: 1, to: 2 }, Reason::HoldsWraps),
    ];
    assert_eq!(operations(&[old], Demand::Rotate), expected);
}

#[test]
fn nothing_is_due_for_a_young_key_with_few_uses() {
    assert_eq!(operations(&[key(1, KeyState::Active)], Demand::Upkeep), []);
}

#[test]
fn age_and_use_are_reasons_of_their_own() {
    let mut old = key(1, KeyState::Active);
    old.activated_at = Some(NOW.minus(10 * HOUR));
    assert_eq!(operations(&[old.clone()], Demand::Upkeep)[0], (Operation::Create(2), Reason::CryptoperiodOver));
    old.activated_at = Some(NOW.minus(10 * HOUR).plus(Duration::from_millis(1)));
    assert_eq!(operations(&[old.clone()], Demand::Upkeep), []);
    old.wraps = 100;
    assert_eq!(operations(&[old.clone()], Demand::Upkeep)[0], (Operation::Create(2), Reason::SoftCeiling));
    // What was moved here counts for nothing: a rotation is never a reason for the next.
    old.moved = 1;
    assert_eq!(operations(&[old], Demand::Upkeep), []);
}

#[test]
fn compromise_of_the_active_version_activates_its_successor_in_the_same_plan() {
    let mut bad = key(3, KeyState::Active);
    bad.holds = 1;
    let expected = [
        (Operation::Create(4), Reason::Compromised),
        (Operation::MarkCompromised(3), Reason::Compromised),
        (Operation::Activate(4), Reason::Compromised),
        (Operation::Rewrap { from: 3, to: 4 }, Reason::Compromised),
    ];
    assert_eq!(operations(&[bad], Demand::Compromised(3)), expected);
}

/// The off-by-one that destroys the newest version cannot happen: the active one is never a candidate,
/// nor is one that still holds a wrap, nor one kept too briefly.
#[test]
fn p7_only_an_empty_version_kept_long_enough_is_destroyed() {
    let active = key(3, KeyState::Active);
    let mut holding = key(1, KeyState::Deactivated);
    holding.holds = 1;
    let empty = key(2, KeyState::Deactivated);
    let mut fresh = key(2, KeyState::Deactivated);
    fresh.deactivated_at = Some(NOW.minus(HOUR).plus(Duration::from_millis(1)));
    let rewrap = (Operation::Rewrap { from: 1, to: 3 }, Reason::HoldsWraps);
    assert_eq!(operations(&[holding.clone(), fresh, active.clone()], Demand::Upkeep), [rewrap]);
    let destroy = (Operation::Destroy(2), Reason::EmptyLongEnough);
    assert_eq!(operations(&[holding, empty, active], Demand::Upkeep), [rewrap, destroy]);
}

#[test]
fn what_cannot_be_planned_is_an_error() {
    let two = [key(1, KeyState::Active), key(2, KeyState::Active)];
    assert_eq!(plan(NOW, &two, &POLICY, Demand::Upkeep), Err(PlanError::TwoActive(1, 2)));
    let one = [key(1, KeyState::Active)];
    assert_eq!(plan(NOW, &one, &POLICY, Demand::Compromised(2)), Err(PlanError::NoSuchVersion(2)));
    let gone = [key(1, KeyState::Destroyed)];
    assert!(matches!(plan(NOW, &gone, &POLICY, Demand::Compromised(1)), Err(PlanError::Illegal(_))));
    let last = [key(u32::MAX, KeyState::Active)];
    assert_eq!(plan(NOW, &last, &POLICY, Demand::Rotate), Err(PlanError::Exhausted));
}

fn any_keys() -> impl Strategy<Value = Vec<KeyVersion>> {
    let one = (0usize..5, 0u64..30, 0u64..30, 0u64..5, 0u64..3);
    (proptest::collection::vec(one, 0..6), proptest::option::of(0usize..6)).prop_map(|(rows, active)| {
        rows.into_iter()
            .enumerate()
            .map(|(i, (state, activated, deactivated, wraps, holds))| {
                let state = match KeyState::ALL[state] {
                    _ if active == Some(i) => KeyState::Active,
                    KeyState::Active => KeyState::Deactivated,
                    other => other,
                };
                let mut k = key(u32::try_from(i).unwrap() + 1, state);
                k.activated_at = k.activated_at.map(|_| NOW.minus(HOUR * u32::try_from(activated).unwrap()));
                k.deactivated_at = k.deactivated_at.map(|_| NOW.minus(HOUR * u32::try_from(deactivated).unwrap()));
                k.wraps = if state == KeyState::PreActive { 0 } else { wraps * 50 };
                let holds_some = !matches!(state, KeyState::PreActive | KeyState::Destroyed);
                k.holds = if holds_some { holds } else { 0 };
                k
            })
            .collect()
    })
}

proptest! {
    /// Whatever the keys and the demand: every operation is legal in its place, never are two versions
    /// active, exactly one is at the end, no wrap is lost, and nothing is left to do.
    #[test]
    fn p7_a_plan_ends_with_exactly_one_active_version(
        keys in any_keys(),
        demand in prop_oneof![
            Just(Demand::Upkeep), Just(Demand::Rotate), Just(Demand::Restored), (1u32..7).prop_map(Demand::Compromised)
        ],
    ) {
        let Ok(planned) = plan(NOW, &keys, &POLICY, demand) else {
            let Demand::Compromised(v) = demand else { return Err(TestCaseError::fail("only a demand can be refused")) };
            let state = keys.iter().find(|k| k.version == v).map(|k| k.state);
            prop_assert!(matches!(state, None | Some(KeyState::Compromised | KeyState::Destroyed)));
            return Ok(());
        };
        let before: u64 = keys.iter().map(|k| k.holds).sum();
        let mut after = keys;
        for step in &planned {
            apply(&mut after, step.operation, NOW).map_err(|e| TestCaseError::fail(format!("{step:?}: {e}")))?;
            let active = after.iter().filter(|k| k.state == KeyState::Active).count();
            prop_assert!(active <= 1);
        }
        let active: Vec<_> = after.iter().filter(|k| k.state == KeyState::Active).collect();
        prop_assert_eq!(active.len(), 1);
        prop_assert_eq!(active[0].holds, before);
        prop_assert_eq!(after.iter().map(|k| k.holds).sum::<u64>(), before);
        let again = plan(NOW, &after, &POLICY, Demand::Upkeep).unwrap();
        let again: Vec<_> = again.into_iter().filter(|p| !matches!(p.operation, Operation::Destroy(_))).collect();
        prop_assert_eq!(again, vec![]);
    }
}

#[test]
fn a_cycle_is_of_a_week_to_a_year() {
    for days in [0, 6, 366, u32::MAX] {
        assert_eq!(Cycle::days(days), Err(CycleError), "{days}");
    }
    assert_eq!(Cycle::days(30), Ok(Cycle::default()));
    assert_eq!(Cycle::days(7).unwrap().length(), 7 * 24 * HOUR);
    assert!(Cycle::days(365).is_ok());
}

/// The root's epochs are versions like any other: a cycle makes one, moves the KEKs, and the one before may go.
#[test]
fn the_root_cycles_and_an_empty_epoch_may_go_at_once() {
    let policy = Policy::root(Cycle::default());
    let mut epochs = vec![key(1, KeyState::Active)];
    epochs[0].holds = 3;
    assert_eq!(plan(NOW, &epochs, &policy, Demand::Upkeep).unwrap(), []);
    let later = NOW.plus(Cycle::default().length());
    let cycle = plan(later, &epochs, &policy, Demand::Upkeep).unwrap();
    let steps: Vec<_> = cycle.iter().map(|p| p.operation).collect();
    let expected =
        [Operation::Create(2), Operation::Deactivate(1), Operation::Activate(2), Operation::Rewrap { from: 1, to: 2 }];
    assert_eq!(steps, expected);
    assert!(cycle.iter().all(|p| p.reason != Reason::Requested));
    for step in cycle {
        apply(&mut epochs, step.operation, later).unwrap();
    }
    let gone = Planned { operation: Operation::Destroy(1), reason: Reason::EmptyLongEnough };
    assert_eq!(plan(later, &epochs, &policy, Demand::Upkeep).unwrap(), [gone]);
    // An epoch that still wraps something stays, whatever its age.
    epochs[0].holds = 1;
    let moved = plan(later, &epochs, &policy, Demand::Upkeep).unwrap();
    assert!(moved.iter().all(|p| !matches!(p.operation, Operation::Destroy(_))), "{moved:?}");
}

/// A signing key wraps nothing: its succession moves nothing and destroys nothing by itself.
#[test]
fn the_log_key_is_succeeded_and_never_destroyed_by_plan() {
    let policy = Policy::log_signing();
    let mut keys = vec![key(1, KeyState::Active)];
    let later = NOW.plus(policy.cryptoperiod);
    for step in plan(later, &keys, &policy, Demand::Upkeep).unwrap() {
        assert!(!matches!(step.operation, Operation::Rewrap { .. }), "{step:?}");
        apply(&mut keys, step.operation, later).unwrap();
    }
    assert_eq!(keys[0].state, KeyState::Deactivated);
    let much_later = later.plus(policy.cryptoperiod / 2);
    assert_eq!(plan(much_later, &keys, &policy, Demand::Upkeep).unwrap(), []);
    assert!(matches!(apply(&mut keys, Operation::Activate(1), later), Err(ApplyError::ActiveAlready(2))));
    apply(&mut keys, Operation::Deactivate(2), later).unwrap();
    let illegal = IllegalTransition { from: KeyState::Deactivated, to: KeyState::Active };
    assert_eq!(apply(&mut keys, Operation::Activate(1), later), Err(ApplyError::Illegal(illegal)));
}

/// A year in a collection's life, told in steps.
#[derive(Clone, Debug)]
enum Event {
    /// So many recordings arrive.
    Uploads(u64),
    /// So many records are erased, wherever they are.
    Erased(u64),
    /// Hours pass; negative ones when somebody sets the clock back.
    Hours(i64),
    /// A key officer rotates.
    Rotate,
    /// The active version leaks.
    Leak,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        4 => (0u64..60).prop_map(Event::Uploads),
        2 => (0u64..80).prop_map(Event::Erased),
        3 => (-24i64..40).prop_map(Event::Hours),
        1 => Just(Event::Rotate),
        1 => Just(Event::Leak),
    ];
    proptest::collection::vec(one, 1..40)
}

proptest! {
    /// Whatever happens, in whatever order, with a clock that is a day wrong now and then: one version is active
    /// after every plan, numbers are never used twice, what is gone held nothing and stays gone, the hard ceiling is
    /// never met while the soft one is heeded, and a plan carried out leaves no other rotation to do.
    #[test]
    fn p7_a_life_of_rotations_keeps_every_wrap_and_one_active_version(events in events()) {
        let mut keys = Vec::new();
        let (mut now, mut records) = (NOW, 0u64);
        for event in std::iter::once(Event::Hours(0)).chain(events) {
            let mut demand = Demand::Upkeep;
            let active = keys.iter_mut().find(|k: &&mut KeyVersion| k.state == KeyState::Active);
            match (event, active) {
                (Event::Uploads(n), Some(active)) => {
                    prop_assert!(active.fresh() + n <= POLICY.hard_ceiling, "refused below the soft ceiling");
                    active.wraps += n;
                    active.holds += n;
                    records += n;
                }
                (Event::Erased(n), _) => {
                    let mut left = n;
                    for key in &mut keys {
                        let gone = left.min(key.holds);
                        key.holds -= gone;
                        left -= gone;
                    }
                    records -= n - left;
                }
                (Event::Hours(n), _) => {
                    let span = HOUR * u32::try_from(n.unsigned_abs()).unwrap();
                    now = if n < 0 { now.minus(span) } else { now.plus(span) };
                }
                (Event::Rotate, _) => demand = Demand::Rotate,
                (Event::Leak, Some(active)) => demand = Demand::Compromised(active.version),
                (_, None) => {}
            }
            let before = keys.clone();
            for step in plan(now, &keys, &POLICY, demand).map_err(|e| TestCaseError::fail(e.to_string()))? {
                apply(&mut keys, step.operation, now).map_err(|e| TestCaseError::fail(format!("{step:?}: {e}")))?;
            }
            prop_assert_eq!(keys.iter().filter(|k| k.state == KeyState::Active).count(), 1);
            prop_assert_eq!(keys.iter().map(|k| k.holds).sum::<u64>(), records);
            prop_assert!(keys.iter().all(|k| k.state != KeyState::Destroyed || k.holds == 0));
            prop_assert!(keys.iter().enumerate().all(|(i, k)| k.version as usize == i + 1));
            for (old, new) in before.iter().zip(&keys) {
                prop_assert!(old.state == new.state || old.state.step(new.state).is_ok(), "{old:?} {new:?}");
            }
            let again = plan(now, &keys, &POLICY, Demand::Upkeep).unwrap();
            prop_assert!(again.iter().all(|p| matches!(p.operation, Operation::Destroy(_))), "{again:?}");
        }
    }
}
