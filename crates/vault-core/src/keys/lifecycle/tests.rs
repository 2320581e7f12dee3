//! The table of legal steps by hand, and properties of every plan.

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
    KeyVersion { version, state, activated_at, deactivated_at, wraps: 1, holds: 0 }
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
    assert_eq!(operations(&[old], Demand::Upkeep)[0], (Operation::Create(2), Reason::SoftCeiling));
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
                // Far enough from the ceiling that moving a few wraps is never itself a reason.
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
            Just(Demand::Upkeep), Just(Demand::Rotate), (1u32..7).prop_map(Demand::Compromised)
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
