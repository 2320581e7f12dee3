//! The horizon against an attacker who keeps every backup and has everything that lives.

use proptest::prelude::*;

use super::*;

fn kek(version: u32, gone: bool, root_epoch: u32) -> KekFate {
    KekFate { version, fate: if gone { Fate::Destroyed } else { Fate::Standing }, root_epoch }
}

fn epoch(epoch: u32, gone: bool) -> EpochFate {
    EpochFate { epoch, fate: if gone { Fate::Destroyed } else { Fate::Standing } }
}

const HUNG: HungOn = HungOn { kek_version: 2, root_epoch: 1, resume_key: None };

#[test]
fn p8_everything_that_existed_is_waited_for_and_nothing_else() {
    use WaitsFor::{KekVersion, RootEpoch};
    let none = Fate::Standing;
    let waits =
        |keks: &[KekFate], epochs: &[EpochFate]| horizon(&HUNG, &Keys { keks, epochs, resume_key: &none }).waits_for;
    let standing = [kek(1, false, 1), kek(2, false, 1)];
    assert_eq!(waits(&standing, &[epoch(1, false)]), [KekVersion(1), KekVersion(2), RootEpoch(1)]);
    let later = [kek(1, true, 1), kek(2, true, 1), kek(3, false, 2)];
    assert_eq!(waits(&later, &[epoch(1, false), epoch(2, false)]), [RootEpoch(1)]);
    assert_eq!(waits(&later, &[epoch(1, true), epoch(2, false)]), []);
}

#[test]
fn p8_an_epoch_that_came_while_an_old_version_lived_is_waited_for_too() {
    // Version 1 was moved to epoch 2 before it was destroyed: a backup of that time holds it under epoch 2.
    let keks = [kek(1, true, 2), kek(2, true, 1), kek(3, false, 2)];
    let epochs = [epoch(1, true), epoch(2, false)];
    let found = horizon(&HUNG, &Keys { keks: &keks, epochs: &epochs, resume_key: &Fate::Standing });
    assert_eq!((found.root_epoch, found.waits_for), (2, vec![WaitsFor::RootEpoch(2)]));
}

#[test]
fn p8_what_nobody_knows_of_is_waited_for() {
    use WaitsFor::{KekVersion, ResumeKey, RootEpoch};
    let resume_key = ResumeKeyId::from_bytes([7; 16]);
    let hung = HungOn { kek_version: 5, root_epoch: 3, resume_key: Some(resume_key) };
    let keks = [kek(2, true, 1), kek(4, true, 1)];
    let found = |hung: &HungOn, fate: &Fate| horizon(hung, &Keys { keks: &keks, epochs: &[], resume_key: fate });
    let epochs = [RootEpoch(1), RootEpoch(2), RootEpoch(3)];
    let expected = [&[KekVersion(1), KekVersion(3), KekVersion(5)][..], &epochs, &[ResumeKey]].concat();
    assert_eq!(found(&hung, &Fate::Standing).waits_for, expected);
    assert_eq!(found(&hung, &Fate::Destroyed).waits_for, expected[..6]);
    let unknown = HungOn { kek_version: 0, root_epoch: 0, resume_key: None };
    assert_eq!(found(&unknown, &Fate::Standing).waits_for, [KekVersion(0), RootEpoch(0)]);
    let absurd = HungOn { kek_version: u32::MAX, root_epoch: 1, resume_key: None };
    assert_eq!(found(&absurd, &Fate::Standing).waits_for.len(), MOST + 1);
}

#[test]
fn p8_a_destruction_that_is_only_scheduled_is_none_yet() {
    let at = Timestamp::from_millis(1);
    for (fate, gone) in [
        (Fate::Standing, false),
        (Fate::Scheduled { until: at }, false),
        (Fate::Attested { by: "vendor".into(), copies: 2 }, true),
        (Fate::Destroyed, true),
    ] {
        assert_eq!(fate.is_gone(), gone, "{fate:?}");
    }
    let twice = [kek(1, true, 1), kek(1, false, 1), kek(2, true, 1)];
    let found = horizon(&HUNG, &Keys { keks: &twice, epochs: &[epoch(1, true)], resume_key: &Fate::Standing });
    assert_eq!(found.waits_for, [WaitsFor::KekVersion(1)], "told twice, it is gone only if both say so");
}

/// What happens to a vault with one collection and one record.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A fresh KEK version; the record's wrap, if it has one, moves to it.
    RotateKek,
    /// A fresh version without the record being moved yet.
    BeginRotation,
    /// A fresh root epoch; every living version moves under it.
    RotateRoot,
    /// An old version is destroyed, if the record does not hang on it.
    DestroyKek(u32),
    /// An old epoch is destroyed, if it wraps nothing that lives.
    DestroyEpoch(u32),
    /// The upload ends and its day is over.
    DestroyResumeKey,
    /// Everything is copied: all that the database holds, without the root.
    Backup,
    /// The record is erased.
    Erase,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        2 => Just(Event::RotateKek),
        1 => Just(Event::BeginRotation),
        2 => Just(Event::RotateRoot),
        4 => (1_u32..6).prop_map(Event::DestroyKek),
        4 => (1_u32..6).prop_map(Event::DestroyEpoch),
        1 => Just(Event::DestroyResumeKey),
        4 => Just(Event::Backup),
        2 => Just(Event::Erase),
    ];
    proptest::collection::vec(one, 0..40)
}

/// A database: under which version the record's wrap is, whether the wrap in progress is there, and under which epoch
/// each version is.
#[derive(Clone, Default)]
struct Database {
    record: Option<u32>,
    in_progress: bool,
    keks: BTreeMap<u32, u32>,
}

struct Vault {
    live: Database,
    backups: Vec<Database>,
    /// The epochs that custody has.
    epochs: BTreeMap<u32, bool>,
    /// Every version there ever was, with the last epoch that wrapped it.
    versions: BTreeMap<u32, u32>,
    resume_key: bool,
    erased: Option<HungOn>,
}

impl Vault {
    fn new() -> Self {
        let live = Database { record: Some(1), in_progress: true, keks: BTreeMap::from([(1, 1)]) };
        // A copy from while the upload was under way.
        let backups = vec![live.clone()];
        Self {
            live: Database { in_progress: false, ..live },
            backups,
            epochs: BTreeMap::from([(1, true)]),
            versions: BTreeMap::from([(1, 1)]),
            resume_key: true,
            erased: None,
        }
    }

    fn newest(of: &BTreeMap<u32, impl Sized>) -> u32 {
        of.keys().next_back().copied().unwrap_or(0)
    }

    fn happen(&mut self, event: Event) {
        let (version, epoch) = (Self::newest(&self.versions), Self::newest(&self.epochs));
        match event {
            Event::RotateKek | Event::BeginRotation => {
                self.live.keks.insert(version + 1, epoch);
                self.versions.insert(version + 1, epoch);
                if matches!(event, Event::RotateKek) {
                    self.live.record = self.live.record.map(|_| version + 1);
                }
            }
            Event::RotateRoot => {
                self.epochs.insert(epoch + 1, true);
                for (version, under) in &mut self.live.keks {
                    *under = epoch + 1;
                    self.versions.insert(*version, epoch + 1);
                }
            }
            Event::DestroyKek(old) => {
                if old != version && self.live.record != Some(old) {
                    self.live.keks.remove(&old);
                }
            }
            Event::DestroyEpoch(old) => {
                if old != epoch && self.live.keks.values().all(|under| *under != old) {
                    self.epochs.entry(old).and_modify(|lives| *lives = false);
                }
            }
            Event::DestroyResumeKey => self.resume_key = false,
            Event::Backup => self.backups.push(self.live.clone()),
            Event::Erase => {
                if self.live.record.take().is_some() {
                    let resume_key = Some(ResumeKeyId::from_bytes([7; 16]));
                    self.erased = Some(HungOn { kek_version: version, root_epoch: epoch, resume_key });
                }
            }
        }
    }

    /// Whether every backup ever made, put together with the live database, the living epochs, the resume key and the
    /// upload's address, opens the record.
    fn opens(&self) -> bool {
        let databases = || self.backups.iter().chain([&self.live]);
        let lives = |epoch: &u32| self.epochs.get(epoch) == Some(&true);
        let has = |version: u32| databases().any(|db| db.keks.get(&version).is_some_and(lives));
        databases().any(|db| db.record.is_some_and(has) || (db.in_progress && self.resume_key))
    }

    fn horizon(&self) -> Option<Horizon> {
        let fate = |stands: bool| if stands { Fate::Standing } else { Fate::Destroyed };
        let keks: Vec<KekFate> = self
            .versions
            .iter()
            .map(|(version, root_epoch)| KekFate {
                version: *version,
                fate: fate(self.live.keks.contains_key(version)),
                root_epoch: *root_epoch,
            })
            .collect();
        let epochs: Vec<EpochFate> =
            self.epochs.iter().map(|(epoch, lives)| EpochFate { epoch: *epoch, fate: fate(*lives) }).collect();
        let resume_key = fate(self.resume_key);
        Some(horizon(self.erased.as_ref()?, &Keys { keks: &keks, epochs: &epochs, resume_key: &resume_key }))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn p8_a_final_erasure_is_beyond_every_backup_and_all_that_lives(events in events()) {
        let mut vault = Vault::new();
        let mut was_final = false;
        for event in events {
            vault.happen(event);
            let is_final = vault.horizon().is_some_and(|horizon| horizon.is_final());
            prop_assert!(!(is_final && vault.opens()), "called final, and a backup opens it");
            // Nothing that happens afterwards takes it back.
            prop_assert!(is_final || !was_final);
            was_final = is_final;
        }
    }

    #[test]
    fn p8_every_erasure_becomes_final_once_the_old_keys_are_destroyed(events in events()) {
        let mut vault = Vault::new();
        events.into_iter().for_each(|event| vault.happen(event));
        vault.happen(Event::Erase);
        // One cycle: a fresh version, the old ones destroyed, a fresh epoch, the old ones destroyed.
        vault.happen(Event::RotateKek);
        for version in 1..Vault::newest(&vault.versions) {
            vault.happen(Event::DestroyKek(version));
        }
        vault.happen(Event::RotateRoot);
        for epoch in 1..Vault::newest(&vault.epochs) {
            vault.happen(Event::DestroyEpoch(epoch));
        }
        vault.happen(Event::DestroyResumeKey);
        let horizon = vault.horizon().expect("it is erased");
        prop_assert!(horizon.is_final(), "{:?}", horizon.waits_for);
        prop_assert!(!vault.opens());
    }

    #[test]
    fn what_is_waited_for_only_ever_shrinks_by_a_destruction(
        versions in 1_u32..8, epochs in 1_u32..8, gone in proptest::collection::vec(any::<bool>(), 16),
    ) {
        let hung = HungOn { kek_version: versions, root_epoch: epochs, resume_key: None };
        let is = |at: u32| gone[at as usize];
        let mut keks: Vec<KekFate> = (1..=versions).map(|v| kek(v, is(v), epochs)).collect();
        let known: Vec<EpochFate> = (1..=epochs).map(|e| epoch(e, is(e + 7))).collect();
        let waits = |keks: &[KekFate]| {
            horizon(&hung, &Keys { keks, epochs: &known, resume_key: &Fate::Standing }).waits_for
        };
        let before = waits(&keks);
        for kek in &mut keks {
            kek.fate = Fate::Destroyed;
        }
        let after = waits(&keks);
        prop_assert!(after.iter().all(|one| before.contains(one)));
        prop_assert!(after.iter().all(|one| matches!(one, WaitsFor::RootEpoch(_))));
    }
}
