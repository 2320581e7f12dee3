//! Encrypting anew, on whichever engine the run is for. Each test ends with the offline verifier.

mod beside;

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::audit::entry::{Draft, PlaybackClosed};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::field::FieldSealer as _;
use vault_core::keys::hierarchy::RecordKey;
use vault_core::media::open::ObjectChecker;

use super::*;
use crate::app::access::text_place;
use crate::app::erase::finish;
use crate::app::erase::tests::stage::Stage;
use crate::app::keys::rewrap_all;
use crate::app::ledger::LedgerError;
use crate::app::play::source::Source;
use crate::app::upload::create::{consent_place, details_place};
use crate::store::faults::Fault;
use crate::store::{log, records, rekey};

const PATH: &str = "/v1/collections/demo/reencryption";

/// Marks version 1 as compromised and moves what is under it.
async fn incident(stage: &Stage) {
    let said = json!({"incident": "INC-7", "reason": "A dump left the house"});
    let path = "/v1/collections/demo/keys/1/mark-compromised";
    let (status, marked) = stage.house.ask("key-officer", "POST", path, said).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{marked}");
    rewrap_all(&stage.house.vault).await.unwrap();
}

async fn ask(stage: &Stage, path: &str, body: Value) -> (StatusCode, Value) {
    stage.house.ask("key-officer", "POST", path, body).await
}

/// Begins to encrypt anew what version 1 exposes.
async fn begin(stage: &Stage, throttle: Option<u64>) -> Value {
    let mut body = json!({"exposed_by": 1, "reason": "INC-7"});
    if let Some(throttle) = throttle {
        body["bytes_per_second"] = throttle.into();
    }
    let (status, begun) = ask(stage, PATH, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    begun
}

async fn round(stage: &Stage) {
    Worker::new().round(&stage.house.vault).await.unwrap();
}

async fn status_of(stage: &Stage) -> Value {
    let (status, shown) = stage.house.ask("key-officer", "GET", PATH, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    shown["reencryption"].clone()
}

/// How many records version 1 exposes.
async fn exposed(stage: &Stage) -> usize {
    let path = "/v1/collections/demo/keys/1/exposure";
    let (status, page) = stage.house.ask("key-officer", "GET", path, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["records"].as_array().unwrap().len()
}

/// The record's key, as whoever had the version and its wraps keeps it.
async fn stolen(stage: &Stage, record: RecordId) -> RecordKey {
    let vault = &stage.house.vault;
    let row = records::find(&vault.store, record).await.unwrap().unwrap();
    let wrap = row.wrap.unwrap();
    vault.keys.unwrap_record_key(row.collection, record, row.kek_version, &wrap).await.unwrap()
}

/// What of the record this key opens, by name, of all that there is.
async fn opens(stage: &Stage, record: RecordId, key: &RecordKey) -> (Vec<&'static str>, usize) {
    let (vault, field) = (&stage.house.vault, key.field_key());
    let (mut opened, mut all) = (Vec::new(), 0);
    let mut look = |what, opens: bool| {
        all += 1;
        if opens {
            opened.push(what);
        }
    };
    let row = records::find(&vault.store, record).await.unwrap().unwrap();
    look("details", field.open(details_place(&record), &row.details.unwrap()).is_ok());
    look("consent", field.open(consent_place(&record), &row.consent.unwrap()).is_ok());
    let mut tx = vault.store.begin("test").await.unwrap();
    for (request, texts) in rekey::texts(&mut tx, record).await.unwrap() {
        for (text, column) in texts.iter().zip(rekey::TEXTS) {
            if let Some(text) = text {
                look("a text", field.open(text_place(&request, column), text).is_ok());
            }
        }
    }
    for (_, sealed) in rekey::openings(&mut tx, record).await.unwrap() {
        look("an opening", sealed.open(&field).is_ok());
    }
    tx.rollback().await.unwrap();
    let (object, parts) = records::original(&vault.store, record).await.unwrap().unwrap();
    let id = object.id;
    let source = Source::of(vault.objects.clone(), row.collection, record, object, parts).unwrap();
    let last = source.final_segment().await.unwrap();
    let stored = source.stored(&last).unwrap();
    let checker = ObjectChecker::new(&key.object_key(id), source.context(), stored, &mut Vec::new());
    look("the media", checker.is_ok());
    (opened, all)
}

/// Nothing is left over once the collector has been by: as many names in the store as there are parts.
async fn tidy(stage: &Stage) {
    stage.collect().await;
    let store = &stage.house.vault.store;
    for table in ["intents", "garbage", "rewrites"] {
        let sql = match table {
            "intents" => "SELECT COUNT(*) FROM intents",
            "garbage" => "SELECT COUNT(*) FROM garbage",
            _ => "SELECT COUNT(*) FROM rewrites",
        };
        assert_eq!(store.number(sql).await, 0, "{table}");
    }
    assert_eq!(
        store.number("SELECT COUNT(*) FROM parts").await,
        i64::try_from(stage.objects.media().await.len()).unwrap()
    );
}

/// Every wrap opens, and the log convinces its verifier with every opening there is.
async fn sound(stage: &Stage) {
    let path = "/v1/collections/demo/keys/verify";
    let (status, verified) = stage.house.ask("key-officer", "GET", path, Value::Null).await;
    assert_eq!((status, &verified["findings"]), (StatusCode::OK, &json!([])), "{verified}");
    assert_eq!(stage.told("missing").await, 0);
    stage.sound().await;
}

#[tokio::test]
async fn p7_what_a_leaked_version_exposed_opens_with_none_of_its_keys_any_more() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let request = stage.approved(record).await;
    let session = stage.session(&request).await;
    assert_eq!(stage.play(&session).await, (StatusCode::OK, true));
    incident(&stage).await;
    let former = stolen(&stage, record).await;
    let (opened, all) = opens(&stage, record, &former).await;
    assert!(opened.len() == all && all >= 10, "the attacker is blind: {opened:?} of {all}");
    assert_eq!(exposed(&stage).await, 1, "moving its key changes nothing about that");
    let before = stage.objects.media().await;

    let plan = ask(&stage, PATH, json!({"exposed_by": 1, "reason": "INC-7", "plan_only": true})).await;
    assert_eq!(plan.0, StatusCode::OK);
    let bytes = crate::app::erase::tests::stage::recording().len();
    assert_eq!(plan.1, json!({"collection": "demo", "looked_at": 1, "records": 1, "bytes": bytes}));
    assert!(status_of(&stage).await.is_null(), "nothing was done");
    let begun = begin(&stage, None).await;
    round(&stage).await;
    let done = status_of(&stage).await;
    assert_eq!((&done["id"], &done["state"]), (&begun["id"], &json!("done")), "{done}");
    assert_eq!((&done["done"], &done["done_bytes"], &done["damaged"]), (&json!(1), &json!(bytes), &json!(0)));

    // What the attacker kept opens nothing of what is there now; what is there opens with the fresh key, to the byte.
    assert_eq!(exposed(&stage).await, 0);
    let (opened, all) = opens(&stage, record, &former).await;
    assert!(opened.is_empty(), "{opened:?}");
    let fresh = stolen(&stage, record).await;
    assert_eq!(opens(&stage, record, &fresh).await.0.len(), all);
    // The session from before has ended, and that is no damage.
    assert_eq!(stage.play(&session).await, (StatusCode::GONE, false));
    assert_eq!(stage.play(&stage.session(&request).await).await, (StatusCode::OK, true));
    assert_eq!(crate::app::play::reap(&stage.house.vault).await.unwrap(), 1);
    stage.until("the closing is logged", async || stage.logged("playback.closed").await.len() == 1).await;
    assert_eq!(stage.logged("playback.closed").await[0]["entry"]["data"]["why"], "re-encrypted");
    assert!(stage.logged("finding.reported").await.is_empty());
    let (_, shown) = stage.house.ask("approver", "GET", &request, Value::Null).await;
    assert_eq!((&shown["reason"], &shown["comment"]), (&json!("Hear it"), &json!("Within the procedure")), "{shown}");

    // Nothing of before is left in the object store.
    tidy(&stage).await;
    assert!(stage.objects.media().await.is_disjoint(&before));
    let operations: Vec<Value> = stage.logged("key.operation").await;
    let operations: Vec<&str> =
        operations.iter().map(|item| item["entry"]["data"]["operation"].as_str().unwrap()).collect();
    assert!(operations.ends_with(&["rewrapped", "reencrypt", "reencrypted"]), "{operations:?}");
    assert_eq!(stage.logged("record.reencrypting").await.len(), 1);
    let anew = stage.logged("record.reencrypted").await;
    assert_eq!((&anew[0]["entry"]["kek_version"], anew.len()), (&json!(2), 1));
    sound(&stage).await;

    // It is erased like any other, and still so after a restart.
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    stage.collect().await;
    assert_eq!(finish(&stage.house.vault).await.unwrap(), 1);
    assert!(stage.objects.media().await.is_empty());
    stage.restarted().await.sound().await;
}

#[tokio::test]
async fn p4_nothing_is_read_before_the_log_says_so() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    incident(&stage).await;
    begin(&stage, None).await;
    stage.objects.made();
    for _ in 0..2_000 {
        stage.house.vault.store.faults.add("append_to_log", Fault::NotPersisted);
    }
    let refused = Worker::new().round(&stage.house.vault).await.unwrap_err();
    assert_eq!(refused.code(), Code::LogUnavailable);
    let made = stage.objects.made();
    // The last segment's ciphertext is looked at; nothing is opened, so nothing is written.
    assert_eq!((made.get("get media").copied(), made.get("put media")), (Some(1), None), "{made:?}");
    stage.house.vault.store.faults.clear();
    round(&stage).await;
    assert_eq!(status_of(&stage).await["done"], 1);
    assert_eq!(stage.play(&stage.session(&stage.approved(record).await).await).await, (StatusCode::OK, true));
    tidy(&stage).await;
    sound(&stage).await;
}

/// A commit without an answer happened or not; whoever goes on finds out from the rows.
#[tokio::test]
async fn p7_a_reencryption_whose_commits_have_no_answer_is_gone_on_with() {
    let transactions = ["announce_rewrite", "intend_part", "renew_intent", "reencrypt_record", "finish_reencryption"];
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        for transaction in transactions {
            let stage = Stage::set().await;
            let record = stage.record().await;
            let request = stage.approved(record).await;
            incident(&stage).await;
            let former = stolen(&stage, record).await;
            begin(&stage, None).await;
            stage.house.vault.store.faults.add(transaction, fault);
            let _cut = Worker::new().round(&stage.house.vault).await;
            let stage = stage.restarted().await;
            for _ in 0..3 {
                round(&stage).await;
            }
            let done = status_of(&stage).await;
            let expected = (&json!("done"), &json!(1), &json!(0), &json!(0));
            assert_eq!(
                (&done["state"], &done["done"], &done["damaged"], &done["skipped"]),
                expected,
                "{transaction} {fault:?}"
            );
            assert!(opens(&stage, record, &former).await.0.is_empty(), "{transaction} {fault:?}");
            assert_eq!(
                stage.play(&stage.session(&request).await).await,
                (StatusCode::OK, true),
                "{transaction} {fault:?}"
            );
            assert_eq!(stage.logged("record.reencrypted").await.len(), 1, "{transaction} {fault:?}");
            tidy(&stage).await;
            sound(&stage).await;
        }
    }
}

#[tokio::test]
async fn p12_a_recording_that_cannot_be_read_costs_itself_alone() {
    let stage = Stage::set().await;
    let before = stage.objects.media().await;
    let lost = stage.record().await;
    for name in stage.objects.media().await.difference(&before) {
        stage.objects.remove(name).await;
    }
    let whole = stage.record().await;
    incident(&stage).await;
    begin(&stage, None).await;
    round(&stage).await;
    let done = status_of(&stage).await;
    assert_eq!((&done["state"], &done["done"], &done["damaged"]), (&json!("done"), &json!(1), &json!(1)), "{done}");
    let damage = stage.house.vault.sessions.take_damage().unwrap().recv().await.unwrap();
    assert_eq!((damage.finding, damage.record), ("object-part-missing", lost));
    assert_eq!(exposed(&stage).await, 1, "the one that is lost");
    assert_eq!(stage.play(&stage.session(&stage.approved(whole).await).await).await, (StatusCode::OK, true));
    sound(&stage).await;
}

#[tokio::test]
async fn a_single_record_takes_an_incident_and_a_version_its_mark() {
    let stage = Stage::set().await;
    let (one, other) = (stage.record().await, stage.record().await);
    let single = json!({"record_id": one.to_string(), "incident": "INC-8", "reason": "Its key was seen"});
    for (body, status, code) in [
        (json!({"exposed_by": 1, "reason": "x"}), 409, "key_unusable"),
        (json!({"exposed_by": 9, "reason": "x"}), 404, "not_found"),
        (json!({"record_id": one.to_string(), "reason": "x"}), 422, "invalid_value"),
        (
            json!({"record_id": one.to_string(), "exposed_by": 1, "incident": "x", "reason": "x"}),
            400,
            "invalid_request",
        ),
        (json!({"record_id": "x", "incident": "x", "reason": "x"}), 404, "not_found"),
        (json!({"exposed_by": 1, "reason": ""}), 422, "invalid_value"),
        (json!({"exposed_by": 1, "reason": "x", "bytes_per_second": 0}), 422, "invalid_value"),
    ] {
        let (got, said) = ask(&stage, PATH, body.clone()).await;
        assert_eq!((got.as_u16(), said["code"].as_str().unwrap()), (status, code), "{body}");
    }
    for who in ["analyst", "approver", "auditor", "administrator"] {
        assert_eq!(stage.house.ask(who, "POST", PATH, single.clone()).await.0, StatusCode::FORBIDDEN, "{who}");
    }
    let (kept, former) = (stolen(&stage, other).await, stolen(&stage, one).await);
    assert_eq!(ask(&stage, PATH, single.clone()).await.0, StatusCode::ACCEPTED);
    assert_eq!(ask(&stage, PATH, single).await.1["code"], "reencryption_running");
    let control = async |what: &str| {
        let (status, said) = ask(&stage, &format!("{PATH}/{what}"), json!({})).await;
        (status.as_u16(), said["state"].clone(), said["code"].clone())
    };
    assert_eq!(control("pause").await, (200, json!("paused"), Value::Null));
    assert_eq!(control("pause").await, (200, json!("paused"), Value::Null));
    round(&stage).await;
    assert!(!opens(&stage, one, &former).await.0.is_empty(), "nothing is done while it is paused");
    assert_eq!(control("resume").await, (200, json!("running"), Value::Null));
    round(&stage).await;
    let done = status_of(&stage).await;
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(1)));
    assert_eq!(control("cancel").await, (409, Value::Null, json!("reencryption_not_running")));
    assert!(opens(&stage, one, &former).await.0.is_empty());
    assert!(!opens(&stage, other, &kept).await.0.is_empty(), "the other was not meant");

    // One that is cancelled leaves what it has not come to.
    let again = json!({"record_id": other.to_string(), "incident": "INC-8", "reason": "Its key was seen"});
    assert_eq!(ask(&stage, PATH, again).await.0, StatusCode::ACCEPTED);
    assert_eq!(control("cancel").await, (200, json!("cancelled"), Value::Null));
    round(&stage).await;
    assert!(!opens(&stage, other, &kept).await.0.is_empty());
    tidy(&stage).await;
    sound(&stage).await;
}
