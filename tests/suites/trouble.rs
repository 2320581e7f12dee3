//! Trouble that lasts, on the embedded default: a full disk, a directory that became read-only, a database that somebody
//! holds locked. A bounded answer, no byte that is not accounted for, restrictions that bite, recovery without hands.
//!
//! A small file system of its own is needed to fill one: without the right to mount (outside of root) these tests say so
//! and end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::names::VAULT_RECORD_ID;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

/// `limits.log_seconds` and what a PUT may take come before it.
const BOUND: Duration = Duration::from_secs(45);
const RECOVERY: Duration = Duration::from_secs(60);

/// A file system in memory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts one at `place`; `None` where this process may not.
    fn at(place: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(place).expect("a place");
        mount(&["-t", "tmpfs", "-o", options, "vault-tests"], place).then(|| Self(place.to_owned()))
    }

    fn again(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], &self.0), "remount,{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the server may still be at work there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(place).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A vault whose `part` of the data directory is such a file system.
fn vault_with(part: &str, options: &str) -> Option<(Vault, Mount)> {
    let mut made = None;
    // Asked for first in a place of its own: a vault is not started in vain.
    let probe = tempfile::tempdir().expect("a folder");
    drop(Mount::at(probe.path(), "size=64k")?);
    let vault = Vault::start_where(&[], |room| {
        made = Mount::at(&room.join("data").join(part), &format!("{options},mode=0700"));
        Vec::new()
    });
    made.map(|mount| (vault, mount))
}

#[track_caller]
fn unavailable(what: &str, act: impl FnOnce() -> Answer) {
    let started = Instant::now();
    let answer = act();
    assert!(started.elapsed() < BOUND, "{what} took {:?}", started.elapsed());
    assert_eq!(answer.status, 503, "{what}: {answer}");
    assert!(!answer.code().is_empty() && answer.header("retry-after").is_some(), "{what}: {answer}");
}

#[track_caller]
fn wait_until_ready(vault: &Vault) {
    let started = Instant::now();
    while vault.nobody().get("/readyz").status != 200 {
        assert!(started.elapsed() < RECOVERY, "the vault does not recover:\n{}", vault.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_full_disk_is_a_503_that_passes_with_it() {
    let Some((vault, mount)) = vault_with("", "size=24m") else { return };
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
fn objects_that_became_read_only_are_a_503_and_restrictions_bite() {
    let Some((vault, mount)) = vault_with("objects", "size=64m") else { return };
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

/// The database's write lock, as a backup tool or an operator's shell may hold it; let go when dropped.
struct Locked {
    release: Option<std::sync::mpsc::Sender<()>>,
    holder: Option<std::thread::JoinHandle<()>>,
}

impl Locked {
    fn database(path: PathBuf) -> Self {
        use sqlx::Connection as _;
        let (release, until) = std::sync::mpsc::channel::<()>();
        let (held, holds) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("the database opens");
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock is had");
                held.send(()).expect("the test waits");
                // Ends when the test is done with it, however it ends.
                let _ = until.recv();
                sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.expect("the lock is let go");
            });
        });
        holds.recv().expect("the lock is had");
        Self { release: Some(release), holder: Some(holder) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}

#[test]
fn a_database_that_is_held_locked_is_a_503_and_what_was_revoked_stays_so() {
    let vault = Vault::start_where(&[], |_| Vec::new());
    let recording = wav(300_000, &mut Chance::new(0x5eed_0503));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let playing = access::open(&vault, "analyst", &request);
    let revoked = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    assert!(revoked.status < 300, "{revoked}");
    let unfinished = tus::create(&vault, "call.wav", "audio/wav", recording.len());
    let other = access::request(&vault, "analyst", &record, "Hear what was said", "C-2");
    let standing = access::approve(&vault, "approver", &other);

    let locked = Locked::database(vault.database());
    unavailable("an upload", || unfinished.patch(&vault, 0, &recording));
    unavailable("a session", || access::try_open(&vault.person("analyst"), &other, &json!({})));
    // Nothing is taken away that cannot be kept; nor is it said to be.
    unavailable("a revocation", || vault.person("approver").delete(&format!("/v1/grants/{}", standing.grant_id)));
    let refused = vault.person("analyst").get(&playing.playback_url);
    assert!((400..500).contains(&refused.status), "a revoked grant: {refused}");

    drop(locked);
    wait_until_ready(&vault);
    let offset = usize::try_from(unfinished.offset(&vault)).expect("small");
    let answer = unfinished.patch(&vault, offset as u64, &recording[offset..]).expect(204);
    let session = access::granted(&vault, answer.header(VAULT_RECORD_ID).expect("a record"));
    assert!(access::play(&vault, &session) == recording);
    let revoked = vault.person("approver").delete(&format!("/v1/grants/{}", standing.grant_id));
    assert!(revoked.status < 300, "{revoked}");
    assert!(access::try_open(&vault.person("analyst"), &other, &json!({})).status >= 400);
    let _clean = cli::verify_log(&vault).expect(0);
}
