//! Destroying versions of a collection's key.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyDestroy), routes!(destroy))
        .add(Access::Caller(Action::KeyDestroy), routes!(confirm_destroy))
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
