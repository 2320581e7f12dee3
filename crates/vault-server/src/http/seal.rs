//! Seal status and unseal: on the admin listener only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::seal::{SealStatus, Unseal};

use super::problem::Body;
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::seal;
use crate::state::Vault;

pub(super) fn admin_routes(vault: &Arc<Vault>) -> Routes {
    // Public on a listener that answers on loopback alone: the passphrase is what is asked for.
    Routes::new(vault).add(Access::Public, routes!(status)).add(Access::Public, routes!(unseal))
}

/// Whether the vault is sealed.
#[utoipa::path(get, path = "/seal-status", tag = "seal", responses((status = 200, body = SealStatus)))]
async fn status(State(vault): State<Arc<Vault>>) -> Json<SealStatus> {
    Json(seal::status(&vault))
}

/// Opens the vault with the keyring's passphrase.
#[utoipa::path(post, path = "/unseal", tag = "seal", request_body = Unseal, responses(
    (status = 200, body = SealStatus),
    (status = 403, description = "`wrong_passphrase`: nothing has changed"),
    (status = 409, description = "`not_sealed`"),
    (status = 500, description = "`keyring_unusable`: missing, damaged, foreign or of an unknown version")))]
async fn unseal(State(vault): State<Arc<Vault>>, Body(request): Body<Unseal>) -> Result<Json<SealStatus>, Failure> {
    seal::unseal(&vault, request.passphrase).await.map(Json)
}
