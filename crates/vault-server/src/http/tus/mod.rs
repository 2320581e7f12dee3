//! tus 1.0: creation, HEAD, PATCH, DELETE (tus.io/protocols/resumable-upload), with the extensions that
//! `Tus-Extension` lists.
//!
//! Two deviations, both on purpose: HEAD echoes `filetype` of `Upload-Metadata` and nothing else, since the rest is
//! personal; and a whole recording that is refused answers 4xx on the request that completed it, with 410 from then
//! on, because clients take a 5xx there for success (tus-js-client, issue 557).

mod headers;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::Instrument as _;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::names::{TUS_CONTENT_TYPE, TUS_EXTENSIONS, TUS_VERSION, VAULT_RECORD_ID};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use vault_core::time::Timestamp;
use zeroize::Zeroizing;

use super::auth::SignedIn;
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::upload::checksum::ALGORITHMS;
use crate::app::upload::create::{Claims, Details};
use crate::app::upload::receive::{Incoming, Received};
use crate::app::upload::{UploadSecret, create, receive, terminate};
use crate::state::Vault;
use headers::Metadata;

const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const TUS_VERSIONS: HeaderName = HeaderName::from_static("tus-version");

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::UploadCreate), routes!(begin))
        .add(Access::Public, routes!(describe_creation))
        .add(Access::Capability, routes!(stand, proceed, stop))
        .add(Access::Public, routes!(describe_upload))
}

/// Begins an upload into a collection (tus creation, creation-with-upload, creation-defer-length).
///
/// `Upload-Metadata` holds `filetype`, `consent` (JSON), and optionally `filename`, `subject`, `external_id`,
/// `recorded_at`, `language`, `tags`. The answer's `Location` is an absolute path that carries a secret: whoever has
/// it may continue the upload, so do not log it.
#[utoipa::path(post, path = "/v1/collections/{collection}/uploads", operation_id = "create_upload", tag = "uploads", security(("bearer" = [])),
    params(
        ("collection" = String, Path, description = "The collection's name"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Length" = Option<u64>, Header, description = "Bytes of the recording"),
        ("Upload-Defer-Length" = Option<u8>, Header, description = "`1` when the length is told later"),
        ("Upload-Metadata" = String, Header, description = "Keys with base64 values"),
    ),
    request_body(content_type = "application/offset+octet-stream", description = "Optional first bytes"),
    responses(
        (status = 201, description = "Created", headers(
            ("Location" = String, description = "Where to send the bytes: a secret"),
            ("Upload-Expires" = String, description = "When it ends if nothing comes"),
            ("Upload-Offset" = u64, description = "Bytes taken in"))),
        (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn begin(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Path(collection): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = async {
        headers::version(&headers)?;
        let length = headers::declared_length(&headers)?;
        let mut metadata = Metadata::read(&headers)?;
        let collection = collection.parse().map_err(|_| Failure::from(Code::NotFound))?;
        let claims = Claims {
            length,
            filetype: metadata.take("filetype"),
            consent: metadata.take("consent").map(Zeroizing::new),
            details: Details {
                filename: metadata.take("filename"),
                subject: metadata.take("subject"),
                external_id: metadata.take("external_id"),
                recorded_at: metadata.take("recorded_at"),
                language: metadata.take("language"),
                tags: metadata.take("tags"),
            },
        };
        let with_upload = content_type(&headers) == Some(TUS_CONTENT_TYPE);
        let body_length = content_length(&headers);
        if !with_upload && body_length.is_some_and(|n| n > 0) {
            return Err(Code::UploadContentType.into());
        }
        let checksum = headers::checksum(&headers)?;
        let created = create::create(&vault, &caller, &collection, claims).await?;
        let path = Zeroizing::new(format!("/v1/uploads/{}", created.secret.reveal().as_str()));
        let mut response = tus(StatusCode::CREATED);
        let mut location = HeaderValue::from_str(&path).map_err(|e| Failure::new(Code::Internal).because(e))?;
        location.set_sensitive(true);
        response.headers_mut().insert(header::LOCATION, location);
        if !with_upload {
            expires(&mut response, created.expires_at);
            return Ok(response);
        }
        let incoming = Incoming { offset: 0, length: None, body_length, checksum };
        let secret = Arc::new(created.secret);
        match take_in(&vault, &secret, incoming, body).await {
            Ok(received) => advance(&mut response, &received),
            Err(failure) if over(&failure) => return Err(failure),
            Err(failure) if failure.code().status() < 500 && !recoverable(&failure) => {
                // The bytes were wrong, the upload exists: the client is told both.
                let location = response.headers_mut().remove(header::LOCATION);
                response = failure.into_response();
                if let Some(location) = location {
                    response.headers_mut().insert(header::LOCATION, location);
                }
            }
            // The upload stands where it stands: the client goes on from there.
            Err(_) => match receive::status(&vault, &secret).await {
                Ok(status) => {
                    response.headers_mut().insert(headers::UPLOAD_OFFSET, HeaderValue::from(status.offset));
                    expires(&mut response, status.expires_at);
                }
                Err(_) => expires(&mut response, created.expires_at),
            },
        }
        Ok::<_, Failure>(response)
    };
    finish(outcome.await)
}

/// Says what this server speaks.
#[utoipa::path(options, path = "/v1/collections/{collection}/uploads", tag = "uploads",
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm")))]
async fn describe_creation(State(vault): State<Arc<Vault>>) -> Response {
    finish(Ok(describe(&vault)))
}

/// Says what this server speaks.
#[utoipa::path(options, path = "/v1/uploads/{upload}", tag = "uploads",
    params(("upload" = String, Path, description = "The secret of the upload's address")),
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm")))]
async fn describe_upload(State(vault): State<Arc<Vault>>) -> Response {
    finish(Ok(describe(&vault)))
}

fn describe(vault: &Vault) -> Response {
    let mut response = tus(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(TUS_VERSIONS, HeaderValue::from_static(TUS_VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(TUS_EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, HeaderValue::from(vault.config.limits.upload_bytes));
    headers.insert(TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS));
    // For browsers: which requests a page of another origin may send. Addresses are capabilities and tokens are sent
    // by hand, never by cookie, so any origin may ask.
    let methods = [Method::POST, Method::HEAD, Method::PATCH, Method::DELETE, Method::OPTIONS].map(|m| m.to_string());
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Defer-Length, Upload-Metadata, \
             Upload-Offset, Upload-Checksum, X-Requested-With, X-Request-ID",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// Where an upload stands.
#[utoipa::path(head, path = "/v1/uploads/{upload}", operation_id = "head_upload", tag = "uploads",
    params(("upload" = String, Path, description = "The secret of the upload's address"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses(
        (status = 200, description = "Open or complete", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"),
            ("Upload-Length" = u64, description = "Bytes of the recording, unless deferred"),
            ("Upload-Expires" = String, description = "When it ends if nothing comes"),
            ("Vault-Record-Id" = String, description = "The record it became, once complete"))),
        (status = 404, description = "Unknown"), (status = 410, description = "Expired or refused")))]
async fn stand(State(vault): State<Arc<Vault>>, Path(secret): Path<String>, headers: HeaderMap) -> Response {
    let outcome = async {
        headers::version(&headers)?;
        let status = receive::status(&vault, &read_secret(secret)?).await?;
        let mut response = tus(StatusCode::OK);
        let to = response.headers_mut();
        to.insert(headers::UPLOAD_OFFSET, HeaderValue::from(status.offset));
        match status.length {
            Some(length) => to.insert(headers::UPLOAD_LENGTH, HeaderValue::from(length)),
            None => to.insert(headers::UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
        };
        let metadata = format!("filetype {}", STANDARD.encode(&status.filetype));
        if let Ok(metadata) = HeaderValue::from_str(&metadata) {
            to.insert(headers::UPLOAD_METADATA, metadata);
        }
        match status.record {
            Some(record) => record_id(&mut response, record),
            None => expires(&mut response, status.expires_at),
        }
        Ok::<_, Failure>(response)
    };
    finish(outcome.await)
}

/// Sends the next bytes.
#[utoipa::path(patch, path = "/v1/uploads/{upload}", operation_id = "patch_upload", tag = "uploads",
    params(("upload" = String, Path, description = "The secret of the upload's address"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Offset" = u64, Header, description = "Where the bytes belong: what HEAD said"),
        ("Upload-Length" = Option<u64>, Header, description = "The length, if it was deferred"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256`, and the sum in base64")),
    request_body(content_type = "application/offset+octet-stream", description = "The bytes"),
    responses(
        (status = 204, description = "Durable", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"),
            ("Upload-Expires" = String, description = "When it ends if nothing more comes"),
            ("Vault-Record-Id" = String, description = "The record it became, on the request that completes it"))),
        (status = "4XX", body = Problem), (status = 460, body = Problem, description = "Checksum mismatch"),
        (status = 503, body = Problem)))]
async fn proceed(
    State(vault): State<Arc<Vault>>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = async {
        headers::version(&headers)?;
        let secret = read_secret(secret)?;
        if content_type(&headers) != Some(TUS_CONTENT_TYPE) {
            return Err(Code::UploadContentType.into());
        }
        let incoming = Incoming {
            offset: headers::offset(&headers)?,
            length: headers::late_length(&headers)?,
            body_length: content_length(&headers),
            checksum: headers::checksum(&headers)?,
        };
        let received = take_in(&vault, &Arc::new(secret), incoming, body).await?;
        let mut response = tus(StatusCode::NO_CONTENT);
        advance(&mut response, &received);
        Ok::<_, Failure>(response)
    };
    finish(outcome.await)
}

/// Ends an unfinished upload; its bytes cannot be read from then on.
#[utoipa::path(delete, path = "/v1/uploads/{upload}", operation_id = "terminate_upload", tag = "uploads",
    params(("upload" = String, Path, description = "The secret of the upload's address"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 204, description = "Ended"), (status = "4XX", body = Problem)))]
async fn stop(State(vault): State<Arc<Vault>>, Path(secret): Path<String>, headers: HeaderMap) -> Response {
    let outcome = async {
        headers::version(&headers)?;
        terminate(&vault, &read_secret(secret)?).await?;
        Ok::<_, Failure>(tus(StatusCode::NO_CONTENT))
    };
    finish(outcome.await)
}

/// Takes in a body on a task of its own: when the connection breaks, HTTP/2 drops the handler where it stands, and what
/// has arrived is to be committed all the same.
async fn take_in(
    vault: &Arc<Vault>,
    secret: &Arc<UploadSecret>,
    incoming: Incoming,
    body: Body,
) -> Result<Received, Failure> {
    let (vault, secret) = (Arc::clone(vault), Arc::clone(secret));
    let span = tracing::Span::current();
    let task = async move { receive::receive(&vault, &secret, incoming, body.into_data_stream()).await };
    #[cfg(test)]
    let task = crate::store::faults::along(task);
    tokio::spawn(task.instrument(span)).await.unwrap_or_else(|e| Err(Failure::new(Code::Internal).because(e)))
}

/// Whether the same bytes may be sent again.
fn recoverable(failure: &Failure) -> bool {
    matches!(
        failure.code(),
        Code::UploadInterrupted | Code::NodeStopping | Code::UploadBusy | Code::UploadOffsetConflict
    )
}

/// An address that is no secret is an unknown upload.
fn read_secret(text: String) -> Result<UploadSecret, Failure> {
    UploadSecret::parse(&Zeroizing::new(text)).map_err(|_| Code::UploadNotFound.into())
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::trim)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a failure ended the upload, so that its address is of no use to the client.
fn over(failure: &Failure) -> bool {
    matches!(failure.code(), Code::ContentMismatch | Code::ContentRefused)
}

fn tus(status: StatusCode) -> Response {
    status.into_response()
}

fn advance(response: &mut Response, received: &Received) {
    response.headers_mut().insert(headers::UPLOAD_OFFSET, HeaderValue::from(received.offset));
    match received.record {
        Some(record) => record_id(response, record),
        None => expires(response, received.expires_at),
    }
}

fn record_id(response: &mut Response, record: vault_core::ids::RecordId) {
    if let Ok(value) = HeaderValue::from_str(&record.to_string()) {
        response.headers_mut().insert(HeaderName::from_static(VAULT_RECORD_ID), value);
    }
}

/// `Upload-Expires` is an HTTP date (RFC 9110 §5.6.7).
fn expires(response: &mut Response, at: Timestamp) {
    let since = core::time::Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0));
    let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since);
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(headers::UPLOAD_EXPIRES, value);
    }
}

/// What every answer of these routes carries, failures too.
fn finish(outcome: Result<Response, Failure>) -> Response {
    let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
    let unknown_version = response.status() == StatusCode::PRECONDITION_FAILED;
    let to = response.headers_mut();
    if unknown_version {
        // The specification asks for it: which version would have been understood.
        to.insert(TUS_VERSIONS, HeaderValue::from_static(TUS_VERSION));
    }
    to.insert(headers::TUS_RESUMABLE, HeaderValue::from_static(TUS_VERSION));
    to.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    to.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Location, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Expires, Upload-Metadata, \
             Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Vault-Record-Id",
        ),
    );
    to.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    response
}
