//! `vault-cli` as people use it, against a running vault.

use std::io::Write;
use std::process::Stdio;

use vault_tests::fixtures::{Chance, media, wav};
use vault_tests::line::{Direction, Line};
use vault_tests::programs::workspace;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

const PURPOSE: &str = "service-improvement";

/// The sample's consent as a file.
fn consent(vault: &Vault) -> String {
    let path = vault.room().join("consent.json");
    std::fs::write(&path, tus::consent(vault).to_string()).expect("written");
    path.to_string_lossy().into_owned()
}

fn upload(vault: &Vault, path: &str) -> String {
    let consent = consent(vault);
    let said = cli::run(vault, "uploader", &["upload", path, "--collection", "demo", "--consent", &consent]).expect(0);
    said.json()["record_id"].as_str().expect("a record").to_owned()
}

#[test]
fn from_a_file_to_a_file() {
    let vault = Vault::start();
    let original = workspace().join("tests/fixtures/media/chromium-video.webm");
    let record = upload(&vault, &original.to_string_lossy());

    let play = |more: &[&str]| {
        let mut arguments = vec!["play", &record, "--purpose", PURPOSE, "--reason", "Hear it", "--out", "clip.webm"];
        arguments.extend(more);
        cli::run(&vault, "analyst", &arguments)
    };
    let waiting = play(&[]).expect(1);
    let document = waiting.json();
    assert_eq!(document["code"], "client_waiting", "{waiting:?}");
    let request = document["request_id"].as_str().expect("a request").to_owned();
    assert!(!vault.room().join("clip.webm").exists());
    // Asked again, it is the same request.
    assert_eq!(play(&[]).expect(1).json()["request_id"], request.as_str());

    let alone = cli::run(&vault, "analyst", &["access", "approve", &request]).expect(1);
    assert_eq!(alone.json()["status"], 403, "{alone:?}");
    let approved = cli::run(&vault, "approver", &["access", "approve", &request, "--comment", "Fine"]).expect(0);
    let grant = approved.json()["grant_id"].as_str().expect("a grant").to_owned();

    let played = play(&["--wait", "10"]).expect(0).json();
    assert_eq!(played["request_id"], request.as_str());
    let clip = vault.room().join("clip.webm");
    assert!(std::fs::read(&clip).expect("the file") == media("chromium-video.webm"), "another recording came out");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&clip).expect("the file")) & 0o777;
    assert_eq!(mode, 0o600);
    let _refused = play(&[]).expect(2); // the file exists
    let left: Vec<_> = std::fs::read_dir(vault.room()).expect("a folder").filter_map(Result::ok).collect();
    assert!(!left.iter().any(|file| file.file_name().to_string_lossy().ends_with(".part")), "{left:?}");

    let _revoked = cli::run(&vault, "approver", &["access", "revoke", &grant, "--reason", "Done"]).expect(0);
    let again = play(&["--force"]).expect(1).json();
    assert_eq!(again["code"], "client_waiting", "a revoked grant was used: {again}");
    let verified = cli::verify_log(&vault).expect(0);
    assert!(verified.json().is_object());
}

#[test]
fn what_was_asked_for_viewing_is_fetched_for_viewing() {
    let vault = Vault::start();
    let record = upload(&vault, &workspace().join("tests/fixtures/media/chromium-voice.webm").to_string_lossy());
    let run = |person: &str, arguments: &[&str]| cli::run(&vault, person, arguments);
    let play = |more: &[&str]| {
        let mut arguments =
            vec!["play", &record, "--purpose", PURPOSE, "--reason", "Hear it", "--out", "clip.webm", "--force"];
        arguments.extend(more);
        run("analyst", &arguments)
    };
    let asked = run("analyst", &["access", "request", &record, "--purpose", PURPOSE, "--reason", "Hear it"]).expect(0);
    let request = asked.json()["id"].as_str().expect("a request").to_owned();
    let _approved = run("approver", &["access", "approve", &request]).expect(0);
    let played = play(&[]).expect(0).json();
    assert_eq!(played["request_id"], request.as_str());
    // Insisting on the original takes another request.
    assert_eq!(play(&["--representation", "original"]).expect(1).json()["code"], "client_waiting");

    let standing = ["access", "request", "--collection", "demo", "--records-per-day", "5", "--purpose", PURPOSE];
    let asked = run("analyst", &[&standing[..], &["--reason", "Hear them"]].concat()).expect(0);
    let request = asked.json()["id"].as_str().expect("a request").to_owned();
    let _approved = run("approver", &["access", "approve", &request]).expect(0);
    assert_eq!(play(&["--request", &request]).expect(0).json()["request_id"], request.as_str());
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn lists_and_states() {
    let vault = Vault::start();
    let record = upload(&vault, &workspace().join("tests/fixtures/media/chromium-voice.webm").to_string_lossy());
    let run = |person: &str, arguments: &[&str]| cli::run(&vault, person, arguments);
    assert_eq!(run("analyst", &["records", "list"]).expect(0).json()["items"][0]["id"], record.as_str());
    assert_eq!(run("analyst", &["records", "show", &record]).expect(0).json()["state"], "available");
    assert_eq!(run("administrator", &["collections", "show", "demo"]).expect(0).json()["state"], "open");
    assert_eq!(
        run("administrator", &["collections", "notice", "demo"]).expect(0).json()["sha256"],
        vault.dev.notice_sha256.as_str()
    );
    assert_eq!(run("key-officer", &["keys", "list", "demo"]).expect(0).json()["versions"][0]["state"], "active");
    assert_eq!(run("key-officer", &["root", "status"]).expect(0).json()["epochs"][0]["state"], "active");
    let mut notice = cli::offline(&vault);
    notice.args(["collections", "notice", "demo", "--url", &vault.dev.url]);
    assert_eq!(cli::ended(notice).expect(0).json()["collection"], "demo", "the notice needs no token");
    let me = run("auditor", &["whoami"]).expect(0).json();
    assert_eq!(me["roles"][0]["role"], "auditor");

    let rotated = run("key-officer", &["keys", "rotate", "demo", "--reason", "Test", "--wait"]).expect(0).json();
    assert_eq!((&rotated["state"], &rotated["to_version"]), (&"done".into(), &2.into()), "{rotated}");
    assert_eq!(run("analyst", &["records", "show", &record]).expect(0).json()["key_version"], 2);
    let plan = run("key-officer", &["keys", "rotate", "demo", "--plan"]).expect(0).json();
    assert_eq!(plan["operations"][3]["operation"], "rewrap", "{plan}");
    let status = run("key-officer", &["keys", "status", "demo", "--watch"]).expect(0).json();
    assert_eq!((&status["rotation"]["state"], &status["rotation"]["moved"]), (&"done".into(), &1.into()), "{status}");
    for command in ["pause", "resume", "throttle"] {
        let refused = run("key-officer", &["keys", command, "demo"]).expect(1).json();
        assert_eq!(refused["code"], "rotation_not_running", "{command}");
    }
    let verified = run("key-officer", &["keys", "verify"]).expect(0).json();
    assert_eq!((&verified["checked"], &verified["findings"]), (&5.into(), &serde_json::json!([])), "{verified}");
    let nothing = run("key-officer", &["keys", "verify", "demo"]).expect(0).json();
    assert_eq!(nothing, verified, "the one collection there is");
    let refused = run("analyst", &["keys", "list", "demo"]).expect(1).json();
    assert_eq!(refused["code"], "forbidden");
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_dropped_connection_costs_no_upload() {
    let vault = Vault::start();
    let recording = wav(3_000_000, &mut Chance::new(21));
    let file = vault.room().join("call.wav");
    std::fs::write(&file, &recording).expect("written");

    let line = Line::open(&vault, Direction::ToServer, 3, 600_000);
    let consent = consent(&vault);
    let ended = cli::run_at(
        &vault,
        &line.url,
        "uploader",
        &["upload", "call.wav", "--collection", "demo", "--consent", &consent],
    );
    let ended = ended.expect(0);
    assert_eq!(line.broken(), 3, "the line did not break: {ended:?}");
    assert!(ended.err.contains("going on"), "{ended:?}");

    let record = ended.json()["record_id"].as_str().expect("a record").to_owned();
    let session = access::granted(&vault, &record);
    assert!(access::play(&vault, &session) == recording, "a broken line changed the recording");
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_dropped_connection_costs_no_download() {
    let vault = Vault::start();
    let recording = wav(3_000_000, &mut Chance::new(22));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear it", "C-1");
    let _grant = access::approve(&vault, "approver", &request);

    let line = Line::open(&vault, Direction::FromServer, 3, 600_000);
    let arguments = ["play", &record, "--purpose", PURPOSE, "--reason", "Hear it", "--out", "call.wav"];
    let ended = cli::run_at(&vault, &line.url, "analyst", &arguments).expect(0);
    assert_eq!(line.broken(), 3, "the line did not break: {ended:?}");
    assert!(std::fs::read(vault.room().join("call.wav")).expect("the file") == recording);
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_login_is_for_one_address() {
    let vault = Vault::start();
    let token = vault.dev.tokens["auditor"].clone();
    let login = |secret: &str| {
        let mut command = cli::offline(&vault);
        command.args(["login", "--url", &vault.dev.url]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("vault-cli starts");
        child.stdin.take().expect("a pipe").write_all(format!("{secret}\n").as_bytes()).expect("written");
        let output = child.wait_with_output().expect("vault-cli ends");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let unknown = "fv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for wrong in ["", "secret", unknown] {
        assert_eq!(login(wrong).0, Some(1), "{wrong:?}");
    }
    let (code, said) = login(&token);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(&token), "login shows the token");

    let mut whoami = cli::offline(&vault);
    whoami.arg("whoami");
    let me = cli::ended(whoami).expect(0);
    assert_eq!(me.json()["roles"][0]["role"], "auditor");
    assert!(!me.out.contains(&token));

    // Another address, even of the same vault, does not get the token.
    let line = Line::open(&vault, Direction::ToServer, 0, usize::MAX);
    let mut elsewhere = cli::offline(&vault);
    elsewhere.args(["whoami", "--url", &line.url]);
    assert_eq!(cli::ended(elsewhere).expect(1).json()["code"], "client_token");
}
