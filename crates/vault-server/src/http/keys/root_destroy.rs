//! Destroying root epochs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::destruction::{DestroyEpoch, Destruction};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::{Body, Named};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RootDestroy), routes!(destroy, cancel))
        .add(Access::Caller(Action::RootDestroy), routes!(confirm))
}

/// Asks for the destruction of a root epoch that wraps nothing; another key officer has to confirm it. Both attest that no copy
/// of the keyring file with its key is left.
#[utoipa::path(post, path = "/v1/root/{epoch}/destroy", operation_id = "destroy_root_epoch", tag = "keys",
    security(("bearer" = [])), request_body = DestroyEpoch,
    params(("epoch" = u32, Path, description = "The epoch")),
    responses((status = 202, body = Destruction), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_in_use` with the member `inventory`; `conflict`: asked for already; `key_unusable`: destroyed"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn destroy(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(epoch): Named<u32>,
    Body(asked): Body<DestroyEpoch>,
) -> Result<(StatusCode, Json<Destruction>), Failure> {
    let what = keys::doomed_epoch(&vault, &caller, epoch)?;
    let destruction = keys::request_destruction(&vault, &caller, what, &asked.reason, asked.known_copies).await?;
    Ok((StatusCode::ACCEPTED, Json(destruction)))
}

/// Confirms it: another person than asked. The epoch is destroyed once the cooling-off time is over, if it wraps nothing then
/// either.
#[utoipa::path(post, path = "/v1/root/{epoch}/destroy/confirm", operation_id = "confirm_destroy_root_epoch", tag = "keys",
    security(("bearer" = [])),
    params(("epoch" = u32, Path, description = "The epoch")),
    responses((status = 200, body = Destruction), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`self_approval`: the same person asked for it; `not_in_log`"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`key_in_use` with the member `inventory`; `conflict`: nothing to confirm; `key_unusable`: destroyed"),
        (status = 500, body = Problem, description = "`keyring_unusable`: the keyring file is not this vault's, or damaged; the epoch is still there"),
        (status = 503, body = Problem, description = "`unavailable`: the keyring could not be stored; the epoch is still there")))]
async fn confirm(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(epoch): Named<u32>,
) -> Result<Json<Destruction>, Failure> {
    let what = keys::doomed_epoch(&vault, &caller, epoch)?;
    keys::confirm_destruction(&vault, &caller, what).await.map(Json)
}

/// Cancels it: any key officer, until it is done.
#[utoipa::path(delete, path = "/v1/root/{epoch}/destroy", operation_id = "cancel_destroy_root_epoch", tag = "keys",
    security(("bearer" = [])),
    params(("epoch" = u32, Path, description = "The epoch")),
    responses((status = 200, body = Destruction), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`conflict`: nothing to cancel; `key_unusable`: destroyed"),
        (status = 503, body = Problem)))]
async fn cancel(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(epoch): Named<u32>,
) -> Result<Json<Destruction>, Failure> {
    let what = keys::doomed_epoch(&vault, &caller, epoch)?;
    keys::cancel_destruction(&vault, &caller, what).await.map(Json)
}
