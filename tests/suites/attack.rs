//! Attackers at the door, one test for each that no other suite plays: the table in `docs/threat-model.md` names all of them.

mod bombs;
mod trickle;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::fixtures::media;
use vault_tests::memory::{peak, reset_peak};
use vault_tests::objects::Store;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, database};

const NAME: &str = "chromium-voice.webm";
const KIND: &str = "audio/webm;codecs=opus";
/// What is taken away is gone everywhere within this (promise 6).
const WITHIN: Duration = Duration::from_secs(1);
/// Far longer than the server gives a request head.
const PATIENCE: Duration = Duration::from_secs(120);

fn connect(vault: &Vault) -> TcpStream {
    let host = vault.dev.url.strip_prefix("http://").expect("plain HTTP on loopback");
    let stream = TcpStream::connect(host).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The status of a raw request's answer; 0 when the connection was closed without one.
fn raw(vault: &Vault, request: &[u8]) -> u16 {
    let mut stream = connect(vault);
    // The server may answer and hang up before all of a flood is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn denied(vault: &Vault) -> Vec<Value> {
    let page = vault.person("auditor").get("/v1/audit/entries?type=decision.denied&limit=500").expect(200).json();
    page["items"].as_array().expect("items").clone()
}

#[test]
fn p5_a_stolen_analyst_token_opens_nothing_that_nobody_approved_and_ends_when_it_is_revoked() {
    let vault = Vault::start();
    let recording = media(NAME);
    let (heard, unheard) = (tus::upload(&vault, NAME, KIND, &recording), tus::upload(&vault, NAME, KIND, &recording));
    let session = access::granted(&vault, &heard);
    let thief = vault.person("analyst");

    // What an analyst may see, the thief sees: metadata. A recording nobody approved stays closed.
    let _records = thief.get("/v1/records").expect(200);
    let body = json!({"record_id": unheard, "purpose": access::PURPOSE, "reason": "Curiosity", "case_number": "C-9"});
    let request = thief.post("/v1/access-requests", &body).expect(201).text("id");
    access::try_open(&thief, &request, &json!({})).refused(403, "grant_not_in_force");
    for decision in ["approve", "deny"] {
        thief.post(&format!("/v1/access-requests/{request}/{decision}"), &json!({})).refused(403, "forbidden");
    }
    // Nor does it make more of itself: no token, no role, no person, no key, no look at the log.
    let people = json!({"name": "Accomplice", "kind": "human"});
    thief.post("/v1/people", &people).refused(403, "forbidden");
    thief.get("/v1/audit/log/checkpoint").refused(403, "forbidden");
    thief.post(&format!("/v1/collections/{}/keys/rotate", vault.dev.collection), &json!({})).refused(403, "forbidden");
    let start = Instant::now();
    while denied(&vault).len() < 5 {
        assert!(start.elapsed() < PATIENCE, "the refusals are not in the log: {:?}", denied(&vault));
        std::thread::sleep(Duration::from_millis(100));
    }

    // Found out: the token ends, with what is being played under it.
    let tokens = vault.person("administrator").get("/v1/tokens?limit=500").expect(200).json();
    let of_analyst = |token: &&Value| token["person"]["name"].as_str().is_some_and(|name| name == "analyst");
    let token = tokens["items"].as_array().expect("items").iter().find(of_analyst).expect("the analyst's token");
    let path = format!("/v1/tokens/{}", token["id"].as_str().expect("an identifier"));
    let _revoked = vault.person("administrator").delete(&path).expect(200);
    let revoked = Instant::now();
    for thief in thief.each() {
        loop {
            // A request that is sent when the second is over gets nothing, however long the machine takes over its answer.
            let sent = revoked.elapsed();
            if thief.send("GET", &session.playback_url, &[("range", "bytes=0-9")], &[]).status >= 400 {
                break;
            }
            assert!(sent < WITHIN, "a token plays {sent:?} after it was revoked");
        }
    }
    thief.get("/v1/records").refused(401, "unauthenticated");
    assert_eq!(thief.get(&session.playback_url).status, 404);
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn p12_an_object_store_rolled_back_is_noticed_and_takes_no_restriction_and_no_entry_back() {
    let mut vault = Vault::start();
    let recording = media(NAME);
    let early = tus::upload(&vault, NAME, KIND, &recording);
    let _stopped = vault.stop();
    let objects = Store::of(&vault);
    let older = objects.snapshot();
    vault.launch();

    // After the copy: another recording, a revoked grant, and a checkpoint that an auditor takes home.
    let late = tus::upload(&vault, NAME, KIND, &recording);
    let request = access::request(&vault, "analyst", &early, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let _revoked = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id)).expect(200);
    let known = vault.room().join("checkpoint");
    let note = vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200).body;
    fs::write(&known, note).expect("kept");

    let _stopped = vault.stop();
    objects.roll_back(&older);
    vault.launch();
    access::try_open(&vault.person("analyst"), &request, &json!({})).refused(403, "grant_not_in_force");
    let again = access::granted(&vault, &early);
    assert!(access::play(&vault, &again) == recording, "what the older copy has plays");
    let request = access::request(&vault, "analyst", &late, "Hear what was said", "C-2");
    let _grant = access::approve(&vault, "approver", &request);
    access::try_open(&vault.person("analyst"), &request, &json!({})).refused(500, "integrity_failure");
    // The log was published again from the database, and extends what the auditor saw.
    let key = vault.dev.log_public_key.clone();
    let known = known.to_string_lossy().into_owned();
    let arguments = ["audit", "verify", "--public-key", &key, "--known-checkpoint", &known];
    let _clean = cli::run(&vault, "auditor", &arguments).expect(0);
}

#[test]
fn p11_half_a_request_head_holds_nobody_up_and_is_cut_off() {
    let vault = Vault::start();
    let mut slow: Vec<TcpStream> = (0..40).map(|_| connect(&vault)).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        // Some say nothing at all, some begin, some are one byte short.
        let head: &[u8] =
            [b"".as_slice(), b"GET /v1/records HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r"][n % 3];
        stream.write_all(head).expect("sent");
    }
    let _answered = vault.nobody().get("/healthz").expect(200);
    let _records = vault.person("analyst").get("/v1/records").expect(200);
    for mut stream in slow {
        let mut rest = Vec::new();
        // Closed, or told so and closed: a connection that stays runs into the read timeout.
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset), "it is kept");
    }
}

#[test]
fn floods_of_headers_and_of_metadata_are_refused() {
    let vault = Vault::start();
    let host = "host: vault\r\nconnection: close\r\n";
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(300_000));
    for (what, headers) in [("many headers", many), ("a long header", long)] {
        let request = format!("GET /healthz HTTP/1.1\r\n{host}{headers}\r\n");
        assert!(matches!(raw(&vault, request.as_bytes()), 0 | 431), "{what}");
    }
    let path = format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(100_000));
    assert!(matches!(raw(&vault, path.as_bytes()), 0 | 414 | 431), "a long address");
    // A thousand names that nobody asked for are read over: tus lets clients send what they like, and none of it is kept.
    let consent = tus::consent(&vault).to_string();
    let names: Vec<(String, String)> = (0..1_000).map(|n| (format!("key-{n}"), "v".to_owned())).collect();
    let mut pairs: Vec<(&str, &str)> = vec![("filetype", "audio/webm"), ("consent", &consent)];
    pairs.extend(names.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let uploader = vault.person("uploader");
    let _begun = tus::creation(&uploader, &vault.dev.collection, 1_000, &pairs).expect(201);
    assert!(database::number(&vault, "SELECT LENGTH(details) FROM uploads") < 500, "they are kept");
    let long = "x".repeat(20_000);
    let pairs = [("filetype", "audio/webm"), ("consent", consent.as_str()), ("filename", long.as_str())];
    tus::creation(&uploader, &vault.dev.collection, 1_000, &pairs).refused(400, "upload_metadata");
    assert_eq!(database::number(&vault, "SELECT COUNT(*) FROM uploads"), 1);
}

/// How many uploads may be open for one uploader unless it is set.
const OPEN: usize = 10_000;
/// How many of them are begun over HTTP here, each with some bytes; the others stand in the database as these do.
const BEGUN: usize = 400;
/// What the server may hold more for all of them: 1,600 bytes each.
const MAY_GROW: u64 = 16 << 20;

#[test]
fn p11_ten_thousand_open_uploads_are_the_end_for_their_uploader_and_for_nobody_else() {
    let vault = Vault::start();
    let recording = media(NAME);
    let record = tus::upload(&vault, NAME, KIND, &recording);
    let begin_some = |count: usize| -> Vec<Upload> {
        let begin = |_| {
            let upload = tus::create(&vault, "clip.webm", KIND, recording.len());
            let _taken = upload.patch(&vault, 0, &recording[..100]).expect(204);
            upload
        };
        (0..count).map(begin).collect()
    };
    // Caches and connections are warm before it is measured.
    let mut open = begin_some(50);
    let before = reset_peak(&vault);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..2).map(|_| scope.spawn(|| begin_some((BEGUN - 50) / 2))).collect();
        open.extend(hands.into_iter().flat_map(|hand| hand.join().expect("begun")));
    });
    assert_eq!(open.len(), BEGUN);
    let bytes = if database::on_postgres() { "BYTEA" } else { "BLOB" };
    let sql = format!(
        "INSERT INTO uploads WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}),
          named(text) AS (SELECT SUBSTR(CAST(1000000000000 + i AS TEXT), 2) FROM n)
        SELECT '019ab5d2-7c1e-7a40-9d3c-' || text, CAST('a row made by hand: ' || text AS {bytes}), collection_id,
          '019ab5d2-7c1e-7a41-9d3c-' || text, '019ab5d2-7c1e-7a42-9d3c-' || text, person_id, state, filetype,
          length, received, fence, resume_key, wrap, header, segment_length, tail, tail_fence, details, consent, purposes,
          consent_expires_at, notice_sha256, refusal, created_at, expires_at
        FROM named, (SELECT * FROM uploads WHERE state = 'open' ORDER BY id LIMIT 1) AS one",
        count = OPEN - BEGUN
    );
    assert_eq!(database::execute(&vault, &sql), (OPEN - BEGUN) as u64);
    assert_eq!(database::number(&vault, "SELECT COUNT(*) FROM uploads WHERE state = 'open'"), OPEN as i64);

    let consent = tus::consent(&vault).to_string();
    let pairs = [("filetype", KIND), ("consent", consent.as_str())];
    let begin = || tus::creation(&vault.person("uploader"), &vault.dev.collection, 1_000, &pairs);
    for _ in 0..100 {
        let refused = begin();
        refused.refused(429, "rate_limited");
        assert_eq!(refused.json()["limit"], "open_uploads");
        let seconds: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("when to come back");
        assert!(seconds > 0, "{refused}");
    }
    // What was begun is finished, and makes room for one.
    let done = open.pop().expect("many").patch(&vault, 100, &recording[100..]).expect(204);
    assert!(done.header("vault-record-id").is_some());
    let begun = begin().expect(201);
    begin().refused(429, "rate_limited");
    let location = begun.header("location").expect("a Location").to_owned();
    assert_eq!(Upload { location }.offset(&vault), 0);
    // Playing is not disturbed, and none of the others is in memory.
    let session = access::granted(&vault, &record);
    assert!(access::play(&vault, &session) == recording);
    let grown = peak(&vault).saturating_sub(before);
    assert!(grown < MAY_GROW, "{OPEN} open uploads took {grown} bytes");
}
