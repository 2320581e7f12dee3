//! The way of a session through a whole vault: opened on evidence, played, narrowed when it ends, found again after a
//! restart; and what does not open one.

mod rows;
mod shares;

use core::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use vault_core::audit::entry::{Entry, Kind, PlaybackClosed, PlaybackOpened};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::SessionId;

use crate::app::{play, reference};
use crate::store::restrictions;
use crate::testing::{House, collection};

/// A recording of `length` bytes of silence and noise: PCM, 16 kHz, one channel.
fn wav(length: u32) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((length - 8).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    bytes.extend((length - 44).to_le_bytes());
    bytes.extend((0..length - 44).map(|i| (i ^ (i >> 9)) as u8));
    bytes
}

/// A vault with an open collection and one recording in it.
struct Stage {
    house: House,
    recording: Vec<u8>,
    record: String,
}

impl Stage {
    async fn set() -> Self {
        Self::in_house(House::new().await).await
    }

    async fn in_house(house: House) -> Self {
        let mut policy = collection("demo", "2030-01-01T00:00:00Z");
        policy["access"]["rights"] = json!(["view", "export"]);
        let (status, made) = house.ask("administrator", "POST", "/v1/collections", policy).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let (status, opened) = house.ask("administrator", "POST", "/v1/collections/demo/open", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{opened}");
        let recording = wav(200_000);
        let record = upload(&house, &recording, made["notice_sha256"].as_str().unwrap()).await;
        Self { house, recording, record }
    }

    /// The same vault from another node.
    async fn beside(&self) -> Self {
        let (recording, record) = (self.recording.clone(), self.record.clone());
        Self { house: self.house.beside().await, recording, record }
    }

    /// An approved request of the analyst's, and its grant.
    async fn granted(&self) -> (String, String) {
        let body = json!({"record_id": self.record, "purpose": "service-improvement", "reason": "Hear it"});
        let (status, filed) = self.house.ask("analyst", "POST", "/v1/access-requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{filed}");
        let id = filed["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/access-requests/{id}/approve");
        let (status, approved) = self.house.ask("approver", "POST", &path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{approved}");
        (id, approved["grant_id"].as_str().unwrap().to_owned())
    }

    async fn try_open(&self, request: &str) -> (StatusCode, Value) {
        self.house.ask("analyst", "POST", &format!("/v1/access-requests/{request}/sessions"), json!({})).await
    }

    /// A session; its identifier and address.
    async fn opened(&self) -> (SessionId, String) {
        let (request, _) = self.granted().await;
        let (status, session) = self.try_open(&request).await;
        assert_eq!(status, StatusCode::CREATED, "{session}");
        assert_eq!(session["representation"], "original");
        let url = session["playback_url"].as_str().unwrap().to_owned();
        (session["session_id"].as_str().unwrap().parse().unwrap(), url)
    }

    async fn send(&self, who: Option<&str>, method: &str, url: &str, range: Option<&str>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(who) = who {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.house.token(who)));
        }
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        self.house.send(request.body(Body::empty()).unwrap()).await
    }

    async fn status(&self, who: Option<&str>, method: &str, url: &str) -> StatusCode {
        self.send(who, method, url, None).await.status()
    }

    async fn closed(&self, id: SessionId) -> Recorded<PlaybackClosed> {
        let reference = reference::session_closed(id);
        for _ in 0..100 {
            if let Some(found) = self.house.vault.ledger().unwrap().find(&reference).await.unwrap() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no playback.closed");
    }
}

async fn upload(house: &House, recording: &[u8], notice: &str) -> String {
    let consent = json!({"notice_sha256": notice, "purposes": ["service-improvement"],
        "given_at": house.vault.clock.now().to_string()});
    let metadata: Vec<String> =
        [("filename", "call.wav".to_owned()), ("filetype", "audio/wav".to_owned()), ("consent", consent.to_string())]
            .iter()
            .map(|(name, value)| format!("{name} {}", STANDARD.encode(value)))
            .collect();
    let request = |method: &str, uri: &str| Request::builder().method(method).uri(uri).header("Tus-Resumable", "1.0.0");
    let create = request("POST", "/v1/collections/demo/uploads")
        .header(header::AUTHORIZATION, format!("Bearer {}", house.token("uploader")))
        .header("Upload-Length", recording.len())
        .header("Upload-Metadata", metadata.join(","));
    let created = house.send(create.body(Body::empty()).unwrap()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let patch = request("PATCH", &location)
        .header("Upload-Offset", 0)
        .header(header::CONTENT_TYPE, "application/offset+octet-stream");
    let done = house.send(patch.body(Body::from(recording.to_vec())).unwrap()).await;
    assert_eq!(done.status(), StatusCode::NO_CONTENT);
    done.headers()["vault-record-id"].to_str().unwrap().to_owned()
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn p4_the_entry_comes_before_the_first_byte_and_is_narrowed_when_the_session_ends() {
    let stage = Stage::set().await;
    let (id, url) = stage.opened().await;
    let ledger = stage.house.vault.ledger().unwrap();
    let opened = ledger.find::<PlaybackOpened>(&reference::session(id)).await.unwrap().unwrap();
    assert_eq!(opened.slot(SlotName::Record), Some(stage.record.as_str()));
    assert_eq!(opened.slot(SlotName::Staff), Some(stage.house.id("analyst").to_string().as_str()));
    assert_eq!(opened.data("representation").unwrap().as_str(), Some("original"));
    assert!(opened.policy().is_some() && opened.kek_version() == Some(1));

    for (range, span) in
        [("bytes=10-99", 10..100), ("bytes=70000-140000", 70_000..140_001), ("bytes=-5", 199_995..200_000)]
    {
        let response = stage.send(Some("analyst"), "GET", &url, Some(range)).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert!(bytes(response).await == stage.recording[span]);
    }
    assert_eq!(stage.status(Some("analyst"), "DELETE", &url).await, StatusCode::NO_CONTENT);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(stage.status(Some("analyst"), method, &url).await, StatusCode::GONE, "{method}");
    }
    let closed = stage.closed(id).await;
    assert_eq!(closed.slot(SlotName::Session), Some(id.to_string().as_str()));
    let ranges: Vec<_> = closed.data("ranges").unwrap().as_list().unwrap().iter().filter_map(|v| v.as_str()).collect();
    assert_eq!(ranges, ["10-99", "70000-140000", "199995-199999"]);
    assert_eq!(closed.data("bytes").unwrap().as_number(), Some(90 + 70_001 + 5));
}

/// Entries of a kind, oldest first, as JSON; waits until there are `count` of them and then a little, so that one more shows.
async fn entries(house: &House, kind: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/audit/entries?type={kind}&limit=100");
    for settled in 0..100 {
        let (status, page) = house.ask("auditor", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        if items.len() > count || (items.len() == count && settled >= 5) {
            return items.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {count} entries {kind}");
}

#[tokio::test]
async fn one_person_keeps_so_many_sessions_open_and_is_told_when_the_next_ends() {
    let stage = Stage::in_house(House::with("[limits]\nsessions_per_person = 3\n").await).await;
    let (request, _) = stage.granted().await;
    let all = futures_util::future::join_all((0..8).map(|_| stage.try_open(&request))).await;
    let opened: Vec<_> = all.iter().filter(|(status, _)| *status == StatusCode::CREATED).collect();
    assert_eq!(opened.len(), 3, "also when they are asked for at once");
    for (status, refused) in all.iter().filter(|(status, _)| *status != StatusCode::CREATED) {
        assert_eq!((status.as_u16(), &refused["code"]), (429, &json!("rate_limited")), "{refused}");
        assert_eq!(refused["limit"], "sessions_per_person");
    }
    let open = format!("/v1/access-requests/{request}/sessions");
    let response = stage.send(Some("analyst"), "POST", &open, None).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "900");
    // One that is ended makes room, and so does time.
    let ended = opened[0].1["playback_url"].as_str().unwrap();
    assert_eq!(stage.status(Some("analyst"), "DELETE", ended).await, StatusCode::NO_CONTENT);
    assert_eq!(stage.try_open(&request).await.0, StatusCode::CREATED);
    assert_eq!(stage.try_open(&request).await.0, StatusCode::TOO_MANY_REQUESTS);
    stage.house.clock.advance(Duration::from_secs(900));
    assert_eq!(stage.try_open(&request).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_damage_is_told_once_an_hour_and_not_with_every_session() {
    let stage = Stage::set().await;
    let (request, _) = stage.granted().await;
    let mut jobs = crate::jobs::start(&stage.house.vault);
    stage.house.by_hand("UPDATE records SET wrap = x'00'").await;
    for _ in 0..5 {
        assert_eq!(stage.try_open(&request).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(entries(&stage.house, "finding.reported", 1).await.len(), 1);
    stage.house.clock.advance(Duration::from_hours(1));
    assert_eq!(stage.try_open(&request).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(entries(&stage.house, "finding.reported", 2).await.len(), 2);
    stage.house.vault.stopping.cancel();
    stage.house.vault.closing.cancel();
    while jobs.join_next().await.is_some() {}
}

#[tokio::test]
async fn the_end_of_a_session_names_its_record_under_the_records_own_key() {
    let stage = Stage::set().await;
    let (id, url) = stage.opened().await;
    assert_eq!(stage.status(Some("analyst"), "DELETE", &url).await, StatusCode::NO_CONTENT);
    assert_eq!(stage.closed(id).await.slot(SlotName::Record), Some(stage.record.as_str()));
    let (id, url) = stage.opened().await;
    stage.house.by_hand("UPDATE records SET wrap = NULL").await;
    assert_eq!(stage.status(Some("analyst"), "DELETE", &url).await, StatusCode::NO_CONTENT);
    assert_eq!(stage.closed(id).await.slot(SlotName::Record), None, "nothing is left to seal it under");
}

#[tokio::test]
async fn a_record_outside_the_grant_is_refused_before_its_key_is_unwrapped() {
    let stage = Stage::set().await;
    let notice = stage.house.ask("auditor", "GET", "/v1/collections/demo/notice", Value::Null).await.1;
    let other = upload(&stage.house, &wav(1_000), notice["sha256"].as_str().unwrap()).await;
    let (request, _) = stage.granted().await;
    // Its wrap is damaged: who unwraps it learns that, and reports damage of a record that nobody may ask for.
    stage.house.by_hand("UPDATE records SET wrap = x'00'").await;
    let path = format!("/v1/access-requests/{request}/sessions");
    let (status, refused) = stage.house.ask("analyst", "POST", &path, json!({"record_id": other})).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::FORBIDDEN, Some("grant_not_covering")));
    assert_eq!(entries(&stage.house, "decision.denied", 1).await.len(), 1);
}

#[tokio::test]
async fn p4_a_refusal_behind_the_guard_is_in_the_log() {
    let stage = Stage::set().await;
    let (status, made) =
        stage.house.ask("administrator", "POST", "/v1/collections", collection("other", "2030-01-01T00:00:00Z")).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    // The right role in the wrong place: an approver of another collection.
    let person = stage.house.enter("Elsewhere", "human").await;
    for role in ["approver", "analyst"] {
        let collection = if role == "approver" { "other" } else { "demo" };
        let body = json!({"person_id": person.to_string(), "role": role, "collection": collection, "reason": "needed"});
        let (status, binding) = stage.house.ask("administrator", "POST", "/v1/role-bindings", body).await;
        assert_eq!(status, StatusCode::CREATED, "{binding}");
        let path = format!("/v1/role-bindings/{}/confirm", binding["id"].as_str().unwrap());
        let (status, binding) = stage.house.ask("administrator-2", "POST", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{binding}");
    }
    let (_, token) = stage.house.issue_confirmed(person).await;
    let (request, grant) = stage.granted().await;
    let before = entries(&stage.house, "decision.denied", 0).await.len();
    assert_eq!(before, 0);
    // What is another's looks like what is not there, though this caller reads requests of their own there.
    let unknown = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    for (real, made_up) in [
        (format!("/v1/access-requests/{request}/approve"), format!("/v1/access-requests/{unknown}/approve")),
        (format!("/v1/access-requests/{request}/deny"), format!("/v1/access-requests/{unknown}/deny")),
    ] {
        let real = stage.house.ask_with(Some(&token), "POST", &real, json!({})).await;
        let made_up = stage.house.ask_with(Some(&token), "POST", &made_up, json!({})).await;
        assert_eq!(real, made_up);
        assert_eq!(real.0, StatusCode::NOT_FOUND);
    }
    let real = stage.house.ask_with(Some(&token), "DELETE", &format!("/v1/grants/{grant}"), Value::Null).await;
    let made_up = stage.house.ask_with(Some(&token), "DELETE", &format!("/v1/grants/{unknown}"), Value::Null).await;
    assert_eq!(real, made_up);
    let rotate = stage
        .house
        .ask_with(Some(stage.house.token("approver")), "POST", "/v1/collections/demo/keys/rotate", json!({}))
        .await;
    assert_eq!(rotate.0, StatusCode::FORBIDDEN);
    let denied = entries(&stage.house, "decision.denied", 3).await;
    let mut seen: Vec<_> = denied
        .iter()
        .map(|one| (one["entry"]["data"]["action"].to_string(), one["entry"]["data"]["denial"].to_string()))
        .collect();
    seen.sort();
    let told = |action: &str, denial: &str| (json!(action).to_string(), json!(denial).to_string());
    assert_eq!(
        seen,
        [told("access.decide", "absent"), told("access.revoke", "absent"), told("key.rotate", "forbidden")]
    );
}

#[tokio::test]
async fn p5_a_session_is_absent_for_everybody_but_its_requester() {
    let stage = Stage::set().await;
    let (_, url) = stage.opened().await;
    let other = stage.house.enter("Second analyst", "human").await;
    let _binding = stage.house.give(other, "analyst").await;
    let (_, token) = stage.house.issue(other).await;
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(stage.status(None, method, &url).await, StatusCode::NOT_FOUND, "{method}");
        for who in ["approver", "auditor", "administrator", "key-officer", "uploader"] {
            assert_eq!(stage.status(Some(who), method, &url).await, StatusCode::NOT_FOUND, "{method} {who}");
        }
        let (status, _) = stage.house.ask_with(Some(&token), method, &url, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}: another analyst");
    }
    assert_eq!(stage.status(Some("analyst"), "GET", &url).await, StatusCode::OK);
    let unknown = format!("/v1/playback/{}", SessionId::new(stage.house.vault.clock.now()));
    assert_eq!(stage.status(Some("analyst"), "GET", &unknown).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn p5_a_token_for_another_collection_neither_plays_nor_ends_a_session() {
    let mut stage = Stage::set().await;
    let other = collection("other", "2030-01-01T00:00:00Z");
    let (status, made) = stage.house.ask("administrator", "POST", "/v1/collections", other).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (_, url) = stage.opened().await;
    let mut tokens = Vec::new();
    for name in ["other", "demo"] {
        let body = json!({"person_id": stage.house.id("analyst").to_string(), "label": name,
            "expires_at": stage.house.vault.clock.now().plus(Duration::from_hours(1)).to_string(),
            "collection": name});
        let (status, issued) = stage.house.ask("administrator", "POST", "/v1/tokens", body).await;
        assert_eq!(status, StatusCode::CREATED, "{issued}");
        let path = format!("/v1/tokens/{}/confirm", issued["token"]["id"].as_str().unwrap());
        let (status, confirmed) = stage.house.ask("administrator-2", "POST", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{confirmed}");
        tokens.push(issued["secret"].as_str().unwrap().to_owned());
    }
    // Warm, and built again from its row.
    for _ in 0..2 {
        for method in ["GET", "HEAD", "DELETE"] {
            let (status, _) = stage.house.ask_with(Some(&tokens[0]), method, &url, Value::Null).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
        }
        stage.house = stage.house.restarted().await;
    }
    for (method, expected) in [("GET", StatusCode::OK), ("DELETE", StatusCode::NO_CONTENT)] {
        let (status, _) = stage.house.ask_with(Some(&tokens[1]), method, &url, Value::Null).await;
        assert_eq!(status, expected, "{method}");
    }
}

#[tokio::test]
async fn p4_while_the_log_cannot_be_written_no_session_opens_and_a_revocation_still_bites() {
    let stage = Stage::set().await;
    let (request, grant) = stage.granted().await;
    let (status, session) = stage.try_open(&request).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let playing = session["playback_url"].as_str().unwrap();
    // A file where the published log's directory belongs.
    let (place, aside) = (stage.house.dir.path().join("objects/log"), stage.house.dir.path().join("aside"));
    std::fs::rename(&place, &aside).unwrap();
    std::fs::write(&place, "").unwrap();
    let (status, refused) = stage.try_open(&request).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("log_unavailable")));
    // The session entered beside the entry that waits gives nothing either.
    let mut reader = stage.house.vault.store.read().await.unwrap();
    let row = sqlx::query_scalar::<_, String>("SELECT id FROM sessions WHERE id <> $1");
    let pending = row.bind(session["session_id"].as_str()).fetch_one(reader.conn()).await.unwrap();
    drop(reader);
    let refused = stage.send(Some("analyst"), "GET", &format!("/v1/playback/{pending}"), None).await;
    assert!(refused.status().is_client_error() || refused.status().is_server_error());
    assert!(!refused.headers().contains_key(header::ETAG));

    let revoked = stage.status(Some("approver"), "DELETE", &format!("/v1/grants/{grant}")).await;
    assert!(revoked.is_success(), "{revoked}");
    assert_eq!(stage.status(Some("analyst"), "GET", playing).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn p6_a_grant_called_revoked_by_hand_opens_nothing_and_is_revoked_all_the_same() {
    let stage = Stage::set().await;
    let (request, grant) = stage.granted().await;
    let (status, session) = stage.try_open(&request).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let playing = session["playback_url"].as_str().unwrap();
    stage.house.by_hand("UPDATE grants SET revoked_at = 1, expires_at = 1").await;
    let (status, refused) = stage.try_open(&request).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::FORBIDDEN, Some("grant_not_in_force")));
    assert_eq!(stage.status(Some("analyst"), "GET", playing).await, StatusCode::OK, "only a row says it is gone");

    let path = format!("/v1/grants/{grant}");
    assert_eq!(stage.status(Some("approver"), "DELETE", &path).await, StatusCode::OK);
    assert_eq!(stage.status(Some("analyst"), "GET", playing).await, StatusCode::FORBIDDEN);
    // And stays so, when the row is undone and what has an end is forgotten.
    stage.house.by_hand("UPDATE grants SET revoked_at = NULL, expires_at = 9999999999999").await;
    let then = stage.house.vault.clock.now().plus(Duration::from_hours(1));
    let mut tx = stage.house.vault.store.begin("prune").await.unwrap();
    assert_eq!(restrictions::prune(&mut tx, then).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(stage.try_open(&request).await.0, StatusCode::FORBIDDEN);
    let (status, again) = stage.house.ask("approver", "DELETE", &path, Value::Null).await;
    assert_eq!((status, again["code"].as_str()), (StatusCode::CONFLICT, Some("request_decided")));
}

#[tokio::test]
async fn p6_damage_of_a_record_or_a_policy_does_not_keep_a_grant_in_force() {
    for damage in [
        "UPDATE records SET wrap = notice_sha256",
        "UPDATE collections SET policy_hash = (SELECT hash FROM tokens LIMIT 1)",
        "UPDATE collections SET policy = '{}'",
        "UPDATE access_requests SET scope = '', rights = '', limits = ''",
    ] {
        let stage = Stage::set().await;
        let (request, grant) = stage.granted().await;
        let (status, session) = stage.try_open(&request).await;
        assert_eq!(status, StatusCode::CREATED, "{session}");
        let playing = session["playback_url"].as_str().unwrap();
        stage.house.by_hand(damage).await;
        let path = format!("/v1/grants/{grant}");
        let (status, answer) =
            stage.house.ask("approver", "DELETE", &path, json!({"reason": "No need any more"})).await;
        assert_eq!(status, StatusCode::OK, "{damage}: {answer}");
        assert_eq!(stage.status(Some("analyst"), "GET", playing).await, StatusCode::FORBIDDEN, "{damage}");
    }
}

#[tokio::test]
async fn consent_counts_as_it_was_sealed() {
    let stage = Stage::set().await;
    let (request, _) = stage.granted().await;
    stage.house.by_hand("UPDATE records SET purposes = '[]', consent_expires_at = 1").await;
    let (status, session) = stage.try_open(&request).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    stage.house.by_hand("UPDATE records SET purposes = '[\"service-improvement\"]', consent = NULL").await;
    let (status, refused) = stage.try_open(&request).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::FORBIDDEN, Some("consent_not_covering")));
    stage.house.by_hand("UPDATE records SET consent = details").await;
    let (status, refused) = stage.try_open(&request).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::INTERNAL_SERVER_ERROR, Some("integrity_failure")));
}

#[tokio::test]
async fn p12_damage_is_found_told_to_the_log_and_costs_one_record() {
    let stage = Stage::set().await;
    let vault = &stage.house.vault;
    let mut jobs = crate::jobs::start(vault);
    let (_, url) = stage.opened().await;
    // Every part of every object loses a bit.
    let mut folders = vec![stage.house.dir.path().join("objects/media")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let mut content = std::fs::read(&entry).unwrap();
                let at = content.len() / 2;
                content[at] ^= 1;
                std::fs::write(entry, content).unwrap();
            }
        }
    }
    let refused = stage.send(Some("analyst"), "GET", &url, Some("bytes=65536-131071")).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(serde_json::from_slice::<Value>(&bytes(refused).await).unwrap()["code"], "integrity_failure");
    let mut found = false;
    for _ in 0..100 {
        let reported = |entry: &Entry<'_>| {
            entry.kind() == Kind::FindingReported
                && entry.data("finding").and_then(|v| v.as_str()) == Some("object-not-authentic")
        };
        let page = vault.ledger().unwrap().page(0, 1, None, reported, |_| false).await.unwrap();
        found = !page.views.is_empty();
        if found {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(found, "no finding in the log");
    vault.stopping.cancel();
    vault.closing.cancel();
    while jobs.join_next().await.is_some() {}
}
