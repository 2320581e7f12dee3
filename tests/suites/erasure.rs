//! Promise 8 from outside: what is erased is gone from the disk, stays gone, and a stranger can verify that it was.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::canary::{Canary, search};
use vault_tests::cli::{self, Ended};
use vault_tests::fixtures::{Chance, wav};
use vault_tests::objects::Store;
use vault_tests::vault::{Vault, room};
use vault_tests::{access, copies, database, published, tus};

/// The collector's pause, the deadline of a PUT and the job behind it, several times over.
const COMPLETE: Duration = Duration::from_secs(240);
/// The promise.
const BITES: Duration = Duration::from_secs(1);
/// What `dev` keeps in files of its own.
const DEV_FILES: [&str; 2] = ["dev.json", "passphrase"];

/// A record that was asked for, approved, played, and asked for again.
fn lived(vault: &Vault, seed: u64) -> String {
    let record = tus::upload(vault, "call.wav", "audio/wav", &wav(300_000, &mut Chance::new(seed)));
    let session = access::granted(vault, &record);
    let _heard = access::play(vault, &session);
    access::close(vault, &session);
    let _waiting = access::request(vault, "analyst", &record, "Hear what was said about the delivery", "C-2026-4711");
    record
}

fn erase(vault: &Vault, record: &str) -> Value {
    let erased = vault.person("approver").delete(&format!("/v1/records/{record}"));
    assert!([200, 202].contains(&erased.status), "{erased}");
    erased.json()
}

fn erasure(vault: &Vault, record: &str) -> Value {
    vault.person("auditor").get(&format!("/v1/records/{record}/erasure")).expect(200).json()
}

/// Waits until nothing of it is left.
fn complete(vault: &Vault, record: &str) -> Value {
    let start = Instant::now();
    loop {
        let erasure = erasure(vault, record);
        if erasure["completed_at"].is_string() {
            return erasure;
        }
        assert!(start.elapsed() < COMPLETE, "something stays: {erasure}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Everything stored that leads to the record or is a piece of it, as it is stored.
fn pieces(vault: &Vault, record: &str) -> Vec<Canary> {
    let mut pieces = Vec::new();
    let mut add = |what: &str, found: Vec<Vec<u8>>| {
        assert!(!found.is_empty(), "there is no {what}");
        for (at, bytes) in found.iter().enumerate() {
            pieces.push(Canary::new(format!("{what} {at}"), &bytes[..bytes.len().min(64)]));
            // The end of a row may be left where its beginning was overwritten.
            pieces.push(Canary::new(format!("the end of {what} {at}"), &bytes[bytes.len() - bytes.len().min(40)..]));
        }
    };
    for column in ["wrap", "details", "consent"] {
        add(column, database::blobs(vault, &format!("SELECT {column} FROM records WHERE id = '{record}'")));
    }
    for column in ["reason", "case_number", "comment"] {
        let sql = format!("SELECT {column} FROM access_requests WHERE record_id = '{record}'");
        add(column, database::blobs(vault, &sql));
    }
    let openings = format!("SELECT sealed FROM log_openings WHERE under = 'record' AND owner = '{record}'");
    add("opening", database::blobs(vault, &openings));
    let parts = "SELECT p.name FROM parts p JOIN objects o ON o.id = p.object_id";
    let names = database::texts(vault, &format!("{parts} WHERE o.record_id = '{record}'"));
    add("name of a part", names.iter().map(|name| name.rsplit('/').next().unwrap_or_default().into()).collect());
    let store = Store::of(vault);
    add("part", names.iter().map(|name| store.read(name)).collect());
    pieces
}

#[test]
fn p8_nothing_of_an_erased_record_is_left_on_the_disk() {
    let mut vault = Vault::start();
    let (record, kept) = (lived(&vault, 0x0801), lived(&vault, 0x0802));
    let (gone, control) = (pieces(&vault, &record), pieces(&vault, &kept));
    let look = |vault: &Vault, canaries: &[Canary]| {
        let places = copies::places(vault);
        let found = search(canaries, &places.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &DEV_FILES);
        if !vault.keeps_objects_elsewhere() {
            return found;
        }
        // What whoever may read the bucket sees: names and bytes.
        let bucket = room();
        Store::of(vault).copy_to(bucket.path());
        [found, search(canaries, &[bucket.path()], &[])].concat()
    };
    let found = look(&vault, &gone);
    let blind = gone.iter().filter(|piece| !found.iter().any(|f| f.starts_with(&format!("{} ", piece.name))));
    assert_eq!(blind.count(), 0, "the search is blind to some of it: {found:#?}");
    let _erased = erase(&vault, &record);
    let _complete = complete(&vault, &record);
    let nothing = |vault: &Vault, when: &str| {
        let found = look(vault, &gone);
        assert!(found.is_empty(), "{when}: {found:#?}");
    };
    nothing(&vault, "while it runs");
    vault.crash();
    nothing(&vault, "after kill -9");
    let _clean = cli::verify_log(&vault).expect(0);
    assert!(vault.stop().success());
    nothing(&vault, "after an orderly end");
    assert!(!look(&vault, &control).is_empty(), "the record beside it is gone too");
    vault.launch();
    let session = access::granted(&vault, &kept);
    assert!(access::play(&vault, &session) == wav(300_000, &mut Chance::new(0x0802)), "another recording");
}

#[test]
fn p6_an_erasure_cuts_a_stream_on_another_node_within_a_second() {
    let one = Vault::first();
    let two = one.beside();
    // More than sockets hold, so that most of it is still on the server when the record goes.
    let recording = wav(48 << 20, &mut Chance::new(0x0803));
    let record = tus::upload(&one, "call.wav", "audio/wav", &recording);
    let session = access::granted(&one, &record);
    let analyst = two.person("analyst");
    let host = analyst.base().strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
    let mut stream = TcpStream::connect(&host).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        session.playback_url,
        analyst.token().expect("a token")
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut buffer = vec![0; 64 * 1024];
    stream.read_exact(&mut buffer).expect("the beginning");

    let _erased = erase(&one, &record);
    let answered = Instant::now();
    let range = [("range", "bytes=0-99")];
    while analyst.send("GET", &session.playback_url, &range, &[]).status < 400 {
        // Looked at before the clock: one that is served after the promise has broken it.
        assert!(answered.elapsed() < BITES, "an erased record still plays on the other node");
    }
    std::thread::sleep(BITES);
    // What is in the sockets by now was sent in time; nothing follows it.
    let mut received = buffer.len();
    while let Ok(more @ 1..) = stream.read(&mut buffer) {
        received += more;
    }
    assert!(received < recording.len() / 2, "{received} bytes of {} came", recording.len());
    let start = Instant::now();
    let closed = "/v1/audit/entries?type=playback.closed&limit=10";
    while one.person("auditor").get(closed).expect(200).json()["items"].as_array().is_none_or(Vec::is_empty) {
        assert!(start.elapsed() < COMPLETE, "the session stays open");
        std::thread::sleep(Duration::from_millis(200));
    }
    let _clean = cli::verify_log(&one).expect(0);
}

#[test]
fn p8_an_old_copy_of_the_database_brings_no_erased_record_back() {
    let mut vault = Vault::start();
    let record = lived(&vault, 0x0804);
    let request = access::request(&vault, "analyst", &record, "Hear it", "C-1");
    let _grant = access::approve(&vault, "approver", &request);
    assert!(vault.stop().success());
    let copy = vault.room().join("older");
    copies::take(&vault.database_url(), &copy);
    vault.launch();
    let _erased = erase(&vault, &record);
    let certificate = erasure(&vault, &record);
    // Whoever has the copy has the wrap, and its key version and root epoch live: nobody calls that final.
    let officer = vault.person("key-officer");
    let rotated = officer.post(&format!("/v1/collections/{}/keys/rotate", vault.dev.collection), &json!({}));
    assert_eq!(rotated.status, 202, "{rotated}");
    let root = officer.post("/v1/root/rotate", &json!({})).expect(200).json();
    assert_eq!(root["open_erasures"]["count"], 1, "{root}");
    for shown in [&certificate, &erasure(&vault, &record)] {
        assert_eq!(shown["horizon"]["final"], false, "{shown}");
        assert_eq!(shown["horizon"]["waits_for"][0], json!({"kind": "kek-version", "number": 1}), "{shown}");
    }

    assert!(vault.stop().success());
    copies::put_back(&vault.database_url(), &copy);
    vault.launch();
    // Before it is erased again as after it: it is refused.
    let opened = access::try_open(&vault.person("analyst"), &request, &json!({"representation": "original"}));
    assert!([403, 409].contains(&opened.status), "{opened}");
    let start = Instant::now();
    while vault.person("auditor").get(&format!("/v1/records/{record}")).expect(200).text("state") != "erased" {
        assert!(start.elapsed() < COMPLETE, "the copy's record stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    let again = complete(&vault, &record);
    assert_eq!(again["horizon"]["final"], false, "{again}");
    assert_eq!(database::number(&vault, "SELECT COUNT(*) FROM records WHERE wrap IS NOT NULL"), 0);
    let _log = published::verify(&vault, &[]).expect("a log that holds");
}

/// `vault-cli` without a login: with what a stranger has.
fn stranger(vault: &Vault, arguments: &[&str]) -> Ended {
    let mut command = cli::offline(vault);
    command.env("FEEDBACK_VAULT_URL", "http://127.0.0.1:9").args(arguments);
    cli::ended(command)
}

#[test]
fn p9_a_stranger_verifies_the_certificate_and_finds_what_was_changed() {
    let (vault, other) = (Vault::start(), Vault::start());
    let record = lived(&vault, 0x0805);
    let erase = |more: &[&str]| cli::run(&vault, "approver", &[&["erase", record.as_str()], more].concat());
    // Nobody can be asked here, so nothing is done without a word.
    let _asked = erase(&[]).expect(2);
    let _alone = cli::run(&vault, "analyst", &["erase", &record, "--yes"]).expect(1);
    let done = erase(&["--yes", "--reason", "The respondent asked", "--out", "certificate.json"]).expect(0);
    assert_eq!(done.json()["horizon"]["final"], false, "{done:?}");
    let _exists = erase(&["--yes", "--out", "certificate.json"]).expect(2);
    let again = cli::run(&vault, "auditor", &["records", "erasure", &record]).expect(0).json();
    assert_eq!(again["entry"], done.json()["entry"]);
    assert_eq!(cli::run(&vault, "analyst", &["records", "show", &record]).expect(0).json()["state"], "erased");
    let root = cli::run(&vault, "key-officer", &["root", "status"]).expect(0).json();
    assert_eq!(root["open_erasures"]["count"], 1, "{root}");

    let key = vault.dev.log_public_key.as_str();
    let verify = |file: &str, key: &str, more: &[&str]| {
        stranger(&vault, &[&["audit", "verify-certificate", file, "--public-key", key], more].concat())
    };
    let told = verify("certificate.json", key, &["--record", &record]).expect(0).json();
    assert_eq!((&told["verified"], &told["final"]), (&json!(true), &json!(false)), "{told}");
    let found = |ended: Ended, code: &str| {
        let told = ended.expect(3).json();
        assert_eq!(told["findings"][0]["code"], code, "{told}");
    };
    found(verify("certificate.json", &other.dev.log_public_key, &[]), "not_in_log");
    found(verify("certificate.json", key, &["--record", "another"]), "another_record");

    let whole: Value = serde_json::from_slice(&fs::read(vault.room().join("certificate.json")).expect("the file"))
        .expect("a certificate");
    let bent = |change: fn(&mut Value)| {
        let mut certificate = whole.clone();
        change(&mut certificate);
        fs::write(vault.room().join("bent.json"), certificate.to_string()).expect("written");
        verify("bent.json", key, &[])
    };
    found(bent(|c| c["horizon"]["final"] = json!(true)), "not_final");
    found(
        bent(|c| {
            c["horizon"]["waits_for"] = json!([]);
            c["horizon"]["final"] = json!(true);
        }),
        "destruction_unproven",
    );
    found(bent(|c| c["erased_at"] = json!("2020-01-01T00:00:00.000Z")), "another_time");
    found(bent(|c| c["opening"]["salt"] = json!("00".repeat(32))), "opening_wrong");
    found(bent(|c| c["opening"] = Value::Null), "opening_missing");
    found(bent(|c| c["proof"] = Value::Null), "incomplete");
    found(bent(|c| c["format"] = json!("another")), "not_a_certificate");
    // A key that is none is not passed over, as if there were nothing to wait for.
    found(bent(|c| c["horizon"]["waits_for"] = json!([{"kind": "kek-version"}])), "not_a_certificate");
    let swapped = bent(|c| c["record_id"] = json!("019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55"));
    found(swapped, "another_record");
    // The log itself stays whole, and tells of the slots that are gone.
    let log = cli::verify_log(&vault).expect(0).json();
    assert!(log["slots"]["erased"].as_u64().is_some_and(|erased| erased >= 10), "{log}");
    assert_eq!(log["slots"]["missing"], 0, "{log}");
}
