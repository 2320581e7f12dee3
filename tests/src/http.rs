//! HTTP as a person, or as nobody.

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request};

use crate::nodes::Turns;

/// The largest answer a suite expects: a recording of a few megabytes.
const MAX_BODY: u64 = 64 << 20;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    /// The body as one of the interface's types.
    #[must_use]
    #[track_caller]
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not what was expected ({error}): {self}"))
    }

    /// A member of the body that is text.
    #[must_use]
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no text `{member}`: {self}")).to_owned()
    }

    /// The `code` of a problem document; empty when there is none.
    #[must_use]
    pub fn code(&self) -> String {
        let problem: Option<Value> = serde_json::from_slice(&self.body).ok();
        problem.and_then(|p| p["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Panics unless the status is this one.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Panics unless it is this refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self}");
    }
}

impl core::fmt::Display for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let shown = &self.body[..self.body.len().min(600)];
        write!(f, "status {}, {} bytes: {}", self.status, self.body.len(), String::from_utf8_lossy(shown))
    }
}

thread_local! {
    static ANSWERED: Cell<u64> = const { Cell::new(0) };
}

/// How many answers this thread has had: a suite that records what a server does finds its place by that.
#[must_use]
pub fn answered() -> u64 {
    ANSWERED.get()
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection was refused: nothing of the request was taken.
    Refused,
    /// It ended before the answer was whole. What became of the request nobody knows.
    Cut(String),
}

/// Somebody who calls: the address of each node, and a token if they have one.
#[derive(Clone)]
pub struct Caller {
    agent: ureq::Agent,
    bases: Vec<String>,
    turns: Arc<Turns>,
    token: Option<String>,
}

impl Caller {
    /// A caller of `base` (no trailing slash).
    #[must_use]
    pub fn new(base: &str, token: Option<&str>) -> Self {
        Self::by_turns(vec![base.to_owned()], Arc::default(), token)
    }

    /// A caller who asks one node after the other.
    #[must_use]
    pub fn by_turns(bases: Vec<String>, turns: Arc<Turns>, token: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { agent: config.into(), bases, turns, token: token.map(str::to_owned) }
    }

    /// The same person as a caller of each node alone.
    #[must_use]
    pub fn each(&self) -> Vec<Self> {
        self.bases.iter().map(|base| Self { bases: vec![base.clone()], ..self.clone() }).collect()
    }

    /// The address that is called; that of the first node, if by turns.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.bases[0]
    }

    /// The token, for suites that search for it or spoil it.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// One request; `None` when no answer came (the server is gone).
    pub fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        self.send_once(method, path, headers, body).ok()
    }

    /// One request, sent once, and why there is no answer.
    pub fn send_once(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Lost> {
        let base = &self.bases[self.turns.next(method, self.bases.len())];
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = if body.is_empty() && ["GET", "HEAD", "DELETE", "OPTIONS"].contains(&method) {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            let allowed =
                self.agent.configure_request(request.body(body).expect("a request")).allow_non_standard_methods(true);
            self.agent.run(allowed.build())
        };
        let lost = |error: ureq::Error| match error {
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => Lost::Refused,
            other => Lost::Cut(other.to_string()),
        };
        let (parts, mut body) = answer.map_err(lost)?.into_parts();
        ANSWERED.set(ANSWERED.get() + 1);
        let body = body.with_config().limit(MAX_BODY).read_to_vec().map_err(lost)?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// One request that is answered.
    #[must_use]
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// `GET`.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    /// `POST` of JSON.
    #[must_use]
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// `DELETE`.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], &[])
    }
}
