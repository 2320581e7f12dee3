//! What lies around every route: security headers, the request counter, a span without secrets, a limit on bodies.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::Instrument;
use vault_api::code::Code;

use crate::state::Vault;

/// JSON bodies are small; streaming routes read their body themselves and are not bound by this.
const JSON_BYTES: usize = 256 * 1024;

/// Headers that every answer has unless its route set its own.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) fn around(router: Router, vault: &Arc<Vault>) -> Router {
    router.layer(DefaultBodyLimit::max(JSON_BYTES)).layer(from_fn_with_state(Arc::clone(vault), observe))
}

async fn observe(State(vault): State<Arc<Vault>>, request: Request, next: Next) -> Response {
    let (method, version) = (request.method().clone(), request.version());
    // The pattern, never the address: addresses of uploads carry a secret.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", %method, route, status = tracing::field::Empty);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("status", status);
    vault.metrics.request(&method, &route, status);
    if let Some(code) = response.extensions().get::<Code>() {
        vault.metrics.refusal(code.as_str());
    }
    span.in_scope(|| tracing::debug!(status, micros = started.elapsed().as_micros(), "answered"));
    dress(response.headers_mut());
    // Whoever keeps connections open is to use another node from now on. HTTP/2 has GOAWAY for that, and no such header.
    if version < Version::HTTP_2 && (vault.leaving.is_cancelled() || vault.stopping.is_cancelled()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if vault.config.tls.is_some() {
        response
            .headers_mut()
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static("max-age=63072000"));
    }
    response
}

fn dress(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
