//! What a grant covers: one record, a frozen batch, or a standing scope within its limits; and for how long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::playback::Session;
use vault_tests::fixtures::media;
use vault_tests::http::{Answer, Caller};
use vault_tests::nodes::within_the_promise;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

/// Promise 6: how long a restriction may take to bite.
const BITE: Duration = Duration::from_secs(1);

fn voices(vault: &Vault, count: usize) -> Vec<String> {
    let recording = media("chromium-voice.webm");
    (0..count).map(|_| tus::upload(vault, "voice.webm", "audio/webm", &recording)).collect()
}

fn ask(vault: &Vault, more: &Value) -> Answer {
    let mut body = json!({"purpose": access::PURPOSE, "reason": "Hear them", "case_number": "C-1"});
    for (member, value) in more.as_object().expect("an object") {
        body[member] = value.clone();
    }
    vault.person("analyst").post("/v1/access-requests", &body)
}

/// Asks and approves.
#[track_caller]
fn granted(vault: &Vault, more: &Value) -> String {
    let request = ask(vault, more).expect(201).text("id");
    let _grant = access::approve(vault, "approver", &request);
    request
}

fn plays(analyst: &Caller, session: &Session) -> bool {
    analyst.send("GET", &session.playback_url, &[("range", "bytes=0-9")], &[]).status == 206
}

#[track_caller]
fn plays_on_each(analyst: &Caller, session: &Session) {
    assert!(analyst.each().iter().all(|node| plays(node, session)));
}

/// What was just taken away is gone from every node within what the promise gives.
#[track_caller]
fn plays_no_more(analyst: &Caller, session: &Session, otherwise: &str) {
    let since = Instant::now();
    for node in analyst.each() {
        while plays(&node, session) {
            assert!(since.elapsed() < BITE, "{otherwise}");
        }
    }
}

fn open(vault: &Vault, request: &str, record: &str) -> Answer {
    access::try_open(&vault.person("analyst"), request, &json!({"record_id": record}))
}

#[test]
fn a_batch_covers_its_records_and_no_others() {
    let vault = Vault::start();
    let records = voices(&vault, 3);
    let batch = granted(&vault, &json!({"scope": {"record_ids": [records[0], records[1]]}}));
    let _one = open(&vault, &batch, &records[0]).expect(201);
    let _two = open(&vault, &batch, &records[1]).expect(201);
    open(&vault, &batch, &records[2]).refused(403, "grant_not_covering");
    // A batch does not say which of them is to be played.
    let vague = access::try_open(&vault.person("analyst"), &batch, &json!({}));
    assert!(matches!(vague.status, 403 | 422), "{vague}");
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_standing_scope_is_for_viewing_within_its_limits() {
    let vault = Vault::start();
    let records = voices(&vault, 3);
    let scope = json!({"collection": "demo", "filter": {"kind": "audio"}});
    let exporting = json!({"scope": scope, "rights": ["view", "export"], "limits": {"records_per_day": 2}});
    let answer = ask(&vault, &exporting);
    assert!(matches!(answer.code().as_str(), "scope_not_allowed" | "right_not_given"), "{answer}");

    let standing = granted(&vault, &json!({"scope": scope, "limits": {"records_per_day": 2}}));
    let _one = open(&vault, &standing, &records[0]).expect(201);
    let _two = open(&vault, &standing, &records[1]).expect(201);
    open(&vault, &standing, &records[2]).refused(403, "grant_exhausted");
    // The same record again is not another record.
    let _again = open(&vault, &standing, &records[0]).expect(201);

    let videos = granted(
        &vault,
        &json!({"scope": {"collection": "demo", "filter": {"kind": "video"}}, "limits": {"records_per_day": 9}}),
    );
    open(&vault, &videos, &records[0]).refused(403, "grant_not_covering");
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn sessions_are_counted() {
    let vault = Vault::start();
    let record = voices(&vault, 1).remove(0);
    let request = granted(&vault, &json!({"record_id": record, "limits": {"sessions": 1}}));
    let _only = open(&vault, &request, &record).expect(201);
    open(&vault, &request, &record).refused(403, "grant_exhausted");
}

#[test]
fn requests_that_ask_for_nonsense_are_refused() {
    let vault = Vault::start();
    let record = voices(&vault, 1).remove(0);
    let unknown = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    for (what, body) in [
        ("nothing asked for", json!({})),
        ("both a record and a scope", json!({"record_id": record, "scope": {"record_ids": [record]}})),
        ("an empty batch", json!({"scope": {"record_ids": []}})),
        ("a scope of neither kind", json!({"scope": {"collection": "demo", "record_ids": [record]}})),
        ("an unknown member", json!({"record_id": record, "urgent": true})),
        ("no reason", json!({"record_id": record, "reason": ""})),
        ("blank reason", json!({"record_id": record, "reason": "   "})),
        ("a reason without end", json!({"record_id": record, "reason": "x".repeat(20_000)})),
        ("an end in the past", json!({"record_id": record, "until": "2020-01-01T00:00:00Z"})),
        ("no time", json!({"record_id": record, "until": "soon"})),
        ("an unknown right", json!({"record_id": record, "rights": ["download"]})),
        ("no rights", json!({"record_id": record, "rights": []})),
        ("no sessions", json!({"record_id": record, "limits": {"sessions": 0}})),
        ("not an identifier", json!({"record_id": "x"})),
        ("an unknown record", json!({"record_id": unknown})),
        ("an unknown record in a batch", json!({"scope": {"record_ids": [record, unknown]}})),
        ("an unknown collection", json!({"scope": {"collection": "other", "filter": {}}})),
    ] {
        let answer = ask(&vault, &body);
        assert!(matches!(answer.status, 400 | 404 | 413 | 422), "{what}: {answer}");
        assert!(!answer.code().is_empty(), "{what}: {answer}");
    }
    let listed = vault.person("analyst").get("/v1/access-requests").expect(200).json();
    assert_eq!(listed["items"], json!([]), "nonsense became a request");
}

#[test]
fn p6_a_role_taken_away_bites_within_a_second() {
    let vault = Vault::start();
    let record = voices(&vault, 1).remove(0);
    let session = access::granted(&vault, &record);
    let analyst = vault.person("analyst");
    plays_on_each(&analyst, &session);
    let me = analyst.get("/v1/me").expect(200).json();
    let binding = me["roles"][0]["id"].as_str().expect("a binding").to_owned();
    let _taken = vault.person("administrator").delete(&format!("/v1/role-bindings/{binding}")).expect(200);
    plays_no_more(&analyst, &session, "a role taken away still plays");
    assert_eq!(analyst.get("/v1/records").status, 403);
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn p6_a_disabled_person_plays_no_more() {
    let vault = Vault::start();
    let record = voices(&vault, 1).remove(0);
    let session = access::granted(&vault, &record);
    let analyst = vault.person("analyst");
    plays_on_each(&analyst, &session);
    let me = analyst.get("/v1/me").expect(200).json();
    let person = me["person"]["id"].as_str().expect("a person").to_owned();
    let path = format!("/v1/people/{person}/disable");
    let _gone = vault.person("administrator").post(&path, &json!({"reason": "Left"})).expect(200);
    plays_no_more(&analyst, &session, "a disabled person still plays");
    analyst.get("/v1/me").refused(401, "unauthenticated");
    let _log = cli::verify_log(&vault).expect(0);
}

#[test]
fn p6_a_suspended_collection_plays_nothing_until_it_opens_again() {
    let vault = Vault::start();
    let record = voices(&vault, 1).remove(0);
    let session = access::granted(&vault, &record);
    let analyst = vault.person("analyst");
    plays_on_each(&analyst, &session);
    let path = format!("/v1/collections/{}/suspend", vault.dev.collection);
    let _suspended = vault.person("approver").post(&path, &json!({"reason": "Review"})).expect(200);
    plays_no_more(&analyst, &session, "a suspended collection still plays");
    // Asking and deciding go on; playing does not.
    let request = granted(&vault, &json!({"record_id": record}));
    open(&vault, &request, &record).refused(409, "collection_state");
    let reopened = vault.person("administrator").post(&path.replace("suspend", "open"), &json!({})).expect(200);
    assert_eq!(reopened.text("state"), "open");
    // What is given back may take a moment on another node, too.
    let again = json!({"record_id": record});
    within_the_promise(&analyst, |node| access::try_open(node, &request, &again), |answer| answer.status == 201);
    let session = access::granted(&vault, &record);
    assert!(access::play(&vault, &session) == media("chromium-voice.webm"));
    let _log = cli::verify_log(&vault).expect(0);
}
