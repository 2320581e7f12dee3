//! The HTTP client: one address, one token, answers as types or problems.
//!
//! It follows no redirect (the token would follow it), and sends a token over plain HTTP only to
//! this machine unless told otherwise.

mod address;
mod answer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use vault_api::page::Page;
use zeroize::Zeroizing;

pub use address::{normalise, segment};
pub use answer::{connection, header, problem_of};

use crate::error::Failure;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long to wait for the head of an answer once the request is sent. The server gives up on its
/// log well before.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a connection may carry nothing, either way.
const IDLE: Duration = Duration::from_secs(60);

/// Calls the vault.
pub struct Client {
    agent: Agent,
    base: String,
    bearer: Option<Zeroizing<String>>,
}

impl Client {
    /// A client of the vault at `base`, as [`normalise`] gave it.
    pub fn new(base: String, token: Option<&str>, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let roots = match ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => read_roots(path)?,
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(roots)
            .build();
        let agent = Agent::new_with_config(
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .tls_config(tls)
                .user_agent(concat!("vault-cli/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT))
                .timeout_recv_response(Some(ANSWER))
                .timeout_per_read(Some(IDLE))
                .timeout_per_write(Some(IDLE))
                .build(),
        );
        let bearer = token.map(|token| Zeroizing::new(format!("Bearer {token}")));
        Ok(Self { agent, base, bearer })
    }

    /// The agent, for requests with a shape of their own (tus, Range).
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The full address of an absolute path on the vault. Anything else is refused: a server must not
    /// be able to send this client, and its token, elsewhere.
    pub fn address(&self, path: &str) -> Result<String, Failure> {
        if path.starts_with('/') && !path.starts_with("//") {
            Ok(format!("{}{path}", self.base))
        } else {
            Err(Failure::Protocol("the server named an address that is not a path of its own".to_owned()))
        }
    }

    /// The value of the Authorization header.
    pub fn bearer(&self) -> Result<&str, Failure> {
        self.bearer.as_ref().map(|bearer| bearer.as_str()).ok_or_else(|| Failure::Token("no token given".to_owned()))
    }

    /// `GET path?query`.
    pub fn get<R: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<R, Failure> {
        let request = self.agent.get(self.address(path)?).header("Authorization", self.bearer()?);
        answer::json(request.query_pairs(pairs(query)).call())
    }

    /// `GET path` without a token, for what is public.
    pub fn get_public<R: DeserializeOwned>(&self, path: &str) -> Result<R, Failure> {
        answer::json(self.agent.get(self.address(path)?).call())
    }

    /// `GET path`, the body as bytes, at most `limit` of them; 404 as `None`.
    pub fn get_bytes(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.agent.get(self.address(path)?).header("Authorization", self.bearer()?).call();
        let mut response = answer.map_err(|error| connection(&error))?;
        match response.status().as_u16() {
            200 => response
                .body_mut()
                .with_config()
                .limit(limit)
                .read_to_vec()
                .map(Some)
                .map_err(|error| connection(&error)),
            404 => Ok(None),
            _ => Err(problem_of(&mut response)),
        }
    }

    /// `POST path` with a JSON body.
    pub fn post<R: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<R, Failure> {
        answer::json(self.agent.post(self.address(path)?).header("Authorization", self.bearer()?).send_json(body))
    }

    /// `DELETE path` with a JSON body.
    pub fn delete_with<R: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<R, Failure> {
        let request = self.agent.delete(self.address(path)?).header("Authorization", self.bearer()?);
        answer::json(request.force_send_body().send_json(body))
    }

    /// `DELETE path` that answers nothing.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        let request = self.agent.delete(self.address(path)?).header("Authorization", self.bearer()?);
        let mut response = request.call().map_err(|error| connection(&error))?;
        if response.status().is_success() { Ok(()) } else { Err(problem_of(&mut response)) }
    }

    /// `HEAD path`.
    pub fn head(&self, path: &str) -> Result<Response<Body>, Failure> {
        let request = self.agent.head(self.address(path)?).header("Authorization", self.bearer()?);
        request.call().map_err(|error| connection(&error))
    }

    /// Follows a list page by page until it ends or `most` items are there. What is left unread shows
    /// as `next_cursor`.
    pub fn list<R: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
        most: usize,
    ) -> Result<Page<R>, Failure> {
        let mut filters = pairs(query);
        filters.retain(|(name, _)| name != "cursor" && name != "limit");
        let mut all = Page { items: Vec::new(), next_cursor: None };
        loop {
            let wanted =
                (most - all.items.len()).min(usize::try_from(vault_api::page::MAX_LIMIT).unwrap_or(usize::MAX));
            let mut query = filters.clone();
            query.push(("limit".to_owned(), wanted.to_string()));
            query.extend(all.next_cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let request = self.agent.get(self.address(path)?).header("Authorization", self.bearer()?);
            let page: Page<R> = answer::json(request.query_pairs(query).call())?;
            all.items.extend(page.items);
            all.next_cursor = page.next_cursor;
            if all.next_cursor.is_none() || all.items.len() >= most {
                return Ok(all);
            }
        }
    }
}

/// The members of a query type as name and value; absent ones left out.
fn pairs(query: &impl Serialize) -> Vec<(String, String)> {
    match serde_json::to_value(query) {
        Ok(Value::Object(members)) => members
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::Null => None,
                Value::String(text) => Some((name, text)),
                other => Some((name, other.to_string())),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn read_roots(path: &Path) -> Result<RootCerts, Failure> {
    let pem = std::fs::read(path).map_err(Failure::file(path))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Failure::Usage(format!("{}: {error}", path.display()))),
        }
    }
    if certificates.is_empty() {
        return Err(Failure::Usage(format!("{} holds no certificate", path.display())));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_send_the_token_elsewhere() {
        let client = Client::new("http://127.0.0.1:1".to_owned(), None, None).unwrap();
        assert_eq!(client.address("/v1/records").unwrap(), "http://127.0.0.1:1/v1/records");
        for elsewhere in ["//evil.example/x", "http://evil.example/", "@evil.example/", ""] {
            assert!(client.address(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_query_names_what_is_set() {
        let query = vault_api::records::RecordQuery {
            collection: Some("a b".into()),
            limit: Some(3),
            kind: Some(vault_api::records::MediaKind::Audio),
            ..Default::default()
        };
        let mut pairs = pairs(&query);
        pairs.sort();
        let expected = [("collection", "a b"), ("kind", "audio"), ("limit", "3")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
