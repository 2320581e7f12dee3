//! Writing recordings again under fresh keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::problem::Problem;
use vault_api::reencryption::{Reencrypt, Reencryption, ReencryptionPlan, ReencryptionStatus};
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::error::Failure;
use crate::app::reencrypt::{self, Asked, Wish};
use crate::http::auth::SignedIn;
use crate::http::problem::{Body, Named};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyRotate), routes!(begin))
        .add(Access::Caller(Action::KeyRead), routes!(status))
        .add(Access::Caller(Action::KeyRotate), routes!(pause))
        .add(Access::Caller(Action::KeyRotate), routes!(resume))
        .add(Access::Caller(Action::KeyRotate), routes!(cancel))
}

/// Has recordings written again under fresh keys, while the vault is used: what a compromised version exposes, or one record. Each is
/// said in the audit log before it is read. Sessions that play it at that moment end. With `plan_only` nothing is done: the answer says how much there is.
#[utoipa::path(post, path = "/v1/collections/{collection}/reencryption", operation_id = "reencrypt", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = Reencrypt,
    responses((status = 200, body = ReencryptionPlan, description = "with `plan_only`"), (status = 202, body = Reencryption),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`reencryption_running`; `key_unusable`: the version is not marked as compromised"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn begin(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    Body(asked): Body<Reencrypt>,
) -> Result<Response, Failure> {
    let what = match (asked.exposed_by, asked.record_id.as_deref()) {
        (Some(version), None) => Asked::ExposedBy(version),
        (None, Some(record)) => Asked::Record(record.parse().map_err(|_| Code::NotFound)?),
        _ => return Err(Failure::new(Code::InvalidRequest).detail("exposed_by or record_id, exactly one of them")),
    };
    let incident = asked.incident.as_deref();
    let wish = Wish { what, incident, reason: &asked.reason, throttle: asked.bytes_per_second };
    if asked.plan_only {
        return Ok(Json(reencrypt::planned(&vault, &caller, &name, &wish).await?).into_response());
    }
    let begun = reencrypt::begin(&vault, &caller, &name, &wish).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

/// The re-encryption under way in a collection, or the last one.
#[utoipa::path(get, path = "/v1/collections/{collection}/reencryption", operation_id = "reencryption_status", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = ReencryptionStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn status(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<ReencryptionStatus>, Failure> {
    reencrypt::status(&vault, &caller, &name).await.map(Json)
}

/// Stops it until it is resumed; the recording under way is begun anew then. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/collections/{collection}/reencryption/pause", operation_id = "pause_reencryption", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Reencryption), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "`reencryption_not_running`"),
        (status = 503, body = Problem)))]
async fn pause(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<Reencryption>, Failure> {
    reencrypt::pause(&vault, &caller, &name).await.map(Json)
}

/// Lets a paused re-encryption go on. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/collections/{collection}/reencryption/resume", operation_id = "resume_reencryption", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Reencryption), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "`reencryption_not_running`"),
        (status = 503, body = Problem)))]
async fn resume(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<Reencryption>, Failure> {
    reencrypt::resume(&vault, &caller, &name).await.map(Json)
}

/// Ends it; what is encrypted anew stays so. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/collections/{collection}/reencryption/cancel", operation_id = "cancel_reencryption", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Reencryption), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "`reencryption_not_running`"),
        (status = 503, body = Problem)))]
async fn cancel(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<Reencryption>, Failure> {
    reencrypt::cancel(&vault, &caller, &name).await.map(Json)
}
