//! Destroying versions of a collection's key.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::destruction::{Destroy, Destruction};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::Body;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyDestroy), routes!(destroy, cancel_destroy))
        .add(Access::Caller(Action::KeyDestroy), routes!(confirm_destroy))
}

/// A collection and a version in the address; what is not of their form names nothing.
pub(super) struct VersionOf(pub(super) CollectionName, pub(super) u32);

impl<S: Send + Sync> FromRequestParts<S> for VersionOf {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((name, version)) = path.map_err(|_| Code::NotFound)?;
        Ok(Self(name.parse().map_err(|_| Code::NotFound)?, version.parse().map_err(|_| Code::NotFound)?))
    }
}

/// Asks for the destruction of a key version; another key officer has to confirm it. Refused while anything needs it.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/{version}/destroy", operation_id = "destroy_key", tag = "keys",
    security(("bearer" = [])), request_body = Destroy,
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 202, body = Destruction), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_in_use` with the member `inventory`; `conflict`: asked for already; `key_unusable`: destroyed"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
    Body(asked): Body<Destroy>,
) -> Result<(StatusCode, Json<Destruction>), Failure> {
    let what = keys::doomed_version(&vault, &caller, &name, version).await?;
    let destruction = keys::request_destruction(&vault, &caller, what, &asked.reason, 0).await?;
    Ok((StatusCode::ACCEPTED, Json(destruction)))
}

/// Confirms it: another person than asked. The version is destroyed once the cooling-off time is over, if nothing needs it
/// then either.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/{version}/destroy/confirm", operation_id = "confirm_destroy_key", tag = "keys",
    security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 200, body = Destruction), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`self_approval`: the same person asked for it; `not_in_log`"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_in_use` with the member `inventory`; `conflict`: nothing to confirm; `key_unusable`: destroyed"),
        (status = 503, body = Problem)))]
async fn confirm_destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
) -> Result<Json<Destruction>, Failure> {
    let what = keys::doomed_version(&vault, &caller, &name, version).await?;
    keys::confirm_destruction(&vault, &caller, what).await.map(Json)
}

/// Cancels it: any key officer, until it is done.
#[utoipa::path(delete, path = "/v1/collections/{collection}/keys/{version}/destroy", operation_id = "cancel_destroy_key", tag = "keys",
    security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 200, body = Destruction), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`conflict`: nothing to cancel; `key_unusable`: destroyed"),
        (status = 503, body = Problem)))]
async fn cancel_destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
) -> Result<Json<Destruction>, Failure> {
    let what = keys::doomed_version(&vault, &caller, &name, version).await?;
    keys::cancel_destruction(&vault, &caller, what).await.map(Json)
}
