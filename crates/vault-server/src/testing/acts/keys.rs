//! A collection's keys: rotated, paused, marked as compromised, about to be destroyed; and recordings that are encrypted
//! anew.

use core::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::access::record;
use super::uploads::{finished, half};
use super::{Act, Answer, Stage, answered, text, told};
use crate::app::keys::{carry_out_due, rewrap_all};
use crate::app::reencrypt::Worker;
use crate::testing::collection;

const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

/// A collection of its own, with a key: what is destroyed in it is missed by nobody.
async fn room(stage: &Stage) -> Value {
    let name = stage.fresh("room");
    stage.must("administrator", "POST", "/v1/collections", collection(&name, "2030-01-01T00:00:00Z")).await;
    json!(format!("/v1/collections/{name}/keys"))
}

async fn rotate(stage: &Stage, keys: &Value) {
    let path = format!("{}/rotate", text(keys));
    stage.must(OFFICERS[0], "POST", &path, json!({"reason": "Yearly"})).await;
}

/// One whose first version holds nothing any more.
async fn rotated(stage: &Stage) -> Value {
    let keys = room(stage).await;
    rotate(stage, &keys).await;
    settle(stage).await;
    keys
}

/// Moves what waits.
async fn settle(stage: &Stage) {
    stage
        .until("record keys are moved", async || {
            stage.release().await;
            rewrap_all(&stage.house.vault).await.is_ok()
        })
        .await;
}

async fn requested(stage: &Stage) -> Value {
    let keys = rotated(stage).await;
    stage.must(OFFICERS[0], "POST", &format!("{}/1/destroy", text(&keys)), json!({"reason": "Empty"})).await;
    keys
}

async fn confirmed(stage: &Stage) -> Value {
    let keys = requested(stage).await;
    stage.must(OFFICERS[1], "POST", &format!("{}/1/destroy/confirm", text(&keys)), Value::Null).await;
    keys
}

/// How often the log tells of an operation.
async fn told_of(stage: &Stage, operation: &str) -> i64 {
    stage.quiet().await;
    told(stage).await.get(&format!("key.operation {operation}")).copied().unwrap_or(0)
}

/// The states of the versions, oldest first. Exactly one is active, whatever has failed.
async fn versions(stage: &Stage, keys: &Value) -> Vec<String> {
    let shown = stage.must(OFFICERS[0], "GET", text(keys), Value::Null).await;
    let versions = shown["versions"].as_array().unwrap().iter().rev();
    let versions: Vec<String> = versions.map(|version| text(&version["state"]).to_owned()).collect();
    assert_eq!(versions.iter().filter(|state| *state == "active").count(), 1, "{versions:?}");
    versions
}

/// Every wrap opens under the key that it names.
async fn opens(stage: &Stage, keys: &str) {
    let verified = stage.must(OFFICERS[0], "GET", &format!("{keys}/verify"), Value::Null).await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
}

const DEMO: &str = "/v1/collections/demo";

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "a key is rotated",
        makes: &["rotate_kek"],
        prepare: |stage| {
            Box::pin(async move {
                settle(stage).await;
                room(stage).await
            })
        },
        run: |stage, keys| {
            Box::pin(async move {
                let path = format!("{}/rotate", text(keys));
                stage.ask(OFFICERS[0], "POST", &path, json!({"reason": "Yearly"})).await
            })
        },
        holds: |stage, keys| {
            Box::pin(async move { assert_eq!(versions(stage, keys).await, ["deactivated", "active"]) })
        },
    },
    Act {
        name: "record keys are moved",
        makes: &["begin_rewrap", "rewrap_record_keys", "finish_rotation"],
        prepare: |stage| {
            Box::pin(async move {
                settle(stage).await;
                record(stage).await;
                let keys = json!(format!("{DEMO}/keys"));
                rotate(stage, &keys).await;
                keys
            })
        },
        run: |stage, _| Box::pin(async move { answered(rewrap_all(&stage.house.vault).await) }),
        holds: |stage, keys| {
            Box::pin(async move {
                settle(stage).await;
                assert_eq!(stage.count("rotations WHERE state = 'running'".to_owned()).await, 0);
                versions(stage, keys).await;
                opens(stage, text(keys)).await;
            })
        },
    },
    Act {
        name: "a rotation is paused",
        makes: &["control_rotation"],
        prepare: |stage| {
            Box::pin(async move {
                let keys = room(stage).await;
                rotate(stage, &keys).await;
                json!({"keys": keys, "told": told_of(stage, "pause-rewrap").await})
            })
        },
        run: |stage, paused| {
            Box::pin(async move {
                let path = format!("{}/rotation/pause", text(&paused["keys"]));
                stage.ask(OFFICERS[0], "POST", &path, Value::Null).await
            })
        },
        holds: |stage, paused| {
            Box::pin(async move {
                let path = format!("{}/rotation", text(&paused["keys"]));
                let shown = stage.must(OFFICERS[0], "GET", &path, Value::Null).await;
                assert_eq!(shown["rotation"]["state"], "paused", "{shown}");
                assert_eq!(paused["told"].as_i64().unwrap() + 1, told_of(stage, "pause-rewrap").await);
                stage.must(OFFICERS[0], "POST", &format!("{path}/resume"), Value::Null).await;
            })
        },
    },
    Act {
        name: "a destruction is asked for",
        makes: &["request_destruction"],
        prepare: |stage| Box::pin(rotated(stage)),
        run: |stage, keys| {
            Box::pin(async move {
                let path = format!("{}/1/destroy", text(keys));
                stage.ask(OFFICERS[0], "POST", &path, json!({"reason": "Empty"})).await
            })
        },
        holds: |stage, keys| {
            Box::pin(async move {
                let shown = stage.must(OFFICERS[0], "GET", text(keys), Value::Null).await;
                assert_eq!(shown["destructions"][0]["state"], "requested", "{shown}");
            })
        },
    },
    Act {
        name: "a destruction is confirmed",
        makes: &["confirm_destruction"],
        prepare: |stage| Box::pin(requested(stage)),
        run: |stage, keys| {
            Box::pin(async move {
                let path = format!("{}/1/destroy/confirm", text(keys));
                stage.ask(OFFICERS[1], "POST", &path, Value::Null).await
            })
        },
        holds: |stage, keys| {
            Box::pin(async move {
                assert_eq!(versions(stage, keys).await, ["deactivated", "active"], "its time has not come");
                let shown = stage.must(OFFICERS[0], "GET", text(keys), Value::Null).await;
                assert_eq!(shown["destructions"][0]["state"], "confirmed", "{shown}");
                stage.must(OFFICERS[0], "DELETE", &format!("{}/1/destroy", text(keys)), Value::Null).await;
            })
        },
    },
    Act {
        name: "a destruction is cancelled",
        makes: &["cancel_destruction"],
        prepare: |stage| Box::pin(confirmed(stage)),
        run: |stage, keys| {
            Box::pin(async move {
                stage.ask(OFFICERS[0], "DELETE", &format!("{}/1/destroy", text(keys)), Value::Null).await
            })
        },
        holds: |stage, keys| {
            Box::pin(async move {
                let shown = stage.must(OFFICERS[0], "GET", text(keys), Value::Null).await;
                assert_eq!(shown.get("destructions"), None, "{shown}");
            })
        },
    },
    Act {
        name: "a key is marked as compromised",
        makes: &["mark_compromised", "note_journalled"],
        prepare: |stage| Box::pin(room(stage)),
        run: |stage, keys| {
            Box::pin(async move {
                let said = json!({"incident": "INC-7", "reason": "A dump left the house"});
                stage.ask(OFFICERS[0], "POST", &format!("{}/1/mark-compromised", text(keys)), said).await
            })
        },
        holds: |stage, keys| {
            Box::pin(async move {
                assert_eq!(versions(stage, keys).await, ["compromised", "active"]);
                settle(stage).await;
            })
        },
    },
    Act {
        name: "re-encryption is begun",
        makes: &["begin_reencryption"],
        prepare: |stage| Box::pin(exposed(stage)),
        run: |stage, exposed| Box::pin(begin(stage, exposed)),
        holds: |stage, _| Box::pin(anew(stage)),
    },
    Act {
        name: "re-encryption is paused",
        makes: &["control_reencryption"],
        prepare: |stage| {
            Box::pin(async move {
                let exposed = exposed(stage).await;
                let (status, begun) = begin(stage, &exposed).await;
                assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
                json!(told_of(stage, "pause-reencrypt").await)
            })
        },
        run: |stage, _| {
            Box::pin(stage.ask(OFFICERS[0], "POST", "/v1/collections/demo/reencryption/pause", Value::Null))
        },
        holds: |stage, told| {
            Box::pin(async move {
                let shown = reencryption(stage).await;
                assert_eq!(shown["state"], "paused", "{shown}");
                assert_eq!(told.as_i64().unwrap() + 1, told_of(stage, "pause-reencrypt").await);
                stage.must(OFFICERS[0], "POST", &format!("{DEMO}/reencryption/resume"), Value::Null).await;
                anew(stage).await;
            })
        },
    },
    Act {
        name: "a record is encrypted anew",
        makes: &["announce_rewrite", "reencrypt_record", "finish_reencryption"],
        prepare: |stage| {
            Box::pin(async move {
                let exposed = exposed(stage).await;
                let (status, begun) = begin(stage, &exposed).await;
                assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
                exposed
            })
        },
        run: |stage, _| Box::pin(async move { answered(Worker::new().round(&stage.house.vault).await) }),
        holds: |stage, _| Box::pin(anew(stage)),
    },
    Act {
        name: "a record that cannot be read is passed over",
        makes: &["advance_reencryption", "end_rewrite"],
        prepare: |stage| {
            Box::pin(async move {
                // Its first part is gone; the last has to be there before anything is announced.
                let before = stage.objects.media().await;
                let location = half(stage).await;
                let first = stage.objects.media().await.difference(&before).next().unwrap().clone();
                let record = finished(stage, &location).await;
                stage.objects.remove(&first).await;
                let exposed = json!({"record_id": record, "incident": "INC-9", "reason": "Its key was seen"});
                let (status, begun) = begin(stage, &exposed).await;
                assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
                exposed
            })
        },
        run: |stage, _| Box::pin(async move { answered(Worker::new().round(&stage.house.vault).await) }),
        holds: |stage, _| {
            Box::pin(async move {
                let shown = reencryption(stage).await;
                assert_eq!((&shown["state"], &shown["damaged"]), (&json!("done"), &json!(1)), "{shown}");
                assert_eq!(stage.count("rewrites".to_owned()).await, 0);
            })
        },
    },
];

/// A record whose key a version has exposed, in `demo`: moved since, and not encrypted anew.
async fn exposed(stage: &Stage) -> Value {
    let record = record(stage).await;
    json!({"record_id": record, "incident": "INC-8", "reason": "Its key was seen"})
}

async fn begin(stage: &Stage, exposed: &Value) -> Answer {
    stage.ask(OFFICERS[0], "POST", &format!("{DEMO}/reencryption"), exposed.clone()).await
}

async fn reencryption(stage: &Stage) -> Value {
    stage.must(OFFICERS[0], "GET", &format!("{DEMO}/reencryption"), Value::Null).await["reencryption"].clone()
}

/// What was begun comes to its end, and nothing is left over.
async fn anew(stage: &Stage) {
    stage.release().await;
    Worker::new().round(&stage.house.vault).await.unwrap();
    let shown = reencryption(stage).await;
    assert_eq!((&shown["state"], &shown["done"], &shown["damaged"]), (&json!("done"), &json!(1), &json!(0)), "{shown}");
    assert_eq!(stage.count("rewrites".to_owned()).await, 0);
    opens(stage, &format!("{DEMO}/keys")).await;
}

/// What was asked for, confirmed or cancelled in all these rooms destroys nothing, long after its time would have come.
pub(super) async fn nothing_is_destroyed(stage: &Stage) {
    assert!(stage.count("destructions WHERE state = 'cancelled'".to_owned()).await > 0);
    assert_eq!(stage.count("destructions WHERE state = 'confirmed'".to_owned()).await, 0);
    stage.house.clock.advance(Duration::from_hours(25));
    carry_out_due(&stage.house.vault).await.unwrap();
    assert_eq!(stage.count("keks WHERE state = 'destroyed'".to_owned()).await, 0);
}
