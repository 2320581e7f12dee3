//! An erasure becomes final by nothing but what people do: every key that a backup would need is destroyed, in the order that
//! leaves none of them to a later epoch.

use std::time::Duration;

use super::*;
use crate::app::keys::{carry_out_due, rewrap_all};
use crate::jobs::collector::Collector;

const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];
const DAY: Duration = Duration::from_hours(24);

async fn done(stage: &Stage, path: &str) {
    let (status, said) = stage.house.ask(OFFICERS[0], "POST", path, json!({"reason": "Monthly"})).await;
    assert!(status.is_success(), "{path}: {said}");
}

/// One officer asks, the other confirms, and it cools off.
async fn destroyed(stage: &Stage, path: &str, mut asked: Value) {
    asked["reason"] = "Monthly".into();
    let (status, said) = stage.house.ask(OFFICERS[0], "POST", path, asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let (status, said) = stage.house.ask(OFFICERS[1], "POST", &format!("{path}/confirm"), Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    carry_out_due(&stage.house.vault).await.unwrap();
    stage.house.clock.advance(DAY);
    carry_out_due(&stage.house.vault).await.unwrap();
}

async fn waits(stage: &Stage, record: RecordId) -> (Value, Vec<String>) {
    let erasure = stage.erasure(record).await;
    let waits = erasure["horizon"]["waits_for"].as_array().unwrap().clone();
    let named = waits.iter().map(|w| format!("{} {}", w["kind"].as_str().unwrap(), w["number"])).collect();
    (erasure, named)
}

#[tokio::test]
async fn p8_a_certificate_becomes_final_by_what_two_officers_do() {
    let stage = Stage::set().await;
    let (record, kept) = (stage.record().await, stage.record().await);
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    assert_eq!(waits(&stage, record).await.1, ["kek-version 1", "root-epoch 1", "resume-key null"]);

    // The version first: a root epoch that is begun while it lives would wrap it too, and have to go as well.
    done(&stage, "/v1/collections/demo/keys/rotate").await;
    rewrap_all(&stage.house.vault).await.unwrap();
    destroyed(&stage, "/v1/collections/demo/keys/1/destroy", json!({})).await;
    assert_eq!(waits(&stage, record).await.1, ["root-epoch 1", "resume-key null"]);
    done(&stage, "/v1/root/rotate").await;
    destroyed(&stage, "/v1/root/1/destroy", json!({"known_copies": 0})).await;
    // Two days have passed in which it cooled off: the resume key goes with the collector's round.
    assert_eq!(waits(&stage, record).await.1, ["resume-key null"]);
    stage.house.clock.advance(DAY);
    Collector::of(&stage.house.vault).round().await.unwrap();

    let (erasure, waits) = waits(&stage, record).await;
    assert_eq!((&erasure["horizon"]["final"], waits), (&json!(true), Vec::<String>::new()), "{erasure}");
    assert_eq!(erasure["destroyed"].as_array().unwrap().len(), 2, "each with its entry and proof: {erasure}");
    let (_, root) = stage.house.ask(OFFICERS[0], "GET", "/v1/root", Value::Null).await;
    assert_eq!(root["open_erasures"], Value::Null, "{root}");
    // What was not erased is as it was, after a restart too.
    let stage = stage.restarted().await;
    let request = stage.approved(kept).await;
    let session = stage.session(&request).await;
    assert_eq!(stage.play(&session).await, (StatusCode::OK, true));
    let (erasure, _) = self::waits(&stage, record).await;
    assert_eq!(erasure["horizon"]["final"], json!(true), "{erasure}");
    stage.sound().await;
}
