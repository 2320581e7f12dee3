//! The acts of a recording: each is confirmed by an answer, and what it confirms is to be found on every later disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::access::Approved;
use vault_api::cycle::{Cycle, CycleStatus};
use vault_api::keys::{CollectionKeys, KeyRotation, KeyState, RootStatus};
use vault_api::names::TUS_VERSION;
use vault_api::reencryption::{Reencryption, ReencryptionState, ReencryptionStatus};
use vault_tests::acknowledged::{self, Access, Acknowledged, Sent, Stands, Taken};
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::{Answer, answered};
use vault_tests::rights::Rights;
use vault_tests::tus;
use vault_tests::vault::Vault;

use super::Step;

/// Jobs take their turns; a recorded server is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who asks for a destruction, and who confirms it.
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

/// How much is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Without what takes long in coming.
    Short,
}

struct Acts<'v> {
    vault: &'v Vault,
    /// While this is set the noise waits.
    quiet: &'v AtomicBool,
    known: Acknowledged,
    /// What was known when the act now under way was asked for.
    asked: Acknowledged,
    steps: Vec<Step>,
}

impl Acts<'_> {
    /// What was answered last confirms everything known.
    fn confirmed(&mut self, act: &'static str) {
        let known = self.known.clone();
        let asked = core::mem::replace(&mut self.asked, known.clone());
        self.steps.push(Step { act, answer: answered(), known, asked });
    }

    /// An act that takes something away is asked for.
    fn asks(&mut self, taken: impl Fn(&mut Acknowledged) -> &mut Taken) {
        *taken(&mut self.asked) = Taken::Asked;
        *taken(&mut self.known) = Taken::Confirmed;
    }

    fn create(&mut self, length: usize, chance: &mut Chance) -> usize {
        let recording = wav(length, chance);
        let upload = tus::create(self.vault, "call.wav", "audio/wav", recording.len());
        self.known.uploads.push(Sent::new(upload, recording));
        self.confirmed("creating an upload");
        self.known.uploads.len() - 1
    }

    fn send(&mut self, upload: usize, length: u64) {
        let _sent = self.known.uploads[upload].send(&self.vault.nobody(), length).expect("an answer");
        self.confirmed("bytes of an upload");
    }

    fn finish(&mut self, upload: usize) {
        let left = self.known.uploads[upload].left();
        let _sent = self.known.uploads[upload].send(&self.vault.nobody(), left).expect("an answer");
        assert!(self.known.uploads[upload].record.is_some());
        self.confirmed("the end of an upload");
    }

    fn approved(&mut self, upload: usize) -> usize {
        let sent = self.known.uploads[upload].clone();
        let body = acknowledged::request(sent.record.as_deref().expect("it is finished"));
        let request = self.vault.person("analyst").post("/v1/access-requests", &body).expect(201).text("id");
        let path = format!("/v1/access-requests/{request}/approve");
        let approved: Approved = self.vault.person("approver").post(&path, &json!({})).expect(200).read();
        let (session, revoked, closed) = (None, Taken::No, Taken::No);
        let (grant, record) = (approved.grant_id, sent.record.expect("it is finished"));
        self.known.accesses.push(Access {
            request,
            grant,
            record,
            recording: sent.recording,
            session,
            revoked,
            closed,
        });
        self.confirmed("an approval");
        self.known.accesses.len() - 1
    }

    fn open(&mut self, access: usize) {
        let path = format!("/v1/access-requests/{}/sessions", self.known.accesses[access].request);
        let opened = self.vault.person("analyst").post(&path, &json!({"representation": "original"})).expect(201);
        self.known.accesses[access].session = Some(opened.read());
        self.known.opened += 1;
        self.confirmed("opening a session");
    }

    fn revoke(&mut self, access: usize, act: &'static str) {
        self.asks(|known| &mut known.accesses[access].revoked);
        let path = format!("/v1/grants/{}", self.known.accesses[access].grant);
        let _revoked = self.vault.person("approver").delete(&path).expect(200);
        self.known.revocations += 1;
        self.confirmed(act);
    }

    fn close(&mut self, access: usize) {
        self.asks(|known| &mut known.accesses[access].closed);
        let session = self.known.accesses[access].session.clone().expect("a session");
        let _closed = self.vault.person("analyst").delete(&session.playback_url).expect(204);
        self.confirmed("ending a session");
    }

    fn checkpoint(&mut self) {
        let answer = self.vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200);
        self.known.checkpoints.push(String::from_utf8(answer.body).expect("text"));
        self.confirmed("showing a checkpoint");
    }

    fn rotate(&mut self) {
        let path = format!("/v1/collections/{}/keys/rotate", self.vault.dev.collection);
        let rotation: KeyRotation = self.vault.person("key-officer").post(&path, &json!({})).expect(202).read();
        self.known.key_version = rotation.to_version;
        self.confirmed("a rotation");
    }

    fn rotate_root(&mut self, act: &'static str) {
        let root: RootStatus = self.vault.person("key-officer").post("/v1/root/rotate", &json!({})).expect(200).read();
        let active = root.epochs.iter().find(|epoch| epoch.state == KeyState::Active).expect("an active epoch");
        self.known.root_epoch = active.epoch;
        self.confirmed(act);
    }

    fn erase(&mut self, upload: usize) {
        let record = self.known.uploads[upload].record.clone().expect("it is finished");
        *self.asked.erased.entry(record.clone()).or_default() = Taken::Asked;
        *self.known.erased.entry(record.clone()).or_default() = Taken::Confirmed;
        let _certificate = self.vault.person("approver").delete(&format!("/v1/records/{record}")).expect(200);
        self.confirmed("an erasure");
    }

    /// Waits for what the vault does by itself: the answer that shows it confirms it.
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        self.quiet.store(true, Ordering::Relaxed);
        let started = Instant::now();
        while !is() {
            assert!(started.elapsed() < PATIENCE, "never {what}");
            // Each question is recorded as well.
            std::thread::sleep(Duration::from_millis(100));
        }
        self.quiet.store(false, Ordering::Relaxed);
    }

    fn post(&self, person: &str, path: &str, body: &Value) -> Answer {
        self.vault.person(person).post(path, body)
    }

    /// What was shown, and is to be shown from now on.
    fn stands(&mut self, path: &str, pointer: &'static str, value: Value) {
        self.known.stands.push(Stands { person: OFFICERS[0], path: path.to_owned(), pointer, value });
    }

    /// Two officers destroy a version of the collection's key; the one before has nothing under it once the rotation is done.
    fn destroy_version(&mut self, version: u32) {
        let keys = format!("/v1/collections/{}/keys", self.vault.dev.collection);
        let path = format!("{keys}/{version}/destroy");
        self.until("a version that nothing needs", || {
            let asked = self.post(OFFICERS[0], &path, &json!({"reason": "Test"}));
            assert!([202, 409].contains(&asked.status), "{asked}");
            asked.status == 202
        });
        self.confirmed("asking for the destruction of a version");
        let _agreed = self.post(OFFICERS[1], &format!("{path}/confirm"), &json!({})).expect(200);
        self.until("a destroyed version", || {
            let keys: CollectionKeys = self.vault.person(OFFICERS[0]).get(&keys).expect(200).read();
            keys.versions.iter().any(|one| one.version == version && one.state == KeyState::Destroyed)
        });
        self.known.destroyed.versions.insert(version);
        self.confirmed("the destruction of a version");
    }

    /// The same of a root epoch.
    fn destroy_epoch(&mut self, epoch: u32) {
        let path = format!("/v1/root/{epoch}/destroy");
        self.until("an epoch that nothing needs", || {
            let asked = self.post(OFFICERS[0], &path, &json!({"reason": "Test", "known_copies": 0}));
            assert!([202, 409].contains(&asked.status), "{asked}");
            asked.status == 202
        });
        let _agreed = self.post(OFFICERS[1], &format!("{path}/confirm"), &json!({})).expect(200);
        self.until("a destroyed epoch", || {
            let root: RootStatus = self.vault.person(OFFICERS[0]).get("/v1/root").expect(200).read();
            root.epochs.iter().any(|one| one.epoch == epoch && one.state == KeyState::Destroyed)
        });
        self.known.destroyed.epochs.insert(epoch);
        self.confirmed("the destruction of a root epoch");
    }

    /// Writes a record again under a fresh key.
    fn reencrypt(&mut self, upload: usize) {
        let path = format!("/v1/collections/{}/reencryption", self.vault.dev.collection);
        let record = self.known.uploads[upload].record.clone().expect("it is finished");
        let body = json!({"record_id": record, "incident": "INC-9", "reason": "Test"});
        (self.asked.rewritten, self.known.rewritten) = (Some(record.clone()), Some(record));
        let begun: Reencryption = self.post(OFFICERS[0], &path, &body).expect(202).read();
        self.stands(&path, "/reencryption/id", json!(begun.id));
        self.confirmed("asking for a recording to be encrypted anew");
        self.until("encrypted anew", || {
            let shown: ReencryptionStatus = self.vault.person(OFFICERS[0]).get(&path).expect(200).read();
            shown.reencryption.is_some_and(|now| now.state == ReencryptionState::Done)
        });
        self.known.rewritten = None;
        self.stands(&path, "/reencryption/state", json!("done"));
        self.stands(&path, "/reencryption/damaged", json!(0));
        self.confirmed("encrypting anew");
    }

    /// Machines lose a token, a role and everything, and a collection is suspended.
    fn restrict(&mut self) {
        self.known.rights.prepare(self.vault);
        self.confirmed("roles and tokens of machines, and a collection that opens");
        let administrator = self.vault.person("administrator");
        for at in 0..self.known.rights.machines.len() {
            self.asks(|known| &mut known.rights.machines[at].taken);
            let _journalled = self.known.rights.machines[at].take(&administrator).expect("an answer").expect(200);
            self.confirmed("what takes a right from a machine");
        }
        self.asks(|known| &mut known.rights.suspended);
        let _suspended = Rights::suspend(&administrator).expect("an answer");
        self.confirmed("the suspension of a collection");
    }

    /// Nothing is left of a record.
    fn erasure_ends(&mut self, upload: usize) {
        let record = self.known.uploads[upload].record.clone().expect("it is finished");
        let path = format!("/v1/records/{record}/erasure");
        let auditor = self.vault.person("auditor");
        self.until("a finished erasure", || auditor.get(&path).expect(200).json()["completed_at"].is_string());
        let at = auditor.get(&path).expect(200).json()["completed_at"].clone();
        self.known.stands.push(Stands { person: "auditor", path, pointer: "/completed_at", value: at });
        self.confirmed("the end of an erasure");
    }

    /// A cycle is begun and agreed to.
    fn cycle(&mut self) {
        let path = "/v1/root/cycle";
        let begun: Cycle = self.post(OFFICERS[0], path, &json!({"reason": "Test"})).expect(202).read();
        self.stands(path, "/cycle/number", json!(begun.number));
        self.stands(path, "/cycle/scope_sha256", json!(begun.scope_sha256));
        self.confirmed("beginning a cycle of keys");
        self.until("a cycle in the log", || {
            let status: CycleStatus = self.vault.person(OFFICERS[1]).get(path).expect(200).read();
            status.cycle.is_some_and(|cycle| cycle.trouble.is_none())
        });
        let scope = json!({"scope_sha256": begun.scope_sha256});
        let agreed: Cycle = self.post(OFFICERS[1], "/v1/root/cycle/confirm", &scope).expect(200).read();
        self.stands(path, "/cycle/confirmed_by", json!(agreed.confirmed_by.expect("the second to agree")));
        self.confirmed("agreeing to a cycle of keys");
    }

    fn terminate(&mut self, upload: usize) {
        let location = self.known.uploads[upload].upload.location.clone();
        let headers = [("tus-resumable", TUS_VERSION)];
        self.asks(|known| &mut known.uploads[upload].terminated);
        let _gone = self.vault.nobody().send("DELETE", &location, &headers, &[]).expect(204);
        self.confirmed("terminating an upload");
    }
}

/// In an order that has each kind of act before and after each other kind.
pub fn all(vault: &Vault, quiet: &AtomicBool, extent: Extent) -> Vec<Step> {
    let mut chance = Chance::new(0x5eed_0104);
    let (known, asked) = Default::default();
    let mut acts = Acts { vault, quiet, known, asked, steps: Vec::new() };
    let short = acts.create(3_000, &mut chance);
    let long = acts.create(600_000, &mut chance);
    acts.send(long, 1_000);
    acts.finish(short);
    acts.checkpoint();
    let first = acts.approved(short);
    acts.open(first);
    acts.send(long, 200_000);
    acts.rotate();
    let second = acts.approved(short);
    acts.open(second);
    acts.revoke(first, "a revocation");
    acts.send(long, 150_000);
    let given_up = acts.create(100_000, &mut chance);
    acts.send(given_up, 90_000);
    acts.rotate_root("a rotation of the root key");
    acts.finish(long);
    acts.checkpoint();
    let third = acts.approved(long);
    acts.open(third);
    acts.close(second);
    acts.terminate(given_up);
    acts.erase(short);
    acts.checkpoint();
    if extent == Extent::Whole {
        acts.restrict();
        acts.destroy_version(1);
        acts.destroy_epoch(1);
        let anew = acts.create(60_000, &mut chance);
        acts.finish(anew);
        acts.reencrypt(anew);
        acts.erasure_ends(short);
    }
    let late = acts.create(200_000, &mut chance);
    acts.send(late, 70_000);
    acts.revoke(third, "last: a revocation");
    acts.finish(late);
    acts.rotate_root("last: a rotation of the root key");
    if extent == Extent::Whole {
        acts.cycle();
    }
    acts.steps
}
