//! For tests: a whole vault in a temporary directory, unsealed, with people, asked over HTTP without a socket.

pub(crate) mod acts;
pub mod oracle;
mod sweep;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use vault_core::access::role::Role;
use vault_core::ids::PersonId;
use vault_core::keys::keyring::{Parameters, Passphrase, Setting};
use vault_core::time::{Clock, Timestamp};
use zeroize::Zeroizing;

use crate::app::callers::TokenText;
use crate::app::error::Failure;
use crate::app::people::{First, enter_first};
use crate::clock::HeldClock;
use crate::config::Config;
use crate::custody::keyring_file::KeyringFile;
use crate::objects::Objects;
use crate::state::Vault;

/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Everybody there is at the beginning, with their one role.
const CAST: [(&str, Role); 10] = [
    ("administrator", Role::Administrator),
    ("administrator-2", Role::Administrator),
    ("analyst", Role::Analyst),
    ("approver", Role::Approver),
    ("approver-2", Role::Approver),
    ("key-officer", Role::KeyOfficer),
    ("key-officer-2", Role::KeyOfficer),
    ("auditor", Role::Auditor),
    ("uploader", Role::Uploader),
    ("processor", Role::Processor),
];

/// A vault and its people.
pub struct House {
    /// Where it lies.
    pub dir: Arc<tempfile::TempDir>,
    /// Its time.
    pub clock: Arc<HeldClock>,
    /// The node.
    pub vault: Arc<Vault>,
    /// What a test put in the place of the directory of objects.
    objects: Option<Objects>,
    app: Router,
    people: BTreeMap<&'static str, (PersonId, String)>,
}

/// The passphrase of the vault's keyring.
pub fn passphrase() -> Arc<Passphrase> {
    Arc::new(Passphrase::new(Zeroizing::new(b"correct horse battery".to_vec())).unwrap())
}

async fn node(
    dir: &tempfile::TempDir,
    clock: &Arc<HeldClock>,
    objects: Option<&Objects>,
    settings: &str,
) -> Arc<Vault> {
    tried(dir, clock, objects, settings).await.unwrap()
}

/// A node, as far as what it lies on lets it be opened.
async fn tried(
    dir: &tempfile::TempDir,
    clock: &Arc<HeldClock>,
    objects: Option<&Objects>,
    settings: &str,
) -> Result<Arc<Vault>, Failure> {
    let text = format!("data_dir = {:?}\nlog_name = \"test.example/log\"\n{settings}", dir.path());
    // An act that waits for a log which a test has blocked gives up soon.
    let soon = ("FEEDBACK_VAULT_LIMITS_LOG_SECONDS".to_owned(), "2".to_owned());
    let database = crate::store::testing::configuration(&dir.path().join("vault.db")).await;
    let text = format!("{text}{database}");
    let config = Config::from_text(&text, std::iter::once(soon)).unwrap();
    let opened = match objects {
        Some(objects) => Vault::over(objects.clone(), config, clock.clone()).await,
        None => Vault::open(config, clock.clone()).await,
    };
    let vault = opened?;
    tokio::spawn(vault.restrictions.clone().poll_until(vault.closing.clone()));
    Ok(vault)
}

impl House {
    /// A vault as `init` would leave it, unsealed.
    pub async fn new() -> Self {
        Self::made(None, "").await
    }

    /// The same over an object store of the test's own.
    pub async fn over(objects: Objects) -> Self {
        Self::made(Some(objects), "").await
    }

    /// The same with further lines of configuration, until it is restarted.
    pub async fn with(settings: &str) -> Self {
        Self::made(None, settings).await
    }

    async fn made(objects: Option<Objects>, settings: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(HeldClock::at(NOW));
        let vault = node(&dir, &clock, objects.as_ref(), settings).await;
        let keyring = vault.config.keyring_path();
        KeyringFile::create(&keyring, NOW, Setting::Production, &passphrase(), Parameters::FLOOR).unwrap();
        assert!(vault.keys.found(passphrase(), "init").await.unwrap());
        vault.unseal(passphrase()).await.unwrap();
        let first: Vec<First> = CAST.iter().map(|(name, role)| one(name, *role)).collect();
        let tokens = CAST.map(|_| TokenText::generate());
        let ids = enter_first(&vault, &first, &tokens).await.unwrap();
        let people = CAST.iter().zip(ids.into_iter().zip(&tokens));
        let people = people.map(|((name, _), (id, token))| (*name, (id, token.show().to_owned())));
        Self { people: people.collect(), app: crate::http::public(&vault), dir, clock, vault, objects }
    }

    /// The same after a restart: nothing is left in memory.
    pub async fn restarted(self) -> Self {
        self.vault.close().await;
        let vault = node(&self.dir, &self.clock, self.objects.as_ref(), "").await;
        vault.unseal(passphrase()).await.unwrap();
        Self { app: crate::http::public(&vault), vault, ..self }
    }

    /// Another process over the same vault, sealed: what is done at the console.
    pub async fn console(&self) -> Arc<Vault> {
        node(&self.dir, &self.clock, self.objects.as_ref(), "").await
    }

    /// The vault is stopped, and stays so.
    pub async fn stop(&self) {
        self.vault.close().await;
    }

    /// The same after a start that may be refused.
    pub async fn started(self) -> Result<Self, Failure> {
        let vault = node(&self.dir, &self.clock, self.objects.as_ref(), "").await;
        if let Err(e) = vault.unseal(passphrase()).await {
            vault.close().await;
            return Err(e);
        }
        Ok(Self { app: crate::http::public(&vault), vault, ..self })
    }

    /// Another node of the same vault.
    pub async fn beside(&self) -> Self {
        let vault = node(&self.dir, &self.clock, self.objects.as_ref(), "").await;
        vault.unseal(passphrase()).await.unwrap();
        let (dir, clock, objects) = (Arc::clone(&self.dir), Arc::clone(&self.clock), self.objects.clone());
        Self { app: crate::http::public(&vault), vault, dir, clock, objects, people: self.people.clone() }
    }

    /// Somebody's token.
    pub fn token(&self, who: &str) -> &str {
        &self.people[who].1
    }

    /// Somebody's identifier.
    pub fn id(&self, who: &str) -> PersonId {
        self.people[who].0
    }

    /// Asks as somebody of the cast.
    pub async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask_with(Some(self.token(who)), method, path, body).await
    }

    /// Asks with a token, or none. A body of `null` sends none.
    pub async fn ask_with(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        let response = self.app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a request as it is: for bodies that are not JSON.
    pub async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Runs one statement on the database behind the vault's back.
    pub async fn by_hand(&self, sql: &'static str) {
        self.vault.store.by_hand(sql).await;
        // What is kept in memory is asked again after a second.
        self.clock.advance(Duration::from_secs(2));
    }

    /// Gives `role` to a person with the help of both administrators.
    pub async fn give(&self, person: PersonId, role: &str) -> Value {
        let body = json!({"person_id": person.to_string(), "role": role, "reason": "needed"});
        let (status, binding) = self.ask("administrator", "POST", "/v1/role-bindings", body).await;
        assert_eq!(status, StatusCode::CREATED, "{binding}");
        if binding["state"] == "active" {
            return binding;
        }
        let path = format!("/v1/role-bindings/{}/confirm", binding["id"].as_str().unwrap());
        let (status, binding) = self.ask("administrator-2", "POST", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{binding}");
        binding
    }

    /// Enters a person or machine.
    pub async fn enter(&self, name: &str, kind: &str) -> PersonId {
        let (status, person) =
            self.ask("administrator", "POST", "/v1/people", json!({"name": name, "kind": kind})).await;
        assert_eq!(status, StatusCode::CREATED, "{person}");
        person["id"].as_str().unwrap().parse().unwrap()
    }

    /// Issues a token for a day and has it confirmed.
    pub async fn issue_confirmed(&self, person: PersonId) -> (String, String) {
        let (id, secret) = self.issue(person).await;
        let path = format!("/v1/tokens/{id}/confirm");
        let (status, token) = self.ask("administrator-2", "POST", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{token}");
        (id, secret)
    }

    /// Issues a token for a day: one administrator's act.
    pub async fn issue(&self, person: PersonId) -> (String, String) {
        let ends = self.clock.now().plus(Duration::from_hours(24)).to_string();
        let body = json!({"person_id": person.to_string(), "label": "test", "expires_at": ends});
        let (status, issued) = self.ask("administrator", "POST", "/v1/tokens", body).await;
        assert_eq!(status, StatusCode::CREATED, "{issued}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&issued["token"]["id"]), text(&issued["secret"]))
    }
}

fn one(name: &str, role: Role) -> First {
    First {
        name: name.to_owned(),
        kind: role.held_by(),
        roles: vec![role],
        token_ends: NOW.plus(Duration::from_hours(24 * 30)),
    }
}

/// A collection that may open: very high tier, every countermeasure, a DPIA that ends with `dpia_until`.
pub fn collection(name: &str, dpia_until: &str) -> Value {
    let practices = [
        "permission-mechanism",
        "privacy-communication",
        "withdrawal",
        "insight-explanation",
        "recipients",
        "subject-requests",
        "dpia",
        "encryption-policy",
        "access-procedure",
    ];
    let countermeasures = practices.map(|practice| {
        let mut stated = json!({"practice": practice, "statement": "As the handbook says"});
        if practice == "dpia" {
            stated["document_sha256"] = "ab".repeat(32).into();
            stated["approved_by"] = "Privacy office".into();
            stated["approved_at"] = "2026-01-01T00:00:00Z".into();
            stated["valid_until"] = dpia_until.into();
        }
        stated
    });
    json!({
        "name": name, "title": "Service calls", "tier": "very-high", "controller": "Example Ltd, privacy@example.com",
        "notice": {"language": "en", "text": "We record this to improve our service.\n"},
        "purposes": [{"name": "service-improvement", "basis": "consent"}],
        "retention_days": 30, "subject": "optional",
        "access": {"second_person": true, "case_number": false, "rights": ["view"], "session_seconds": 900,
            "grant_days": 7},
        "countermeasures": countermeasures,
    })
}

/// An open collection that recordings are sent to.
pub struct Recordings {
    notice: String,
}

impl Recordings {
    /// The collection `demo`, made and opened.
    pub async fn open(house: &House) -> Self {
        let policy = collection("demo", "2030-01-01T00:00:00Z");
        let (status, made) = house.ask("administrator", "POST", "/v1/collections", policy).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let (status, opened) = house.ask("administrator", "POST", "/v1/collections/demo/open", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{opened}");
        Self { notice: made["notice_sha256"].as_str().unwrap().to_owned() }
    }

    /// Begins an upload as the uploader; the answer's body, or its `location`.
    pub async fn begin(&self, house: &House, length: Option<usize>) -> (StatusCode, Value) {
        let consent = json!({"notice_sha256": self.notice, "purposes": ["service-improvement"],
            "given_at": house.clock.now().to_string()});
        let metadata = [("filetype", "audio/wav".to_owned()), ("consent", consent.to_string())];
        let metadata = metadata.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).join(",");
        let request = Request::post("/v1/collections/demo/uploads")
            .header("Tus-Resumable", "1.0.0")
            .header(header::AUTHORIZATION, format!("Bearer {}", house.token("uploader")))
            .header("Upload-Metadata", metadata);
        let request = match length {
            Some(length) => request.header("Upload-Length", length),
            None => request.header("Upload-Defer-Length", 1),
        };
        let response = house.send(request.body(Body::empty()).unwrap()).await;
        if let Some(location) = response.headers().get(header::LOCATION) {
            return (response.status(), json!({"location": location.to_str().unwrap()}));
        }
        told(response).await
    }

    /// Sends bytes to an upload.
    pub async fn send(&self, house: &House, location: &str, offset: usize, bytes: Vec<u8>) -> (StatusCode, Value) {
        let request = Request::patch(location)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", offset)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream");
        told(house.send(request.body(Body::from(bytes)).unwrap()).await).await
    }
}

/// Status and JSON body of an answer.
async fn told(response: axum::response::Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
