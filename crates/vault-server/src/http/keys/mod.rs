//! Keys of collections, and the root key.

mod compromise;
mod cycle;
mod destroy;
mod exposure;
mod reencryption;
mod root;
mod root_destroy;
mod rotation;
mod verify;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::keys::CollectionKeys;
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use super::auth::SignedIn;
use super::problem::Named;
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::keys;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::KeyRead), routes!(show))
        .merge(verify::routes(vault))
        .merge(rotation::routes(vault))
        .merge(destroy::routes(vault))
        .merge(compromise::routes(vault))
        .merge(exposure::routes(vault))
        .merge(reencryption::routes(vault))
        .merge(root::routes(vault))
        .merge(cycle::routes(vault))
        .merge(root_destroy::routes(vault))
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
