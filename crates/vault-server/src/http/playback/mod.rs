//! Playback: opening a session, reading its media, ending it.

pub mod media;

use std::sync::Arc;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::routes;
use vault_api::playback::{NewSession, Representation, Session};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::{RequestId, SessionId};

use super::auth::SignedIn;
use super::problem::{MaybeBody, Named};
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::play;
use crate::app::play::live::Live;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::PlaybackOpen), routes!(open))
        .add(Access::Hidden(Action::PlaybackRead), routes!(read, head, end))
}

/// Redeems an approved request: opens a playback session of one record.
///
/// `playback.opened` is in the audit log before this is answered. This version makes no derivatives: whatever is asked
/// for, the original is served, and `representation` says so. Asking for `original` takes the right `export`.
#[utoipa::path(post, path = "/v1/access-requests/{id}/sessions", operation_id = "open_session", tag = "playback", security(("bearer" = [])),
    params(("id" = String, Path, format = "uuid", description = "The access request")),
    request_body = inline(Option<NewSession>),
    responses((status = 201, body = Session), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "No grant in force, or it does not cover this; or the consent"),
        (status = 404, body = Problem, description = "No such request of the caller's"), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 500, body = Problem), (status = 503, body = Problem)))]
async fn open(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(request): Named<RequestId>,
    MaybeBody(asked): MaybeBody<NewSession>,
) -> Result<Response<Bytes>, Failure> {
    let session = shown(&*play::open(&vault, &caller, request, &asked).await?);
    let location = HeaderValue::from_str(&session.playback_url).ok();
    let mut response = (StatusCode::CREATED, Json(session)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn shown(live: &Live) -> Session {
    let row = live.row();
    Session {
        session_id: row.id.to_string(),
        playback_url: format!("/v1/playback/{}", row.id),
        representation: if row.representation == "playable" {
            Representation::Playable
        } else {
            Representation::Original
        },
        expires_at: row.expires_at.to_string(),
    }
}

/// The media of a session, with ranges as in RFC 9110 §14. Without the requester's token there is no such thing.
#[utoipa::path(get, path = "/v1/playback/{session_id}", operation_id = "read_playback", tag = "playback", security(("bearer" = [])),
    params(("session_id" = String, Path, format = "uuid"),
        ("Range" = Option<String>, Header), ("If-Range" = Option<String>, Header)),
    responses((status = 200, description = "The recording", content_type = "application/octet-stream"),
        (status = 206, description = "The ranges asked for; several as multipart/byteranges",
            content_type = "application/octet-stream"),
        (status = 304, description = "If-None-Match names what is served"),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 410, body = Problem, description = "The session has ended"),
        (status = 412, body = Problem), (status = 416, body = Problem), (status = 500, body = Problem),
        (status = 503, body = Problem)))]
async fn read(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(session): Named<SessionId>,
    request: HeaderMap,
) -> Result<Response<Bytes>, Failure> {
    let live = play::find(&vault, &caller, session).await?;
    media::answer(&live, &play::gate(&vault, &caller), &Method::GET, &request).await
}

/// What a GET without a range would be answered with, but for the media.
#[utoipa::path(head, path = "/v1/playback/{session_id}", operation_id = "head_playback", tag = "playback", security(("bearer" = [])),
    params(("session_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "Length, type and entity tag of the recording"),
        (status = 304, description = "If-None-Match names what is served"),
        (status = 403), (status = 404), (status = 409), (status = 410), (status = 412), (status = 500), (status = 503)))]
async fn head(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(session): Named<SessionId>,
    request: HeaderMap,
) -> Result<Response<Bytes>, Failure> {
    let live = play::find(&vault, &caller, session).await?;
    media::answer(&live, &play::gate(&vault, &caller), &Method::HEAD, &request).await
}

/// Ends a session, and everything it is serving now; the audit log learns which ranges were served.
#[utoipa::path(delete, path = "/v1/playback/{session_id}", operation_id = "end_playback", tag = "playback", security(("bearer" = [])),
    params(("session_id" = String, Path, format = "uuid")),
    responses((status = 204, description = "Ended"), (status = 404, body = Problem),
        (status = 410, body = Problem, description = "It had ended before"), (status = 503, body = Problem)))]
async fn end(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(session): Named<SessionId>,
) -> Result<StatusCode, Failure> {
    play::close(&vault, &caller, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
