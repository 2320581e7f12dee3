//! What is done at the console and at a start: making a vault, learning from the journal, backing up, restoring,
//! declaring a successor of the log. Each attempt is a process of its own over what the one before has left.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use vault_core::audit::succession::Because;
use vault_core::keys::keyring::{Parameters, Setting};

use super::super::{CAST, NOW, one, passphrase, tried};
use super::*;
use crate::app::backup::{BackupError, Folder, Wish, create, restore, verify};
use crate::app::bootstrap::{found, has_people};
use crate::app::callers::{TokenText, authenticate};
use crate::app::people::{First, enter_first};
use crate::app::restored;
use crate::app::succession::Examination;
use crate::clock::HeldClock;
use crate::custody::keyring_file::KeyringFile;
use crate::state::Vault;
use crate::store::faults::failing;

const FOUND: &[&str] = &["create_schema", "found_vault", "enter_first_people"];
const LEARN: &[&str] = &["replay_restriction"];
const BACK_UP: &[&str] = &["note_backup"];
const RESTORE: &[&str] = &["restore_backup"];
const RECONCILE: &[&str] = &["reconcile_keys", "rotate_kek", "reconcile_restore"];
const CONFIRM: &[&str] = &["confirm_restore"];
const PROPOSE: &[&str] = &["propose_succession"];
const SUCCEED: &[&str] = &["succeed_log"];

/// What is made to fail here.
pub(super) const MAKES: &[&[&str]] = &[FOUND, LEARN, BACK_UP, RESTORE, RECONCILE, CONFIRM, PROPOSE, SUCCEED];

/// Why an attempt came to nothing, as whoever is at the console reads it.
pub(super) type Trouble = Box<dyn std::error::Error>;

/// Makes every transaction of `makes` fail in both ways, each on a vault of its own, and then every `stride`th statement
/// of one. Answers how many faults were met.
pub(super) async fn both<S>(
    what: &str,
    makes: &[&'static str],
    stride: u64,
    prepare: impl AsyncFn() -> S,
    run: impl AsyncFn(&S) -> Result<(), Trouble>,
    holds: impl AsyncFn(S),
) -> (usize, u64) {
    let mut met = 0;
    for name in makes {
        for fault in PAIR {
            let vault = prepare().await;
            let told = failing(name, 0, fault, run(&vault)).await;
            assert!(told.failed, "{what}: {name} is not met");
            if told.answer.is_err() {
                again(what, &vault, &run).await;
            }
            holds(vault).await;
            met += 1;
        }
    }
    if stride == 0 {
        return (met, 0);
    }
    let (mut vault, mut nth, mut lost) = (prepare().await, 0, 0);
    loop {
        let told = losing(Some(nth), run(&vault)).await;
        if !told.lost {
            told.answer.unwrap_or_else(|e| panic!("{what}: {e}"));
            holds(vault).await;
            return (met, lost);
        }
        (nth, lost) = (nth + stride, lost + 1);
        if told.answer.is_ok() {
            holds(vault).await;
            vault = prepare().await;
        }
    }
}

async fn again<S>(what: &str, vault: &S, run: &impl AsyncFn(&S) -> Result<(), Trouble>) {
    let mut last = None;
    for _ in 0..TRIES {
        match run(vault).await {
            Ok(()) => return,
            Err(e) => last = Some(e),
        }
    }
    panic!("{what} is refused for good: {last:?}");
}

/// What there is before anything was made: a place, and the keyring.
struct Ground {
    dir: Arc<tempfile::TempDir>,
    clock: Arc<HeldClock>,
    objects: Arc<Faulty>,
    tokens: [TokenText; CAST.len()],
}

impl Ground {
    async fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let text = format!("data_dir = {:?}\nlog_name = \"test.example/log\"\n", dir.path());
        let config = crate::config::Config::from_text(&text, std::iter::empty()).unwrap();
        let keyring = config.keyring_path();
        KeyringFile::create(&keyring, NOW, Setting::Production, &passphrase(), Parameters::FLOOR).unwrap();
        let (clock, objects) = (Arc::new(HeldClock::at(NOW)), Arc::new(Faulty::default()));
        Self { dir, clock, objects, tokens: CAST.map(|_| TokenText::generate()) }
    }

    /// As `init` does: each step finds out whether it has been done.
    async fn made(&self) -> Result<(), Trouble> {
        let vault = tried(&self.dir, &self.clock, Some(&self.objects.objects()), "").await?;
        let made = async {
            found(&vault, vault_core::keys::keyring::Passphrase::new(passphrase_bytes())?).await?;
            if !has_people(&vault).await? {
                let first: Vec<First> = CAST.iter().map(|(name, role)| one(name, *role)).collect();
                enter_first(&vault, &first, &self.tokens).await?;
            }
            Ok::<(), Trouble>(())
        };
        let made = made.await;
        vault.close().await;
        made
    }
}

fn passphrase_bytes() -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(b"correct horse battery".to_vec())
}

#[test]
fn p3_a_vault_is_made_whichever_write_fails() {
    sweep(async {
        let holds = async |ground: Ground| {
            let vault = tried(&ground.dir, &ground.clock, Some(&ground.objects.objects()), "").await.unwrap();
            vault.unseal(passphrase()).await.unwrap();
            for token in &ground.tokens {
                authenticate(&vault, token.show()).await.unwrap();
            }
            let people = i64::try_from(CAST.len()).unwrap();
            assert_eq!(vault.store.number("SELECT COUNT(*) FROM persons").await, people);
            assert_eq!(vault.store.number("SELECT COUNT(*) FROM keks").await, 1);
            oracle::sound(&vault, &[]).await;
            vault.close().await;
        };
        let met = both("init", FOUND, 23, Ground::new, async |ground: &Ground| ground.made().await, holds).await;
        println!("{met:?}");
    });
}

/// A stopped vault, with a record, a backup of before, and a token that was revoked since.
struct Stopped {
    stage: Stage,
    room: tempfile::TempDir,
    revoked: String,
    /// How often something was tried: each backup has a folder of its own.
    tries: Cell<u32>,
}

impl Stopped {
    async fn set() -> Self {
        let stage = Stage::set("").await;
        let room = tempfile::tempdir().unwrap();
        access::record(&stage).await;
        let person = stage.house.enter("Vera", "human").await;
        stage.house.give(person, "auditor").await;
        let (id, revoked) = stage.house.issue_confirmed(person).await;
        let stopped = Self { stage, room, revoked, tries: Cell::new(0) };
        backed_up(&stopped.stage.house.vault, &stopped.folder()).await.unwrap();
        stopped.stage.must("administrator", "DELETE", &format!("/v1/tokens/{id}"), Value::Null).await;
        let path = "/v1/collections/demo/keys/rotate";
        stopped.stage.must("key-officer", "POST", path, json!({"reason": "Due"})).await;
        stopped.stage.house.stop().await;
        stopped
    }

    /// With the backup put back.
    async fn restored() -> Self {
        let stopped = Self::set().await;
        stopped.restore().await.unwrap();
        stopped
    }

    fn folder(&self) -> PathBuf {
        self.room.path().join("backup")
    }

    async fn process(&self) -> Result<Arc<Vault>, Failure> {
        let house = &self.stage.house;
        tried(&house.dir, &house.clock, house.objects.as_ref(), "").await
    }

    async fn restore(&self) -> Result<(), Trouble> {
        let vault = self.process().await?;
        let (wish, folder) = (Wish { replace: true, ..Wish::default() }, Folder::at(&self.folder()));
        let name = &vault.config.log_name;
        let done =
            restore(&vault.store, &vault.objects, vault.clock.as_ref(), name, &folder, &wish, |_| ()).await.map(drop);
        vault.close().await;
        Ok(done?)
    }

    async fn start(&self) -> Result<(), Trouble> {
        let vault = self.process().await?;
        let opened = vault.unseal(passphrase()).await;
        vault.close().await;
        Ok(opened?)
    }

    /// It is a vault like any other, and what was taken away stays so.
    async fn holds(self) {
        let house = self.stage.house.started().await.unwrap();
        let stage = Stage { house, ..self.stage };
        let refused = stage.ask_with(&self.revoked, "GET", "/v1/audit/entries", Value::Null).await;
        assert_eq!(refused.0, StatusCode::UNAUTHORIZED, "{}", refused.1);
        access::record(&stage).await;
        stage.settled().await;
        oracle::sound(&stage.house.vault, &[]).await;
        stage.house.stop().await;
    }
}

async fn backed_up(vault: &Vault, dir: &Path) -> Result<(), BackupError> {
    let folder = Folder::begin(dir)?;
    create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.map(drop)
}

#[test]
fn p6_what_the_journal_tells_is_learnt_whichever_write_fails() {
    sweep(async {
        let prepare = async || {
            let stopped = Stopped::set().await;
            let vault = stopped.process().await.unwrap();
            vault.store.by_hand("DELETE FROM restrictions").await;
            vault.store.by_hand("UPDATE counters SET value = 0 WHERE name = 'restrictions'").await;
            vault.close().await;
            stopped
        };
        let run = async |stopped: &Stopped| {
            stopped.process().await?.close().await;
            Ok::<(), Trouble>(())
        };
        println!("{:?}", both("a start", LEARN, 3, prepare, run, Stopped::holds).await);
    });
}

#[test]
fn p7_a_backup_is_made_and_put_back_whichever_write_fails() {
    sweep(async {
        let back_up = async |stopped: &Stopped| {
            stopped.tries.set(stopped.tries.get() + 1);
            let dir = stopped.room.path().join(format!("another-{}", stopped.tries.get()));
            let vault = stopped.process().await?;
            let made = backed_up(&vault, &dir).await;
            vault.close().await;
            made?;
            verify(&Folder::at(&dir), None, None)?;
            Ok::<(), Trouble>(())
        };
        println!("{:?}", both("a backup", BACK_UP, 11, Stopped::set, back_up, Stopped::holds).await);
        let restore = async |stopped: &Stopped| stopped.restore().await;
        println!("{:?}", both("a restore", RESTORE, 61, Stopped::set, restore, Stopped::holds).await);
    });
}

#[test]
fn p7_a_restore_is_reconciled_and_confirmed_whichever_write_fails() {
    sweep(async {
        let start = async |stopped: &Stopped| stopped.start().await;
        println!("{:?}", both("a start", RECONCILE, 29, Stopped::restored, start, Stopped::holds).await);

        let prepare = async || {
            let stopped = Stopped::restored().await;
            stopped.start().await.unwrap();
            stopped
        };
        let confirm = async |stopped: &Stopped| {
            let vault = stopped.process().await?;
            let confirmed = async {
                vault.unseal(passphrase()).await?;
                let caller = authenticate(&vault, stopped.stage.house.token("key-officer")).await?;
                match restored::confirm(&vault, &caller, "Looked through").await {
                    Err(failure) if failure.what() == Some("it is confirmed already") => Ok(()),
                    outcome => outcome.map(drop),
                }
            };
            let confirmed = confirmed.await;
            vault.close().await;
            Ok::<(), Trouble>(confirmed?)
        };
        println!("{:?}", both("a confirmation", CONFIRM, 29, prepare, confirm, Stopped::holds).await);
    });
}

#[test]
fn p9_a_successor_of_the_log_is_declared_once_whichever_write_fails() {
    sweep(async {
        let propose = async |stopped: &Stopped| {
            let vault = stopped.process().await?;
            let proposed = async {
                let examined = Examination::of(&vault, passphrase(), &[]).await?;
                examined.propose(stopped.stage.house.token("key-officer"), Because::KeyCompromised, "Copied").await
            };
            let proposed = proposed.await;
            vault.close().await;
            Ok::<(), Trouble>(proposed?)
        };
        let declare = async |stopped: &Stopped| {
            let vault = stopped.process().await?;
            let declared = async {
                let examined = Examination::of(&vault, passphrase(), &[]).await?;
                examined.confirm(stopped.stage.house.token("key-officer-2")).await.map(drop)
            };
            let declared = declared.await;
            vault.close().await;
            match declared {
                // Declared by an attempt that did not learn of it: there is nothing left to declare.
                Err(failure) if failure.what().is_some_and(|what| what.starts_with("nobody has proposed")) => Ok(()),
                declared => Ok::<(), Trouble>(declared?),
            }
        };
        let undeclared = async |stopped: Stopped| {
            assert_eq!(succeeded(&stopped).await, 0);
            stopped.holds().await;
        };
        println!("{:?}", both("a proposal", PROPOSE, 29, Stopped::set, propose, undeclared).await);
        let prepare = async || {
            let stopped = Stopped::set().await;
            propose(&stopped).await.unwrap();
            stopped
        };
        let once = async |stopped: Stopped| {
            assert_eq!(succeeded(&stopped).await, 1);
            stopped.holds().await;
        };
        println!("{:?}", both("a succession", SUCCEED, 29, prepare, declare, once).await);
    });
}

/// Keys of the log that have ended.
async fn succeeded(stopped: &Stopped) -> i64 {
    let vault = stopped.process().await.unwrap();
    let ended = vault.store.number("SELECT COUNT(*) FROM log_keys WHERE state = 'destroyed'").await;
    vault.close().await;
    ended
}
