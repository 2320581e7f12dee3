//! What needs a file system of its own to be filled, or made read-only: mounting one takes root, or the right to. Where
//! this process may not, `cargo xtask test` says that these tests were not run; by themselves they are ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use vault_api::names::VAULT_RECORD_ID;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

use super::{unavailable, wait_until_ready};

/// A file system in memory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    #[track_caller]
    fn at(place: &Path, options: &str) -> Self {
        std::fs::create_dir_all(place).expect("a place");
        mount(&["-t", "tmpfs", "-o", options, "vault-tests"], place);
        Self(place.to_owned())
    }

    #[track_caller]
    fn again(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the server may still be at work there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[track_caller]
fn mount(arguments: &[&str], place: &Path) {
    let done = Command::new("mount").args(arguments).arg(place).output().expect("mount starts");
    assert!(done.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A vault whose `part` of the data directory is such a file system.
#[track_caller]
fn vault_with(part: &str, options: &str) -> (Vault, Mount) {
    let mut made = None;
    let vault = Vault::start_where(&[], |room| {
        made = Some(Mount::at(&room.join("data").join(part), &format!("{options},mode=0700")));
        Vec::new()
    });
    (vault, made.expect("mounted"))
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn a_full_disk_is_a_503_that_passes_with_it() {
    let (vault, mount) = vault_with("", "size=24m");
    let recording = wav(300_000, &mut Chance::new(0x5eed_0501));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let revoked = access::request(&vault, "analyst", &record, "Hear what was said", "C-2");
    let gone = access::approve(&vault, "approver-2", &revoked);
    let closed = access::open(&vault, "analyst", &revoked);
    let _done = vault.person("approver").delete(&format!("/v1/grants/{}", gone.grant_id));
    let unfinished = tus::create(&vault, "call.wav", "audio/wav", recording.len());
    let _half = unfinished.patch(&vault, 0, &recording[..150_000]).expect(204);

    let filler = mount.0.join("filler");
    fill(&filler);
    unavailable("an upload", || unfinished.patch(&vault, 150_000, &recording[150_000..]));
    unavailable("a session", || access::try_open(&vault.person("analyst"), &request, &json!({})));
    let refused = vault.person("analyst").get(&closed.playback_url);
    assert!((400..500).contains(&refused.status), "what was revoked before plays: {refused}");
    // Whatever it answers, it holds: either the grant is revoked from now on, or this was an error to be repeated.
    let attempt = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    assert!([200, 202, 204, 503].contains(&attempt.status), "{attempt}");
    assert_eq!(vault.nobody().get("/healthz").status, 200);

    std::fs::remove_file(&filler).expect("room");
    wait_until_ready(&vault);
    let offset = unfinished.offset(&vault);
    assert_eq!(offset, 150_000, "what was acknowledged is there, and nothing else");
    let answer = unfinished.patch(&vault, offset, &recording[150_000..]).expect(204);
    let session = access::granted(&vault, answer.header(VAULT_RECORD_ID).expect("a record"));
    assert!(access::play(&vault, &session) == recording);
    let attempt = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    assert!(attempt.status < 500, "{attempt}");
    let body = json!({"representation": "original"});
    assert!(access::try_open(&vault.person("analyst"), &request, &body).status >= 400, "revoked at last");
    let _clean = cli::verify_log(&vault).expect(0);
}

/// Fills the file system to its last byte.
fn fill(filler: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(filler).expect("a file");
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn objects_that_became_read_only_are_a_503_and_restrictions_bite() {
    let (vault, mount) = vault_with("objects", "size=64m");
    let recording = wav(300_000, &mut Chance::new(0x5eed_0502));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let playing = access::open(&vault, "analyst", &request);
    let unfinished = tus::create(&vault, "call.wav", "audio/wav", recording.len());

    mount.again("ro");
    unavailable("an upload", || unfinished.patch(&vault, 0, &recording));
    unavailable("a session", || access::try_open(&vault.person("analyst"), &request, &json!({})));
    assert_eq!(vault.nobody().get("/readyz").status, 503);
    let revoked = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    assert_eq!(revoked.status, 202, "in force, and not journalled yet: {revoked}");
    let refused = vault.person("analyst").get(&playing.playback_url);
    assert!((400..500).contains(&refused.status), "a revoked grant: {refused}");

    mount.again("rw");
    wait_until_ready(&vault);
    let offset = usize::try_from(unfinished.offset(&vault)).expect("small");
    let answer = unfinished.patch(&vault, offset as u64, &recording[offset..]).expect(204);
    let session = access::granted(&vault, answer.header(VAULT_RECORD_ID).expect("a record"));
    assert!(access::play(&vault, &session) == recording);
    let again = vault.person("analyst").get(&playing.playback_url);
    assert!((400..500).contains(&again.status), "the restriction stands: {again}");
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn p7_a_full_disk_while_the_keyring_is_written_changes_nothing_and_passes_with_it() {
    let mut made = None;
    // Rows and objects lie elsewhere: the keyring's disk alone is full.
    let mut vault = Vault::start_where(&[], |room| {
        made = Some(Mount::at(&room.join("data"), "size=256k,mode=0700"));
        let apart = room.join("apart");
        std::fs::create_dir(&apart).expect("a place");
        let path = |name: &str| apart.join(name).display().to_string();
        vec![
            ("FEEDBACK_VAULT_DATABASE_URL".to_owned(), format!("sqlite://{}?mode=rwc", path("vault.db"))),
            ("FEEDBACK_VAULT_OBJECTS_PATH".to_owned(), path("objects")),
        ]
    });
    let mount = made.expect("mounted");
    let (keyring, filler) = (mount.0.join("keyring"), mount.0.join("filler"));
    let recording = wav(50_000, &mut Chance::new(0x5eed_0504));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let epochs = |vault: &Vault| {
        let shown = vault.person("key-officer").get("/v1/root").expect(200).json();
        let epochs = shown["epochs"].as_array().expect("epochs").clone();
        epochs.iter().map(|e| e["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    let rotate = |vault: &Vault| vault.person("key-officer").post("/v1/root/rotate", &json!({"reason": "Monthly"}));
    let before = std::fs::read(&keyring).expect("the keyring");

    fill(&filler);
    rotate(&vault).refused(503, "unavailable");
    assert_eq!(
        (epochs(&vault), std::fs::read(&keyring).expect("it is there") == before),
        (vec!["active".into()], true)
    );
    // What stands goes on, and a start finds the keyring whole.
    assert!(access::play(&vault, &access::granted(&vault, &record)) == recording);
    vault.kill();
    std::fs::remove_file(&filler).expect("room");
    vault.launch();
    assert_eq!(epochs(&vault), ["active"]);
    let _rotated = rotate(&vault).expect(200);
    assert_eq!(epochs(&vault), ["active", "deactivated"]);

    let destroy = "/v1/root/1/destroy";
    let asked = json!({"reason": "Monthly", "known_copies": 0});
    let _asked = vault.person("key-officer").post(destroy, &asked).expect(202);
    fill(&filler);
    let confirmed = vault.person("key-officer-2").post(&format!("{destroy}/confirm"), &json!({}));
    assert!([200, 503].contains(&confirmed.status), "{confirmed}");
    assert_eq!(epochs(&vault), ["active", "deactivated"], "not destroyed in memory alone");
    vault.kill();
    std::fs::remove_file(&filler).expect("room");
    vault.launch();
    // Both agreed: it is done as soon as it can be.
    let started = std::time::Instant::now();
    while epochs(&vault) != ["active", "destroyed"] {
        assert!(started.elapsed() < super::RECOVERY, "{:?}\n{}", epochs(&vault), vault.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    vault.crash();
    assert!(access::play(&vault, &access::granted(&vault, &record)) == recording);
    let verified = cli::run(&vault, "key-officer", &["keys", "verify"]).expect(0).json();
    assert_eq!(verified["findings"], json!([]));
    let _clean = cli::verify_log(&vault).expect(0);
}
