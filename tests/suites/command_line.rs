//! `vault-cli` as people use it, against a running vault.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use vault_tests::fixtures::{Chance, media, wav};
use vault_tests::programs::workspace;
use vault_tests::vault::Vault;
use vault_tests::{cli, tus};

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
    let me = run("auditor", &["whoami"]).expect(0).json();
    assert_eq!(me["roles"][0]["role"], "auditor");

    let rotated = run("key-officer", &["keys", "rotate", "demo", "--reason", "Test", "--wait"]).expect(0).json();
    assert_eq!((&rotated["state"], &rotated["to_version"]), (&"done".into(), &2.into()), "{rotated}");
    assert_eq!(run("analyst", &["records", "show", &record]).expect(0).json()["key_version"], 2);
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

    // A line that breaks three times, each after some 600 kB.
    let target = vault.dev.url.strip_prefix("http://").expect("loopback").to_owned();
    let line = Line::open(&target, 3, 600_000);
    let consent = consent(&vault);
    let token = cli::token_file(&vault, "uploader");
    let mut command = cli::offline(&vault);
    command.args([
        "upload",
        "call.wav",
        "--collection",
        "demo",
        "--consent",
        &consent,
        "--url",
        &line.url,
        "--token-file",
    ]);
    command.arg(token);
    let ended = cli::ended(command).expect(0);
    assert_eq!(line.broken(), 3, "the line did not break: {ended:?}");
    assert!(ended.err.contains("going on"), "{ended:?}");

    let record = ended.json()["record_id"].as_str().expect("a record").to_owned();
    let session = vault_tests::access::granted(&vault, &record);
    assert!(vault_tests::access::play(&vault, &session) == recording, "a broken line changed the recording");
    let _log = cli::verify_log(&vault).expect(0);
}

/// A TCP line to a server that breaks a few times after so many bytes from the client.
struct Line {
    url: String,
    breaks: std::sync::Arc<AtomicUsize>,
}

impl Line {
    fn open(target: &str, times: usize, after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let breaks = std::sync::Arc::new(AtomicUsize::new(0));
        let (counter, target) = (std::sync::Arc::clone(&breaks), target.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().filter_map(Result::ok) {
                let far = TcpStream::connect(&target).expect("the server listens");
                let (near_back, far_back) = (near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
                std::thread::spawn(move || pass(&far_back, &near_back, usize::MAX));
                let counter = std::sync::Arc::clone(&counter);
                std::thread::spawn(move || {
                    let may_break = counter.load(Ordering::SeqCst) < times;
                    let limit = if may_break { after } else { usize::MAX };
                    if pass(&near, &far, limit) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                    let _ = near.shutdown(Shutdown::Both);
                    let _ = far.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url, breaks }
    }

    fn broken(&self) -> usize {
        self.breaks.load(Ordering::SeqCst)
    }
}

/// Passes bytes on until the end (false) or the limit (true).
fn pass(mut from: &TcpStream, mut to: &TcpStream, limit: usize) -> bool {
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => {
                let _ = to.shutdown(Shutdown::Write);
                return false;
            }
            Ok(read) => {
                if to.write_all(&buffer[..read]).is_err() {
                    return false;
                }
                passed += read;
                if passed >= limit {
                    return true;
                }
            }
        }
    }
}
