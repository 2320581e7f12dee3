//! Cycles carried out: by two officers, by the log's word, in the order that makes erasures final.

mod trouble;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use vault_core::ids::{CollectionName, RecordId};
use vault_core::keys::cycle::destruction;
use vault_core::keys::wrap::KekRef;

use super::{Carrier, age, begin_due, carry_on};
use crate::app::collections;
use crate::app::keys::{carry_out_due, rewrap_all, settle_root};
use crate::jobs::collector::Collector;
use crate::testing::{House, Recordings, oracle};

const CYCLE: &str = "/v1/root/cycle";
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];
const DAY: Duration = Duration::from_hours(24);

/// An inventory that finds nothing.
const NOTHING: &str = r#"{"children":[],"copies":0,"held":{},"misnamed":0,"number":1,"record_ids":[],"records":0,"rotation":false,"state":"deactivated","wrapped":0}"#;

/// A µ-law WAV of a few bytes.
fn recording() -> Vec<u8> {
    let mut wav = b"RIFF".to_vec();
    wav.extend(136u32.to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(100u32.to_le_bytes());
    wav.extend([0x55; 100]);
    wav
}

async fn upload(house: &House, recordings: &Recordings) -> RecordId {
    let whole = recording();
    let (status, begun) = recordings.begin(house, Some(whole.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let location = begun["location"].as_str().unwrap();
    let (status, sent) = recordings.send(house, location, 0, whole).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{sent}");
    let head = Request::head(location).header("Tus-Resumable", "1.0.0");
    let head = house.send(head.body(Body::empty()).unwrap()).await;
    head.headers()["vault-record-id"].to_str().unwrap().parse().unwrap()
}

async fn begin(house: &House, who: &str) -> (StatusCode, Value) {
    house.ask(who, "POST", CYCLE, json!({"reason": "November"})).await
}

async fn begun(house: &House) -> Value {
    let (status, cycle) = begin(house, OFFICERS[0]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{cycle}");
    cycle
}

async fn agree(house: &House, who: &str, cycle: &Value) -> (StatusCode, Value) {
    let body = json!({"scope_sha256": cycle["scope_sha256"]});
    house.ask(who, "POST", &format!("{CYCLE}/confirm"), body).await
}

async fn agreed(house: &House) -> Value {
    let cycle = begun(house).await;
    let (status, cycle) = agree(house, OFFICERS[1], &cycle).await;
    assert_eq!(status, StatusCode::OK, "{cycle}");
    cycle
}

async fn status(house: &House) -> Value {
    let (status, shown) = house.ask("key-officer", "GET", CYCLE, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    shown
}

/// What the cycle waits for, as `what number`.
async fn waits(house: &House) -> Vec<String> {
    let shown = status(house).await;
    let waits = shown["cycle"]["waits_for"].as_array().cloned().unwrap_or_default();
    waits.iter().map(|w| format!("{} {}", w["what"].as_str().unwrap(), w["number"].as_u64().unwrap_or(0))).collect()
}

/// States of the versions of `demo`, oldest first.
async fn versions(house: &House) -> Vec<String> {
    let (status, shown) = house.ask("key-officer", "GET", "/v1/collections/demo/keys", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let versions = shown["versions"].as_array().unwrap().iter().rev();
    versions.map(|version| version["state"].as_str().unwrap().to_owned()).collect()
}

async fn kek(house: &House, version: u32) -> KekRef {
    let name: CollectionName = "demo".parse().unwrap();
    KekRef { collection: collections::find(&house.vault, &name).await.unwrap().id, version }
}

/// One look of the job, and the moving that follows from it.
async fn go_on(house: &House) {
    carry_on(&house.vault, &mut Carrier::default()).await.unwrap();
    rewrap_all(&house.vault).await.unwrap();
}

/// Two officers attest that no copy of an epoch's key is left, and it cools off.
async fn destroy_epoch(house: &House, epoch: u32) {
    let path = format!("/v1/root/{epoch}/destroy");
    let asked = json!({"reason": "November", "known_copies": 0});
    let (status, said) = house.ask(OFFICERS[0], "POST", &path, asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let (status, said) = house.ask(OFFICERS[1], "POST", &format!("{path}/confirm"), Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
}

/// Everybody does their part until the cycle has ended.
async fn through(house: &House) {
    for _ in 0..30 {
        // What a fault has hit goes on with one of the next looks.
        let _may_fail = carry_on(&house.vault, &mut Carrier::default()).await;
        let _may_fail = rewrap_all(&house.vault).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        house.clock.advance(DAY);
        let _may_fail = carry_out_due(&house.vault).await;
        let _may_fail = settle_root(&house.vault).await;
        for wait in waits(house).await {
            if let Some(epoch) = wait.strip_prefix("epoch ") {
                destroy_epoch(house, epoch.parse().unwrap()).await;
            }
        }
        if status(house).await["cycle"]["state"] == "done" {
            return;
        }
    }
    panic!("it does not end: {}", status(house).await);
}

/// A vault with a recording in `demo`.
async fn set() -> House {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    upload(&house, &recordings).await;
    house
}

#[tokio::test]
async fn p8_a_cycle_that_two_officers_agree_on_makes_an_erasure_final() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    let (erased, kept) = (upload(&house, &recordings).await, upload(&house, &recordings).await);
    let path = format!("/v1/records/{erased}");
    let (code, said) = house.ask("approver", "DELETE", &path, json!({"reason": "Asked for"})).await;
    assert_eq!(code, StatusCode::OK, "{said}");

    let planned = json!({"reason": "November", "plan_only": true});
    let (code, plan) = house.ask(OFFICERS[0], "POST", CYCLE, planned).await;
    assert_eq!((code, &plan["state"], &plan["number"]), (StatusCode::OK, &json!("planned"), &json!(1)), "{plan}");
    assert_eq!(plan["collections"], json!([{"collection": "demo", "versions": [1], "destroyed": [], "records": 1}]));
    assert_eq!(status(&house).await["cycle"], Value::Null, "nothing was done");

    let cycle = begun(&house).await;
    assert_ne!(cycle["scope_sha256"], plan["scope_sha256"], "nobody agreed to a plan");
    assert_eq!(cycle["collections"][0]["versions"], plan["collections"][0]["versions"]);
    assert_eq!(begin(&house, OFFICERS[1]).await.0, StatusCode::CONFLICT, "one at a time");
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"], "rotated before anybody agrees to a destruction");
    go_on(&house).await;
    assert_eq!(waits(&house).await, ["agreement 0"]);

    // The same person by whatever token, another scope, no officer.
    let (_, other) = house.issue_confirmed(house.id(OFFICERS[0])).await;
    for token in [house.token(OFFICERS[0]), other.as_str()] {
        let body = json!({"scope_sha256": cycle["scope_sha256"]});
        let (code, refused) = house.ask_with(Some(token), "POST", &format!("{CYCLE}/confirm"), body).await;
        assert_eq!((code, &refused["code"]), (StatusCode::FORBIDDEN, &json!("self_approval")), "{refused}");
    }
    let another = json!({"scope_sha256": "0".repeat(64)});
    assert_eq!(agree(&house, OFFICERS[1], &another).await.0, StatusCode::CONFLICT);
    assert_eq!(agree(&house, "administrator", &cycle).await.0, StatusCode::FORBIDDEN);
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"]);

    let (code, confirmed) = agree(&house, OFFICERS[1], &cycle).await;
    assert_eq!(code, StatusCode::OK, "{confirmed}");
    assert_eq!(agree(&house, OFFICERS[1], &cycle).await.0, StatusCode::CONFLICT, "two have");
    go_on(&house).await;
    assert_eq!(
        (versions(&house).await, waits(&house).await),
        (vec!["deactivated".to_owned(), "active".to_owned()], vec!["cooling-off 1".to_owned()])
    );
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, ["destroyed", "active"]);
    go_on(&house).await;
    assert_eq!(waits(&house).await, ["epoch 1"], "the root turned when the versions were gone");
    destroy_epoch(&house, 1).await;
    go_on(&house).await;
    let shown = status(&house).await;
    assert_eq!(
        (&shown["cycle"]["state"], &shown["cycle"]["confirmed_by"]),
        (&json!("done"), &json!(house.id(OFFICERS[1]).to_string()))
    );

    // The resume key goes with the collector's round; then the certificate is final, and what was not erased opens.
    house.clock.advance(DAY);
    Collector::of(&house.vault).round().await.unwrap();
    let (_, erasure) = house.ask("auditor", "GET", &format!("{path}/erasure"), Value::Null).await;
    assert_eq!(erasure["horizon"]["final"], json!(true), "{erasure}");
    let house = house.restarted().await;
    let (code, verified) = house.ask("key-officer", "GET", "/v1/collections/demo/keys/verify", Value::Null).await;
    assert_eq!((code, &verified["findings"]), (StatusCode::OK, &json!([])), "{verified}");
    assert_eq!(house.ask("analyst", "GET", &format!("/v1/records/{kept}"), Value::Null).await.0, StatusCode::OK);
    assert_eq!(status(&house).await["cycle"]["state"], "done");
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_cancelled_cycle_destroys_nothing_more_and_an_officer_may_take_one_version_out_of_it() {
    let house = set().await;
    agreed(&house).await;
    go_on(&house).await;
    go_on(&house).await;
    assert_eq!(waits(&house).await, ["cooling-off 1"]);
    let (code, said) = house.ask(OFFICERS[1], "DELETE", CYCLE, Value::Null).await;
    assert_eq!((code, &said["state"]), (StatusCode::OK, &json!("cancelled")), "{said}");
    assert_eq!(house.ask(OFFICERS[1], "DELETE", CYCLE, Value::Null).await.0, StatusCode::CONFLICT);
    house.clock.advance(DAY * 2);
    carry_out_due(&house.vault).await.unwrap();
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"]);

    // Whoever writes the database brings it back, and clears the way to the entries that end it: the log is read through.
    house.by_hand("UPDATE cycles SET state = 'running', ended_at = NULL").await;
    house.by_hand("UPDATE log_entries SET reference = NULL WHERE reference LIKE 'cycle-ended:%'").await;
    house.by_hand("UPDATE log_entries SET reference = NULL WHERE reference LIKE 'destroy-cancelled:%'").await;
    house.by_hand("DELETE FROM destructions").await;
    assert!(carry_on(&house.vault, &mut Carrier::default()).await.is_err());
    assert!(carry_out_due(&house.vault).await.is_err());
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    house.by_hand("DELETE FROM destructions").await;
    house.by_hand("UPDATE cycles SET state = 'cancelled'").await;

    // The next one takes both; an officer cancels what it put down for one of them.
    agreed(&house).await;
    go_on(&house).await;
    go_on(&house).await;
    assert_eq!(waits(&house).await, ["cooling-off 1", "cooling-off 2"]);
    let path = "/v1/collections/demo/keys/1/destroy";
    assert_eq!(house.ask(OFFICERS[0], "DELETE", path, Value::Null).await.0, StatusCode::OK);
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "destroyed", "active"]);
    assert_eq!(waits(&house).await, ["ended 1"]);
    // Whoever writes the database cannot put it down again: the log has the cancellation.
    house.by_hand("UPDATE destructions SET state = 'confirmed' WHERE version = 1 AND state = 'cancelled' AND not_before IS NOT NULL AND id = (SELECT MAX(id) FROM destructions WHERE version = 1)").await;
    assert!(carry_out_due(&house.vault).await.is_err());
    assert_eq!(versions(&house).await, ["deactivated", "destroyed", "active"]);
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_cycle_lets_a_paused_rotation_alone_and_goes_on_when_it_is_resumed() {
    let house = set().await;
    let keys = "/v1/collections/demo/keys";
    let rotate = format!("{keys}/rotate");
    assert_eq!(house.ask(OFFICERS[0], "POST", &rotate, json!({"reason": "x"})).await.0, StatusCode::ACCEPTED);
    assert_eq!(house.ask(OFFICERS[0], "POST", &format!("{keys}/rotation/pause"), json!({})).await.0, StatusCode::OK);
    agreed(&house).await;
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    assert_eq!(waits(&house).await, ["paused 0"]);
    assert_eq!(house.ask(OFFICERS[0], "POST", &format!("{keys}/rotation/resume"), json!({})).await.0, StatusCode::OK);
    through(&house).await;
    assert_eq!(versions(&house).await, ["destroyed", "destroyed", "active"]);
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p8_a_cycle_begins_by_schedule_and_destroys_nothing_until_two_officers_agree() {
    let house = House::with("[keys]\ncycle_days = 7\n").await;
    let recordings = Recordings::open(&house).await;
    upload(&house, &recordings).await;
    begin_due(&house.vault).await.unwrap();
    let shown = status(&house).await;
    assert_eq!(shown["cycle"], Value::Null, "{shown}");
    assert!(shown["next_at"].is_string(), "{shown}");
    house.clock.advance(DAY * 7);
    begin_due(&house.vault).await.unwrap();
    begin_due(&house.vault).await.unwrap();
    go_on(&house).await;
    go_on(&house).await;
    house.clock.advance(DAY * 2);
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    assert!(age(&house.vault).await.unwrap() >= DAY * 2);
    let cycle = status(&house).await["cycle"].clone();
    assert_eq!((&cycle["number"], &cycle["requested_by"]), (&json!(1), &Value::Null));

    // The first who agrees to one that nobody began is not enough.
    assert_eq!(agree(&house, OFFICERS[0], &cycle).await.0, StatusCode::OK);
    go_on(&house).await;
    assert_eq!(agree(&house, OFFICERS[0], &cycle).await.0, StatusCode::FORBIDDEN);
    assert_eq!(waits(&house).await, ["agreement 0"]);
    assert_eq!(agree(&house, OFFICERS[1], &cycle).await.0, StatusCode::OK);
    through(&house).await;
    assert_eq!(versions(&house).await, ["destroyed", "active"]);

    // The schedule is the log's: rows that are gone bring none forward.
    house.by_hand("DELETE FROM cycles").await;
    begin_due(&house.vault).await.unwrap();
    let next = status(&house).await["next_at"].as_str().unwrap().to_owned();
    house.clock.advance(DAY * 7);
    begin_due(&house.vault).await.unwrap();
    let shown = status(&house).await;
    assert_eq!(shown["cycle"]["number"], 2, "{shown}");
    assert!(shown["cycle"]["started_at"].as_str().unwrap() >= next.as_str());
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_rotation_under_way_when_the_time_has_come_ends_no_destruction() {
    let house = set().await;
    agreed(&house).await;
    go_on(&house).await;
    go_on(&house).await;
    let rotate = "/v1/collections/demo/keys/rotate";
    assert_eq!(house.ask(OFFICERS[0], "POST", rotate, json!({"reason": "x"})).await.0, StatusCode::ACCEPTED);
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, ["deactivated", "deactivated", "active"]);
    rewrap_all(&house.vault).await.unwrap();
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, ["destroyed", "deactivated", "active"]);
    let _ = oracle::sound(&house.vault, &[]).await;
}
