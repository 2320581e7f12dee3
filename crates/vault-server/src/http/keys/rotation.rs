//! Rotating a collection's key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::keys::{KeyRotation, RotateKeys};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::{MaybeBody, Named};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Caller(Action::KeyRotate), routes!(rotate))
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
