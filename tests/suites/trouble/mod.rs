//! Trouble that lasts: a full disk, a directory that became read-only, a database that somebody
//! holds locked. A bounded answer, no byte that is not accounted for, restrictions that bite, recovery without hands.

mod acts;
mod cluster;
mod mounted;
mod place;

use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::names::VAULT_RECORD_ID;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, database, tus};

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

/// Hours since 1970.
fn current_hour() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_secs() / 3600
}

#[track_caller]
fn wait_until_ready(vault: &Vault) {
    let started = Instant::now();
    while vault.nobody().get("/readyz").status != 200 {
        assert!(started.elapsed() < RECOVERY, "the vault does not recover:\n{}", vault.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The lock that keeps everybody else from writing, as a backup tool or an operator's shell may hold it: the embedded database's one,
/// or one on each table. Let go when dropped.
struct Locked {
    release: Option<std::sync::mpsc::Sender<()>>,
    holder: Option<std::thread::JoinHandle<()>>,
}

impl Locked {
    fn database_of(vault: &Vault) -> Self {
        use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
        let (url, lock) = (vault.database_url(), locking(vault));
        sqlx::any::install_default_drivers();
        let (release, until) = std::sync::mpsc::channel::<()>();
        let (held, holds) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = AnyConnection::connect(&url).await.expect("the database opens");
                // Where the vault is at work on two tables in another order, one of both gives way.
                let started = Instant::now();
                while let Err(error) = connection.execute(AssertSqlSafe(lock.as_str())).await {
                    assert!(started.elapsed() < RECOVERY, "the lock is not had: {error}");
                    let _ = connection.execute("ROLLBACK").await;
                }
                held.send(()).expect("the test waits");
                // Ends when the test is done with it, however it ends.
                let _ = until.recv();
                connection.execute("ROLLBACK").await.expect("the lock is let go");
            });
        });
        holds.recv().expect("the lock is had");
        Self { release: Some(release), holder: Some(holder) }
    }
}

/// The statement that takes it.
fn locking(vault: &Vault) -> String {
    if vault.database_url().starts_with("sqlite:") {
        return "BEGIN IMMEDIATE".to_owned();
    }
    let tables = database::texts(vault, "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'");
    assert!(tables.len() > 20, "{tables:?}");
    format!("BEGIN; LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "))
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
    let vault = Vault::start_where(&[], |_| database::of_the_run());
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

    let hour = current_hour();
    let locked = Locked::database_of(&vault);
    // Each waits for the lock as long as it may: all at once.
    std::thread::scope(|scope| {
        scope.spawn(|| unavailable("an upload", || unfinished.patch(&vault, 0, &recording)));
        scope.spawn(|| unavailable("a session", || access::try_open(&vault.person("analyst"), &other, &json!({}))));
        // Nothing is taken away that cannot be kept; nor is it said to be.
        let revoke = || vault.person("approver").delete(&format!("/v1/grants/{}", standing.grant_id));
        scope.spawn(move || unavailable("a revocation", revoke));
    });
    let refused = vault.person("analyst").get(&playing.playback_url);
    // A token's first use in an hour cannot be noted now: where an hour begins meanwhile, that comes before the refusal.
    let not_noted = refused.status == 503 && current_hour() != hour;
    assert!((400..500).contains(&refused.status) || not_noted, "a revoked grant: {refused}");

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
