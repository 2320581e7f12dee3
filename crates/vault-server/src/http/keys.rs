//! Keys of collections, and the root key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::keys::{CollectionKeys, KeyRotation, RootStatus, RotateKeys};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use super::auth::SignedIn;
use super::problem::{Body, Named};
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::keys;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyRead), routes!(show))
        .add(Access::Caller(Action::KeyRotate), routes!(rotate))
        .add(Access::Caller(Action::RootRead), routes!(show_root))
        .add(Access::Caller(Action::RootRotate), routes!(rotate_root))
}

/// The versions of a collection's key: states and numbers, never key bytes.
#[utoipa::path(get, path = "/v1/collections/{collection}/keys", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = CollectionKeys), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn show(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<CollectionKeys>, Failure> {
    keys::show(&vault, &caller, &name).await.map(Json)
}

/// Rotates a collection's key. The new version wraps from now on; record keys are moved to it while the vault is used.
/// No media is touched. Destroying old versions is not part of this version of the vault.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotate", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = RotateKeys,
    responses((status = 202, body = KeyRotation), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`rotation_running`"), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn rotate(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    Body(request): Body<RotateKeys>,
) -> Result<(StatusCode, Json<KeyRotation>), Failure> {
    let rotation = keys::rotate(&vault, &caller, &name, &request.reason).await?;
    Ok((StatusCode::ACCEPTED, Json(rotation)))
}

/// The epochs of the root key.
#[utoipa::path(get, path = "/v1/root", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = RootStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
async fn show_root(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<RootStatus>, Failure> {
    keys::show_root(&vault, &caller).await.map(Json)
}

/// Rotates the root key: a fresh epoch wraps every collection's key versions and the log's signing key.
#[utoipa::path(post, path = "/v1/root/rotate", tag = "keys", security(("bearer" = [])), request_body = RotateKeys,
    responses((status = 200, body = RootStatus), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem),
        (status = 500, body = Problem, description = "`keyring_unusable`: the keyring could not be stored; nothing has changed"),
        (status = 503, body = Problem)))]
async fn rotate_root(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(request): Body<RotateKeys>,
) -> Result<Json<RootStatus>, Failure> {
    keys::rotate_root(&vault, &caller, &request.reason).await.map(Json)
}
