//! Trouble that lasts, on the embedded default: a full disk, a directory that became read-only, a database that somebody
//! holds locked. A bounded answer, no byte that is not accounted for, restrictions that bite, recovery without hands.

mod acts;
mod cluster;
mod mounted;
mod place;

use std::path::PathBuf;
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

#[track_caller]
fn unavailable(what: &str, act: impl FnOnce() -> Answer) -> Answer {
    let started = Instant::now();
    let answer = act();
    assert!(started.elapsed() < BOUND, "{what} took {:?}", started.elapsed());
    assert_eq!(answer.status, 503, "{what}: {answer}");
    assert!(!answer.code().is_empty() && answer.header("retry-after").is_some(), "{what}: {answer}");
    answer
}

#[track_caller]
fn wait_until_ready(vault: &Vault) {
    let started = Instant::now();
    while vault.nobody().get("/readyz").status != 200 {
        assert!(started.elapsed() < RECOVERY, "the vault does not recover:\n{}", vault.log());
        std::thread::sleep(Duration::from_millis(200));
    }
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
    // Each waits for the lock as long as it may: all at once.
    std::thread::scope(|scope| {
        scope.spawn(|| unavailable("an upload", || unfinished.patch(&vault, 0, &recording)));
        scope.spawn(|| unavailable("a session", || access::try_open(&vault.person("analyst"), &other, &json!({}))));
        // Nothing is taken away that cannot be kept; nor is it said to be.
        let revoke = || vault.person("approver").delete(&format!("/v1/grants/{}", standing.grant_id));
        scope.spawn(move || unavailable("a revocation", revoke));
    });
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
