//! Access to recordings: asked for, decided, redeemed, played, taken back; and erasure.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Act, Answer, Stage, answered, answers, nothing, text};
use crate::app::erase;
use crate::app::play;
use crate::jobs::collector::Collector;
use crate::testing::House;

/// µ-law WAV of two segments.
pub(super) fn recording() -> Vec<u8> {
    let data = 90_000_u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(data.to_le_bytes());
    wav.extend((0..data).map(|i| (i ^ (i >> 8)) as u8));
    wav
}

/// A record.
pub(super) async fn record(stage: &Stage) -> Value {
    let whole = recording();
    let (status, begun) = stage.begin(Some(whole.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let location = text(&begun["location"]);
    let (status, said) = stage.send(location, 0, &whole).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    let head = Request::head(location).header("Tus-Resumable", "1.0.0").body(Body::empty()).unwrap();
    json!(stage.house.send(head).await.headers()["vault-record-id"].to_str().unwrap())
}

fn asking(record: &Value) -> Value {
    json!({"record_id": record, "purpose": "service-improvement", "reason": "Hear it"})
}

/// A request for a record, as an address.
async fn filed(stage: &Stage, record: Value) -> Value {
    let filed = stage.must("analyst", "POST", "/v1/access-requests", asking(&record)).await;
    json!({"record": record, "path": format!("/v1/access-requests/{}", text(&filed["id"]))})
}

async fn a_request(stage: &Stage) -> Value {
    filed(stage, record(stage).await).await
}

async fn approved(stage: &Stage, mut request: Value) -> Value {
    let path = text(&request["path"]).to_owned();
    stage.must("approver", "POST", &format!("{path}/approve"), json!({})).await;
    let shown = stage.must("approver", "GET", &path, Value::Null).await;
    request["grant"] = shown["grant_id"].clone();
    request
}

async fn a_grant(stage: &Stage) -> Value {
    let request = a_request(stage).await;
    approved(stage, request).await
}

async fn redeemed(stage: &Stage, request: &Value) -> Answer {
    let path = format!("{}/sessions", text(&request["path"]));
    stage.ask("analyst", "POST", &path, json!({"representation": "playable"})).await
}

pub(super) async fn a_session(stage: &Stage) -> Value {
    // Sessions of before end with their time: there may be only so many at once.
    stage.house.clock.advance(core::time::Duration::from_mins(16));
    let mut grant = a_grant(stage).await;
    let (status, opened) = redeemed(stage, &grant).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    grant["url"] = opened["playback_url"].clone();
    grant
}

async fn state(stage: &Stage, request: &Value) -> String {
    let shown = stage.must("approver", "GET", text(&request["path"]), Value::Null).await;
    text(&shown["state"]).to_owned()
}

/// Plays all of it: what was heard is what was recorded, or it ends with an error.
async fn played(stage: &Stage, url: &Value) -> Answer {
    stage.asked(async || heard(&stage.house, url).await).await
}

/// The same on any node.
pub(super) async fn heard(node: &House, url: &Value) -> Answer {
    let token = format!("Bearer {}", node.token("analyst"));
    let request = Request::get(text(url)).header(header::AUTHORIZATION, token).body(Body::empty()).unwrap();
    let response = node.send(request).await;
    let status = response.status();
    match response.into_body().collect().await {
        Ok(body) if status == StatusCode::OK => {
            assert!(body.to_bytes() == recording(), "another recording");
            (status, Value::Null)
        }
        Ok(body) => (status, serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null)),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, json!({"code": "cut"})),
    }
}

/// It is not played any more, once this node knows.
async fn ends(stage: &Stage, url: &Value) {
    stage.until("it is not played any more", async || !played(stage, url).await.0.is_success()).await;
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "access is asked for",
        makes: &["file_access_request"],
        prepare: |stage| Box::pin(record(stage)),
        run: |stage, record| Box::pin(stage.ask("analyst", "POST", "/v1/access-requests", asking(record))),
        holds: |stage, record| {
            Box::pin(async move {
                assert!(stage.count(format!("access_requests WHERE record_id = '{}'", text(record))).await > 0);
            })
        },
    },
    Act {
        name: "access is approved",
        makes: &["approve_access_request"],
        prepare: |stage| Box::pin(a_request(stage)),
        run: |stage, request| {
            Box::pin(async move {
                stage.ask("approver", "POST", &format!("{}/approve", text(&request["path"])), json!({})).await
            })
        },
        holds: |stage, request| Box::pin(async move { assert_eq!(state(stage, request).await, "approved") }),
    },
    Act {
        name: "access is denied",
        makes: &["deny_access_request"],
        prepare: |stage| Box::pin(a_request(stage)),
        run: |stage, request| {
            Box::pin(async move {
                let said = json!({"comment": "Not for this"});
                stage.ask("approver", "POST", &format!("{}/deny", text(&request["path"])), said).await
            })
        },
        holds: |stage, request| {
            Box::pin(async move {
                assert_eq!(state(stage, request).await, "denied");
                stage.house.clock.advance(core::time::Duration::from_secs(2));
                let (status, said) = redeemed(stage, request).await;
                assert!(status.is_client_error(), "{status} {said}");
            })
        },
    },
    Act {
        name: "a grant is redeemed",
        makes: &["open_session"],
        prepare: |stage| {
            Box::pin(async move {
                stage.house.clock.advance(core::time::Duration::from_mins(16));
                a_grant(stage).await
            })
        },
        run: |stage, grant| Box::pin(redeemed(stage, grant)),
        holds: answers,
    },
    Act {
        name: "a recording is played",
        makes: &[],
        prepare: |stage| Box::pin(a_session(stage)),
        run: |stage, session| Box::pin(played(stage, &session["url"])),
        holds: answers,
    },
    Act {
        name: "a session is ended",
        makes: &["close_session"],
        prepare: |stage| Box::pin(a_session(stage)),
        run: |stage, session| Box::pin(stage.ask("analyst", "DELETE", text(&session["url"]), Value::Null)),
        holds: |stage, session| Box::pin(async move { ends(stage, &session["url"]).await }),
    },
    Act {
        name: "a grant is revoked",
        makes: &["revoke_grant", "note_journalled"],
        prepare: |stage| Box::pin(a_session(stage)),
        run: |stage, session| {
            Box::pin(async move {
                let path = format!("/v1/grants/{}", text(&session["grant"]));
                stage.ask("approver", "DELETE", &path, json!({"reason": "Enough"})).await
            })
        },
        holds: |stage, session| {
            Box::pin(async move {
                ends(stage, &session["url"]).await;
                let (status, said) = redeemed(stage, session).await;
                assert!(status.is_client_error(), "{status} {said}");
            })
        },
    },
    Act {
        name: "a record is erased",
        makes: &["erase_record", "note_journalled"],
        prepare: |stage| Box::pin(a_session(stage)),
        run: |stage, session| {
            Box::pin(async move {
                let path = format!("/v1/records/{}", text(&session["record"]));
                stage.ask("approver", "DELETE", &path, json!({"reason": "Asked for"})).await
            })
        },
        holds: |stage, session| {
            Box::pin(async move {
                ends(stage, &session["url"]).await;
                let rows = format!("records WHERE id = '{}' AND wrap IS NOT NULL", text(&session["record"]));
                assert_eq!(stage.count(rows).await, 0, "its key is gone");
            })
        },
    },
    Act {
        name: "an erasure comes to its end",
        makes: &["forget_garbage", "finish_erasures"],
        prepare: |stage| {
            Box::pin(async move {
                // Those of before are out of the way.
                stage.house.clock.advance(crate::objects::DEADLINE * 3);
                stage.quiet().await;
                // SQLite's log is emptied only when nobody reads.
                let vault = &stage.house.vault;
                stage.until("it collects", async || Collector::of(vault).round().await.is_ok()).await;
                stage.until("it ends", async || erase::finish(vault).await.is_ok()).await;
                let record = record(stage).await;
                let path = format!("/v1/records/{}", text(&record));
                stage.must("approver", "DELETE", &path, json!({"reason": "Asked for"})).await;
                stage.quiet().await;
                stage.house.clock.advance(crate::objects::DEADLINE * 3);
                record
            })
        },
        run: |stage, _| {
            Box::pin(async move {
                let collected = answered(Collector::of(&stage.house.vault).round().await);
                if !collected.0.is_success() {
                    return collected;
                }
                answered(erase::finish(&stage.house.vault).await)
            })
        },
        holds: |stage, record| {
            Box::pin(async move {
                let rows = format!("erasures WHERE record_id = '{}' AND completed_at IS NOT NULL", text(record));
                assert_eq!(stage.count(rows).await, 1);
            })
        },
    },
    Act {
        name: "a session is closed when its time is over",
        makes: &["close_session"],
        prepare: |stage| {
            Box::pin(async move {
                stage.house.clock.advance(core::time::Duration::from_hours(1));
                play::reap(&stage.house.vault).await.unwrap();
                let session = a_session(stage).await;
                assert_eq!(played(stage, &session["url"]).await.0, StatusCode::OK);
                stage.house.clock.advance(core::time::Duration::from_hours(1));
                session
            })
        },
        run: |stage, _| Box::pin(async move { answered(play::reap(&stage.house.vault).await) }),
        holds: |stage, _| {
            Box::pin(async move { assert_eq!(stage.count("sessions WHERE closed_at IS NULL".to_owned()).await, 0) })
        },
    },
    Act {
        name: "sessions that were closed long ago are forgotten",
        makes: &["drop_closed_sessions"],
        prepare: nothing,
        run: |stage, _| Box::pin(async move { answered(play::forget_closed(&stage.house.vault).await) }),
        holds: answers,
    },
    Act {
        name: "damage is told to the log",
        makes: &["report_finding"],
        prepare: |stage| {
            Box::pin(async move {
                stage.house.clock.advance(core::time::Duration::from_hours(1));
                record(stage).await
            })
        },
        run: |stage, record| {
            Box::pin(async move {
                let record = text(record).parse().unwrap();
                let row = crate::store::records::find(&stage.house.vault.store, record).await;
                let collection = match row {
                    Ok(row) => row.unwrap().collection,
                    Err(e) => return answered::<()>(Err(e.into())),
                };
                let finding = "object-part-missing";
                let damage = play::findings::Damage { finding, collection, record, object: None, session: None };
                answered(play::write_finding(&stage.house.vault, damage).await)
            })
        },
        holds: answers,
    },
    Act {
        name: "records and requests are looked at",
        makes: &[],
        prepare: |stage| Box::pin(a_grant(stage)),
        run: |stage, request| {
            Box::pin(async move {
                let record = format!("/v1/records/{}", text(&request["record"]));
                for (who, path) in [
                    ("auditor", "/v1/records?limit=5"),
                    ("auditor", record.as_str()),
                    ("approver", "/v1/access-requests?limit=5"),
                    ("approver", text(&request["path"])),
                    ("auditor", "/v1/audit/entries?limit=20"),
                ] {
                    let (status, said) = stage.ask(who, "GET", path, Value::Null).await;
                    if status != StatusCode::OK {
                        return (status, said);
                    }
                    let items = said["items"].as_array();
                    assert!(items.is_none_or(|items| [5, 20].contains(&items.len())), "a short page: {said}");
                    for item in items.into_iter().flatten() {
                        let told = item["openings"].as_array().into_iter().flatten();
                        let told: Vec<_> = told.filter(|opening| opening["status"] == "missing").collect();
                        assert!(told.is_empty(), "what cannot be read is not missing: {told:?}");
                    }
                }
                (StatusCode::OK, Value::Null)
            })
        },
        holds: answers,
    },
];
