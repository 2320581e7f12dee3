//! The vault on a PostgreSQL that misbehaves: connections ended, a server stopped and started, a commit of which nobody
//! hears, a primary that dies. What was acknowledged is there, every entry is in the log once, and the vault finds back by
//! itself. Each test has a cluster of its own and runs where PostgreSQL is installed: `cargo xtask test postgres`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_tests::acknowledged::{self, Access, Acknowledged, Sent, Taken};
use vault_tests::cluster::Cluster;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;
use vault_tests::wire::Wire;
use vault_tests::{access, cli, database, report};

/// Longer than the vault waits for anything.
const PATIENCE: Duration = Duration::from_secs(90);
/// What an answer may take while the database is away: the wait for a connection, and a busy machine.
const BOUNDED: Duration = Duration::from_secs(30);

fn on(url: &str) -> Vault {
    let url = url.to_owned();
    Vault::start_where(&[], |_| vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), url)])
}

/// Why something has not come yet: an answer, or none.
type NotYet = Option<Box<Answer>>;

/// Asks until something answers as it should; what comes instead is no worse than "not now" or "was it not done already?".
#[track_caller]
fn until<T>(what: &str, ask: impl Fn() -> Result<T, NotYet>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(done) => return done,
            Err(answer) => {
                if let Some(answer) = &answer {
                    assert!([409, 503].contains(&answer.status), "{what}: {answer}");
                    assert!(answer.status != 503 || answer.header("retry-after").is_some(), "{what}: {answer}");
                }
                assert!(start.elapsed() < PATIENCE, "not in time: {what}: {answer:?}");
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    }
}

fn expect(answer: Option<Answer>, status: u16) -> Result<Answer, NotYet> {
    match answer {
        Some(answer) if answer.status == status => Ok(answer),
        other => Err(other.map(Box::new)),
    }
}

/// Waits until the vault finds that everything stands.
fn ready(vault: &Vault) {
    // What it answers meanwhile is a list of checks, not a problem with a time to come back.
    until("the vault is ready again", || expect(Some(vault.nobody().get("/readyz")), 200).map_err(|_| None));
}

/// A client by protocol: after anything but an acknowledgement it asks where the upload stands.
struct Client<'v> {
    vault: &'v Vault,
    upload: Upload,
    recording: Vec<u8>,
    acknowledged: AtomicU64,
}

impl<'v> Client<'v> {
    fn new(vault: &'v Vault, length: usize, chance: &mut Chance) -> Self {
        let recording = wav(length, chance);
        let consent = tus::consent(vault).to_string();
        let pairs = [("filename", "call.wav"), ("filetype", "audio/wav"), ("consent", consent.as_str())];
        let length = recording.len() as u64;
        let location = until("an upload begins", || {
            let answer = tus::creation(&vault.person("uploader"), &vault.dev.collection, length, &pairs);
            expect(Some(answer), 201).map(|answer| answer.header("location").expect("a Location").to_owned())
        });
        Self { vault, upload: Upload { location }, recording, acknowledged: AtomicU64::new(0) }
    }

    /// Where the upload stands, and the record it became.
    fn stands(&self) -> (u64, Option<String>) {
        let head = until("an upload tells where it stands", || {
            let path = &self.upload.location;
            expect(self.vault.nobody().try_send("HEAD", path, &[("tus-resumable", "1.0.0")], &[]), 200)
        });
        let offset: u64 = head.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        assert!(offset >= acknowledged, "{offset} found, {acknowledged} acknowledged");
        (offset, head.header("vault-record-id").map(str::to_owned))
    }

    /// Sends chunks until there is a record, or `stop`.
    fn send(&self, chunk: usize, stop: &AtomicBool) -> Option<String> {
        let start = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            assert!(start.elapsed() < PATIENCE, "an upload does not come to its end");
            let (offset, record) = self.stands();
            if record.is_some() {
                return record;
            }
            let from = usize::try_from(offset).expect("small");
            let bytes = &self.recording[from..(from + chunk).min(self.recording.len())];
            let answer = self.upload.try_patch(&self.vault.nobody(), offset, bytes);
            if let Ok(answer) = expect(answer, 204) {
                let offset = answer.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
                self.acknowledged.fetch_max(offset, Ordering::SeqCst);
            }
        }
        None
    }
}

/// Requests, approves, opens and plays a record, whatever has to be asked twice.
fn plays(vault: &Vault, record: &str, recording: &[u8]) {
    let analyst = vault.person("analyst");
    let body = json!({"record_id": record, "purpose": access::PURPOSE, "reason": "Hear it", "case_number": "C-1",
        "rights": ["view", "export"]});
    let request = until("a request is filed", || {
        expect(Some(analyst.post("/v1/access-requests", &body)), 201).map(|answer| answer.text("id"))
    });
    until("the request is approved", || {
        let path = format!("/v1/access-requests/{request}");
        let answer = vault.person("approver").post(&format!("{path}/approve"), &json!({"comment": "Fine"}));
        // An approval that was not answered may have happened; then it says so, and its grant is shown.
        let decided = answer.code() == "request_decided" && analyst.get(&path).text("state") == "approved";
        if answer.status == 200 || decided { Ok(()) } else { Err(Some(Box::new(answer))) }
    });
    let session: vault_api::playback::Session = until("a session is opened", || {
        let answer = access::try_open(&analyst, &request, &json!({"representation": "original"}));
        expect(Some(answer), 201).map(|answer| answer.read())
    });
    let heard = until("it is played", || expect(analyst.try_send("GET", &session.playback_url, &[], &[]), 200));
    assert!(heard.body == recording, "{record} does not play back what was recorded");
    until("the session is closed", || {
        let answer = analyst.delete(&session.playback_url);
        // One that was not answered may have happened.
        if answer.status == 204 || answer.status == 410 { Ok(()) } else { Err(Some(Box::new(answer))) }
    });
}

/// The oracles: the offline verifier finds nothing, no entry stands in the log twice, none waits for ever.
fn sound(vault: &Vault, url: &str) {
    until("the outbox is empty", || match database::number_at(url, "SELECT COUNT(*) FROM log_outbox") {
        0 => Ok(()),
        _ => Err(None),
    });
    // Every entry commits to fresh salts, so two alike are one that was appended twice.
    let twice = "SELECT COUNT(*) FROM (SELECT entry FROM log_entries GROUP BY entry HAVING COUNT(*) > 1) AS twice";
    assert_eq!(database::number_at(url, twice), 0, "an entry stands in the log twice");
    let references = "SELECT COUNT(*) FROM (SELECT reference FROM log_entries WHERE reference IS NOT NULL
                      GROUP BY reference HAVING COUNT(*) > 1) AS twice";
    assert_eq!(database::number_at(url, references), 0, "an act stands in the log twice");
    let _clean = cli::verify_log(vault).expect(0);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test postgres"]
fn p3_p9_a_commit_that_is_not_answered_is_learnt_of_and_not_guessed() {
    let cluster = Cluster::start();
    let url = cluster.database("vault");
    let wire = Wire::to(cluster.port());
    let vault = on(&wire.url("vault"));
    let mut chance = Chance::new(0x5eed_0c01);
    wire.cut_every(7);
    let clients: Vec<Client<'_>> = (0..6).map(|_| Client::new(&vault, 400_000, &mut chance)).collect();
    let records: Vec<Option<String>> = std::thread::scope(|scope| {
        let sending: Vec<_> = clients.iter().map(|c| scope.spawn(|| c.send(70_000, &AtomicBool::new(false)))).collect();
        sending.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    for (client, record) in clients.iter().zip(&records) {
        plays(&vault, record.as_deref().expect("a record"), &client.recording);
    }
    let cuts = wire.cuts();
    wire.cut_every(0);
    assert!(cuts >= 12, "{cuts} cuts only");
    for (client, record) in clients.iter().zip(&records) {
        assert_eq!(&client.stands().1, record, "another record");
    }
    assert_eq!(database::number_at(&url, "SELECT COUNT(*) FROM records"), 6);
    sound(&vault, &url);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test postgres"]
fn p3_connections_that_end_and_a_server_that_is_away_cost_no_more_than_waiting() {
    let mut cluster = Cluster::start();
    let url = cluster.database("vault");
    let vault = on(&url);
    let mut chance = Chance::new(0x5eed_0c02);

    // An administrator ends every connection, again and again.
    let clients: Vec<Client<'_>> = (0..3).map(|_| Client::new(&vault, 900_000, &mut chance)).collect();
    let mut records: Vec<String> = std::thread::scope(|scope| {
        let sending: Vec<_> = clients.iter().map(|c| scope.spawn(|| c.send(40_000, &AtomicBool::new(false)))).collect();
        for _ in 0..15 {
            std::thread::sleep(Duration::from_millis(chance.between(20, 200)));
            cluster.end_connections("vault");
        }
        sending.into_iter().map(|one| one.join().expect("no panic").expect("a record")).collect()
    });

    // The server is stopped in the middle of an upload and of a playback.
    let late = Client::new(&vault, 900_000, &mut chance);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| late.send(30_000, &stop));
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::SeqCst);
        let _finished = sending.join().expect("no panic");
    });
    cluster.stop();
    for (who, path) in [("analyst", "/v1/records"), ("auditor", "/v1/audit/entries")] {
        let start = Instant::now();
        let answer = vault.person(who).get(path).expect(503);
        assert!(answer.header("retry-after").is_some() && !answer.code().is_empty(), "{answer}");
        assert!(start.elapsed() < BOUNDED, "{path} took {:?}", start.elapsed());
    }
    let _away = vault.nobody().get("/readyz").expect(503);
    cluster.resume();
    ready(&vault);
    records.push(late.send(200_000, &AtomicBool::new(false)).expect("a record"));
    for (client, record) in clients.iter().chain([&late]).zip(&records) {
        plays(&vault, record, &client.recording);
    }
    sound(&vault, &url);
}

/// Acts of which a failover may fall into the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    SendBytes,
    OpenSession,
    Revoke,
}

/// Grants to be revoked, and approvals to be redeemed, in one failover.
const EACH: usize = 8;

/// What is at work while a primary dies: an upload on each of two nodes, sessions opened on one, grants revoked on the other.
struct Load<'n> {
    nodes: [&'n Vault; 2],
    known: &'n mut Acknowledged,
}

impl Load<'_> {
    /// Something to send, to open and to revoke.
    fn prepare(&mut self, chance: &mut Chance) {
        let [one, two] = self.nodes;
        let recording = wav(3_000, chance);
        let mut whole = Sent::new(tus::create(one, "call.wav", "audio/wav", recording.len()), recording);
        let _done = whole.send(&two.nobody(), whole.left()).expect("an answer");
        let record = whole.record.clone().expect("it is finished");
        for turn in 0..2 * EACH {
            let request = access::request(one, "analyst", &record, "Hear it", "C-1");
            let grant = access::approve(two, "approver", &request).grant_id;
            let session = (turn < EACH).then(|| access::open(two, "analyst", &request));
            self.known.opened += u64::from(session.is_some());
            let (recording, record) = (whole.recording.clone(), record.clone());
            let (revoked, closed) = (Taken::No, Taken::No);
            self.known.accesses.push(Access { request, grant, record, recording, session, revoked, closed });
        }
        self.known.uploads.push(whole);
        for node in self.nodes {
            let recording = wav(900_000, chance);
            let upload = tus::create(node, "call.wav", "audio/wav", recording.len());
            self.known.uploads.push(Sent::new(upload, recording));
        }
    }

    /// Everybody works until they are not answered as they should be, or have done all. `dies` is called when the act aimed at has
    /// begun for the fourth time; the acts that were begun before and not confirmed are the answer.
    fn work(&mut self, aimed: Act, dies: impl FnOnce()) -> Vec<Act> {
        let [one, two] = self.nodes.map(Vault::nobody);
        let (approver, analyst) = (self.nodes[0].person("approver"), self.nodes[1].person("analyst"));
        let at = self.known.accesses.len() - 2 * EACH;
        let (to_revoke, to_open) = self.known.accesses[at..].split_at_mut(EACH);
        let (opened, revocations) = (&mut self.known.opened, &mut self.known.revocations);
        let (dead, cut) = (&AtomicBool::new(false), &Mutex::new(Vec::new()));
        let (begins, begun) = mpsc::channel();
        // One act: what was answered, if that confirms it.
        let act = move |begins: &mpsc::Sender<Act>, act: Act, good: &[u16], send: &dyn Fn() -> Option<Answer>| {
            let before = !dead.load(Ordering::SeqCst);
            begins.send(act).expect("the test waits");
            let answer = send().filter(|answer| good.contains(&answer.status));
            if answer.is_none() && before {
                cut.lock().expect("not poisoned").push(act);
            }
            answer
        };
        std::thread::scope(|scope| {
            let last = self.known.uploads.len() - 2;
            for (sent, base) in self.known.uploads[last..].iter_mut().zip([one, two]) {
                let begins = begins.clone();
                scope.spawn(move || {
                    while sent.record.is_none() {
                        let from = usize::try_from(sent.acknowledged).expect("small");
                        let chunk = &sent.recording[from..(from + 20_000).min(sent.recording.len())];
                        let patch = || sent.upload.try_patch(&base, sent.acknowledged, chunk);
                        let Some(answer) = act(&begins, Act::SendBytes, &[204], &patch) else { return };
                        sent.acknowledged =
                            answer.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
                        sent.record = answer.header("vault-record-id").map(str::to_owned);
                    }
                });
            }
            let opens = begins.clone();
            scope.spawn(move || {
                for access in to_open {
                    let body = json!({"representation": "original"}).to_string();
                    let path = format!("/v1/access-requests/{}/sessions", access.request);
                    let json = [("content-type", "application/json")];
                    let open = || analyst.try_send("POST", &path, &json, body.as_bytes());
                    let Some(answer) = act(&opens, Act::OpenSession, &[201], &open) else { return };
                    access.session = Some(answer.read());
                    *opened += 1;
                }
            });
            scope.spawn(move || {
                for access in to_revoke {
                    access.revoked = Taken::Asked;
                    let path = format!("/v1/grants/{}", access.grant);
                    let revoke = || approver.try_send("DELETE", &path, &[], &[]);
                    if act(&begins, Act::Revoke, &[200, 202], &revoke).is_none() {
                        return;
                    }
                    access.revoked = Taken::Confirmed;
                    *revocations += 1;
                }
            });
            let mut times = 0;
            while times < 4 {
                times += usize::from(begun.recv_timeout(PATIENCE).expect("somebody is at work") == aimed);
            }
            dead.store(true, Ordering::SeqCst);
            dies();
        });
        cut.lock().expect("not poisoned").clone()
    }
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test postgres"]
fn p3_p6_p9_a_promoted_standby_has_everything_that_was_acknowledged() {
    let mut primary = Cluster::start();
    let _made = primary.database("vault");
    let wires = [Wire::to(primary.port()), Wire::to(primary.port())];
    let mut one = on(&wires[0].url("vault"));
    let two = one.beside_where(vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), wires[1].url("vault"))]);
    let mut known = Acknowledged::default();
    let mut all = Vec::new();
    for (seed, aimed) in [(0x5eed_0c03, Act::SendBytes), (0x5eed_0c04, Act::OpenSession), (0x5eed_0c05, Act::Revoke)] {
        let mut chance = Chance::new(seed);
        // The one promoted before is the primary now, and has a standby of its own.
        let standby = primary.standby();
        let mut load = Load { nodes: [&one, &two], known: &mut known };
        load.prepare(&mut chance);
        let after = Duration::from_micros(chance.between(0, 3_000));
        let cut = load.work(aimed, || {
            std::thread::sleep(after);
            primary.kill();
            standby.promote();
            wires.iter().for_each(|wire| wire.lay_to(standby.port()));
        });
        for node in [&one, &two] {
            ready(node);
        }
        // What was acknowledged is there and what was taken away stays so, on both; the log extends every checkpoint seen.
        for node in [&one, &two] {
            let findings = known.findings(node, seed);
            assert!(findings.is_empty(), "seed {seed}, {cut:?} cut:\n{}", findings.join("\n"));
        }
        all.push(cut);
        primary = standby;
    }
    report(&format!("acts cut by {} failovers: {all:?}", all.len()));
    assert!(all.iter().all(|cut| !cut.is_empty()), "a primary died and nobody noticed: {all:?}");
    let url = primary.url("vault");
    let nobody = two.nobody();
    for sent in known.uploads.iter_mut().filter(|sent| sent.record.is_none()) {
        let _whole = sent.send(&nobody, sent.left()).expect("an answer");
        acknowledged::play_anew(&two, sent).unwrap_or_else(|finding| panic!("{finding}"));
    }
    sound(&two, &url);

    // Nothing of it rests on what a server kept in memory.
    drop(two);
    one.crash();
    let findings = known.findings(&one, 0);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    sound(&one, &url);
}
