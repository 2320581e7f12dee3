//! Promises 3, 6, 7 and 9 through crashes: a server is killed with SIGKILL in the middle of uploads, playbacks,
//! rotations, revocations, suspensions, erasures and publications, and in the middle of its own recovery, over and over, at moments
//! that a seed decides: most are aimed at the kind of act that was cut least so far. After each start it is held to everything
//! that it had confirmed before, and no restriction is undone.
//!
//! `cargo xtask test` runs it a hundred times on the embedded database and a hundred times on PostgreSQL, and less often
//! behind a pooler and on a bucket.
//! `VAULT_TESTS_KILLS` sets how many kills (25 when absent; `cargo xtask test` sets 100 for each engine), `VAULT_TESTS_SEED`
//! another seed: by hand, thousands.
//! `kill -9` keeps the page cache; what power loss does another suite shows.

mod acts;
mod aim;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use vault_api::keys::KeyState;
use vault_core::audit::tile::WIDTH;
use vault_tests::acknowledged::{self, Acknowledged, Sent, Taken};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::objects::Store;
use vault_tests::vault::Vault;
use vault_tests::{cli, database, published, report, tus};

use acts::Done;
use aim::{Cuts, Kind};

/// Kills for each vault: few enough that its rows stay few.
const KILLS_A_VAULT: u64 = 25;
const UPLOADS: usize = 3;
/// Approved requests kept in sight: each costs a few requests after every start.
const ACCESSES: usize = 8;
/// So many kills cut most kinds of act at least once. Which they miss is chance: some acts take two milliseconds, some are seldom come to.
const ENOUGH: u64 = 100;
/// Kinds that they may miss.
const MISSED: usize = 6;
/// The collector's pause, an intent's deadline and the patience behind it, twice over.
const COLLECTED: Duration = Duration::from_secs(240);

#[test]
fn p3_what_was_acknowledged_survives_kill_9() {
    let kills = by_hand("VAULT_TESTS_KILLS").unwrap_or(KILLS_A_VAULT);
    let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(0x5eed_0003);
    let mut cuts = Cuts::default();
    // The collector needs its time: it has it while the next vault is killed.
    std::thread::scope(|scope| {
        let mut left = kills;
        for vault in 0.. {
            let now = left.min(KILLS_A_VAULT);
            if now == 0 {
                break;
            }
            left -= now;
            let seed = seed.wrapping_add(vault);
            let crashing = Crashing::through(now, seed, &mut cuts);
            scope.spawn(move || crashing.ends());
        }
    });
    report(&format!("acts cut by {kills} kills: {cuts}"));
    let never = cuts.never();
    report(&format!("never cut: {never:?}"));
    assert!(kills < ENOUGH || never.len() <= MISSED, "seed {seed}: never cut: {never:?}");
}

struct Crashing {
    vault: Vault,
    known: Acknowledged,
    chance: Chance,
    seed: u64,
}

impl Crashing {
    /// A vault that has been killed this often.
    fn through(kills: u64, seed: u64, cuts: &mut Cuts) -> Self {
        let mut crashing =
            Self { vault: Vault::start(), known: Acknowledged::default(), chance: Chance::new(seed), seed };
        crashing.fill();
        let mut done = 0;
        while done < kills {
            crashing.work_until_killed(cuts);
            done += 1;
            // One start in five is killed too, wherever it has got to.
            if done < kills && crashing.chance.below(5) == 0 {
                let after = Duration::from_millis(crashing.chance.between(1, 250));
                crashing.vault.launch_and_kill(after);
                done += 1;
            }
            crashing.vault.launch();
            crashing.hold(&format!("after {done} kills"));
        }
        crashing
    }

    /// Entries up to shortly before the log's first tile is full, so that kills fall on the publication of partial tiles,
    /// of a full one, and of the first of the level above it.
    fn fill(&mut self) {
        self.known.rights.prepare(&self.vault);
        let recording = wav(2_000, &mut self.chance);
        let mut sent = Sent::new(tus::create(&self.vault, "call.wav", "audio/wav", recording.len()), recording);
        let _whole = sent.send(&self.vault.nobody(), sent.left()).expect("an answer");
        let request = acknowledged::request(sent.record.as_deref().expect("it is finished"));
        self.known.uploads.push(sent);
        let log = published::verify(&self.vault, &[]).expect("a log");
        let analyst = self.vault.person("analyst");
        for _ in log.size..u64::from(WIDTH) - self.chance.between(1, 24) {
            let _asked = analyst.post("/v1/access-requests", &request).expect(201);
        }
    }

    #[track_caller]
    fn hold(&mut self, when: &str) {
        let pick = self.chance.number();
        let findings = self.known.findings(&self.vault, pick);
        assert!(findings.is_empty(), "seed {}, {when}:\n{}", self.seed, findings.join("\n"));
    }

    /// Clients of every kind at work beside each other, until the server is gone.
    fn work_until_killed(&mut self, cuts: &mut Cuts) {
        let unfinished = |sent: &&Sent| sent.record.is_none() && sent.terminated == Taken::No;
        for _ in self.known.uploads.iter().filter(unfinished).count()..UPLOADS {
            let length = usize::try_from(self.chance.between(2_000, 700_000)).expect("small");
            let recording = wav(length, &mut self.chance);
            let upload = tus::create(&self.vault, "call.wav", "audio/wav", recording.len());
            self.known.uploads.push(Sent::new(upload, recording));
        }
        while self.known.accesses.len() > ACCESSES {
            let one = self.chance.below(self.known.accesses.len() as u64);
            let _forgotten = self.known.accesses.remove(usize::try_from(one).expect("small"));
        }
        let finished: Vec<Sent> = self.known.uploads.iter().filter(|sent| self.known.plays(sent)).cloned().collect();
        self.known.rights.prepare(&self.vault);
        let aim = cuts.aim(&mut self.chance);
        let mut seed = || Chance::new(self.chance.number());
        let (vault, known) = (&mut self.vault, &mut self.known);
        let nobody = vault.nobody();
        let people = ["analyst", "approver", "key-officer", "key-officer-2", "auditor", "administrator"];
        let [analyst, approver, officer, second, auditor, administrator] = people.map(|person| vault.person(person));
        let collection = vault.dev.collection.clone();

        std::thread::scope(|scope| {
            let open = known.uploads.iter_mut().filter(|sent| sent.record.is_none() && sent.terminated == Taken::No);
            for (sent, mut chance) in open.map(|sent| (sent, seed())) {
                let (aim, nobody) = (&aim, &nobody);
                scope.spawn(move || acts::send(aim, nobody, sent, &mut chance));
            }
            let (accesses, opened, revocations) = (&mut known.accesses, &mut known.opened, &mut known.revocations);
            let erased = &mut known.erased;
            let (mut playing, mut rotating) = (seed(), seed());
            let (aim, analyst, approver) = (&aim, &analyst, &approver);
            scope.spawn(move || {
                let mut finished = finished;
                loop {
                    if (aim.wants(Kind::Erase) || playing.below(16) == 0) && finished.len() > 2 {
                        let one = usize::try_from(playing.below(finished.len() as u64)).expect("small");
                        if acts::erase(aim, approver, &finished.swap_remove(one), accesses, erased).is_none() {
                            break;
                        }
                    }
                    let Some(opens) = acts::play(aim, analyst, approver, &finished, accesses, &mut playing) else {
                        break;
                    };
                    *opened += u64::from(opens == Done::Opened);
                    *revocations += u64::from(opens == Done::Revoked);
                }
            });
            let (version, epoch, officer) = (&mut known.key_version, &mut known.root_epoch, &officer);
            let (destroyed, second, mut destroying) = (&mut known.destroyed, &second, seed());
            let keys = format!("/v1/collections/{collection}/keys");
            scope.spawn(
                move || {
                    while acts::rotate(aim, officer, &collection, (version, epoch), &mut rotating).is_some() {}
                },
            );
            scope.spawn(
                move || {
                    while acts::destroy(aim, officer, second, &keys, destroyed, &mut destroying).is_some() {}
                },
            );
            let (rights, administrator, mut restricting) = (&mut known.rights, &administrator, seed());
            scope.spawn(move || acts::restrict(aim, administrator, rights, &mut restricting));
            let (checkpoints, auditor) = (&mut known.checkpoints, &auditor);
            scope.spawn(move || {
                while let Some(answer) = auditor.try_send("GET", "/v1/audit/log/checkpoint", &[], &[]) {
                    let note = String::from_utf8(answer.expect(200).body).expect("text");
                    if checkpoints.last() != Some(&note) {
                        checkpoints.push(note);
                    }
                }
            });
            aim.wait();
            vault.kill();
        });
        cuts.add(aim);
    }

    /// Everything is finished, found and played; the collector leaves nothing behind; the log convinces a stranger.
    fn ends(mut self) {
        let nobody = self.vault.nobody();
        for sent in &mut self.known.uploads {
            if sent.record.is_none() && sent.terminated == Taken::No {
                let _sent = sent.send(&nobody, sent.left()).expect("an answer");
                assert!(sent.record.is_some(), "a finished upload has a record");
            }
        }
        for sent in self.known.uploads.iter().filter(|sent| self.known.plays(sent)) {
            acknowledged::play_anew(&self.vault, sent)
                .unwrap_or_else(|finding| panic!("seed {}: {finding}", self.seed));
        }
        self.rotation_ends();
        self.nothing_is_orphaned();
        self.erasures_are_complete();
        let log = published::verify(&self.vault, &self.known.checkpoints).expect("a log that holds");
        assert!(log.size > u64::from(WIDTH), "no tile was filled: {}", log.size);
        self.hold("at the end");
        let mut findings = Vec::new();
        self.known.rights.findings(&self.vault, 0, usize::MAX, &mut findings);
        assert!(findings.is_empty(), "seed {}, at the end:\n{}", self.seed, findings.join("\n"));
        let _clean = cli::verify_log(&self.vault).expect(0);
        let _every_wrap_opens = cli::run(&self.vault, "key-officer", &["keys", "verify"]).expect(0);
        assert!(self.vault.stop().success());
    }

    /// Every record key comes to lie under the one active version.
    fn rotation_ends(&self) {
        let officer = self.vault.person("key-officer");
        let path = format!("/v1/collections/{}/keys", self.vault.dev.collection);
        let start = Instant::now();
        loop {
            let keys: vault_api::keys::CollectionKeys = officer.get(&path).expect(200).read();
            let behind: u64 = keys.versions.iter().filter(|v| v.state != KeyState::Active).map(|v| v.records).sum();
            if behind == 0 {
                return;
            }
            assert!(start.elapsed() < COLLECTED, "{behind} record keys stay under old versions: {keys:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Nothing is left of what was erased, and each has its proof.
    fn erasures_are_complete(&self) {
        let start = Instant::now();
        while database::number(&self.vault, "SELECT COUNT(*) FROM erasures WHERE completed_at IS NULL") > 0 {
            assert!(start.elapsed() < COLLECTED, "seed {}: something of an erased record stays", self.seed);
            std::thread::sleep(Duration::from_millis(200));
        }
        let keys = "SELECT COUNT(*) FROM records WHERE state = 'erased' AND wrap IS NOT NULL";
        assert_eq!(database::number(&self.vault, keys), 0, "seed {}", self.seed);
        for record in self.known.erased.keys() {
            let erasure = self.vault.person("auditor").get(&format!("/v1/records/{record}/erasure")).expect(200).json();
            assert!(erasure["proof"].is_string() && erasure["journalled"] == true, "seed {}: {erasure}", self.seed);
        }
    }

    /// The collector comes to its end, and then every object is a part of a record, and every part is there.
    fn nothing_is_orphaned(&self) {
        let start = Instant::now();
        let waiting = || {
            database::number(&self.vault, "SELECT COUNT(*) FROM intents")
                + database::number(&self.vault, "SELECT COUNT(*) FROM garbage")
        };
        let store = Store::of(&self.vault);
        let mut objects: BTreeSet<String>;
        loop {
            // Rows first: what is listed afterwards is not being collected any more.
            let waiting = waiting();
            objects = store.names("").into_iter().collect();
            // A name with this sign in it is half-written; in a bucket nothing is.
            let staged: Vec<_> = objects.iter().filter(|name| name.contains('#')).collect();
            if waiting == 0 && staged.is_empty() {
                break;
            }
            assert!(start.elapsed() < COLLECTED, "seed {}: {waiting} rows and {staged:?} stay", self.seed);
            std::thread::sleep(Duration::from_secs(1));
        }
        objects.retain(|name| name.starts_with("media/"));
        let parts: BTreeSet<String> = database::texts(&self.vault, "SELECT name FROM parts").into_iter().collect();
        let orphaned: Vec<_> = objects.difference(&parts).collect();
        let missing: Vec<_> = parts.difference(&objects).collect();
        assert!(orphaned.is_empty() && missing.is_empty(), "seed {}: {orphaned:?} {missing:?}", self.seed);
    }
}
