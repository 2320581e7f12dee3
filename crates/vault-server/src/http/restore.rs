//! The restore of a backup: what came of it, and confirming it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::problem::Problem;
use vault_api::restore::{ConfirmRestore, RestoreStatus};
use vault_core::access::role::Action;

use super::auth::SignedIn;
use super::problem::Body;
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::restored;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RootRead), routes!(show_restore))
        .add(Access::Caller(Action::RootDestroy), routes!(confirm_restore))
}

/// The last restore of a backup, and what was found when its rows were held against the log.
#[utoipa::path(get, path = "/v1/restore", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = RestoreStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "nothing was ever restored"), (status = 503, body = Problem)))]
async fn show_restore(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<RestoreStatus>, Failure> {
    restored::show(&vault, &caller).await.map(Json)
}

/// Confirms a restore: from then on the vault deletes and destroys again, and key versions that were lost count as destroyed.
#[utoipa::path(post, path = "/v1/restore/confirm", tag = "keys", security(("bearer" = [])), request_body = ConfirmRestore,
    responses((status = 200, body = RestoreStatus), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem, description = "nothing was ever restored"),
        (status = 409, body = Problem, description = "`conflict`: confirmed already, or not reconciled yet"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn confirm_restore(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(asked): Body<ConfirmRestore>,
) -> Result<Json<RestoreStatus>, Failure> {
    restored::confirm(&vault, &caller, &asked.reason).await.map(Json)
}
