//! Marking a version as compromised.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::keys::{KeyRotation, MarkCompromised};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use super::destroy::VersionOf;
use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::Body;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Caller(Action::KeyDestroy), routes!(mark_compromised))
}

/// Marks a version as compromised. It wraps nothing any more and opens nothing but for the job that moves its record keys,
/// which begins at once and goes before all others; a successor is active in the same transaction.
#[utoipa::path(post, path = "/v1/collections/{collection}/keys/{version}/mark-compromised", operation_id = "mark_key_compromised",
    tag = "keys", security(("bearer" = [])), request_body = MarkCompromised,
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version")),
    responses((status = 202, body = KeyRotation), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_unusable`: compromised already, or destroyed"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn mark_compromised(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
    Body(asked): Body<MarkCompromised>,
) -> Result<(StatusCode, Json<KeyRotation>), Failure> {
    let rotation = keys::mark_compromised(&vault, &caller, &name, version, &asked.incident, &asked.reason).await?;
    Ok((StatusCode::ACCEPTED, Json(rotation)))
}
