//! A vault over an object store in memory, with recordings that were asked for, approved and played.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use vault_core::ids::RecordId;

use crate::jobs::collector::Collector;
use crate::objects::DEADLINE;
use crate::objects::faulty::Faulty;
use crate::testing::{House, Recordings, oracle};

pub(in crate::app) struct Stage {
    pub house: House,
    pub objects: Arc<Faulty>,
    recordings: Recordings,
}

/// µ-law WAV of a few segments.
pub(in crate::app) fn recording() -> Vec<u8> {
    let data = 150_000;
    let mut wav = b"RIFF".to_vec();
    wav.extend(u32::try_from(36 + data).unwrap().to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(u32::try_from(data).unwrap().to_le_bytes());
    wav.extend((0..data).map(|i: usize| (i ^ (i >> 8)) as u8));
    wav
}

impl Stage {
    pub(in crate::app) async fn set() -> Self {
        let objects = Arc::new(Faulty::default());
        let house = House::over(objects.objects()).await;
        let recordings = Recordings::open(&house).await;
        Self { house, objects, recordings }
    }

    /// The same after a restart.
    pub(in crate::app) async fn restarted(self) -> Self {
        Self { house: self.house.restarted().await, ..self }
    }

    /// A record; its upload came in two pieces.
    pub(in crate::app) async fn record(&self) -> RecordId {
        let whole = recording();
        let (status, begun) = self.recordings.begin(&self.house, Some(whole.len())).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        let location = begun["location"].as_str().unwrap();
        for (from, to) in [(0, 70_000), (70_000, whole.len())] {
            let (status, said) = self.recordings.send(&self.house, location, from, whole[from..to].to_vec()).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
        }
        let head = Request::head(location).header("Tus-Resumable", "1.0.0").body(Body::empty()).unwrap();
        let head = self.house.send(head).await;
        head.headers()["vault-record-id"].to_str().unwrap().parse().unwrap()
    }

    /// A request for the record, approved; its address.
    pub(in crate::app) async fn approved(&self, record: RecordId) -> String {
        let body = json!({"record_id": record.to_string(), "purpose": "service-improvement", "reason": "Hear it"});
        let (status, filed) = self.house.ask("analyst", "POST", "/v1/access-requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{filed}");
        let path = format!("/v1/access-requests/{}", filed["id"].as_str().unwrap());
        let said = json!({"comment": "Within the procedure"});
        let (status, approved) = self.house.ask("approver", "POST", &format!("{path}/approve"), said).await;
        assert_eq!(status, StatusCode::OK, "{approved}");
        path
    }

    /// An open session's address.
    pub(in crate::app) async fn session(&self, request: &str) -> String {
        let asked = json!({"representation": "playable"});
        let (status, opened) = self.house.ask("analyst", "POST", &format!("{request}/sessions"), asked).await;
        assert_eq!(status, StatusCode::CREATED, "{opened}");
        opened["playback_url"].as_str().unwrap().to_owned()
    }

    /// Status of playing it, and whether all of it came.
    pub(in crate::app) async fn play(&self, url: &str) -> (StatusCode, bool) {
        let token = format!("Bearer {}", self.house.token("analyst"));
        let request = Request::get(url).header(header::AUTHORIZATION, token).body(Body::empty()).unwrap();
        let response = self.house.send(request).await;
        let status = response.status();
        let whole = response.into_body().collect().await.is_ok_and(|body| body.to_bytes() == recording());
        (status, whole)
    }

    pub(in crate::app) async fn erase(&self, who: &str, record: RecordId) -> (StatusCode, Value) {
        let why = json!({"reason": "The respondent asked for it"});
        self.house.ask(who, "DELETE", &format!("/v1/records/{record}"), why).await
    }

    pub(in crate::app) async fn erasure(&self, record: RecordId) -> Value {
        let path = format!("/v1/records/{record}/erasure");
        let (status, erasure) = self.house.ask("auditor", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{erasure}");
        erasure
    }

    /// Entries of a type in the published log, with what is told of their openings.
    pub(in crate::app) async fn logged(&self, kind: &str) -> Vec<Value> {
        let path = format!("/v1/audit/entries?type={kind}&limit=500");
        let (status, page) = self.house.ask("auditor", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["items"].as_array().unwrap().clone()
    }

    /// How often each status is told of slots, in the entries that are about records.
    pub(in crate::app) async fn told(&self, status: &str) -> usize {
        let (_, page) = self.house.ask("auditor", "GET", "/v1/audit/entries?limit=500", Value::Null).await;
        let items = page["items"].as_array().unwrap();
        items.iter().flat_map(|item| item["openings"].as_array().unwrap()).filter(|o| o["status"] == status).count()
    }

    /// Waits until something is so that other tasks bring about.
    pub(in crate::app) async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        for _ in 0..500 {
            if is().await {
                return;
            }
            tokio::time::sleep(core::time::Duration::from_millis(20)).await;
        }
        panic!("{what}");
    }

    /// The collector's rounds that delete the media and find it absent.
    pub(in crate::app) async fn collect(&self) {
        for _ in 0..2 {
            Collector::of(&self.house.vault).round().await.unwrap();
            self.house.clock.advance(DEADLINE * 2);
        }
    }

    /// The verifier finds nothing wrong with the log.
    pub(in crate::app) async fn sound(&self) {
        let _ = oracle::sound(&self.house.vault, &[]).await;
    }
}
