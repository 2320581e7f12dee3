//! Rotating a collection's key, and the rotation under way.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::routes;
use vault_api::keys::{KeyPlan, KeyRotation, RotateKeys, RotationStatus, Throttle};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::error::Failure;
use crate::app::keys::{self, Wish};
use crate::http::auth::SignedIn;
use crate::http::problem::{MaybeBody, Named};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyRotate), routes!(rotate))
        .add(Access::Caller(Action::KeyRead), routes!(status))
        .add(Access::Caller(Action::KeyRotate), routes!(pause))
        .add(Access::Caller(Action::KeyRotate), routes!(resume))
        .add(Access::Caller(Action::KeyRotate), routes!(throttle))
}

/// Rotates a collection's key. The new version wraps from now on; record keys are moved to it while the vault is used.
/// No media is touched. With `plan_only` nothing is done: the answer says what would be, and why.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotate", operation_id = "rotate_keys", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = Option<RotateKeys>,
    responses((status = 200, body = KeyPlan, description = "with `plan_only`"), (status = 202, body = KeyRotation),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`rotation_running`"), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn rotate(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    MaybeBody(request): MaybeBody<RotateKeys>,
) -> Result<Response, Failure> {
    let wish = Wish { reason: &request.reason, throttle: request.throttle };
    if request.plan_only {
        return Ok(Json(keys::planned(&vault, &caller, &name, &wish).await?).into_response());
    }
    let rotation = keys::rotate(&vault, &caller, &name, &wish).await?;
    Ok((StatusCode::ACCEPTED, Json(rotation)).into_response())
}

/// The rotation under way in a collection, or the last one, with rate and remaining time.
#[utoipa::path(get, path = "/v1/collections/{collection}/keys/rotation", operation_id = "rotation_status", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = RotationStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn status(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<RotationStatus>, Failure> {
    keys::status(&vault, &caller, &name).await.map(Json)
}

/// Stops the moving of record keys until it is resumed; the new version wraps what is new all the same. Asked again, it answers
/// the same.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotation/pause", operation_id = "pause_rotation", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = KeyRotation), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "`rotation_not_running`"),
        (status = 503, body = Problem)))]
async fn pause(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<KeyRotation>, Failure> {
    keys::pause(&vault, &caller, &name).await.map(Json)
}

/// Lets a paused rotation go on. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotation/resume", operation_id = "resume_rotation", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = KeyRotation), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "`rotation_not_running`"),
        (status = 503, body = Problem)))]
async fn resume(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<KeyRotation>, Failure> {
    keys::resume(&vault, &caller, &name).await.map(Json)
}

/// Sets how many record keys a second the rotation under way may move.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotation/throttle", operation_id = "throttle_rotation", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = Option<Throttle>,
    responses((status = 200, body = KeyRotation), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`rotation_not_running`"), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn throttle(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    MaybeBody(request): MaybeBody<Throttle>,
) -> Result<Json<KeyRotation>, Failure> {
    keys::throttle(&vault, &caller, &name, request.records_per_second).await.map(Json)
}
