//! Promise 7, from outside: `kill -9` in the middle of every act on keys. Nothing is lost and nothing is half active: each kill ends
//! with `keys verify`, the log's verifier and a playback, and what was acknowledged before it is still so.
//!
//! Rotations have their own kills (`rotation`). `VAULT_TESTS_KEY_KILLS` sets how many there are in each test here (7 when absent;
//! `cargo xtask test` sets 25 for each engine), `VAULT_TESTS_SEED` another seed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::cycle::{Cycle, CycleState, CycleStatus, CycleWait};
use vault_api::exposure::{ExposedRecord, ExposurePage, HowExposed};
use vault_api::keys::{CollectionKeys, KeyState, RootStatus, RotationState, RotationStatus};
use vault_api::reencryption::{Reencryption, ReencryptionState, ReencryptionStatus};
use vault_tests::acknowledged::{self, Sent};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::http::Answer;
use vault_tests::vault::Vault;
use vault_tests::{cli, tus};

const PATIENCE: Duration = Duration::from_secs(120);
const KEYS: &str = "/v1/collections/demo/keys";
const REENCRYPTION: &str = "/v1/collections/demo/reencryption";
const ROOT: &str = "/v1/root";
const CYCLE: &str = "/v1/root/cycle";
/// Who asks for a destruction, and who confirms it.
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

/// A vault that is killed again and again, and what it has acknowledged.
struct Stage {
    vault: Vault,
    chance: Chance,
    seed: u64,
    kills: u64,
    /// Kills that came before the answer, and after it.
    cut: [u64; 2],
    records: Vec<Sent>,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(seed);
        let mut stage =
            Self { vault: Vault::start(), chance: Chance::new(seed), seed, kills: 0, cut: [0; 2], records: Vec::new() };
        for _ in 0..20 {
            stage.upload();
        }
        stage
    }

    fn wanted() -> u64 {
        by_hand("VAULT_TESTS_KEY_KILLS").unwrap_or(7)
    }

    fn upload(&mut self) {
        let recording = wav(usize::try_from(self.chance.between(2_000, 20_000)).expect("small"), &mut self.chance);
        let upload = tus::create(&self.vault, "call.wav", "audio/wav", recording.len());
        let mut sent = Sent::new(upload, recording);
        let _answer = sent.send(&self.vault.nobody(), sent.left()).expect("an answer").expect(204);
        assert!(sent.record.is_some(), "a finished upload has a record");
        self.records.push(sent);
    }

    /// Asks, kills the server at some moment of the act or right after it, and starts it again. None: there was no answer.
    fn cut(&mut self, who: &str, path: &str, body: &Value) -> Option<Answer> {
        let caller = self.vault.person(who);
        let (path, body) = (path.to_owned(), body.to_string());
        // Most acts are over within ten milliseconds.
        let latest = if self.chance.below(3) == 0 { 60_000 } else { 8_000 };
        let moment = Duration::from_micros(self.chance.between(200, latest));
        let answered = std::thread::scope(|scope| {
            let json = [("content-type", "application/json")];
            let asking = scope.spawn(move || caller.try_send("POST", &path, &json, body.as_bytes()));
            std::thread::sleep(moment);
            self.vault.kill();
            asking.join().expect("no panic")
        });
        self.cut[usize::from(answered.is_some())] += 1;
        self.start_again();
        answered
    }

    /// Kills the server in whatever it does by itself, and starts it again.
    fn cut_work(&mut self) {
        std::thread::sleep(Duration::from_millis(self.chance.between(0, 2_500)));
        self.vault.kill();
        self.start_again();
    }

    fn start_again(&mut self) {
        self.kills += 1;
        // Some starts are cut short as well.
        if self.chance.below(5) == 0 {
            self.vault.launch_and_kill(Duration::from_millis(self.chance.between(1, 400)));
        }
        self.vault.launch();
    }

    fn keys(&self) -> CollectionKeys {
        self.vault.person(OFFICERS[0]).get(KEYS).expect(200).read()
    }

    fn root(&self) -> RootStatus {
        self.vault.person(OFFICERS[0]).get(ROOT).expect(200).read()
    }

    fn state_of(&self, version: u32) -> KeyState {
        self.keys().versions.iter().find(|key| key.version == version).expect("it is listed").state
    }

    /// Waits until no record key has to move any more.
    #[track_caller]
    fn settled(&self) {
        let started = Instant::now();
        loop {
            let path = format!("{KEYS}/rotation");
            let status: RotationStatus = self.vault.person(OFFICERS[0]).get(&path).expect(200).read();
            if status.rotation.is_none_or(|rotation| rotation.state == RotationState::Done) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "seed {}: a rotation does not end", self.seed);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The oracles.
    #[track_caller]
    fn sound(&mut self) {
        let when = format!("seed {}, after {} kills", self.seed, self.kills);
        let keys = self.keys();
        let active = keys.versions.iter().filter(|version| version.state == KeyState::Active).count();
        assert_eq!(active, 1, "{when}: {keys:?}");
        let held: u64 = keys.versions.iter().map(|version| version.records).sum();
        assert_eq!(held, self.records.len() as u64, "{when}: {keys:?}");
        let current = self.root().epochs.into_iter().filter(|epoch| epoch.state == KeyState::Active).count();
        assert_eq!(current, 1, "{when}");
        self.settled();
        let verified = cli::run(&self.vault, OFFICERS[0], &["keys", "verify"]).expect(0).json();
        assert_eq!((&verified["findings"], &verified["skipped"]), (&json!([]), &json!(0)), "{when}");
        let _clean = cli::verify_log(&self.vault).expect(0);
        let one = usize::try_from(self.chance.below(self.records.len() as u64)).expect("small");
        let play = || acknowledged::play_anew(&self.vault, &self.records[one]);
        // A recording that is encrypted anew at that moment ends its sessions (410), or asks for another try (503).
        let anew = |finding: &String| finding.contains("session_ended") || finding.contains("record_key_changed");
        let played = play().or_else(|finding| if anew(&finding) { play() } else { Err(finding) });
        played.unwrap_or_else(|finding| panic!("{when}: {finding}"));
        self.upload();
    }

    /// At the end everything that was ever acknowledged plays.
    fn end(mut self) {
        let [before, after] = self.cut;
        assert!(before > 0 || after < 20, "seed {}: every kill came too late to cut an act", self.seed);
        for sent in &self.records {
            acknowledged::play_anew(&self.vault, sent)
                .unwrap_or_else(|finding| panic!("seed {}, at the end: {finding}", self.seed));
        }
        assert!(self.vault.stop().success());
    }

    /// An act that the vault may have done although nobody heard of it: it is asked for until it is known to be done.
    fn ask(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.vault.person(who).post(path, body)
    }

    fn rotate(&self) -> u32 {
        let begun = self.ask(OFFICERS[0], &format!("{KEYS}/rotate"), &json!({"reason": "Test"})).expect(202);
        self.settled();
        u32::try_from(begun.json()["from_version"].as_u64().expect("a version")).expect("small")
    }
}

/// A kill in an act leaves it done or not: what was answered with success is done, and asked again it comes to its end.
#[test]
fn p7_kill_9_while_versions_are_marked_as_compromised_leaves_nothing_half_active() {
    let mut stage = Stage::set(0x5eed_0c01);
    while stage.kills < Stage::wanted() {
        stage.settled();
        let version = stage.keys().versions[0].version;
        let path = format!("{KEYS}/{version}/mark-compromised");
        let body = json!({"incident": "INC-9", "reason": "Test"});
        let answered = stage.cut(OFFICERS[0], &path, &body);
        let state = stage.state_of(version);
        if let Some(answer) = answered {
            let _begun = answer.expect(202);
            assert_eq!(state, KeyState::Compromised, "seed {}: it was acknowledged", stage.seed);
        }
        // Done, with a successor, or not at all.
        assert!([KeyState::Compromised, KeyState::Active].contains(&state), "{state:?}");
        stage.sound();
    }
    stage.end();
}

#[test]
fn p7_kill_9_while_a_version_is_destroyed_destroys_it_whole_or_not_at_all() {
    let mut stage = Stage::set(0x5eed_0d01);
    let mut destroyed = 0;
    while stage.kills < Stage::wanted() {
        let version = stage.rotate();
        let path = format!("{KEYS}/{version}/destroy");
        let asked = stage.cut(OFFICERS[0], &path, &json!({"reason": "Test"}));
        if let Some(answer) = asked {
            let _asked = answer.expect(202);
        } else {
            // Asked for already, if the answer alone was lost.
            let again = stage.ask(OFFICERS[0], &path, &json!({"reason": "Test"}));
            assert!([202, 409].contains(&again.status), "{again}");
        }
        stage.sound();
        let confirmed = stage.cut(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
        if let Some(answer) = confirmed {
            let _done = answer.expect(200);
        } else if stage.state_of(version) != KeyState::Destroyed {
            // Confirmed and not yet carried out, or not confirmed.
            let again = stage.ask(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
            assert!([200, 409].contains(&again.status), "{again}");
        }
        // `dev` cools off for no time: what was confirmed is done by the job, if by nobody before.
        let started = Instant::now();
        while stage.state_of(version) != KeyState::Destroyed {
            assert!(started.elapsed() < PATIENCE, "seed {}: version {version} stays", stage.seed);
            std::thread::sleep(Duration::from_millis(100));
        }
        destroyed += 1;
        stage.sound();
    }
    let gone = stage.keys().versions.iter().filter(|key| key.state == KeyState::Destroyed).count();
    assert_eq!(gone, destroyed, "seed {}", stage.seed);
    stage.end();
}

#[test]
fn p8_survives_kill_9_while_root_epochs_are_begun_and_destroyed() {
    let mut stage = Stage::set(0x5eed_0e01);
    while stage.kills < Stage::wanted() {
        let before = stage.root().epochs[0].epoch;
        let answered = stage.cut(OFFICERS[0], &format!("{ROOT}/rotate"), &json!({"reason": "Test"}));
        if let Some(answer) = answered {
            let _status = answer.expect(200);
            assert!(stage.root().epochs[0].epoch > before, "seed {}: it was acknowledged", stage.seed);
        }
        stage.sound();
        let old = stage.root().epochs.into_iter().find(|epoch| epoch.state == KeyState::Deactivated);
        let Some(old) = old.map(|epoch| epoch.epoch) else { continue };
        let path = format!("{ROOT}/{old}/destroy");
        let body = json!({"reason": "Test", "known_copies": 0});
        let started = Instant::now();
        // What a crash left under it moves first.
        loop {
            let asked = stage.ask(OFFICERS[0], &path, &body);
            if asked.status == 202 || asked.code() == "conflict" {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "seed {}: {asked}", stage.seed);
            std::thread::sleep(Duration::from_millis(100));
        }
        let _answered = stage.cut(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
        let started = Instant::now();
        loop {
            let root = stage.root();
            if root.epochs.iter().any(|epoch| epoch.epoch == old && epoch.state == KeyState::Destroyed) {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "seed {}: epoch {old} stays: {root:?}", stage.seed);
            // Refused where it is confirmed already.
            let _again = stage.ask(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
            std::thread::sleep(Duration::from_millis(100));
        }
        stage.sound();
    }
    stage.end();
}

impl Stage {
    fn cycle(&self) -> Option<Cycle> {
        let status: CycleStatus = self.vault.person(OFFICERS[0]).get(CYCLE).expect(200).read();
        status.cycle
    }

    /// Waits until the cycle is as it should be.
    #[track_caller]
    fn cycle_until(&self, what: &str, is: impl Fn(&Cycle) -> bool) -> Cycle {
        let started = Instant::now();
        loop {
            let cycle = self.cycle().expect("a cycle");
            if is(&cycle) {
                return cycle;
            }
            assert!(started.elapsed() < PATIENCE, "seed {}: never {what}: {cycle:?}", self.seed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Two officers destroy a root epoch; the second one's act is cut.
    fn attest(&mut self, epoch: u32) {
        let path = format!("{ROOT}/{epoch}/destroy");
        let asked = self.ask(OFFICERS[0], &path, &json!({"reason": "Test", "known_copies": 0}));
        assert!([202, 409].contains(&asked.status), "seed {}: {asked}", self.seed);
        let _answered = self.cut(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
        // Refused where it is confirmed already.
        let _again = self.ask(OFFICERS[1], &format!("{path}/confirm"), &json!({}));
    }
}

/// A cycle is begun, agreed to, carried out and attested while the server is killed in each of these; it comes to its end, and so
/// does the next.
#[test]
fn p8_kill_9_in_every_step_of_a_cycle_of_keys_leaves_it_to_be_gone_on_with() {
    let mut stage = Stage::set(0x5eed_0f01);
    let mut cycles = 0;
    while stage.kills < Stage::wanted() {
        let begun = stage.cut(OFFICERS[0], CYCLE, &json!({"reason": "Test"}));
        let running = |cycle: &Cycle| cycle.state == CycleState::Running && cycle.number == cycles + 1;
        match begun {
            Some(answer) => assert!(running(&answer.expect(202).read())),
            None if stage.cycle().is_some_and(|cycle| running(&cycle)) => {}
            None => drop(stage.ask(OFFICERS[0], CYCLE, &json!({"reason": "Test"})).expect(202)),
        }
        cycles += 1;
        let scope = stage.cycle_until("in the log", |cycle| cycle.trouble.is_none()).scope_sha256;
        stage.sound();
        let agreeing = format!("{CYCLE}/confirm");
        let body = json!({"scope_sha256": scope});
        if let Some(answer) = stage.cut(OFFICERS[1], &agreeing, &body) {
            let _agreed = answer.expect(200);
        } else {
            let again = stage.ask(OFFICERS[1], &agreeing, &body);
            assert!([200, 409].contains(&again.status), "seed {}: {again}", stage.seed);
        }
        stage.sound();
        stage.cut_work();
        stage.sound();
        stage.cut_work();
        let cycle = stage.cycle_until("at the root epochs", |cycle| {
            cycle.state == CycleState::Done || cycle.waits_for.iter().any(|wait| wait.what == CycleWait::Epoch)
        });
        for wait in cycle.waits_for {
            stage.attest(wait.number.expect("an epoch"));
        }
        let cycle = stage.cycle_until("done", |cycle| cycle.state == CycleState::Done);
        assert_eq!(cycle.collections[0].versions, cycle.collections[0].destroyed, "seed {}", stage.seed);
        stage.sound();
    }
    let standing = |state| state != KeyState::Destroyed;
    assert_eq!(stage.keys().versions.iter().filter(|key| standing(key.state)).count(), 1);
    assert_eq!(stage.root().epochs.iter().filter(|epoch| standing(epoch.state)).count(), 1);
    stage.end();
}

/// Where the encrypting anew stands.
fn reencryption(stage: &Stage) -> Option<Reencryption> {
    let status: ReencryptionStatus = stage.vault.person(OFFICERS[0]).get(REENCRYPTION).expect(200).read();
    status.reencryption
}

/// What a version exposes, and how.
fn exposed(stage: &Stage, version: u32) -> Vec<ExposedRecord> {
    let page: ExposurePage =
        stage.vault.person(OFFICERS[0]).get(&format!("{KEYS}/{version}/exposure")).expect(200).read();
    assert_eq!(page.next_cursor, None, "more records than a page holds");
    page.records
}

/// A kill while recordings are written again leaves each of them under the one key or the other, whole, with every opening of it; the work
/// goes on with the next start and comes to its end.
#[test]
fn p7_kill_9_while_recordings_are_encrypted_anew_leaves_each_under_one_key_or_the_other() {
    let mut stage = Stage::set(0x5eed_0f01);
    // With openings, texts and sessions of their own.
    for sent in &stage.records {
        acknowledged::play_anew(&stage.vault, sent).unwrap_or_else(|finding| panic!("{finding}"));
    }
    let wanted = Stage::wanted();
    // Kills after which something was still to be done.
    let mut middle = 0;
    while stage.kills < wanted {
        let version = stage.keys().versions[0].version;
        let said = json!({"incident": "INC-9", "reason": "Test"});
        let _marked = stage.ask(OFFICERS[0], &format!("{KEYS}/{version}/mark-compromised"), &said).expect(202);
        stage.settled();
        let meant: Vec<String> = stage.records.iter().filter_map(|sent| sent.record.clone()).collect();
        let mut asked = json!({"exposed_by": version, "reason": "Test"});
        // Some kills are to come between two recordings, or while one is written.
        if stage.chance.below(3) == 0 {
            asked["bytes_per_second"] = stage.chance.between(50_000, 400_000).into();
        }
        let begun = stage.cut(OFFICERS[0], REENCRYPTION, &asked);
        if begun.is_none() {
            // Begun, if the answer alone was lost.
            let again = stage.ask(OFFICERS[0], REENCRYPTION, &asked);
            assert!([202, 409].contains(&again.status), "{again}");
        }
        let started = Instant::now();
        let mut kills = 0;
        loop {
            let now = reencryption(&stage).expect("it was begun");
            assert_eq!(now.exposed_by, Some(version), "{now:?}");
            if now.state == ReencryptionState::Done {
                assert_eq!((now.damaged, now.skipped), (0, 0), "seed {}: {now:?}", stage.seed);
                assert!(now.done >= meant.len() as u64, "seed {}: {now:?}", stage.seed);
                break;
            }
            assert!(started.elapsed() < PATIENCE, "seed {}: it does not end: {now:?}", stage.seed);
            if kills < 6 {
                for _ in 0..stage.chance.between(1, 4) {
                    std::thread::sleep(Duration::from_millis(stage.chance.between(1, 250)));
                    if stage.chance.below(6) == 0 {
                        let _answer = stage.cut(OFFICERS[0], &format!("{REENCRYPTION}/pause"), &json!({}));
                    } else {
                        stage.vault.kill();
                        stage.kills += 1;
                        stage.vault.launch();
                    }
                    kills += 1;
                    middle += u64::from(reencryption(&stage).is_some_and(|now| now.state != ReencryptionState::Done));
                }
                stage.sound();
                let resumed = stage.ask(OFFICERS[0], &format!("{REENCRYPTION}/resume"), &json!({}));
                assert!([200, 409].contains(&resumed.status), "{resumed}");
            } else {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let left = exposed(&stage, version);
        // What came in after it, within the margin for clocks, was never under it.
        assert!(
            left.iter().all(|one| one.how == HowExposed::Close && !meant.contains(&one.record_id)),
            "seed {}: {left:?}",
            stage.seed
        );
        stage.sound();
    }
    assert!(middle * 5 > wanted, "seed {}: {middle} of {} kills came in the middle", stage.seed, stage.kills);
    stage.end();
}
