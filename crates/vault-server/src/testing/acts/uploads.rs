//! Uploads: begun, sent in pieces, ended by their client or by their time; and what the collector makes of what is left.

use core::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use vault_core::time::{Clock as _, Timestamp};

use super::access::{record, recording};
use super::{Act, Answer, Stage, answered, answers, nothing, text, told};
use crate::jobs::collector::Collector;

const FIRST: usize = 70_000;

async fn begun(stage: &Stage) -> Value {
    let (status, begun) = stage.begin(Some(recording().len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    begun["location"].clone()
}

/// One whose first piece has come.
pub(super) async fn half(stage: &Stage) -> Value {
    let location = begun(stage).await;
    let (status, said) = stage.send(text(&location), 0, &recording()[..FIRST]).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    location
}

async fn tus(stage: &Stage, method: &str, location: &Value) -> axum::response::Response {
    let request = Request::builder().method(method).uri(text(location)).header("Tus-Resumable", "1.0.0");
    stage.house.send(request.body(Body::empty()).unwrap()).await
}

/// Where it stands, as its client learns it.
async fn stands(stage: &Stage, location: &Value) -> Result<(usize, bool), Answer> {
    let head = tus(stage, "HEAD", location).await;
    if !head.status().is_success() {
        return Err((head.status(), json!({"code": "of a HEAD"})));
    }
    let offset = head.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
    Ok((offset, head.headers().contains_key("vault-record-id")))
}

/// Goes on as a client does: asks where it stands, and sends from there.
async fn sent(stage: &Stage, location: &Value, to: usize) -> Answer {
    let (from, whole) = match stands(stage, location).await {
        Ok(stands) => stands,
        Err(refused) => return refused,
    };
    if whole || from >= to {
        return (StatusCode::OK, Value::Null);
    }
    stage.send(text(location), from, &recording()[from..to]).await
}

/// The record that it becomes.
pub(super) async fn finished(stage: &Stage, location: &Value) -> Value {
    let (status, said) = sent(stage, location, recording().len()).await;
    assert!(status.is_success(), "{status} {said}");
    json!(tus(stage, "HEAD", location).await.headers()["vault-record-id"].to_str().unwrap())
}

/// As many names in the object store as there are parts, once the collector has been by.
async fn tidy(stage: &Stage) {
    for _ in 0..2 {
        stage.house.clock.advance(crate::objects::DEADLINE * 3);
        // SQLite's log is emptied only when nobody reads.
        stage.until("it collects", async || Collector::of(&stage.house.vault).round().await.is_ok()).await;
    }
    assert_eq!(stage.count("garbage".to_owned()).await, 0);
    let parts = stage.count("parts".to_owned()).await;
    let led_to = "parts WHERE object_id IN (SELECT id FROM objects)
        OR object_id IN (SELECT object_id FROM uploads WHERE state = 'open')";
    assert_eq!(stage.count(led_to.to_owned()).await, parts, "parts of what has ended");
    assert_eq!(i64::try_from(stage.objects.media().await.len()).unwrap(), parts, "orphans, or parts that are missing");
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "an upload is begun",
        makes: &["create_upload"],
        prepare: |stage| {
            Box::pin(async move {
                // Those whose answer was lost count against what one uploader may have open, until their time is over.
                stage.house.clock.advance(Duration::from_mins(1));
                Value::Null
            })
        },
        run: |stage, _| Box::pin(stage.begin(Some(recording().len()))),
        holds: answers,
    },
    Act {
        name: "a piece is sent",
        makes: &["take_upload", "intend_part", "renew_intent", "advance_upload"],
        prepare: |stage| Box::pin(begun(stage)),
        run: |stage, location| Box::pin(sent(stage, location, FIRST)),
        holds: |stage, location| {
            Box::pin(async move { assert_eq!(stands(stage, location).await.unwrap(), (FIRST, false)) })
        },
    },
    Act {
        name: "the last piece is sent",
        makes: &["take_upload", "intend_part", "renew_intent", "adopt_upload"],
        prepare: |stage| Box::pin(half(stage)),
        run: |stage, location| Box::pin(sent(stage, location, recording().len())),
        holds: |stage, location| {
            Box::pin(async move { assert_eq!(stands(stage, location).await.unwrap(), (recording().len(), true)) })
        },
    },
    Act {
        name: "a piece is sent of an upload without a length",
        makes: &["count_collection"],
        prepare: |stage| {
            Box::pin(async move {
                let (status, begun) = stage.begin(None).await;
                assert_eq!(status, StatusCode::CREATED, "{begun}");
                begun["location"].clone()
            })
        },
        run: |stage, location| Box::pin(sent(stage, location, FIRST)),
        holds: |stage, location| {
            Box::pin(async move { assert_eq!(stands(stage, location).await.unwrap(), (FIRST, false)) })
        },
    },
    Act {
        name: "an upload is ended by its client",
        makes: &["end_upload"],
        prepare: |stage| Box::pin(half(stage)),
        run: |stage, location| {
            Box::pin(async move {
                let response = tus(stage, "DELETE", location).await;
                let status = response.status();
                let bytes = response.into_body().collect().await.unwrap().to_bytes();
                (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
            })
        },
        holds: |stage, location| {
            Box::pin(async move {
                assert!(tus(stage, "HEAD", location).await.status().is_client_error());
                stage.quiet().await;
                let ended = stage.count("uploads WHERE state = 'terminated'".to_owned()).await;
                assert_eq!(told(stage).await.get("upload.rejected"), Some(&ended), "an entry for each, and no other");
                tidy(stage).await;
            })
        },
    },
    Act {
        name: "the collector ends what nobody goes on with",
        makes: &["expire_upload"],
        prepare: |stage| {
            Box::pin(async move {
                // Those of before are out of the way.
                if stage.count("uploads WHERE state = 'open'".to_owned()).await > 0 {
                    stage.house.clock.advance(Duration::from_hours(25));
                    tidy(stage).await;
                }
                let location = half(stage).await;
                stage.house.clock.advance(Duration::from_hours(25));
                location
            })
        },
        run: |stage, _| {
            Box::pin(async move {
                // The second finds what the first has deleted absent.
                for _ in 0..2 {
                    stage.house.clock.advance(crate::objects::DEADLINE * 3);
                    let collected = answered(Collector::of(&stage.house.vault).round().await);
                    if !collected.0.is_success() {
                        return collected;
                    }
                }
                (StatusCode::OK, Value::Null)
            })
        },
        holds: |stage, location| {
            Box::pin(async move {
                assert!(tus(stage, "HEAD", location).await.status().is_client_error());
                assert_eq!(stage.count("uploads WHERE state = 'open'".to_owned()).await, 0);
                tidy(stage).await;
            })
        },
    },
    Act {
        name: "one node collects at a time",
        makes: &["take_lease"],
        prepare: nothing,
        run: |stage, _| Box::pin(async move { answered(Collector::of(&stage.house.vault).turn().await) }),
        holds: |stage, _| {
            Box::pin(async move {
                assert_eq!(stage.count("leases WHERE name = 'collector' AND fence > 0".to_owned()).await, 1);
            })
        },
    },
    Act {
        name: "restrictions past their end are dropped",
        makes: &["prune_restrictions"],
        prepare: |stage| {
            Box::pin(async move {
                // A token that is revoked, and ends in a day; and a record that is erased for good.
                let person = stage.house.enter(&stage.fresh("Person"), "human").await;
                stage.house.give(person, "auditor").await;
                let (token, secret) = stage.house.issue_confirmed(person).await;
                stage.must("administrator", "DELETE", &format!("/v1/tokens/{token}"), Value::Null).await;
                let record = record(stage).await;
                let path = format!("/v1/records/{}", text(&record));
                stage.must("approver", "DELETE", &path, json!({"reason": "Asked for"})).await;
                stage.house.vault.restrictions.complete_journal().await.unwrap();
                stage.house.clock.advance(Duration::from_hours(49));
                json!({"token": token, "secret": secret, "record": record})
            })
        },
        run: |stage, _| {
            Box::pin(
                async move { answered(stage.house.vault.restrictions.prune(past(stage)).await.map_err(Into::into)) },
            )
        },
        holds: |stage, over| {
            Box::pin(async move {
                let target = |what: &str| format!("restrictions WHERE target LIKE '%{}%'", text(&over[what]));
                assert_eq!(stage.count(target("token")).await, 0);
                assert_eq!(stage.count(target("record")).await, 1, "what never ends stays");
                let (status, said) = stage.ask_with(text(&over["secret"]), "GET", "/v1/me", Value::Null).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{said}");
                let rows = format!("restrictions WHERE until < {}", past(stage).as_millis());
                assert_eq!(stage.count(rows).await, 0);
            })
        },
    },
];

/// As long ago as rows of what has ended are kept.
fn past(stage: &Stage) -> Timestamp {
    stage.house.clock.now().minus(Duration::from_hours(24))
}
