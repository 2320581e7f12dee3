//! What a server has confirmed, and so has to know after any crash.
//!
//! Clients note what they asked for and what was answered. An act that was asked for and never answered may have
//! happened or not; one that was answered has happened. [`Acknowledged::findings`] holds a restarted server to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use vault_api::keys::{CollectionKeys, KeyState, KeyVersion, RootStatus};
use vault_api::playback::Session;

use crate::database;
use crate::http::{Answer, Caller};
use crate::published;
use crate::rights::{Loss, Machine, Rights};
use crate::tus::Upload;
use crate::vault::Vault;

/// Of what was taken away long ago, so much is looked at after each start.
const RIGHTS: usize = 4;

/// An act that takes something away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// Nobody asked for it.
    #[default]
    No,
    /// Asked for, not answered.
    Asked,
    /// Confirmed: it stands for good.
    Confirmed,
}

/// An upload, and how far the server has confirmed it.
#[derive(Clone)]
pub struct Sent {
    /// Its address.
    pub upload: Upload,
    /// What is sent.
    pub recording: Arc<Vec<u8>>,
    /// The highest offset that the server has confirmed.
    pub acknowledged: u64,
    /// The record, once the completing answer has named it.
    pub record: Option<String>,
    /// Whether the client terminated it.
    pub terminated: Taken,
}

impl Sent {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(upload: Upload, recording: Vec<u8>) -> Self {
        Self { upload, recording: Arc::new(recording), acknowledged: 0, record: None, terminated: Taken::No }
    }

    /// Sends the next `length` bytes; `None` when the server was gone.
    pub fn send(&mut self, base: &Caller, length: u64) -> Option<Answer> {
        let from = usize::try_from(self.acknowledged).expect("small");
        let to = self.recording.len().min(from + usize::try_from(length).expect("small"));
        let answer = self.upload.try_patch(base, self.acknowledged, &self.recording[from..to])?;
        assert_eq!(answer.status, 204, "{answer}");
        let confirmed = answer.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        assert_eq!(confirmed, to as u64, "{answer}");
        self.acknowledged = confirmed;
        self.record = answer.header("vault-record-id").map(str::to_owned);
        Some(answer)
    }

    /// What is left to send.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.recording.len() as u64 - self.acknowledged
    }
}

/// An approved request for a record, and what became of it.
#[derive(Clone)]
pub struct Access {
    /// The request.
    pub request: String,
    /// The grant.
    pub grant: String,
    /// The record that it is for.
    pub record: String,
    /// The recording that it opens.
    pub recording: Arc<Vec<u8>>,
    /// The session, once it was answered.
    pub session: Option<Session>,
    /// Whether the grant was revoked.
    pub revoked: Taken,
    /// Whether the session was ended.
    pub closed: Taken,
}

/// Keys that were confirmed as destroyed.
#[derive(Clone, Debug, Default)]
pub struct Destroyed {
    /// Versions of the collection's key.
    pub versions: BTreeSet<u32>,
    /// Root epochs.
    pub epochs: BTreeSet<u32>,
}

/// Everything confirmed so far.
#[derive(Clone, Default)]
pub struct Acknowledged {
    /// Uploads, unfinished and finished.
    pub uploads: Vec<Sent>,
    /// Approved requests.
    pub accesses: Vec<Access>,
    /// Records that somebody asked to erase.
    pub erased: BTreeMap<String, Taken>,
    /// The highest version of the collection's key that was confirmed as active.
    pub key_version: u32,
    /// Keys that were confirmed as destroyed.
    pub destroyed: Destroyed,
    /// The highest root epoch that was confirmed as active.
    pub root_epoch: u32,
    /// Every checkpoint seen, as signed notes.
    pub checkpoints: Vec<String>,
    /// Sessions confirmed as opened: each has its entry, whatever became of the session.
    pub opened: u64,
    /// Revocations confirmed.
    pub revocations: u64,
    /// What machines and a collection have lost.
    pub rights: Rights,
    /// What else was shown and stays so.
    pub stands: Vec<Stands>,
    /// A record that is being encrypted anew: its playbacks may end at any moment.
    pub rewritten: Option<String>,
}

/// Something that the vault shows, and will show from now on.
#[derive(Clone)]
pub struct Stands {
    /// Who may see it.
    pub person: &'static str,
    /// Where it is shown.
    pub path: String,
    /// Where in the answer (RFC 6901).
    pub pointer: &'static str,
    /// What is there.
    pub value: Value,
}

impl Acknowledged {
    /// Holds a server that has just started to what was confirmed; what it got wrong. Learns what else it knows: an
    /// offset or a record that was not answered any more.
    ///
    /// `pick` decides which record is played in full.
    pub fn findings(&mut self, vault: &Vault, pick: u64) -> Vec<String> {
        let mut findings = Vec::new();
        self.check_uploads(vault, &mut findings);
        self.check_erasures(vault, &mut findings);
        self.check_access(vault, &mut findings);
        self.check_keys(vault, &mut findings);
        self.rights.findings(vault, pick, RIGHTS, &mut findings);
        for Stands { person, path, pointer, value } in &self.stands {
            let shown = vault.person(person).get(path);
            if shown.status != 200 || shown.json().pointer(pointer) != Some(value) {
                findings.push(format!("{pointer} was {value} and is not: {shown}"));
            }
        }
        let whole = |sent: &&Sent| self.plays(sent) && sent.record != self.rewritten;
        let records: Vec<&Sent> = self.uploads.iter().filter(whole).collect();
        if !records.is_empty() {
            let sent = records[usize::try_from(pick % records.len() as u64).expect("small")];
            if let Err(finding) = play_anew(vault, sent) {
                findings.push(finding);
            }
        }
        self.check_log(vault, &mut findings);
        findings
    }

    /// Restrictions confirmed: each has an entry in the journal.
    #[must_use]
    pub fn restrictions(&self) -> u64 {
        let confirmed = |taken: &Taken| *taken == Taken::Confirmed;
        let machines = self.rights.machines.iter().filter(|machine| confirmed(&machine.taken)).count();
        let erased = self.erased.values().filter(|taken| confirmed(taken)).count();
        self.revocations + (machines + erased) as u64 + u64::from(confirmed(&self.rights.suspended))
    }

    fn check_uploads(&mut self, vault: &Vault, findings: &mut Vec<String>) {
        for (number, sent) in self.uploads.iter_mut().enumerate() {
            let head = sent.upload.head(vault);
            if sent.terminated == Taken::Confirmed || (sent.terminated == Taken::Asked && head.status != 200) {
                if ![404, 410].contains(&head.status) {
                    findings.push(format!("upload {number}: terminated, and still there: {head}"));
                }
                sent.terminated = Taken::Confirmed;
                continue;
            }
            sent.terminated = Taken::No;
            let offset: Option<u64> = head.header("upload-offset").and_then(|n| n.parse().ok());
            let (200, Some(offset)) = (head.status, offset) else {
                findings.push(format!("upload {number}: not found any more: {head}"));
                continue;
            };
            let named = head.header("vault-record-id").map(str::to_owned);
            let length = sent.recording.len() as u64;
            if offset < sent.acknowledged || offset > length {
                findings
                    .push(format!("upload {number}: {offset} found, {} acknowledged of {length}", sent.acknowledged));
            }
            if sent.record.is_some() && named != sent.record {
                findings.push(format!("upload {number}: was the record {:?}, is {named:?}", sent.record));
            }
            // A full offset without a record would be a recording that nobody can ever play.
            if (offset == length) != named.is_some() {
                findings.push(format!("upload {number}: {offset} of {length} and the record {named:?}"));
            }
            (sent.acknowledged, sent.record) = (offset, named);
        }
    }

    /// Whether this is a record that nobody erased.
    #[must_use]
    pub fn plays(&self, sent: &Sent) -> bool {
        sent.record.as_ref().is_some_and(|record| !self.erased.contains_key(record))
    }

    /// A record is erased or it is not: it has no key then, no text, no part, and plays nothing.
    fn check_erasures(&mut self, vault: &Vault, findings: &mut Vec<String>) {
        let auditor = vault.person("auditor");
        self.erased.retain(|record, taken| {
            let shown = auditor.get(&format!("/v1/records/{record}"));
            let state = if shown.status == 200 { shown.text("state") } else { String::new() };
            match (*taken, state.as_str()) {
                (_, "erased") => *taken = Taken::Confirmed,
                (Taken::Asked, "available") => return false,
                _ => findings.push(format!("record {record}: its erasure is {taken:?}: {shown}")),
            }
            let erasure = auditor.get(&format!("/v1/records/{record}/erasure"));
            if erasure.status != 200 {
                findings.push(format!("record {record} is erased and has no certificate: {erasure}"));
            }
            true
        });
    }

    fn check_access(&mut self, vault: &Vault, findings: &mut Vec<String>) {
        let analyst = vault.person("analyst");
        for access in &mut self.accesses {
            let shown = analyst.get(&format!("/v1/access-requests/{}", access.request));
            if shown.status != 200 {
                findings.push(format!("an approved request is gone: {shown}"));
                continue;
            }
            let state = shown.text("state");
            match (access.revoked, state.as_str()) {
                (Taken::No, "approved") | (Taken::Confirmed, "revoked") => {}
                (Taken::Asked, "approved") => access.revoked = Taken::No,
                (Taken::Asked, "revoked") => access.revoked = Taken::Confirmed,
                (revoked, state) => findings.push(format!("a request is {state}, and its revocation is {revoked:?}")),
            }
            let Some(session) = &access.session else { continue };
            let range = [("range", "bytes=0-99")];
            let answer = analyst.send("GET", &session.playback_url, &range, &[]);
            let plays = answer.status == 206 && access.recording.starts_with(&answer.body);
            let ended = access.revoked == Taken::Confirmed || access.closed == Taken::Confirmed;
            match (ended, access.closed) {
                (true, _) if answer.status < 400 => findings.push(format!("an ended session plays on: {answer}")),
                (false, Taken::No) if !plays => findings.push(format!("an open session does not play: {answer}")),
                (false, Taken::Asked) => access.closed = if plays { Taken::No } else { Taken::Confirmed },
                _ => {}
            }
            if access.revoked == Taken::Confirmed {
                let path = format!("/v1/access-requests/{}/sessions", access.request);
                let again = analyst.post(&path, &json!({"representation": "original"}));
                if again.status < 400 {
                    findings.push(format!("a revoked grant opens a session: {again}"));
                }
            }
        }
    }

    fn check_keys(&mut self, vault: &Vault, findings: &mut Vec<String>) {
        let officer = vault.person("key-officer");
        let keys = officer.get(&format!("/v1/collections/{}/keys", vault.dev.collection));
        let root = officer.get("/v1/root");
        if keys.status != 200 || root.status != 200 {
            findings.push(format!("keys cannot be shown: {keys}; {root}"));
            return;
        }
        let (keys, root): (CollectionKeys, RootStatus) = (keys.read(), root.read());
        let active: Vec<u32> =
            keys.versions.iter().filter(|v| v.state == KeyState::Active).map(|v| v.version).collect();
        match active[..] {
            [version] if version >= self.key_version => self.key_version = version,
            _ => findings.push(format!("active key versions {active:?}, {} acknowledged", self.key_version)),
        }
        let gone = |v: &&KeyVersion| v.state == KeyState::Destroyed;
        for version in keys.versions.iter().filter(gone).filter(|v| v.records > 0) {
            findings.push(format!("version {} is destroyed and {} records need it", version.version, version.records));
        }
        let gone: BTreeSet<u32> = keys.versions.iter().filter(gone).map(|v| v.version).collect();
        if !gone.is_superset(&self.destroyed.versions) {
            findings.push(format!("versions {gone:?} are destroyed, {:?} acknowledged", self.destroyed.versions));
        }
        self.destroyed.versions = gone;
        let gone = root.epochs.iter().filter(|e| e.state == KeyState::Destroyed);
        let gone: BTreeSet<u32> = gone.map(|e| e.epoch).collect();
        if !gone.is_superset(&self.destroyed.epochs) {
            findings.push(format!("root epochs {gone:?} are destroyed, {:?} acknowledged", self.destroyed.epochs));
        }
        self.destroyed.epochs = gone;
        let held = database::number(vault, "SELECT COUNT(*) FROM keks WHERE state = 'destroyed' AND length(wrap) > 0");
        if held > 0 {
            findings.push(format!("{held} destroyed versions have a wrap"));
        }
        let active: Vec<u32> = root.epochs.iter().filter(|e| e.state == KeyState::Active).map(|e| e.epoch).collect();
        match active[..] {
            [epoch] if epoch >= self.root_epoch => self.root_epoch = epoch,
            _ => findings.push(format!("active root epochs {active:?}, {} acknowledged", self.root_epoch)),
        }
    }

    /// Everything published and seen is still there, in its place; what was confirmed has its entry.
    fn check_log(&mut self, vault: &Vault, findings: &mut Vec<String>) {
        match published::verify(vault, &self.checkpoints) {
            Err(error) => findings.push(error),
            Ok(log) => {
                let count = |kind: &str| log.types.get(kind).copied().unwrap_or(0);
                let lost = |loss: Loss| {
                    let of = |machine: &&Machine| machine.loss == loss && machine.taken == Taken::Confirmed;
                    (loss.entry(), self.rights.machines.iter().filter(of).count() as u64)
                };
                let acts = [("playback.opened", self.opened), ("access.revoked", self.revocations)];
                for (kind, least) in acts.into_iter().chain(Loss::ALL.map(lost)) {
                    if count(kind) < least {
                        findings.push(format!("{} entries {kind}, {least} acknowledged", count(kind)));
                    }
                }
                // It extends every one before it: what extends it does, too, and need not be held against each of them again.
                self.checkpoints = vec![log.checkpoint];
            }
        }
    }
}

/// A record played in full under an approval of its own; why not.
pub fn play_anew(vault: &Vault, sent: &Sent) -> Result<(), String> {
    let record = sent.record.as_deref().unwrap_or_default();
    let (analyst, approver) = (vault.person("analyst"), vault.person("approver"));
    let said = |answer: &Answer| format!("record {record} cannot be played: {answer}");
    let asked = analyst.post("/v1/access-requests", &request(record));
    if asked.status != 201 {
        return Err(said(&asked));
    }
    let path = format!("/v1/access-requests/{}", asked.text("id"));
    let approved = approver.post(&format!("{path}/approve"), &json!({}));
    if approved.status != 200 {
        return Err(said(&approved));
    }
    let opened = analyst.post(&format!("{path}/sessions"), &json!({"representation": "original"}));
    if opened.status != 201 {
        return Err(said(&opened));
    }
    let session: Session = opened.read();
    let played = analyst.get(&session.playback_url);
    if played.status != 200 || played.body != *sent.recording {
        return Err(format!("record {record} does not play back what was recorded: {played}"));
    }
    let closed = analyst.delete(&session.playback_url);
    if closed.status == 204 { Ok(()) } else { Err(said(&closed)) }
}

/// The body of a request for one record.
#[must_use]
pub fn request(record: &str) -> Value {
    json!({
        "record_id": record, "purpose": crate::access::PURPOSE, "reason": "Hear what was said",
        "case_number": "C-2026-118", "rights": ["view", "export"],
    })
}
