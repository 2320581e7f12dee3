//! One of every kind of act, asked while something lasts and again when it has passed: what each may answer, what bites
//! meanwhile, and what has to be there in the end.

use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::names::VAULT_RECORD_ID;
use vault_api::playback::Session;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::tus::Upload;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

use super::{BOUND, wait_until_ready};

/// What may be asked of a vault. `Play` fetches what a session opened before plays; the others write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Create,
    Patch,
    Complete,
    File,
    Approve,
    Open,
    Play,
    Close,
    Revoke,
    Erase,
    Enter,
    Give,
    Issue,
    Withdraw,
    RotateKeys,
    RotateRoot,
}

use Act::*;

/// Every act.
pub const ALL: [Act; 16] = [
    Create, Patch, Complete, File, Approve, Open, Play, Close, Revoke, Erase, Enter, Give, Issue, Withdraw, RotateKeys,
    RotateRoot,
];

/// No act waits for a log that stands still longer than this: they are asked at once, and the answers of one state come
/// within it.
pub const SOON: (&str, &str) = ("FEEDBACK_VAULT_LIMITS_LOG_SECONDS", "2");

/// What every act is about: a recording with sessions, grants and people of its own for each.
pub struct Stage {
    pub vault: Vault,
    recording: Vec<u8>,
    record: String,
    /// A session opened before, to be played.
    playing: Session,
    /// One to be closed.
    closing: Session,
    /// One whose grant was revoked before.
    gone: Session,
    /// One whose grant is to be revoked, and the grant.
    revoking: (Session, String),
    /// One whose record is to be erased, and the record.
    erasing: (Session, String),
    /// A request that waits for its approval, and one that has it.
    waiting: String,
    approved: String,
    /// Uploads: one that has nothing yet, and one that lacks its end.
    empty: Upload,
    half: Upload,
    machine: String,
    token: String,
    /// The secret of that token.
    secret: String,
}

/// Where the second upload stands.
const HALF: usize = 150_000;

impl Stage {
    /// Sets it in a vault that stands.
    #[track_caller]
    pub fn set(vault: Vault) -> Self {
        let recording = wav(300_000, &mut Chance::new(0x5eed_0505));
        let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
        let other = tus::upload(&vault, "call.wav", "audio/wav", &recording);
        let opened = |record: &str, case: &str| {
            let request = access::request(&vault, "analyst", record, "Hear what was said", case);
            let approved = access::approve(&vault, "approver", &request);
            (access::open(&vault, "analyst", &request), approved.grant_id)
        };
        let (playing, _) = opened(&record, "C-1");
        let (closing, _) = opened(&record, "C-2");
        let (gone, grant) = opened(&record, "C-3");
        let revoked = vault.person("approver").delete(&format!("/v1/grants/{grant}"));
        assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
        let revoking = opened(&record, "C-4");
        let (session, _) = opened(&other, "C-5");
        let waiting = access::request(&vault, "analyst", &record, "Hear what was said", "C-7");
        let approved = access::request(&vault, "analyst", &record, "Hear what was said", "C-8");
        let _grant = access::approve(&vault, "approver", &approved);
        let empty = tus::create(&vault, "call.wav", "audio/wav", recording.len());
        let half = tus::create(&vault, "call.wav", "audio/wav", recording.len());
        let _half = half.patch(&vault, 0, &recording[..HALF]).expect(204);
        let administrator = vault.person("administrator");
        let kiosk = json!({"name": "Kiosk", "kind": "machine"});
        let machine = administrator.post("/v1/people", &kiosk).expect(201).text("id");
        let role = json!({"person_id": machine, "role": "uploader", "collection": "demo", "reason": "Trouble"});
        let _given = administrator.post("/v1/role-bindings", &role).expect(201);
        let issued = administrator.post("/v1/tokens", &token_of(&machine)).expect(201).json();
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let (token, secret) = (text(&issued["token"]["id"]), text(&issued["secret"]));
        Self {
            erasing: (session, other),
            vault,
            recording,
            record,
            playing,
            closing,
            gone,
            revoking,
            waiting,
            approved,
            empty,
            half,
            machine,
            token,
            secret,
        }
    }

    /// Asks one thing; `None` when no whole answer came.
    fn ask(&self, act: Act) -> Option<Answer> {
        let vault = &self.vault;
        let post = |who: &str, path: &str, body: serde_json::Value| {
            let json = [("content-type", "application/json")];
            vault.person(who).try_send("POST", path, &json, body.to_string().as_bytes())
        };
        let delete = |who: &str, path: &str| vault.person(who).try_send("DELETE", path, &[], &[]);
        match act {
            Create => {
                let consent = tus::consent(vault).to_string();
                let pairs = [("filename", "call.wav"), ("filetype", "audio/wav"), ("consent", consent.as_str())];
                let length = self.recording.len() as u64;
                Some(tus::creation(&vault.person("uploader"), &vault.dev.collection, length, &pairs))
            }
            Patch => self.empty.try_patch(&vault.nobody(), 0, &self.recording[..HALF]),
            Complete => self.half.try_patch(&vault.nobody(), HALF as u64, &self.recording[HALF..]),
            File => {
                let body = json!({"record_id": self.record, "purpose": access::PURPOSE, "reason": "Hear it",
                    "case_number": "C-9", "rights": ["view"]});
                post("analyst", "/v1/access-requests", body)
            }
            Approve => post("approver", &format!("/v1/access-requests/{}/approve", self.waiting), json!({})),
            Open => post("analyst", &format!("/v1/access-requests/{}/sessions", self.approved), json!({})),
            Play => self.fetch(&self.playing),
            Close => delete("analyst", &self.closing.playback_url),
            Revoke => delete("approver", &format!("/v1/grants/{}", self.revoking.1)),
            Erase => delete("approver", &format!("/v1/records/{}", self.erasing.1)),
            Enter => post("administrator", "/v1/people", json!({"name": "Somebody", "kind": "human"})),
            Give => {
                let role = json!({"person_id": self.machine, "role": "processor", "reason": "Trouble"});
                post("administrator", "/v1/role-bindings", role)
            }
            Issue => post("administrator", "/v1/tokens", token_of(&self.machine)),
            Withdraw => delete("administrator", &format!("/v1/tokens/{}", self.token)),
            RotateKeys => post("key-officer", "/v1/collections/demo/keys/rotate", json!({"reason": "Trouble"})),
            RotateRoot => post("key-officer", "/v1/root/rotate", json!({"reason": "Trouble"})),
        }
    }

    fn fetch(&self, session: &Session) -> Option<Answer> {
        self.vault.person("analyst").try_send("GET", &session.playback_url, &[], &[])
    }

    /// Asks several things at once, each within the bound; how each was answered. Whatever the trouble is, that is a
    /// success or a 503 that says when to come back.
    #[track_caller]
    pub fn during(&self, state: &str, acts: &[Act], refused: &[Act]) -> Vec<(Act, u16)> {
        let one = |act: Act| {
            let started = Instant::now();
            let answer = self.ask(act);
            let took = started.elapsed();
            assert!(took < BOUND, "{state}: {act:?} took {took:?}");
            let Some(answer) = answer else {
                assert_eq!(act, Play, "{state}: {act:?} was not answered, and its answer is no stream");
                return (act, 0);
            };
            let passes = answer.status == 503 && !answer.code().is_empty() && answer.header("retry-after").is_some();
            assert!(passes || answer.status < 300, "{state}: {act:?}: {answer}");
            assert!(passes || !refused.contains(&act), "{state}: {act:?} was done: {answer}");
            if act == Play && answer.status == 200 {
                assert!(answer.body == self.recording, "{state}: not what was recorded");
            }
            (act, answer.status)
        };
        std::thread::scope(|scope| {
            let asked: Vec<_> = acts.iter().map(|act| scope.spawn(move || one(*act))).collect();
            asked.into_iter().map(|one| one.join().expect("no panic")).collect()
        })
    }

    /// What was taken away before is, and what was taken away meanwhile, as far as it was said to be.
    #[track_caller]
    pub fn bites(&self, state: &str, answered: &[(Act, u16)]) {
        let taken = |act: Act| answered.iter().any(|(asked, status)| *asked == act && (200..300).contains(status));
        let mut restricted = vec![("revoked before", &self.gone)];
        for (act, what, session) in [
            (Close, "closed", &self.closing),
            (Revoke, "revoked", &self.revoking.0),
            (Erase, "erased", &self.erasing.0),
        ] {
            if taken(act) {
                restricted.push((what, session));
            }
        }
        for (what, session) in restricted {
            if let Some(answer) = self.fetch(session) {
                let refused = (400..500).contains(&answer.status) || answer.status == 503;
                assert!(refused, "{state}: what was {what} plays: {answer}");
            }
        }
        if taken(Withdraw) {
            let path = "/v1/me";
            let kiosk = vault_tests::http::Caller::new(&self.vault.dev.url, Some(&self.secret));
            let refused = kiosk.get(path).status;
            assert!([401, 503].contains(&refused), "{state}: a withdrawn token is believed: {refused}");
        }
    }

    /// Everything that was refused is asked again of the same process and done; nothing is lost, nothing undone, and the
    /// log convinces a stranger.
    #[track_caller]
    pub fn recovers(self, state: &str, answered: &[(Act, u16)]) {
        let vault = &self.vault;
        wait_until_ready(vault);
        let half = self.half.offset(vault);
        let done = |act: Act| answered.iter().any(|(asked, status)| *asked == act && (200..300).contains(status));
        assert!(half == HALF as u64 || half == self.recording.len() as u64, "{state}: {half} bytes are there");
        assert!(!done(Complete) || half == self.recording.len() as u64, "{state}: what was acknowledged is not there");
        self.bites(state, answered);
        for (act, status) in answered.iter().filter(|(_, status)| *status == 503 || *status == 0) {
            if [Patch, Complete].contains(act) {
                continue;
            }
            let again = self.settled(*act);
            // An act whose commit was not heard of may have happened: then it says so.
            let happened = matches!(
                (act, again.status, again.code().as_str()),
                (Approve, 409, "request_decided")
                    | (Close, 410, _)
                    | (Enter | Give, 409, "conflict")
                    | (RotateKeys, 409, "rotation_running")
            );
            assert!(again.status < 300 || happened, "{state}: {act:?}, {status} before: {again}");
        }
        self.complete(state);
        let session = access::granted(vault, &self.record);
        assert!(access::play(vault, &session) == self.recording, "{state}: not what was recorded");
        let all: Vec<(Act, u16)> = answered.iter().map(|(act, _)| (*act, 200)).collect();
        self.bites(state, &all);
        let _clean = cli::verify_log(vault).expect(0);
    }

    /// Asks until it is not told to come back.
    #[track_caller]
    fn settled(&self, act: Act) -> Answer {
        let started = Instant::now();
        loop {
            match self.ask(act) {
                Some(answer) if answer.status != 503 => return answer,
                other => assert!(started.elapsed() < super::RECOVERY, "{act:?} is not done: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Both uploads come to their end from where they stand.
    #[track_caller]
    fn complete(&self, state: &str) {
        for upload in [&self.empty, &self.half] {
            let head = upload.head(&self.vault).expect(200);
            if head.header(VAULT_RECORD_ID).is_some() {
                continue;
            }
            let offset = upload.offset(&self.vault);
            let from = usize::try_from(offset).expect("small");
            let answer = upload.patch(&self.vault, offset, &self.recording[from..]);
            assert_eq!(answer.status, 204, "{state}: an upload does not come to its end: {answer}");
        }
    }
}

fn token_of(person: &str) -> serde_json::Value {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_millis();
    let soon = i64::try_from(now).expect("before the year 9999") + 24 * 3_600_000;
    let ends = vault_core::time::Timestamp::from_millis(soon).to_string();
    json!({"person_id": person, "label": "kiosk", "expires_at": ends})
}

/// What lasts for a while, and what cannot be done meanwhile.
pub struct State<'a> {
    pub name: &'a str,
    /// Refused for certain; everything else is either done or refused.
    pub refused: &'a [Act],
    /// Asked again to find how it is when the database had to open its file anew.
    pub rounds: usize,
}

impl State<'_> {
    /// Asks everything while it lasts; what was taken away bites. Then it ends. How each act was answered meanwhile.
    #[track_caller]
    pub fn lasts(&self, stage: Stage, ends: impl FnOnce()) -> Vec<(Act, u16)> {
        let mut answered = Vec::new();
        for _ in 0..self.rounds {
            let left: Vec<Act> =
                ALL.into_iter().filter(|act| !answered.iter().any(|(a, s)| a == act && *s < 300)).collect();
            let now = stage.during(self.name, &left, self.refused);
            answered.retain(|(act, _)| !left.contains(act));
            answered.extend(now);
            stage.bites(self.name, &answered);
        }
        assert_eq!(stage.vault.nobody().get("/healthz").status, 200, "{}", self.name);
        ends();
        stage.recovers(self.name, &answered);
        answered
    }
}
