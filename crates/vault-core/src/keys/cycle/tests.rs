//! Runs of a cycle against a model of keys in which others act meanwhile, and against the rule of erasures.

use proptest::prelude::*;

use super::*;
use crate::ids::ResumeKeyId;
use crate::privacy::erasure::{EpochFate, Fate, HungOn, KekFate, Keys, horizon};

fn id(number: u8) -> CollectionId {
    CollectionId::from_bytes([number; 16])
}

fn version(version: u32, state: KeyState) -> VersionNow {
    VersionNow { version, state, root_epoch: 1, holds: false, destruction: Destruction::None }
}

/// One collection with version 1 destroyed long ago, 2 deactivated and 3 active, one epoch.
fn world() -> World {
    let versions =
        vec![version(1, KeyState::Destroyed), version(2, KeyState::Deactivated), version(3, KeyState::Active)];
    World {
        collections: BTreeMap::from([(id(1), CollectionNow { versions, moving: Moving::No })]),
        epochs: BTreeMap::from([(1, KeyState::Active)]),
        agreed: false,
    }
}

fn kek(version: u32) -> KekRef {
    KekRef { collection: id(1), version }
}

fn scope() -> Scope {
    Scope::new(1, [9; 16], [kek(2), kek(3)]).unwrap()
}

#[test]
fn p8_versions_go_first_then_the_root_turns_then_epochs_go() {
    let (scope, mut world) = (scope(), world());
    let versions = |steps: &[Step], waits: &[Wait]| Ok(Next::Versions { steps: steps.into(), waits: waits.into() });
    assert_eq!(next(&scope, &world), versions(&[Step::Rotate(id(1))], &[Wait::Agreement]));
    let set = |world: &mut World, at: usize, state: KeyState| {
        world.collections.get_mut(&id(1)).unwrap().versions[at].state = state;
    };
    set(&mut world, 2, KeyState::Deactivated);
    world.collections.get_mut(&id(1)).unwrap().versions.push(version(4, KeyState::Active));
    for (moving, wait) in [(Moving::Running, Wait::Moving(id(1))), (Moving::Paused, Wait::Paused(id(1)))] {
        world.collections.get_mut(&id(1)).unwrap().moving = moving;
        assert_eq!(next(&scope, &world), versions(&[], &[wait, Wait::Agreement]));
    }
    world.collections.get_mut(&id(1)).unwrap().moving = Moving::No;
    assert_eq!(next(&scope, &world), versions(&[], &[Wait::Agreement]), "nobody has agreed");
    world.agreed = true;
    assert_eq!(next(&scope, &world), versions(&[Step::Destroy(kek(2)), Step::Destroy(kek(3))], &[]));
    // A damaged wrap keeps one, somebody has cancelled the other.
    world.collections.get_mut(&id(1)).unwrap().versions[1].holds = true;
    world.collections.get_mut(&id(1)).unwrap().versions[2].destruction = Destruction::Ended;
    assert_eq!(next(&scope, &world), versions(&[], &[Wait::Needed(kek(2)), Wait::Ended(kek(3))]));
    set(&mut world, 1, KeyState::Destroyed);
    assert_eq!(next(&scope, &world), versions(&[], &[Wait::Ended(kek(3))]), "the root waits for every one of them");
    set(&mut world, 2, KeyState::Destroyed);
    assert_eq!(next(&scope, &world), Ok(Next::Root(VersionsGone { reached: 1 })));
    // Somebody had begun an epoch by hand while a version lived: it has to go as well.
    world.collections.get_mut(&id(1)).unwrap().versions[2].root_epoch = 2;
    world.epochs = BTreeMap::from([(1, KeyState::Deactivated), (2, KeyState::Active)]);
    assert_eq!(next(&scope, &world), Ok(Next::Root(VersionsGone { reached: 2 })));
    world.epochs = BTreeMap::from([(1, KeyState::Destroyed), (2, KeyState::Deactivated), (3, KeyState::Active)]);
    assert_eq!(next(&scope, &world), Ok(Next::Epochs(vec![2])));
    world.epochs.insert(2, KeyState::Destroyed);
    assert_eq!(next(&scope, &world), Ok(Next::Done));
}

#[test]
fn p12_rows_that_lie_destroy_nothing_and_hold_no_other_collection_up() {
    let waits = |trouble| Ok(Next::Versions { steps: vec![], waits: vec![Wait::Trouble(id(1), trouble)] });
    let (scope, mut damaged) = (scope(), world());
    damaged.agreed = true;
    damaged.collections.get_mut(&id(1)).unwrap().versions.remove(1);
    assert_eq!(next(&scope, &damaged), waits(Trouble::Missing(2)));
    damaged.collections.clear();
    assert_eq!(next(&scope, &damaged), waits(Trouble::Missing(3)));
    let mut two = world();
    two.agreed = true;
    two.collections.get_mut(&id(1)).unwrap().versions[1].state = KeyState::Active;
    assert_eq!(next(&scope, &two), waits(Trouble::NotOneActive));
    let mut none = world();
    let all = &mut none.collections.get_mut(&id(1)).unwrap().versions;
    all[1].state = KeyState::Destroyed;
    all[2].state = KeyState::Destroyed;
    all.push(version(4, KeyState::Active));
    none.epochs.insert(1, KeyState::Deactivated);
    assert_eq!(next(&scope, &none), Err(CycleError::NotOneEpoch));
    // An epoch that never was makes none, and so none without end.
    none.epochs.insert(1, KeyState::Active);
    none.collections.get_mut(&id(1)).unwrap().versions[1].root_epoch = 4_000_000_000;
    assert_eq!(next(&scope, &none), Err(CycleError::NoSuchEpoch(4_000_000_000)));
    // What is wrong with one is waited for, and the other goes on.
    let other = KekRef { collection: id(2), version: 1 };
    let both = Scope::new(1, [9; 16], [kek(2), kek(3), other]).unwrap();
    damaged
        .collections
        .insert(id(2), CollectionNow { versions: vec![version(1, KeyState::Active)], moving: Moving::No });
    let steps = vec![Step::Rotate(id(2))];
    let waits = vec![Wait::Trouble(id(1), Trouble::Missing(3))];
    assert_eq!(next(&both, &damaged), Ok(Next::Versions { steps, waits }));
}

#[test]
fn a_scope_has_one_text() {
    let scope = scope();
    let text = r#"{"root_epoch":1,"salt":"09090909090909090909090909090909","versions":{"01010101-0101-0101-0101-010101010101":[2,3]}}"#;
    assert_eq!((scope.text().as_str(), Scope::parse(text).as_ref()), (text, Ok(&scope)));
    assert_eq!(scope.keks().collect::<Vec<_>>(), [kek(2), kek(3)]);
    assert!(scope.covers(kek(3)) && !scope.covers(kek(1)) && !scope.covers(KekRef { collection: id(2), version: 2 }));
    for other in [
        "{}",
        r#"{"root_epoch":1,"salt":"09090909090909090909090909090909","versions":{"01010101-0101-0101-0101-010101010101":[3,2]}}"#,
        r#"{"root_epoch":1,"salt":"09090909090909090909090909090909","versions":{"01010101-0101-0101-0101-010101010101":[]}}"#,
        r#"{"root_epoch":1,"salt":"09090909090909090909090909090909","versions":{"00000000-0000-0000-0000-000000000000":[1]}}"#,
        r#"{"versions":{},"root_epoch":1}"#,
    ] {
        assert_eq!(Scope::parse(other), Err(InvalidScope), "{other}");
    }
    // The vault's own key is left out, and one version more is another hash.
    let vault = KekRef { collection: CollectionId::VAULT, version: 1 };
    assert_eq!(Scope::new(1, [9; 16], [kek(2), kek(3), vault]), Ok(scope.clone()));
    assert_ne!(Scope::new(1, [9; 16], [kek(1), kek(2), kek(3)]).unwrap().sha256(), scope.sha256());
}

/// What others do beside a cycle.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// One round of the cycle.
    Round,
    /// Record keys finish moving in a collection.
    Moved(u8),
    /// Somebody pauses, or resumes.
    Pause(u8),
    /// Two officers agree.
    Agree,
    /// What waits to be destroyed is: if nothing needs it.
    Due,
    /// Somebody cancels a destruction.
    CancelOne(u8),
    /// A wrap comes back under an old version by hand, or one that does not open is erased.
    Damage(u8),
    Repair,
    /// Officers act by hand.
    Rotate(u8),
    RotateRoot,
    Compromise(u8),
    /// Two officers destroy an old epoch.
    DestroyEpoch(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        6 => Just(Event::Round),
        3 => (0_u8..2).prop_map(Event::Moved),
        1 => (0_u8..2).prop_map(Event::Pause),
        2 => Just(Event::Agree),
        3 => Just(Event::Due),
        1 => (0_u8..2).prop_map(Event::CancelOne),
        1 => (0_u8..2).prop_map(Event::Damage),
        1 => Just(Event::Repair),
        1 => (0_u8..2).prop_map(Event::Rotate),
        1 => Just(Event::RotateRoot),
        1 => (0_u8..2).prop_map(Event::Compromise),
        2 => (1_u32..5).prop_map(Event::DestroyEpoch),
    ];
    proptest::collection::vec(one, 0..60)
}

/// The vault.
struct Model {
    world: World,
    /// Wraps that no rotation moves, by version.
    damaged: Vec<KekRef>,
}

impl Model {
    fn new() -> Self {
        let mut world = world();
        let second = CollectionNow {
            versions: vec![VersionNow { holds: true, ..version(1, KeyState::Active) }],
            moving: Moving::No,
        };
        world.collections.insert(id(2), second);
        Self { world, damaged: Vec::new() }
    }

    fn collection(&mut self, number: u8) -> &mut CollectionNow {
        self.world.collections.get_mut(&id(number + 1)).unwrap()
    }

    fn current(&self) -> u32 {
        *self.world.epochs.iter().find(|(_, state)| **state == KeyState::Active).unwrap().0
    }

    fn begin_version(&mut self, number: u8, to: KeyState) {
        let root_epoch = self.current();
        let now = self.collection(number);
        let fresh = now.versions.last().unwrap().version + 1;
        for one in now.versions.iter_mut().filter(|one| one.state == KeyState::Active) {
            one.state = one.state.step(to).unwrap();
        }
        now.versions.push(VersionNow { root_epoch, holds: true, ..version(fresh, KeyState::Active) });
        now.moving = Moving::Running;
    }

    fn begin_epoch(&mut self) {
        let current = self.current();
        self.world.epochs.insert(current, KeyState::Deactivated);
        self.world.epochs.insert(current + 1, KeyState::Active);
        let all = self.world.collections.values_mut().flat_map(|now| &mut now.versions);
        all.filter(|one| one.state != KeyState::Destroyed).for_each(|one| one.root_epoch = current + 1);
    }

    fn settle(&mut self, number: u8) {
        let damaged = self.damaged.clone();
        let now = self.collection(number);
        if now.moving == Moving::Running {
            now.moving = Moving::No;
            for one in now.versions.iter_mut().filter(|one| one.state != KeyState::Active) {
                one.holds = damaged.contains(&KekRef { collection: id(number + 1), version: one.version });
            }
        }
    }

    /// What the transaction that destroys does: its own inventory.
    fn due(&mut self) {
        for now in self.world.collections.values_mut() {
            for one in now.versions.iter_mut().filter(|one| one.destruction == Destruction::Pending) {
                if one.holds || now.moving != Moving::No || one.state == KeyState::Active {
                    one.destruction = Destruction::Ended;
                } else {
                    one.state = one.state.step(KeyState::Destroyed).unwrap();
                    one.destruction = Destruction::None;
                }
            }
        }
    }

    /// One round; whether the cycle has come to its end.
    fn round(&mut self, scope: &Scope) -> Result<bool, TestCaseError> {
        match next(scope, &self.world).map_err(|e| TestCaseError::fail(e.to_string()))? {
            Next::Versions { steps, waits } => {
                prop_assert!(!steps.is_empty() || !waits.is_empty(), "a cycle stands still and waits for nothing");
                for step in steps {
                    match step {
                        Step::Rotate(collection) => {
                            let number = collection.as_bytes()[0] - 1;
                            prop_assert_eq!(self.collection(number).moving, Moving::No);
                            self.begin_version(number, KeyState::Deactivated);
                        }
                        Step::Destroy(kek) => {
                            prop_assert!(self.world.agreed && scope.covers(kek), "nobody agreed on that");
                            let now = self.collection(kek.collection.as_bytes()[0] - 1);
                            prop_assert_eq!(now.moving, Moving::No);
                            let one = now.versions.iter_mut().find(|one| one.version == kek.version).unwrap();
                            prop_assert!(!one.holds && one.state != KeyState::Active, "{:?} is needed", one);
                            one.destruction = Destruction::Pending;
                        }
                    }
                }
                Ok(false)
            }
            Next::Root(_) => {
                let alive = |kek: KekRef| {
                    self.world.collections[&kek.collection]
                        .versions
                        .iter()
                        .any(|one| one.version == kek.version && one.state != KeyState::Destroyed)
                };
                prop_assert!(!scope.keks().any(alive), "the root turned while a version lived");
                self.begin_epoch();
                Ok(false)
            }
            Next::Epochs(left) => {
                prop_assert!(left.iter().all(|epoch| *epoch < self.current()));
                Ok(false)
            }
            Next::Done => Ok(true),
        }
    }

    fn happen(&mut self, event: Event, scope: &Scope) -> Result<(), TestCaseError> {
        match event {
            Event::Round => drop(self.round(scope)?),
            Event::Moved(number) => self.settle(number),
            Event::Pause(number) => {
                let now = self.collection(number);
                now.moving = match now.moving {
                    Moving::Running => Moving::Paused,
                    Moving::Paused => Moving::Running,
                    Moving::No => Moving::No,
                };
            }
            Event::Agree => self.world.agreed = true,
            Event::Due => self.due(),
            Event::CancelOne(number) => {
                let pending = self.collection(number).versions.iter_mut();
                pending
                    .filter(|one| one.destruction == Destruction::Pending)
                    .for_each(|one| one.destruction = Destruction::Ended);
            }
            Event::Damage(number) => {
                let found = self.collection(number).versions.iter_mut().find(|one| one.state == KeyState::Deactivated);
                if let Some(one) = found {
                    one.holds = true;
                    let version = one.version;
                    self.damaged.push(KekRef { collection: id(number + 1), version });
                }
            }
            Event::Repair => self.repair(),
            Event::Rotate(number) => {
                if self.collection(number).moving == Moving::No {
                    self.begin_version(number, KeyState::Deactivated);
                }
            }
            Event::RotateRoot => self.begin_epoch(),
            Event::Compromise(number) => self.begin_version(number, KeyState::Compromised),
            Event::DestroyEpoch(epoch) => {
                let wraps = self
                    .world
                    .collections
                    .values()
                    .flat_map(|now| &now.versions)
                    .any(|one| one.state != KeyState::Destroyed && one.root_epoch == epoch);
                if !wraps && self.world.epochs.get(&epoch) == Some(&KeyState::Deactivated) {
                    self.world.epochs.insert(epoch, KeyState::Destroyed);
                }
            }
        }
        Ok(())
    }

    /// Damaged records are erased, and the move looks again.
    fn repair(&mut self) {
        for kek in core::mem::take(&mut self.damaged) {
            let now = self.collection(kek.collection.as_bytes()[0] - 1);
            let one = now.versions.iter_mut().find(|one| one.version == kek.version).unwrap();
            one.holds = false;
            if one.destruction == Destruction::Ended {
                // Officers destroy it by itself.
                one.destruction = Destruction::Pending;
            }
        }
    }

    /// Whether an erasure from before the cycle is final.
    fn is_final(&self, collection: CollectionId, hung: &HungOn) -> bool {
        let fate = |state: KeyState| if state == KeyState::Destroyed { Fate::Destroyed } else { Fate::Standing };
        let keks: Vec<KekFate> = self.world.collections[&collection]
            .versions
            .iter()
            .map(|one| KekFate { version: one.version, fate: fate(one.state), root_epoch: one.root_epoch })
            .collect();
        let epochs: Vec<EpochFate> =
            self.world.epochs.iter().map(|(epoch, state)| EpochFate { epoch: *epoch, fate: fate(*state) }).collect();
        horizon(hung, &Keys { keks: &keks, epochs: &epochs, resume_key: &Fate::Destroyed }).is_final()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn p8_whatever_happens_beside_it_a_cycle_ends_with_every_earlier_erasure_final(
        before in events(), during in events(),
    ) {
        let mut model = Model::new();
        let nothing = Scope::new(1, [9; 16], []).unwrap();
        for event in before.into_iter().filter(|event| !matches!(event, Event::Round)) {
            model.happen(event, &nothing)?;
        }
        model.world.agreed = false;
        // Erasures of this moment, and the scope of a cycle that begins now.
        let resume_key = Some(ResumeKeyId::from_bytes([7; 16]));
        let erased: Vec<(CollectionId, HungOn)> = model.world.collections.iter()
            .map(|(id, now)| (*id, now.versions.last().unwrap().version))
            .map(|(id, kek_version)| (id, HungOn { kek_version, root_epoch: model.current(), resume_key }))
            .collect();
        let alive = model.world.collections.iter().flat_map(|(collection, now)| now.versions.iter()
            .filter(|one| one.state != KeyState::Destroyed)
            .map(|one| KekRef { collection: *collection, version: one.version }));
        let scope = Scope::new(model.current(), [9; 16], alive).unwrap();
        for event in during {
            model.happen(event, &scope)?;
        }
        // Everybody does their part from here on.
        let mut rounds = 0;
        model.world.agreed = true;
        while !model.round(&scope)? {
            model.repair();
            for number in 0..2 {
                let now = model.collection(number);
                if now.moving == Moving::Paused {
                    now.moving = Moving::Running;
                }
                // What was ended is destroyed by itself.
                for one in now.versions.iter_mut().filter(|one| one.destruction == Destruction::Ended) {
                    one.destruction = if one.holds { Destruction::None } else { Destruction::Pending };
                }
                model.settle(number);
            }
            model.due();
            if let Ok(Next::Epochs(left)) = next(&scope, &model.world) {
                for epoch in left {
                    model.happen(Event::DestroyEpoch(epoch), &scope)?;
                }
            }
            rounds += 1;
            prop_assert!(rounds < 20, "it does not end: {:?}", next(&scope, &model.world));
        }
        for (collection, hung) in &erased {
            prop_assert!(model.is_final(*collection, hung), "{hung:?} in {:?}", model.world);
        }
        for now in model.world.collections.values() {
            prop_assert_eq!(now.versions.iter().filter(|one| one.state == KeyState::Active).count(), 1);
            prop_assert!(now.versions.iter().all(|one| !(one.holds && one.state == KeyState::Destroyed)));
        }
        prop_assert_eq!(model.world.epochs.values().filter(|state| **state == KeyState::Active).count(), 1);
    }
}
