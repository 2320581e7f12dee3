//! A rolling restart under load: a client that repeats what its protocol lets it repeat notices nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::{Answer, Caller};
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;

use super::Pair;

/// However often something is tried again, it succeeds within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Addresses as a load balancer knows them: they change when a node comes back.
struct Balancer {
    addresses: Mutex<[String; 2]>,
    turn: AtomicUsize,
    retried: AtomicUsize,
}

impl Balancer {
    fn of(pair: &Pair) -> Self {
        let addresses = Mutex::new([pair.one.dev.url.clone(), pair.two.dev.url.clone()]);
        Self { addresses, turn: AtomicUsize::new(0), retried: AtomicUsize::new(0) }
    }

    fn came_back(&self, node: usize, vault: &Vault) {
        self.addresses.lock().expect("not poisoned")[node] = vault.dev.url.clone();
    }

    fn caller(&self, token: Option<&str>) -> Caller {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Caller::new(&self.addresses.lock().expect("not poisoned")[turn % 2], token)
    }

    /// Sends until an answer comes that is not "later". For requests that may be repeated: reading, and acts whose
    /// repetition makes at most another of the kind.
    fn send(&self, token: Option<&str>, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let started = Instant::now();
        loop {
            match self.caller(token).try_send(method, path, headers, body) {
                Some(answer) if answer.status == 503 => {
                    assert!(answer.header("retry-after").is_some(), "503 without Retry-After: {answer}");
                }
                Some(answer) => return answer,
                None => {}
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
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
    let length = recording.len().to_string();
    let pairs = [("filename", "call.wav"), ("filetype", "audio/wav"), ("consent", people.consent.as_str())];
    let metadata = tus::metadata(&pairs);
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", length.as_str()), ("upload-metadata", &metadata)];
    let path = format!("/v1/collections/{}/uploads", people.collection);
    let created = balancer.send(Some(&people.uploader), "POST", &path, &headers, &[]).expect(201);
    let upload = Upload { location: created.header("location").expect("a Location").to_owned() };
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "an upload never completes");
        // After anything unclear tus asks for the offset (protocol 1.0, "HEAD").
        let head = balancer.send(None, "HEAD", &upload.location, &[("tus-resumable", "1.0.0")], &[]).expect(200);
        if let Some(record) = head.header("vault-record-id") {
            return record.to_owned();
        }
        let mut offset: usize = head.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        while let Some(rest) = recording.get(offset..).filter(|rest| !rest.is_empty()) {
            let chunk = &rest[..usize::try_from(chance.between(1, 60_000)).expect("small").min(rest.len())];
            match upload.try_patch(&balancer.caller(None), offset as u64, chunk) {
                Some(answer) if answer.status == 204 => offset += chunk.len(),
                None => break,
                // The body ended early, another request holds it or has moved it, or the node is on its way out.
                Some(answer) if [400, 409, 423, 503].contains(&answer.status) => {
                    let known = ["upload_interrupted", "upload_offset_conflict", "upload_busy", "upload_complete"];
                    let known = answer.status == 503 || known.contains(&answer.code().as_str());
                    assert!(known, "{answer}");
                    break;
                }
                Some(answer) => panic!("{answer}"),
            }
        }
    }
}

fn play(balancer: &Balancer, people: &People, record: &str, recording: &[u8]) {
    let json = [("content-type", "application/json")];
    let body = json!({"record_id": record, "purpose": "service-improvement", "reason": "Hear it", "case_number": "C-9",
        "rights": ["view", "export"]});
    let analyst = Some(people.analyst.as_str());
    let asked = balancer
        .send(analyst, "POST", "/v1/access-requests", &json, body.to_string().as_bytes())
        .expect(201)
        .text("id");
    let path = format!("/v1/access-requests/{asked}/approve");
    let approved = balancer.send(Some(&people.approver), "POST", &path, &json, b"{}");
    // An approval whose answer was lost has been given all the same.
    assert!([200, 409].contains(&approved.status), "{approved}");
    let path = format!("/v1/access-requests/{asked}/sessions");
    let session = balancer.send(analyst, "POST", &path, &json, br#"{"representation":"original"}"#).expect(201);
    let url = session.text("playback_url");
    let whole = balancer.send(analyst, "GET", &url, &[], &[]).expect(200);
    assert!(whole.body == recording, "{record} differs");
    for from in [0, recording.len() / 3, recording.len() - 10] {
        let range = format!("bytes={from}-{}", (from + 9_000).min(recording.len() - 1));
        let part = balancer.send(analyst, "GET", &url, &[("range", &range)], &[]).expect(206);
        assert!(recording[from..].starts_with(&part.body), "{range}");
    }
    let closed = balancer.send(analyst, "DELETE", &url, &[], &[]);
    assert!([204, 410].contains(&closed.status), "{closed}");
}

#[test]
fn p3_p4_a_rolling_restart_under_load_is_not_noticed() {
    let mut pair = Pair::start();
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
            for round in 0..6 {
                let before = done.load(Ordering::Relaxed);
                let waited = Instant::now();
                while done.load(Ordering::Relaxed) < before + 2 && waited.elapsed() < PATIENCE {
                    assert!(clients.iter().all(|client| !client.is_finished()), "a client ended");
                    std::thread::sleep(Duration::from_millis(20));
                }
                let node = if round % 2 == 0 { &mut pair.one } else { &mut pair.two };
                // The last round is no restart by hand but a crash.
                if round < 4 {
                    let status = node.stop();
                    assert!(status.success(), "a drain ended with {status}");
                } else {
                    node.kill();
                }
                node.launch();
                balancer.came_back(round % 2, node);
            }
        }));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client meets nothing that it may not repeat");
        }
        restarts.expect("every node stops and comes back");
    });
    assert!(done.load(Ordering::Relaxed) >= 12);
    pair.verify();
}
