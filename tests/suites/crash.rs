//! Promises 3, 6, 7 and 9 through crashes: a server is killed with SIGKILL in the middle of uploads, playbacks,
//! rotations, revocations, erasures and publications, and in the middle of its own recovery, over and over, at moments that a seed
//! decides. After each start it is held to everything that it had confirmed before.
//!
//! `cargo xtask test` runs it a hundred times on the embedded database and a hundred times on PostgreSQL, and less often
//! behind a pooler and on a bucket.
//! `VAULT_TESTS_KILLS` sets how many kills (100 when absent), `VAULT_TESTS_SEED` another seed: by hand, thousands.
//! `kill -9` keeps the page cache; what power loss does another suite shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::access::Approved;
use vault_api::keys::{KeyRotation, KeyState, RootStatus};
use vault_core::audit::tile::WIDTH;
use vault_tests::acknowledged::{self, Access, Acknowledged, Destroyed, Sent, Taken};
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::http::Caller;
use vault_tests::objects::Store;
use vault_tests::vault::Vault;
use vault_tests::{cli, database, published, tus};

/// Kills for each vault: few enough that its rows stay few.
const KILLS_A_VAULT: u64 = 25;
const UPLOADS: usize = 3;
/// Approved requests kept in sight: each costs a few requests after every start.
const ACCESSES: usize = 8;
/// The collector's pause, an intent's deadline and the patience behind it, twice over.
const COLLECTED: Duration = Duration::from_secs(240);

#[test]
fn p3_what_was_acknowledged_survives_kill_9() {
    let kills = by_hand("VAULT_TESTS_KILLS").unwrap_or(100);
    let seed = by_hand("VAULT_TESTS_SEED").unwrap_or(0x5eed_0003);
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
            let crashing = Crashing::through(now, seed);
            scope.spawn(move || crashing.ends());
        }
    });
}

struct Crashing {
    vault: Vault,
    known: Acknowledged,
    chance: Chance,
    seed: u64,
}

impl Crashing {
    /// A vault that has been killed this often.
    fn through(kills: u64, seed: u64) -> Self {
        let mut crashing =
            Self { vault: Vault::start(), known: Acknowledged::default(), chance: Chance::new(seed), seed };
        crashing.fill();
        let mut done = 0;
        while done < kills {
            crashing.work_until_killed();
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
    fn work_until_killed(&mut self) {
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
        let moment = Duration::from_millis(self.chance.between(1, 150));
        let mut seed = || Chance::new(self.chance.number());
        let (vault, known) = (&mut self.vault, &mut self.known);
        let nobody = vault.nobody();
        let [analyst, approver, officer, second, auditor] =
            ["analyst", "approver", "key-officer", "key-officer-2", "auditor"].map(|person| vault.person(person));
        let collection = vault.dev.collection.clone();

        std::thread::scope(|scope| {
            let open = known.uploads.iter_mut().filter(|sent| sent.record.is_none() && sent.terminated == Taken::No);
            for (sent, mut chance) in open.map(|sent| (sent, seed())) {
                let nobody = &nobody;
                scope.spawn(move || send(nobody, sent, &mut chance));
            }
            let (accesses, opened, revocations) = (&mut known.accesses, &mut known.opened, &mut known.revocations);
            let erased = &mut known.erased;
            let (mut playing, mut rotating) = (seed(), seed());
            let (analyst, approver) = (&analyst, &approver);
            scope.spawn(move || {
                let mut finished = finished;
                loop {
                    if playing.below(16) == 0 && finished.len() > 2 {
                        let one = usize::try_from(playing.below(finished.len() as u64)).expect("small");
                        if erase(approver, &finished.swap_remove(one), accesses, erased).is_none() {
                            break;
                        }
                    }
                    let Some(opens) = play(analyst, approver, &finished, accesses, &mut playing) else { break };
                    *opened += u64::from(opens == Done::Opened);
                    *revocations += u64::from(opens == Done::Revoked);
                }
            });
            let (version, epoch, officer) = (&mut known.key_version, &mut known.root_epoch, &officer);
            let (destroyed, second, mut destroying) = (&mut known.destroyed, &second, seed());
            let keys = format!("/v1/collections/{collection}/keys");
            scope.spawn(move || while rotate(officer, &collection, version, epoch, &mut rotating).is_some() {});
            scope.spawn(move || while destroy(officer, second, &keys, destroyed, &mut destroying).is_some() {});
            let (checkpoints, auditor) = (&mut known.checkpoints, &auditor);
            scope.spawn(move || {
                while let Some(answer) = auditor.try_send("GET", "/v1/audit/log/checkpoint", &[], &[]) {
                    let note = String::from_utf8(answer.expect(200).body).expect("text");
                    if checkpoints.last() != Some(&note) {
                        checkpoints.push(note);
                    }
                }
            });
            std::thread::sleep(moment);
            vault.kill();
        });
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

/// Sends chunk after chunk, until the server is gone; one upload in twelve is given up on the way.
fn send(base: &Caller, sent: &mut Sent, chance: &mut Chance) {
    let mut gives_up = chance.below(12) == 0;
    while sent.record.is_none() {
        if gives_up && chance.below(3) == 0 {
            sent.terminated = Taken::Asked;
            let headers = [("tus-resumable", vault_api::names::TUS_VERSION)];
            let Some(answer) = base.try_send("DELETE", &sent.upload.location, &headers, &[]) else { return };
            assert_eq!(answer.status, 204, "{answer}");
            sent.terminated = Taken::Confirmed;
            return;
        }
        let length = chance.between(1, 150_000);
        // What would finish it is not given up any more.
        gives_up = gives_up && length < sent.left();
        if sent.send(base, length).is_none() {
            return;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Done {
    Opened,
    Revoked,
    Other,
}

/// One thing that an analyst or an approver does; `None` when the server was gone.
fn play(
    analyst: &Caller,
    approver: &Caller,
    finished: &[Sent],
    accesses: &mut Vec<Access>,
    chance: &mut Chance,
) -> Option<Done> {
    let one = |chance: &mut Chance, of: usize| usize::try_from(chance.below(of as u64)).expect("small");
    let standing: Vec<usize> = (0..accesses.len())
        .filter(|at| accesses[*at].revoked == Taken::No && accesses[*at].closed == Taken::No)
        .collect();
    if standing.is_empty() || (chance.below(4) == 0 && accesses.len() < 2 * ACCESSES) {
        if finished.is_empty() {
            let _alive = analyst.try_send("GET", "/healthz", &[], &[])?;
            std::thread::sleep(Duration::from_millis(2));
            return Some(Done::Other);
        }
        let sent = &finished[one(chance, finished.len())];
        let request = acknowledged::request(sent.record.as_deref().expect("it is finished")).to_string();
        let json = [("content-type", "application/json")];
        let asked = analyst.try_send("POST", "/v1/access-requests", &json, request.as_bytes())?.expect(201).text("id");
        let path = format!("/v1/access-requests/{asked}");
        let approved = approver.try_send("POST", &format!("{path}/approve"), &json, b"{}")?.expect(200);
        accesses.push(Access {
            request: asked,
            grant: approved.read::<Approved>().grant_id,
            record: sent.record.clone().expect("it is finished"),
            recording: sent.recording.clone(),
            session: None,
            revoked: Taken::No,
            closed: Taken::No,
        });
        let original = json!({"representation": "original"}).to_string();
        let opened = analyst.try_send("POST", &format!("{path}/sessions"), &json, original.as_bytes())?.expect(201);
        accesses.last_mut().expect("just pushed").session = Some(opened.read());
        return Some(Done::Opened);
    }
    let access = &mut accesses[standing[one(chance, standing.len())]];
    match (chance.below(8), &access.session) {
        (0, _) => {
            access.revoked = Taken::Asked;
            let answer = approver.try_send("DELETE", &format!("/v1/grants/{}", access.grant), &[], &[])?;
            assert!([200, 202].contains(&answer.status), "{answer}");
            access.revoked = Taken::Confirmed;
            Some(Done::Revoked)
        }
        (1, Some(session)) => {
            access.closed = Taken::Asked;
            let _closed = analyst.try_send("DELETE", &session.playback_url, &[], &[])?.expect(204);
            access.closed = Taken::Confirmed;
            Some(Done::Other)
        }
        (_, Some(session)) => {
            let played = analyst.try_send("GET", &session.playback_url, &[], &[])?.expect(200);
            assert!(played.body == *access.recording, "a playback is not what was recorded");
            Some(Done::Other)
        }
        // Its session was asked for when the server died: whether it was opened, nobody knows.
        (_, None) => analyst.try_send("GET", "/healthz", &[], &[]).map(|_| Done::Other),
    }
}

/// Erases a record, with everything that was approved for it; `None` when the server was gone.
fn erase(
    approver: &Caller,
    sent: &Sent,
    accesses: &mut Vec<Access>,
    erased: &mut BTreeMap<String, Taken>,
) -> Option<()> {
    let record = sent.record.clone().expect("it is finished");
    accesses.retain(|access| access.record != record);
    erased.insert(record.clone(), Taken::Asked);
    let answer = approver.try_send("DELETE", &format!("/v1/records/{record}"), &[], &[])?;
    assert!([200, 202].contains(&answer.status), "{answer}");
    erased.insert(record, Taken::Confirmed);
    Some(())
}

/// One rotation of the collection's key, or now and then of the root key; `None` when the server was gone.
fn rotate(officer: &Caller, collection: &str, version: &mut u32, epoch: &mut u32, chance: &mut Chance) -> Option<()> {
    std::thread::sleep(Duration::from_millis(chance.below(60)));
    let json = [("content-type", "application/json")];
    if chance.below(4) == 0 {
        let answer = officer.try_send("POST", "/v1/root/rotate", &json, b"{}")?.expect(200);
        let epochs = answer.read::<RootStatus>().epochs;
        let active = epochs.iter().find(|e| e.state == KeyState::Active).expect("an active epoch");
        *epoch = active.epoch;
    } else {
        let answer = officer.try_send("POST", &format!("/v1/collections/{collection}/keys/rotate"), &json, b"{}")?;
        match answer.status {
            202 => *version = answer.read::<KeyRotation>().to_version,
            // The rotation before is still under way.
            409 => {}
            _ => panic!("{answer}"),
        }
    }
    Some(())
}

/// One officer asks for the destruction of an old version or root epoch, another confirms it, or one of them thinks better of
/// it; `None` when the server was gone.
fn destroy(
    officer: &Caller,
    second: &Caller,
    keys: &str,
    destroyed: &mut Destroyed,
    chance: &mut Chance,
) -> Option<()> {
    std::thread::sleep(Duration::from_millis(chance.below(40)));
    let json = [("content-type", "application/json")];
    let of_root = chance.below(3) == 0;
    let old: Vec<u32> = if of_root {
        let shown: RootStatus = officer.try_send("GET", "/v1/root", &[], &[])?.expect(200).read();
        shown.epochs.iter().filter(|e| e.state == KeyState::Deactivated).map(|e| e.epoch).collect()
    } else {
        let shown: vault_api::keys::CollectionKeys = officer.try_send("GET", keys, &[], &[])?.expect(200).read();
        shown.versions.iter().filter(|v| v.state == KeyState::Deactivated).map(|v| v.version).collect()
    };
    if old.is_empty() {
        return Some(());
    }
    let number = old[usize::try_from(chance.below(old.len() as u64)).expect("small")];
    let place = if of_root { "/v1/root" } else { keys };
    let path = format!("{place}/{number}/destroy");
    let body: &[u8] = if of_root { br#"{"reason":"x","known_copies":0}"# } else { br#"{"reason":"x"}"# };
    // Refused while something needs it, and when it was asked for before a crash.
    let asked = officer.try_send("POST", &path, &json, body)?;
    assert!([202, 409].contains(&asked.status), "{asked}");
    if chance.below(6) == 0 {
        let cancelled = second.try_send("DELETE", &path, &[], &[])?;
        assert!([200, 409].contains(&cancelled.status), "{cancelled}");
        return Some(());
    }
    let confirmed = second.try_send("POST", &format!("{path}/confirm"), &json, b"{}")?;
    assert!([200, 409].contains(&confirmed.status), "{confirmed}");
    if confirmed.status == 200 && confirmed.text("state") == "done" {
        let which = if of_root { &mut destroyed.epochs } else { &mut destroyed.versions };
        which.insert(number);
    }
    Some(())
}
