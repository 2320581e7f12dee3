//! Collections: set up, opened, suspended, opened again.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Act, Stage, answers, nothing, text};
use crate::testing::collection;

async fn drafted(stage: &Stage) -> Value {
    let name = stage.fresh("room");
    stage.must("administrator", "POST", "/v1/collections", collection(&name, "2030-01-01T00:00:00Z")).await;
    json!(name)
}

async fn opened(stage: &Stage) -> Value {
    let name = drafted(stage).await;
    stage.must("administrator", "POST", &path(&name, "/open"), Value::Null).await;
    name
}

fn path(name: &Value, act: &str) -> String {
    format!("/v1/collections/{}{act}", text(name))
}

async fn state(stage: &Stage, name: &Value) -> String {
    let shown = stage.must("administrator", "GET", &path(name, ""), Value::Null).await;
    text(&shown["state"]).to_owned()
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "a collection is set up",
        makes: &["create_collection"],
        prepare: |stage| Box::pin(async move { json!(stage.fresh("room")) }),
        run: |stage, name| {
            let body = collection(text(name), "2030-01-01T00:00:00Z");
            Box::pin(stage.ask("administrator", "POST", "/v1/collections", body))
        },
        holds: |stage, name| {
            Box::pin(async move {
                // With keys of its own that open: it could take recordings.
                assert_eq!(state(stage, name).await, "draft");
                stage.must("key-officer", "GET", &path(name, "/keys/verify"), Value::Null).await;
            })
        },
    },
    Act {
        name: "a collection is opened",
        makes: &["open_collection"],
        prepare: |stage| Box::pin(drafted(stage)),
        run: |stage, name| {
            Box::pin(async move { stage.ask("administrator", "POST", &path(name, "/open"), Value::Null).await })
        },
        holds: |stage, name| Box::pin(async move { assert_eq!(state(stage, name).await, "open") }),
    },
    Act {
        name: "a collection is suspended",
        makes: &["suspend_collection", "note_journalled"],
        prepare: |stage| Box::pin(opened(stage)),
        run: |stage, name| {
            Box::pin(async move {
                stage.ask("administrator", "POST", &path(name, "/suspend"), json!({"reason": "Looked into"})).await
            })
        },
        holds: |stage, name| {
            Box::pin(async move {
                stage.until("it is suspended", async || state(stage, name).await == "suspended").await;
            })
        },
    },
    Act {
        name: "a suspended collection is opened again",
        makes: &["open_collection", "note_journalled"],
        prepare: |stage| {
            Box::pin(async move {
                let name = opened(stage).await;
                stage.must("administrator", "POST", &path(&name, "/suspend"), json!({"reason": "Looked into"})).await;
                name
            })
        },
        run: |stage, name| {
            Box::pin(async move { stage.ask("administrator", "POST", &path(name, "/open"), Value::Null).await })
        },
        holds: |stage, name| {
            Box::pin(async move { stage.until("it is open", async || state(stage, name).await == "open").await })
        },
    },
    Act {
        name: "collections and their keys are looked at",
        makes: &[],
        prepare: nothing,
        run: |stage, _| {
            Box::pin(async move {
                for (who, path) in [
                    ("administrator", "/v1/collections?limit=5"),
                    ("administrator", "/v1/collections/demo"),
                    ("uploader", "/v1/collections/demo/notice"),
                    ("key-officer", "/v1/collections/demo/keys"),
                    ("key-officer", "/v1/collections/demo/keys/verify"),
                    ("key-officer", "/v1/collections/demo/reencryption"),
                    ("key-officer", "/v1/root"),
                    ("key-officer", "/v1/root/cycle"),
                    ("auditor", "/v1/audit/entries?limit=5"),
                    ("auditor", "/v1/audit/log/checkpoint"),
                ] {
                    let (status, said) = stage.ask(who, "GET", path, Value::Null).await;
                    if status != StatusCode::OK {
                        return (status, said);
                    }
                    let full = said["items"].as_array().is_none_or(|items| items.len() == 5);
                    assert!(full, "a page that could not be read is not short: {said}");
                }
                (StatusCode::OK, Value::Null)
            })
        },
        holds: answers,
    },
];
