//! From outside: a log that lost entries for good is succeeded by what two officers declare at the console, and goes on (promises 6,
//! 8 and 9).
//!
//! `VAULT_TESTS_KEY_KILLS` sets how often a declaration is killed (7 times when absent; `cargo xtask test` sets 25 for each engine),
//! `VAULT_TESTS_SEED` another seed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_tests::acknowledged::{self, Sent};
use vault_tests::console::{self, said};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::objects::Store;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, copies, database, tus};

const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

struct Stage {
    vault: Vault,
    chance: Chance,
    /// The name of the first log.
    name: String,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(seed);
        let vault = Vault::start();
        let (name, _) = vault.dev.log_public_key.split_once('+').expect("a verifier key");
        Self { name: name.to_owned(), vault, chance: Chance::new(seed) }
    }

    fn upload(&mut self) -> Sent {
        let recording = wav(usize::try_from(self.chance.between(2_000, 20_000)).expect("small"), &mut self.chance);
        let upload = tus::create(&self.vault, "call.wav", "audio/wav", recording.len());
        let mut sent = Sent::new(upload, recording);
        let _answer = sent.send(&self.vault.nobody(), sent.left()).expect("an answer").expect(204);
        sent
    }

    /// `log succeed`, as somebody.
    fn succeeding(&self, who: &str, more: &[&str]) -> Command {
        let passphrase = format!("[custody]\npassphrase_file = {:?}\n", self.vault.data().join("passphrase"));
        let configuration = console::configuration(&self.vault, &passphrase);
        let mut command = console::server(&self.vault, &["log", "succeed"], &configuration);
        command.arg("--token-file").arg(cli::token_file(&self.vault, who)).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn succeed(&self, who: &str, more: &[&str]) -> Output {
        self.succeeding(who, more).output().expect("it runs")
    }

    #[track_caller]
    fn refused(&self, who: &str, more: &[&str], because: &str) {
        let refused = self.succeed(who, more);
        assert!(!refused.status.success() && said(&refused).contains(because), "{who}: {}", said(&refused));
    }

    /// The published checkpoint, in a file.
    fn checkpoint(&self, name: &str) -> PathBuf {
        let path = self.vault.room().join(name);
        let seen = self.vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200);
        std::fs::write(&path, &seen.body).expect("the checkpoint");
        path
    }

    /// Verifies the served log, held to what was known before.
    fn verify(&self, predecessor: &str, known: &[&Path]) -> cli::Ended {
        let mut arguments = vec!["audit", "verify", "--public-key", &self.vault.dev.log_public_key];
        arguments.extend(["--predecessor-key", predecessor]);
        let known: Vec<String> = known.iter().map(|path| path.display().to_string()).collect();
        for path in &known {
            arguments.extend(["--known-checkpoint", path]);
        }
        cli::run(&self.vault, "auditor", &arguments)
    }
}

#[test]
fn p6_p8_p9_a_log_that_lost_entries_for_good_goes_on_as_a_declared_successor() {
    let mut stage = Stage::set(0x5eed_5801);
    let former = stage.vault.dev.log_public_key.clone();
    let (kept, erased) = (stage.upload(), stage.upload());
    let record = |sent: &Sent| sent.record.clone().expect("a record");
    let request = access::request(&stage.vault, "analyst", &record(&kept), "To listen", "C-1");
    let _approved = access::approve(&stage.vault, "approver", &request);
    let before = stage.checkpoint("before");
    assert!(stage.vault.stop().success());
    let (database, older) = (stage.vault.database_url(), stage.vault.room().join("before.copy"));
    copies::take(&database, &older);
    stage.vault.launch();

    let lost = stage.upload();
    let late = access::request(&stage.vault, "analyst", &record(&kept), "To listen again", "C-2");
    let _approved = access::approve(&stage.vault, "approver", &late);
    let gone = stage.vault.person("approver").delete(&format!("/v1/records/{}", record(&erased)));
    assert!([200, 202].contains(&gone.status), "{gone}");
    let after = stage.checkpoint("after");
    stage.refused(OFFICERS[0], &["--reason", "The disk was lost"], "nothing is lost");
    assert!(stage.vault.stop().success());

    // The database is an older copy, and the published entries are gone.
    copies::put_back(&database, &older);
    let store = Store::of(&stage.vault);
    let published = store.names("log/tile");
    assert!(!published.is_empty(), "there are published entries");
    published.iter().for_each(|name| store.delete(name));
    let left = store.read("log/checkpoint");

    let after_shown = after.display().to_string();
    let propose = ["--reason", "The disk was lost", "--known-checkpoint", &after_shown];
    let confirm = ["--confirm", "--known-checkpoint", &after_shown];
    stage.refused(OFFICERS[1], &confirm, "nobody has proposed");
    stage.refused("administrator", &propose, "do not allow");
    let proposed = stage.succeed(OFFICERS[0], &propose);
    assert!(proposed.status.success() && said(&proposed).contains("nothing is changed yet"), "{}", said(&proposed));
    stage.refused(OFFICERS[0], &confirm, "Nobody decides on their own");
    stage.refused("approver", &confirm, "do not allow");
    let declared = stage.succeed(OFFICERS[1], &confirm);
    assert!(declared.status.success(), "{}", said(&declared));

    stage.vault.launch();
    assert!(said(&declared).contains(&stage.vault.dev.log_public_key) && stage.vault.dev.log_public_key != former);
    acknowledged::play_anew(&stage.vault, &kept).unwrap_or_else(|finding| panic!("{finding}"));
    let opened = access::try_open(&stage.vault.person("analyst"), &request, &json!({}));
    assert_eq!(opened.status, 201, "{opened}");
    // The approval that is in no log opens nothing; its request is in no row either.
    assert!(access::try_open(&stage.vault.person("analyst"), &late, &json!({})).status >= 400);
    for absent in [&erased, &lost] {
        assert!(acknowledged::play_anew(&stage.vault, absent).is_err());
    }
    let fresh = stage.upload();
    acknowledged::play_anew(&stage.vault, &fresh).unwrap_or_else(|finding| panic!("{finding}"));

    let verified = stage.verify(&former, &[&before, &after]).expect(0).json();
    assert_eq!(
        (&verified["verified"], &verified["known_checkpoints_extended"]),
        (&json!(true), &json!(1)),
        "{verified}"
    );
    let codes: Vec<_> = verified["warnings"].as_array().expect("a list").iter().map(|w| w["code"].clone()).collect();
    assert!(codes.contains(&json!("succeeded")) && codes.contains(&json!("loss_declared")), "{verified}");
    assert_eq!(verified["predecessors"][0]["public_key"], json!(former));
    assert!(verified["predecessors"][0]["lost"].as_u64().expect("a number") > 0, "{verified}");
    let stranger = stage.verify(&stage.vault.dev.log_public_key.clone(), &[]).expect(3).json();
    assert_eq!(stranger["findings"][0]["code"], json!("predecessor_missing"));
    let _clean = cli::verify_log(&stage.vault).expect(0);
    assert!(store.read("log/checkpoint") == left, "it stays");
}

#[test]
fn p9_survives_kill_9_in_every_step_of_a_succession() {
    let mut stage = Stage::set(0x5eed_5802);
    let records: Vec<Sent> = (0..10).map(|_| stage.upload()).collect();
    let wanted = by_hand("VAULT_TESTS_KEY_KILLS").unwrap_or(7);
    let propose = ["--because", "key-compromised", "--reason", "Somebody else may have it"];
    let (mut kills, mut finished, mut generation) = (0, 0, 1);
    let mut known: Vec<PathBuf> = Vec::new();
    // How long one takes that nobody kills: most of it is the passphrase.
    let mut takes = Duration::from_secs(2);
    while kills < wanted {
        let when = format!("after {kills} kills");
        let former = stage.vault.dev.log_public_key.clone();
        known.push(stage.checkpoint(&format!("known-{generation}")));
        assert!(stage.vault.stop().success(), "{when}");
        let proposed = stage.succeed(OFFICERS[0], &propose);
        assert!(proposed.status.success(), "{when}: {}", said(&proposed));
        let started = Instant::now();
        let mut child = stage.succeeding(OFFICERS[1], &["--confirm"]).spawn().expect("it starts");
        let mut ended = false;
        // Until one comes through; most of the others are killed near its end, where it writes.
        while kills < wanted && stage.chance.below(4) > 0 {
            let latest = u64::try_from(takes.as_micros()).expect("short");
            std::thread::sleep(Duration::from_micros(stage.chance.between(latest / 2, latest * 11 / 10)));
            child.kill().expect("a signal");
            kills += 1;
            finished += u32::from(child.wait().expect("it ended").success());
            child = stage.succeeding(OFFICERS[1], &["--confirm"]).spawn().expect("it starts");
            ended = true;
        }
        let done = child.wait_with_output().expect("it ended");
        if !ended {
            takes = started.elapsed();
        }
        // One that was killed may have been declared already: then there is nothing to declare any more.
        let declared = done.status.success() || said(&done).contains("nobody has proposed");
        assert!(declared, "{when}: {}", said(&done));
        generation += 1;
        // The first start publishes all of the successor, and may be cut short too.
        while kills < wanted && stage.chance.below(2) == 0 {
            stage.vault.launch_and_kill(Duration::from_millis(stage.chance.between(20, 600)));
            kills += 1;
        }
        stage.vault.launch();
        let name = format!("{}/successor/{generation}+", stage.name);
        assert!(stage.vault.dev.log_public_key.starts_with(&name), "{when}: {}", stage.vault.dev.log_public_key);
        let all: Vec<&Path> = known.iter().map(PathBuf::as_path).collect();
        let verified = stage.verify(&former, &all).expect(0).json();
        assert_eq!(verified["known_checkpoints_extended"], json!(all.len()), "{when}: {verified}");
        let one = usize::try_from(stage.chance.between(0, 9)).expect("small");
        acknowledged::play_anew(&stage.vault, &records[one]).unwrap_or_else(|finding| panic!("{when}: {finding}"));
    }
    let keys = "SELECT COUNT(*) FROM log_keys WHERE state = 'active'";
    assert_eq!(database::number(&stage.vault, keys), 1);
    println!("{kills} kills, {generation} generations; {finished} declarations had ended before theirs");
}
