//! Keys of collections, and the root key.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::keys::{CollectionKeys, KeyRotation, RootStatus, RotateKeys};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use super::auth::SignedIn;
use super::problem::{MaybeBody, Named};
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::keys;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyRead), routes!(show))
        .add(Access::Caller(Action::KeyRotate), routes!(rotate))
        .add(Access::Caller(Action::KeyDestroy), routes!(destroy))
        .add(Access::Caller(Action::KeyDestroy), routes!(confirm_destroy))
        .add(Access::Caller(Action::RootRead), routes!(show_root))
        .add(Access::Caller(Action::RootRotate), routes!(rotate_root))
}

/// The versions of a collection's key: states and numbers, never key bytes.
#[utoipa::path(get, path = "/v1/collections/{collection}/keys", operation_id = "list_keys", tag = "keys", security(("bearer" = [])),
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
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/rotate", operation_id = "rotate_keys", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = Option<RotateKeys>,
    responses((status = 202, body = KeyRotation), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`rotation_running`"), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn rotate(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    MaybeBody(request): MaybeBody<RotateKeys>,
) -> Result<(StatusCode, Json<KeyRotation>), Failure> {
    let rotation = keys::rotate(&vault, &caller, &name, &request.reason).await?;
    Ok((StatusCode::ACCEPTED, Json(rotation)))
}

/// A collection and a version in the address; what is not of their form names nothing.
struct VersionOf(CollectionName, u32);

impl<S: Send + Sync> FromRequestParts<S> for VersionOf {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((name, version)) = path.map_err(|_| Code::NotFound)?;
        Ok(Self(name.parse().map_err(|_| Code::NotFound)?, version.parse().map_err(|_| Code::NotFound)?))
    }
}

/// Asks for the destruction of a key version. Not available yet: always 409 `key_unusable` for who may ask.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/{version}/destroy", operation_id = "destroy_key", tag = "keys",
    security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_unusable`: not available yet"), (status = 503, body = Problem)))]
async fn destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
) -> Result<StatusCode, Failure> {
    keys::destroy(&vault, &caller, &name, version).await.map(|()| StatusCode::ACCEPTED)
}

/// Confirms it, by another key officer. Not available yet: always 409 `key_unusable` for who may ask.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/{version}/destroy/confirm", operation_id = "confirm_destroy_key", tag = "keys",
    security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_unusable`: not available yet"), (status = 503, body = Problem)))]
async fn confirm_destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
) -> Result<StatusCode, Failure> {
    keys::destroy(&vault, &caller, &name, version).await.map(|()| StatusCode::ACCEPTED)
}

/// The epochs of the root key.
#[utoipa::path(get, path = "/v1/root", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = RootStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
async fn show_root(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<RootStatus>, Failure> {
    keys::show_root(&vault, &caller).await.map(Json)
}

/// Rotates the root key: a fresh epoch wraps every collection's key versions and the log's signing key.
#[utoipa::path(post, path = "/v1/root/rotate", tag = "keys", security(("bearer" = [])), request_body = Option<RotateKeys>,
    responses((status = 200, body = RootStatus), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem),
        (status = 500, body = Problem, description = "`keyring_unusable`: the keyring could not be stored; nothing has changed"),
        (status = 503, body = Problem)))]
async fn rotate_root(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    MaybeBody(request): MaybeBody<RotateKeys>,
) -> Result<Json<RootStatus>, Failure> {
    keys::rotate_root(&vault, &caller, &request.reason).await.map(Json)
}
