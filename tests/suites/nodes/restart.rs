//! A rolling restart under load: no request fails that its client may not repeat by protocol.
//!
//! What may be repeated: anything that was answered 503 with `Retry-After`; whatever found its connection refused, of which
//! nothing was taken; a request of an idempotent method whose connection ended (RFC 9110 §9.2.2: GET, HEAD, DELETE here);
//! and a tus `PATCH`, once `HEAD` has told the offset (tus 1.0). Anything else that is cut has failed: nobody can tell a
//! client whether a POST was done.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::h2::{Connection, taken_in};
use vault_tests::http::{Answer, Caller, Lost};
use vault_tests::report;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;

use super::Pair;

/// However often something is tried again, it succeeds within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the balancer asks each node whether it is ready.
const ASKED: Duration = Duration::from_millis(50);
/// How long a node serves on after it has said that it leaves: many times what the balancer needs, on a busy machine.
const LEAVES: u64 = 3;

/// What a load balancer knows of the nodes.
struct Balancer {
    nodes: [Mutex<Known>; 2],
    turn: AtomicUsize,
    /// Answered "later", and asked again.
    later: AtomicUsize,
    /// Cut, and repeated because the protocol allows it.
    repeated: AtomicUsize,
    /// Cut, and of no known outcome: what must not be.
    failed: Mutex<Vec<String>>,
}

/// A node changes its address when it comes back.
struct Known {
    url: String,
    ready: bool,
}

impl Balancer {
    fn of(pair: &Pair) -> Self {
        let known = |node: &Vault| Mutex::new(Known { url: node.dev.url.clone(), ready: true });
        let nodes = [known(&pair.one), known(&pair.two)];
        let (turn, later, repeated) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { nodes, turn, later, repeated, failed: Mutex::new(Vec::new()) }
    }

    fn came_back(&self, node: usize, vault: &Vault) {
        *self.nodes[node].lock().expect("not poisoned") = Known { url: vault.dev.url.clone(), ready: true };
    }

    /// Asks both nodes until the load is over.
    fn watch(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            for node in &self.nodes {
                let url = node.lock().expect("not poisoned").url.clone();
                let answer = Caller::new(&url, None).try_send("GET", "/readyz", &[], &[]);
                let mut known = node.lock().expect("not poisoned");
                // One that came back meanwhile was not asked.
                if known.url == url {
                    known.ready = answer.is_some_and(|answer| answer.status == 200);
                }
            }
            std::thread::sleep(ASKED);
        }
    }

    /// The next node that is ready: by turns.
    fn next(&self) -> String {
        let start = Instant::now();
        loop {
            let node = self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % 2].lock().expect("not poisoned");
            if node.ready {
                return node.url.clone();
            }
            drop(node);
            assert!(start.elapsed() < PATIENCE, "no node is ready");
        }
    }

    /// How often a request of unknown outcome was cut.
    fn failures(&self) -> Vec<String> {
        self.failed.lock().expect("not poisoned").clone()
    }
}

/// Somebody with a token and a few open connections.
struct Client<'b> {
    balancer: &'b Balancer,
    token: Option<&'b str>,
    /// Connections to the two nodes, kept open.
    pool: [Caller; 2],
}

impl<'b> Client<'b> {
    fn new(balancer: &'b Balancer, token: Option<&'b str>) -> Self {
        let pool = balancer.nodes.each_ref().map(|node| Caller::new(&node.lock().expect("not poisoned").url, token));
        Self { balancer, token, pool }
    }

    /// The connections to the node whose turn it is.
    fn caller(&mut self) -> &Caller {
        let url = self.balancer.next();
        let at = self.pool.iter().position(|caller| caller.base() == url).unwrap_or_else(|| {
            // One of the two has come back elsewhere: the other stands under its own address.
            let stale = usize::from(
                self.balancer.nodes.iter().any(|node| node.lock().expect("not poisoned").url == self.pool[0].base()),
            );
            self.pool[stale] = Caller::new(&url, self.token);
            stale
        });
        &self.pool[at]
    }

    /// Sends until an answer comes that is not "later", by the rules above; whether it was sent more than once.
    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (Answer, bool) {
        let started = Instant::now();
        let mut again = false;
        loop {
            match self.caller().send_once(method, path, headers, body) {
                Ok(answer) if answer.status == 503 => {
                    assert!(answer.header("retry-after").is_some(), "503 without Retry-After: {answer}");
                    self.balancer.later.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => return (answer, again),
                Err(Lost::Refused) => {
                    self.balancer.repeated.fetch_add(1, Ordering::Relaxed);
                }
                Err(Lost::Cut(_)) if ["GET", "HEAD", "DELETE"].contains(&method) => {
                    self.balancer.repeated.fetch_add(1, Ordering::Relaxed);
                }
                // Told, and the person does it again: so that the load goes on.
                Err(Lost::Cut(why)) => {
                    self.balancer.failed.lock().expect("not poisoned").push(format!("{method} {path}: {why}"));
                }
            }
            again = true;
            assert!(started.elapsed() < PATIENCE, "{method} {path} never succeeds");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

struct People {
    uploader: String,
    analyst: String,
    approver: String,
    collection: String,
    consent: String,
}

fn upload(balancer: &Balancer, people: &People, recording: &[u8], chance: &mut Chance) -> String {
    let (mut uploader, mut nobody) = (Client::new(balancer, Some(&people.uploader)), Client::new(balancer, None));
    let length = recording.len().to_string();
    let pairs = [("filename", "call.wav"), ("filetype", "audio/wav"), ("consent", people.consent.as_str())];
    let metadata = tus::metadata(&pairs);
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", length.as_str()), ("upload-metadata", &metadata)];
    let path = format!("/v1/collections/{}/uploads", people.collection);
    let created = uploader.send("POST", &path, &headers, &[]).0.expect(201);
    let upload = Upload { location: created.header("location").expect("a Location").to_owned() };
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "an upload never completes");
        // After anything unclear tus asks for the offset (protocol 1.0, "HEAD").
        let head = nobody.send("HEAD", &upload.location, &[("tus-resumable", "1.0.0")], &[]).0.expect(200);
        if let Some(record) = head.header("vault-record-id") {
            return record.to_owned();
        }
        let mut offset: usize = head.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        while let Some(rest) = recording.get(offset..).filter(|rest| !rest.is_empty()) {
            let chunk = &rest[..usize::try_from(chance.between(1, 60_000)).expect("small").min(rest.len())];
            let answer = upload.try_patch(nobody.caller(), offset as u64, chunk);
            match answer {
                Some(answer) if answer.status == 204 => offset += chunk.len(),
                None => {
                    balancer.repeated.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(answer) if answer.status == 503 => {
                    assert!(answer.header("retry-after").is_some(), "503 without Retry-After: {answer}");
                    balancer.later.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                // A request before this one, which was cut, still holds it or has moved it: 409 and 423 are what tus clients
                // follow with HEAD. Any other 4xx tells them to give up.
                Some(answer) if [409, 423].contains(&answer.status) => {
                    let known = ["upload_offset_conflict", "upload_busy", "upload_complete"];
                    assert!(known.contains(&answer.code().as_str()), "{answer}");
                    break;
                }
                Some(answer) => panic!("{answer}"),
            }
        }
    }
}

fn play(balancer: &Balancer, people: &People, record: &str, recording: &[u8]) {
    let [mut analyst, mut approver] =
        [&people.analyst, &people.approver].map(|token| Client::new(balancer, Some(token.as_str())));
    let json = [("content-type", "application/json")];
    let body = json!({"record_id": record, "purpose": "service-improvement", "reason": "Hear it", "case_number": "C-9",
        "rights": ["view", "export"]});
    let asked =
        analyst.send("POST", "/v1/access-requests", &json, body.to_string().as_bytes()).0.expect(201).text("id");
    let path = format!("/v1/access-requests/{asked}/approve");
    let (approved, again) = approver.send("POST", &path, &json, b"{}");
    // An approval whose answer was lost has been given all the same.
    assert!(approved.status == 200 || (approved.status == 409 && again), "{approved}");
    let path = format!("/v1/access-requests/{asked}/sessions");
    let session = analyst.send("POST", &path, &json, br#"{"representation":"original"}"#).0.expect(201);
    let url = session.text("playback_url");
    let whole = analyst.send("GET", &url, &[], &[]).0.expect(200);
    assert!(whole.body == recording, "{record} differs");
    for from in [0, recording.len() / 3, recording.len() - 10] {
        let range = format!("bytes={from}-{}", (from + 9_000).min(recording.len() - 1));
        let part = analyst.send("GET", &url, &[("range", &range)], &[]).0.expect(206);
        assert!(recording[from..].starts_with(&part.body), "{range}");
    }
    let (closed, again) = analyst.send("DELETE", &url, &[], &[]);
    assert!(closed.status == 204 || (closed.status == 410 && again), "{closed}");
}

#[test]
fn p3_p4_a_rolling_restart_under_load_is_not_noticed() {
    let leaves = ("FEEDBACK_VAULT_LIMITS_LEAVE_SECONDS".to_owned(), LEAVES.to_string());
    let mut pair = Pair::start_with(&[leaves]);
    let balancer = Balancer::of(&pair);
    let token = |who: &str| pair.one.dev.tokens[who].clone();
    let people = People {
        uploader: token("uploader"),
        analyst: token("analyst"),
        approver: token("approver"),
        collection: pair.one.dev.collection.clone(),
        consent: tus::consent(&pair.one).to_string(),
    };
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| balancer.watch(&over));
        let load = |seed: u64| {
            let mut chance = Chance::new(seed);
            while !over.load(Ordering::Relaxed) {
                let recording = wav(usize::try_from(chance.between(2_000, 400_000)).expect("small"), &mut chance);
                let record = upload(&balancer, &people, &recording, &mut chance);
                play(&balancer, &people, &record, &recording);
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(move || load(0x0911)), scope.spawn(move || load(0x0912))];
        // Whatever ends the restarts, the clients end too.
        let restarts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..4 {
                let before = done.load(Ordering::Relaxed);
                let waited = Instant::now();
                while done.load(Ordering::Relaxed) < before + 2 && waited.elapsed() < PATIENCE {
                    assert!(clients.iter().all(|client| !client.is_finished()), "a client ended");
                    std::thread::sleep(Duration::from_millis(20));
                }
                let node = if round % 2 == 0 { &mut pair.one } else { &mut pair.two };
                let failures = balancer.failures();
                // The last two are no restarts by hand but crashes: a POST may be cut by each, of each client.
                if round < 2 {
                    let status = node.stop();
                    assert!(status.success(), "a drain ended with {status}");
                    let failures = balancer.failures();
                    assert!(failures.is_empty(), "a restart was noticed: {failures:?}");
                } else {
                    node.kill();
                }
                node.launch();
                balancer.came_back(round % 2, node);
                let cut = balancer.failures().len() - failures.len();
                assert!(cut <= if round < 2 { 0 } else { clients.len() }, "{cut} cut: {:?}", balancer.failures());
            }
        }));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client meets nothing that it may not repeat");
        }
        restarts.expect("every node stops and comes back, and nothing fails but by a crash");
    });
    let done = done.load(Ordering::Relaxed);
    assert!(done >= 8);
    let [later, repeated] = [&balancer.later, &balancer.repeated].map(|count| count.load(Ordering::Relaxed));
    report(&format!(
        "rolling restart: {done} recordings taken in and played; {later} answers 503 and {repeated} cut requests repeated by \
         protocol; cut POSTs in two crashes {:?}",
        balancer.failures()
    ));
    pair.verify();
}

/// What clients see of a node that is told to stop while something is under way.
#[test]
fn p3_a_node_that_leaves_says_so_and_ends_what_is_under_way() {
    let leaves = ("FEEDBACK_VAULT_LIMITS_LEAVE_SECONDS".to_owned(), LEAVES.to_string());
    let mut pair = Pair::start_with(&[leaves]);
    let recording = wav(300_000, &mut Chance::new(0x0913));
    let [begun, broken] = [0, 1].map(|_| tus::create(&pair.one, "call.wav", "audio/wav", recording.len()));
    let caller = pair.one.person("uploader");
    let kept_open = caller.get("/v1/me").expect(200);
    assert_eq!(kept_open.header("connection"), None, "{kept_open}");
    let http2 = Connection::open(&pair.one, false);
    let (first, rest) = recording.split_at(100_000);
    let mut whole = http2.begin_patch(&begun, 0, recording.len(), first);
    let stuck = http2.begin_patch(&broken, 0, recording.len(), first);

    let started = Instant::now();
    while taken_in(&pair.one) < 2 * first.len() as u64 {
        assert!(started.elapsed() < PATIENCE, "what was sent does not arrive");
        std::thread::sleep(Duration::from_millis(5));
    }
    pair.one.terminate();
    let asked = Instant::now();
    while pair.one.nobody().get("/readyz").status != 503 {
        assert!(asked.elapsed() < Duration::from_secs(LEAVES), "a node that leaves is ready");
    }
    // Not ready, and everything is served, a write too; but not for long.
    let _made = tus::create(&pair.one, "late.wav", "audio/wav", recording.len());
    let last = caller.get("/v1/me").expect(200);
    assert_eq!(last.header("connection"), Some("close"), "{last}");
    http2.finish(&mut whole, rest);
    let done = http2.answer(whole).expect(204);
    assert!(done.header("vault-record-id").is_some(), "{done}");

    // What hangs is broken off with an answer that a tus client follows, after which the connection ends in order.
    let answer = http2.answer(stuck);
    answer.refused(503, "node_stopping");
    assert!(answer.header("retry-after").is_some(), "{answer}");
    assert!(http2.ends_in_order(), "no GOAWAY");
    assert!(pair.one.drained().success());
    assert_eq!(broken.offset(&pair.two), first.len() as u64, "what arrived is kept");
    let finished = broken.patch(&pair.two, first.len() as u64, rest).expect(204);
    assert!(finished.header("vault-record-id").is_some(), "{finished}");
    // The other one is there, and nothing was lost.
    pair.one.launch();
    pair.verify();
}
