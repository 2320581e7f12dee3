//! From outside: a vault that lost its database comes back by one command, and with it nothing that was taken away since the backup
//! (promises 3, 6, 7 and 8).
//!
//! `VAULT_TESTS_KEY_KILLS` sets how often a restore is killed (7 times when absent; `cargo xtask test` sets 25 for each engine),
//! `VAULT_TESTS_SEED` another seed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::keys::{CollectionKeys, KeyState, RootStatus, RotationState, RotationStatus};
use vault_api::restore::RestoreStatus;
use vault_tests::acknowledged::{self, Sent};
use vault_tests::console::{self, said};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::objects::Store;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, copies, database, tus};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: &str = "/v1/collections/demo/keys";
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

struct Stage {
    vault: Vault,
    chance: Chance,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(seed);
        Self { vault: Vault::start(), chance: Chance::new(seed) }
    }

    fn upload(&mut self) -> Sent {
        let recording = wav(usize::try_from(self.chance.between(2_000, 20_000)).expect("small"), &mut self.chance);
        let upload = tus::create(&self.vault, "call.wav", "audio/wav", recording.len());
        let mut sent = Sent::new(upload, recording);
        let _answer = sent.send(&self.vault.nobody(), sent.left()).expect("an answer").expect(204);
        sent
    }

    fn backup(&self, name: &str) -> PathBuf {
        console::backup(&self.vault, name)
    }

    fn restore(&self, from: &Path, more: &[&str]) -> Output {
        self.restoring(from, more).output().expect("it runs")
    }

    fn restoring(&self, from: &Path, more: &[&str]) -> Command {
        let mut command = console::server(&self.vault, &["restore"], &console::configuration(&self.vault, ""));
        command.arg("--from").arg(from).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn lose_the_database(&self) {
        copies::lose(&self.vault.database_url());
    }

    fn keys(&self) -> CollectionKeys {
        self.vault.person(OFFICERS[0]).get(KEYS).expect(200).read()
    }

    fn status(&self) -> RestoreStatus {
        self.vault.person(OFFICERS[0]).get("/v1/restore").expect(200).read()
    }

    /// Waits until no record key has to move any more.
    #[track_caller]
    fn settled(&self) {
        let started = Instant::now();
        loop {
            let status: RotationStatus =
                self.vault.person(OFFICERS[0]).get(&format!("{KEYS}/rotation")).expect(200).read();
            if status.rotation.is_none_or(|rotation| rotation.state == RotationState::Done) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "a rotation does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The oracles.
    #[track_caller]
    fn sound(&self) {
        self.settled();
        let active = self.keys().versions.iter().filter(|key| key.state == KeyState::Active).count();
        assert_eq!(active, 1, "{:?}", self.keys());
        let verified = cli::run(&self.vault, OFFICERS[0], &["keys", "verify"]).expect(0).json();
        assert_eq!((&verified["findings"], &verified["skipped"]), (&json!([]), &json!(0)));
        let _clean = cli::verify_log(&self.vault).expect(0);
    }

    fn ask(&self, who: &str, path: &str, body: &Value) -> vault_tests::http::Answer {
        self.vault.person(who).post(path, body)
    }
}

#[test]
fn p6_p7_p8_one_command_brings_a_lost_database_back_and_nothing_that_was_taken_away() {
    let mut stage = Stage::set(0x5eed_5701);
    let (kept, erased) = (stage.upload(), stage.upload());
    let record = |sent: &Sent| sent.record.clone().expect("a record");
    let request = access::request(&stage.vault, "analyst", &record(&kept), "To listen", "C-1");
    let approved = access::approve(&stage.vault, "approver", &request);
    let backup = stage.backup("backup");

    // What the backup knows nothing of.
    let lost = stage.upload();
    let gone = stage.vault.person("approver").delete(&format!("/v1/records/{}", record(&erased)));
    assert!([200, 202].contains(&gone.status), "{gone}");
    let _revoked = stage.vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id)).expect(200);
    let rotate = json!({"reason": "Due"});
    let _rotation = stage.ask(OFFICERS[0], &format!("{KEYS}/rotate"), &rotate);
    stage.settled();
    let leaked = json!({"incident": "INC-7", "reason": "Leaked"});
    let _marked = stage.ask(OFFICERS[0], &format!("{KEYS}/2/mark-compromised"), &leaked).expect(202);
    stage.settled();
    let checkpoint = stage.vault.room().join("checkpoint");
    let seen = stage.vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200);
    std::fs::write(&checkpoint, &seen.body).expect("the checkpoint");

    // While it runs, and while the database is there, nothing is restored.
    let refused = stage.restore(&backup, &[]);
    assert!(!refused.status.success() && said(&refused).contains("--replace"), "{}", said(&refused));
    assert!(stage.vault.stop().success());
    stage.lose_the_database();
    let keyring = stage.vault.data().join("keyring");
    let copy = stage.vault.room().join("keyring.copy");
    assert!(keyring.exists(), "the keyring lies where it is expected");
    std::fs::rename(&keyring, &copy).expect("the keyring's own copy");
    let without = stage.restore(&backup, &[]);
    assert!(!without.status.success() && said(&without).contains("--keyring"), "{}", said(&without));
    let (copy, checkpoint) = (copy.display().to_string(), checkpoint.display().to_string());
    let done = stage.restore(&backup, &["--keyring", &copy, "--known-checkpoint", &checkpoint]);
    assert!(done.status.success(), "{}", said(&done));
    stage.vault.launch();

    let status = stage.status();
    assert!(status.reconciled && status.confirmed_at.is_none(), "{status:?}");
    assert_eq!((status.uploads_lost, status.collections_renewed), (1, 1), "{status:?}");
    let versions: Vec<u32> = status.versions_lost.iter().map(|lost| lost.version).collect();
    assert_eq!(versions, [2, 3], "{status:?}");
    assert!(status.entries_replayed > 0 && status.records_without_media == 0, "{status:?}");
    // No number is given twice.
    let active = stage.keys().versions.into_iter().find(|key| key.state == KeyState::Active).expect("one");
    assert_eq!(active.version, 4);
    stage.sound();

    acknowledged::play_anew(&stage.vault, &kept).unwrap_or_else(|finding| panic!("{finding}"));
    let session = access::try_open(&stage.vault.person("analyst"), &request, &json!({}));
    session.refused(403, "grant_not_in_force");
    for absent in [&erased, &lost] {
        let shown = stage.vault.person("analyst").get(&format!("/v1/records/{}", record(absent)));
        assert!(shown.status == 404 || shown.json()["state"] == "erased", "{shown}");
        assert!(acknowledged::play_anew(&stage.vault, absent).is_err());
    }
    let fresh = stage.upload();
    acknowledged::play_anew(&stage.vault, &fresh).unwrap_or_else(|finding| panic!("{finding}"));

    // Nothing is deleted until a key officer has said so, once.
    let root: RootStatus = stage.vault.person(OFFICERS[0]).get("/v1/root").expect(200).read();
    assert!(root.restore_unconfirmed && root.oldest_restorable_backup.is_some(), "{root:?}");
    let why = json!({"reason": "Looked through"});
    stage.ask("analyst", "/v1/restore/confirm", &why).refused(403, "forbidden");
    let confirmed =
        cli::run(&stage.vault, OFFICERS[0], &["restore", "confirm", "--reason", "Looked through"]).expect(0);
    assert!(confirmed.json()["confirmed_at"].is_string());
    stage.ask(OFFICERS[1], "/v1/restore/confirm", &why).refused(409, "conflict");
    let root: RootStatus = stage.vault.person(OFFICERS[0]).get("/v1/root").expect(200).read();
    assert!(!root.restore_unconfirmed);
    stage.sound();
    // And so after another start.
    assert!(stage.vault.stop().success());
    stage.vault.launch();
    acknowledged::play_anew(&stage.vault, &kept).unwrap_or_else(|finding| panic!("{finding}"));
    stage.sound();
}

#[test]
fn p7_p8_a_key_version_destroyed_since_the_backup_stays_destroyed_and_its_records_restricted() {
    let mut stage = Stage::set(0x5eed_5702);
    let before = stage.upload();
    let backup = stage.backup("backup");
    let _rotation = stage.ask(OFFICERS[0], &format!("{KEYS}/rotate"), &json!({"reason": "Due"}));
    stage.settled();
    let destroy = format!("{KEYS}/1/destroy");
    let _asked = stage.ask(OFFICERS[0], &destroy, &json!({"reason": "Empty"})).expect(202);
    let _confirmed = stage.ask(OFFICERS[1], &format!("{destroy}/confirm"), &json!({})).expect(200);
    let root: RootStatus = stage.vault.person(OFFICERS[0]).get("/v1/root").expect(200).read();
    assert_eq!(root.backups.len(), 1);
    assert!(root.oldest_restorable_backup.is_none() && root.backups[0].keys_gone > 0, "{root:?}");
    assert!(stage.vault.stop().success());
    stage.lose_the_database();
    let done = stage.restore(&backup, &[]);
    assert!(done.status.success(), "{}", said(&done));
    stage.vault.launch();
    let status = stage.status();
    assert_eq!(status.records_without_key, 1, "{status:?}");
    // The collection's own keys were under that version too, and have moved since: of the backup's copy of them nothing opens.
    assert_eq!(status.collections_without_keys, 1, "{status:?}");
    assert!(acknowledged::play_anew(&stage.vault, &before).is_err());
    let started = Instant::now();
    let emptied = "SELECT COUNT(*) FROM keks WHERE version = 1 AND state = 'destroyed' AND length(wrap) = 0
                   AND collection_id <> '00000000-0000-0000-0000-000000000000'";
    while database::number(&stage.vault, emptied) == 0 {
        assert!(started.elapsed() < PATIENCE, "the destroyed version came back and stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    let _confirmed =
        stage.ask(OFFICERS[1], "/v1/restore/confirm", &json!({"reason": "Nothing is left of it"})).expect(200);
    let _clean = cli::verify_log(&stage.vault).expect(0);
}

#[test]
fn p8_an_erasure_that_the_log_alone_knows_of_is_done_again() {
    let mut stage = Stage::set(0x5eed_5705);
    let (kept, erased) = (stage.upload(), stage.upload());
    let backup = stage.backup("backup");
    let objects = Store::of(&stage.vault);
    let before = objects.names("journal");
    let gone =
        stage.vault.person("approver").delete(&format!("/v1/records/{}", erased.record.clone().expect("a record")));
    assert!([200, 202].contains(&gone.status), "{gone}");
    let _published = cli::verify_log(&stage.vault).expect(0);
    assert!(stage.vault.stop().success());
    // The journal knows nothing of it, the database is of before, and what named the record in the log is lost with it.
    let journalled: Vec<String> = objects.names("journal").into_iter().filter(|name| !before.contains(name)).collect();
    assert!(!journalled.is_empty(), "the erasure was journalled");
    for name in journalled {
        objects.delete(&name);
    }
    stage.lose_the_database();
    let done = stage.restore(&backup, &[]);
    assert!(done.status.success(), "{}", said(&done));
    stage.vault.launch();
    assert!(acknowledged::play_anew(&stage.vault, &erased).is_err(), "it was erased");
    // What the journal does not name may be about any record of the collection: somebody has to look.
    assert_eq!(stage.status().collections_in_doubt, 1, "{:?}", stage.status());
    assert!(acknowledged::play_anew(&stage.vault, &kept).is_err(), "nobody has looked");
    let _opened = stage.ask("administrator", "/v1/collections/demo/open", &json!({})).expect(200);
    let _confirmed = stage.ask(OFFICERS[1], "/v1/restore/confirm", &json!({"reason": "Looked through"})).expect(200);
    let wraps = "SELECT COUNT(*) FROM records WHERE wrap IS NOT NULL";
    let started = Instant::now();
    while database::number(&stage.vault, wraps) > 1 {
        assert!(started.elapsed() < PATIENCE, "the record's key came back and stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    acknowledged::play_anew(&stage.vault, &kept).unwrap_or_else(|finding| panic!("{finding}"));
    stage.sound();
}

#[test]
fn p9_a_loss_that_a_checkpoint_from_outside_proves_is_not_signed_over() {
    let mut stage = Stage::set(0x5eed_5703);
    let _first = stage.upload();
    let backup = stage.backup("backup");
    let objects = Store::of(&stage.vault);
    let older = objects.snapshot();
    let _second = stage.upload();
    // An upload is answered once its entry is committed, which may be a moment before a checkpoint covers it.
    let auditor = stage.vault.person("auditor");
    let uploads = || {
        let page = auditor.get("/v1/audit/entries?type=upload.completed&limit=500").expect(200).json();
        page["items"].as_array().map_or(0, Vec::len)
    };
    let started = Instant::now();
    while uploads() < 2 {
        assert!(started.elapsed() < PATIENCE, "no checkpoint covers the second upload");
        std::thread::sleep(Duration::from_millis(10));
    }
    let checkpoint = stage.vault.room().join("checkpoint");
    let seen = auditor.get("/v1/audit/log/checkpoint").expect(200);
    std::fs::write(&checkpoint, &seen.body).expect("the checkpoint");
    assert!(stage.vault.stop().success());
    stage.lose_the_database();
    // Database and objects are both of before.
    objects.roll_back(&older);
    let checkpoint = checkpoint.display().to_string();
    let refused = stage.restore(&backup, &["--known-checkpoint", &checkpoint]);
    assert!(
        !refused.status.success() && said(&refused).contains("entries that were signed are lost"),
        "{}",
        said(&refused)
    );
    // And what was published is not the backup's.
    objects.write("log/checkpoint", b"not a note");
    assert!(!stage.restore(&backup, &[]).status.success());
}

#[test]
fn p3_survives_kill_9_in_every_step_of_a_restore() {
    let mut stage = Stage::set(0x5eed_5704);
    let records: Vec<Sent> = (0..30).map(|_| stage.upload()).collect();
    let backup = stage.backup("backup");
    let _rotation = stage.ask(OFFICERS[0], &format!("{KEYS}/rotate"), &json!({"reason": "Due"}));
    stage.settled();
    let gone =
        stage.vault.person("approver").delete(&format!("/v1/records/{}", records[0].record.clone().expect("one")));
    assert!([200, 202].contains(&gone.status), "{gone}");
    let wanted = by_hand("VAULT_TESTS_KEY_KILLS").unwrap_or(7);
    let (mut kills, mut finished) = (0, 0);
    // How long one takes that nobody kills, which depends on the engine.
    let mut takes = Duration::from_millis(120);
    while kills < wanted {
        let when = format!("after {kills} kills");
        assert!(stage.vault.stop().success(), "{when}");
        stage.lose_the_database();
        // Until one comes through; each of the others is killed at some moment of it.
        loop {
            let started = Instant::now();
            let mut child = stage.restoring(&backup, &["--replace"]).spawn().expect("it starts");
            if kills < wanted && stage.chance.below(4) > 0 {
                let latest = u64::try_from(takes.as_micros()).expect("short");
                std::thread::sleep(Duration::from_micros(stage.chance.between(500, latest * 11 / 10)));
                child.kill().expect("a signal");
                kills += 1;
                finished += u32::from(child.wait().expect("it ended").success());
                continue;
            }
            let done = child.wait_with_output().expect("it ended");
            assert!(done.status.success(), "{when}: {}", said(&done));
            takes = started.elapsed();
            break;
        }
        // The first start reconciles, and may be cut short too.
        while kills < wanted && stage.chance.below(2) == 0 {
            stage.vault.launch_and_kill(Duration::from_millis(stage.chance.between(20, 600)));
            kills += 1;
        }
        stage.vault.launch();
        let status = stage.status();
        assert!(status.reconciled, "{when}: {status:?}");
        assert_eq!(status.collections_renewed, 1, "{when}: {status:?}");
        stage.sound();
        let one = usize::try_from(stage.chance.between(1, 29)).expect("small");
        acknowledged::play_anew(&stage.vault, &records[one]).unwrap_or_else(|finding| panic!("{when}: {finding}"));
        assert!(acknowledged::play_anew(&stage.vault, &records[0]).is_err(), "{when}: it was erased");
    }
    assert_eq!(database::number(&stage.vault, "SELECT COUNT(*) FROM restores"), 1);
    println!("{kills} kills; {finished} restores had ended before theirs");
}
