//! The root key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::keys::{RootStatus, RotateRoot};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::MaybeBody;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RootRead), routes!(show_root))
        .add(Access::Caller(Action::RootRotate), routes!(rotate_root))
}

/// The epochs of the root key.
#[utoipa::path(get, path = "/v1/root", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = RootStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
async fn show_root(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<RootStatus>, Failure> {
    keys::show_root(&vault, &caller).await.map(Json)
}

/// Rotates the root key: a fresh epoch wraps every collection's key versions and the log's signing key.
#[utoipa::path(post, path = "/v1/root/rotate", tag = "keys", security(("bearer" = [])), request_body = Option<RotateRoot>,
    responses((status = 200, body = RootStatus), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem),
        (status = 500, body = Problem, description = "`keyring_unusable`: the keyring file is not this vault's, or damaged; nothing has changed"),
        (status = 503, body = Problem, description = "`unavailable`: the keyring could not be stored; nothing has changed")))]
async fn rotate_root(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    MaybeBody(request): MaybeBody<RotateRoot>,
) -> Result<Json<RootStatus>, Failure> {
    keys::rotate_root(&vault, &caller, &request.reason).await.map(Json)
}
