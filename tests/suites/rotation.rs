//! Promise 7, from outside: a rotation disturbs nobody, survives what befalls its node, and leaves nothing half-done.
//!
//! Rotations are throttled where something has to happen in the middle of one: how fast this machine is does not matter then.
//! `VAULT_TESTS_ROTATION_KILLS` sets how often a server is killed in the middle of a rotation (7 when absent; `cargo xtask test`
//! sets 12 for each engine), `VAULT_TESTS_SEED` another seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::keys::{CollectionKeys, KeyRotation, KeyState, RotationState, RotationStatus};
use vault_tests::acknowledged::{self, Sent};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::vault::Vault;
use vault_tests::{cli, database, tus};

/// However slow the machine is, what goes on comes to its end within this.
const PATIENCE: Duration = Duration::from_secs(120);

const KEYS: &str = "/v1/collections/demo/keys";

/// A finished upload of a short recording.
fn upload(vault: &Vault, chance: &mut Chance) -> Sent {
    let recording = wav(usize::try_from(chance.between(2_000, 20_000)).expect("small"), chance);
    let mut sent = Sent::new(tus::create(vault, "call.wav", "audio/wav", recording.len()), recording);
    let _answer = sent.send(&vault.nobody(), sent.left()).expect("an answer").expect(204);
    assert!(sent.record.is_some(), "a finished upload has a record");
    sent
}

fn rotate(vault: &Vault, throttle: Option<u32>) -> KeyRotation {
    let body = json!({"reason": "Test", "throttle": throttle});
    vault.person("key-officer").post(&format!("{KEYS}/rotate"), &body).expect(202).read()
}

fn control(vault: &Vault, what: &str, body: &Value) -> KeyRotation {
    vault.person("key-officer").post(&format!("{KEYS}/rotation/{what}"), body).expect(200).read()
}

fn rotation(vault: &Vault) -> KeyRotation {
    let status: RotationStatus = vault.person("key-officer").get(&format!("{KEYS}/rotation")).expect(200).read();
    status.rotation.expect("there was one")
}

#[track_caller]
fn until(vault: &Vault, what: &str, holds: impl Fn(&KeyRotation) -> bool) -> KeyRotation {
    let started = Instant::now();
    loop {
        let now = rotation(vault);
        if holds(&now) {
            return now;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: {now:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The oracles: one active version, every wrap opens, and the log convinces a stranger.
#[track_caller]
fn sound(vault: &Vault, when: &str) -> CollectionKeys {
    let keys: CollectionKeys = vault.person("key-officer").get(KEYS).expect(200).read();
    let active = keys.versions.iter().filter(|version| version.state == KeyState::Active).count();
    assert_eq!(active, 1, "{when}: {keys:?}");
    let verified = cli::run(vault, "key-officer", &["keys", "verify"]).expect(0).json();
    assert_eq!(verified["findings"], json!([]), "{when}");
    let _clean = cli::verify_log(vault).expect(0);
    keys
}

fn key_version(vault: &Vault, sent: &Sent) -> u64 {
    let path = format!("/v1/records/{}", sent.record.as_deref().expect("it is finished"));
    vault.person("analyst").get(&path).expect(200).json()["key_version"].as_u64().expect("a version")
}

#[test]
fn p7_uploads_and_playbacks_go_on_without_an_error_while_keys_move() {
    let vault = Vault::start();
    let mut chance = Chance::new(0x0701);
    let before: Vec<Sent> = (0..60).map(|_| upload(&vault, &mut chance)).collect();
    let begun = rotate(&vault, Some(10));
    assert_eq!((begun.from_version, begun.to_version, begun.remaining), (1, 2, 60));
    // From its first moment the new version wraps what is new.
    let first = upload(&vault, &mut chance);
    assert_eq!(key_version(&vault, &first), 2);

    let over = AtomicBool::new(false);
    let (uploaded, played) = std::thread::scope(|scope| {
        let uploads = scope.spawn(|| {
            let (mut chance, mut sent) = (Chance::new(0x0702), Vec::new());
            while !over.load(Ordering::Relaxed) {
                sent.push(upload(&vault, &mut chance));
            }
            sent
        });
        let playbacks = scope.spawn(|| {
            let mut played = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let sent = &before[played % before.len()];
                acknowledged::play_anew(&vault, sent).unwrap_or_else(|finding| panic!("{finding}"));
                played += 1;
            }
            played
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&vault, "nothing moves", |now| now.moved >= 10);
            let started = Instant::now();
            while !uploads.is_finished() && !playbacks.is_finished() && rotation(&vault).moved < 40 {
                assert!(started.elapsed() < PATIENCE, "it does not go on");
                std::thread::sleep(Duration::from_millis(50));
            }
            control(&vault, "throttle", &json!({}));
            until(&vault, "it does not end", |now| now.state == RotationState::Done)
        }));
        over.store(true, Ordering::Relaxed);
        let clients = (uploads.join().expect("no upload fails"), playbacks.join().expect("no playback fails"));
        let done = worked.expect("the rotation comes to its end");
        assert_eq!((done.moved, done.remaining, done.damaged), (60, 0, 0));
        clients
    });
    assert!(!uploaded.is_empty() && played > 0, "{} uploads, {played} playbacks", uploaded.len());
    for sent in before.iter().chain(&uploaded).chain([&first]) {
        assert_eq!(key_version(&vault, sent), 2);
    }
    acknowledged::play_anew(&vault, &before[7]).unwrap_or_else(|finding| panic!("{finding}"));
    let keys = sound(&vault, "at the end");
    assert_eq!((keys.versions[1].records, keys.versions[1].children.len()), (0, 0), "nothing needs the old version");
}

#[test]
fn p7_kill_9_in_the_middle_of_rotations_loses_nothing_and_leaves_nothing_half_active() {
    let kills = by_hand("VAULT_TESTS_ROTATION_KILLS").unwrap_or(7);
    let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(0x5eed_0007);
    let mut chance = Chance::new(seed);
    let mut vault = Vault::start();
    let mut records: Vec<Sent> = (0..40).map(|_| upload(&vault, &mut chance)).collect();
    let mut version = 1;
    for kill in 1..=kills {
        let when = format!("seed {seed}, after {kill} kills");
        let under_way = version > 1 && rotation(&vault).state != RotationState::Done;
        // Half of the kills fall on the beginning of one, with its answer or without.
        if !under_way {
            let body = json!({"reason": "Test", "throttle": chance.between(20, 200)}).to_string();
            let json = [("content-type", "application/json")];
            let officer = vault.person("key-officer");
            let moment = Duration::from_millis(chance.between(1, 60));
            let answered = std::thread::scope(|scope| {
                let asking =
                    scope.spawn(move || officer.try_send("POST", &format!("{KEYS}/rotate"), &json, body.as_bytes()));
                if chance.below(2) == 0 {
                    std::thread::sleep(moment);
                    vault.kill();
                }
                asking.join().expect("no panic")
            });
            if let Some(answer) = answered {
                version = answer.expect(202).read::<KeyRotation>().to_version;
            }
        }
        std::thread::sleep(Duration::from_millis(chance.between(0, 400)));
        vault.kill();
        if chance.below(5) == 0 {
            vault.launch_and_kill(Duration::from_millis(chance.between(1, 400)));
        }
        vault.launch();
        let keys = sound(&vault, &when);
        let newest = keys.versions[0].version;
        assert!(newest >= version, "{when}: version {version} was acknowledged, {newest} is the newest");
        version = newest;
        let held: u64 = keys.versions.iter().map(|version| version.records).sum();
        assert_eq!(held, records.len() as u64, "{when}: {keys:?}");
        records.push(upload(&vault, &mut chance));
        let one = usize::try_from(chance.below(records.len() as u64)).expect("small");
        acknowledged::play_anew(&vault, &records[one]).unwrap_or_else(|finding| panic!("{when}: {finding}"));
    }
    if version == 1 {
        version = rotate(&vault, None).to_version;
    }
    if rotation(&vault).state != RotationState::Done {
        control(&vault, "throttle", &json!({}));
    }
    until(&vault, "it does not end", |now| now.state == RotationState::Done);
    let keys = sound(&vault, "at the end");
    assert_eq!((keys.versions[0].version, keys.versions[0].records), (version, records.len() as u64), "{keys:?}");
    for sent in &records {
        acknowledged::play_anew(&vault, sent).unwrap_or_else(|finding| panic!("seed {seed}, at the end: {finding}"));
    }
    assert!(vault.stop().success());
}

#[test]
fn p7_a_paused_rotation_stays_paused_across_a_crash_and_a_restart() {
    let mut vault = Vault::start();
    let mut chance = Chance::new(0x0703);
    let records: Vec<Sent> = (0..30).map(|_| upload(&vault, &mut chance)).collect();
    rotate(&vault, Some(10));
    until(&vault, "nothing moves", |now| now.moved > 0);
    assert_eq!(control(&vault, "pause", &json!({})).state, RotationState::Paused);
    let at = rotation(&vault);
    vault.crash();
    assert!(vault.stop().success());
    vault.launch();
    // The job of keys begins with the vault; it has had its time by the end of these.
    for _ in 0..3 {
        upload(&vault, &mut chance);
        std::thread::sleep(Duration::from_millis(300));
    }
    let still = rotation(&vault);
    assert_eq!((still.state, still.moved), (RotationState::Paused, at.moved));
    sound(&vault, "paused");
    control(&vault, "resume", &json!({}));
    let done = until(&vault, "it does not go on", |now| now.state == RotationState::Done);
    assert_eq!((done.moved, done.throttle), (30, Some(10)), "its speed is remembered too");
    assert!(records.iter().all(|sent| key_version(&vault, sent) == 2));
    sound(&vault, "at the end");
}

#[test]
fn p7_another_node_goes_on_with_the_rotation_of_a_node_that_was_killed() {
    let mut one = Vault::first();
    let mut chance = Chance::new(0x0704);
    let records: Vec<Sent> = (0..50).map(|_| upload(&one, &mut chance)).collect();
    let two = one.beside();
    rotate(&one, Some(10));
    // The lease says who works on it; the other looks on.
    let holder = || database::texts(&one, "SELECT holder FROM leases WHERE name LIKE 'rotation:%'");
    until(&one, "nothing moves", |now| now.moved > 0);
    let before = holder();
    assert_eq!(before.len(), 1);
    let works = |vault: &Vault| before[0].contains(&format!("/{}/", vault.process_id()));
    let other = if works(&one) {
        one.kill();
        &two
    } else {
        assert!(works(&two), "somebody else works: {before:?}");
        drop(two);
        &one
    };
    control(other, "throttle", &json!({}));
    let done = until(other, "nobody goes on", |now| now.state == RotationState::Done);
    assert_eq!(done.moved, 50);
    assert_ne!(database::texts(other, "SELECT holder FROM leases WHERE name LIKE 'rotation:%'"), before);
    assert!(records.iter().all(|sent| key_version(other, sent) == 2));
    sound(other, "at the end");
}

#[test]
fn p12_keys_verify_names_a_damaged_wrap_and_a_rotation_goes_past_it() {
    let vault = Vault::start();
    let mut chance = Chance::new(0x0705);
    let records: Vec<Sent> = (0..5).map(|_| upload(&vault, &mut chance)).collect();
    let damaged = records[2].record.clone().expect("it is finished");
    // The wrap of another record in its place.
    let other = records[3].record.as_deref().expect("it is finished");
    let swap =
        format!("UPDATE records SET wrap = (SELECT wrap FROM records WHERE id = '{other}') WHERE id = '{damaged}'");
    assert_eq!(database::execute(&vault, &swap), 1);
    let found = cli::run(&vault, "key-officer", &["keys", "verify", "demo"]).expect(3).json();
    let expected =
        json!([{"collection": "demo", "scope": "record", "record_id": damaged, "kek_version": 1, "problem": "forged"}]);
    assert_eq!((&found["findings"], &found["checked"]), (&expected, &json!(8)));

    rotate(&vault, None);
    let done = until(&vault, "it does not end", |now| now.state == RotationState::Done);
    assert_eq!((done.moved, done.remaining, done.damaged), (4, 1, 1));
    for sent in records.iter().filter(|sent| sent.record.as_ref() != Some(&damaged)) {
        acknowledged::play_anew(&vault, sent).unwrap_or_else(|finding| panic!("{finding}"));
    }
    let _clean = cli::verify_log(&vault).expect(0);
}
