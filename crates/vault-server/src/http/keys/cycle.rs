//! The cycle of keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::cycle::{BeginCycle, ConfirmCycle, Cycle, CycleStatus};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use crate::app::error::Failure;
use crate::app::keys::{self, CycleWish};
use crate::http::auth::SignedIn;
use crate::http::problem::Body;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RootRead), routes!(show_cycle))
        .add(Access::Caller(Action::RootDestroy), routes!(begin_cycle, cancel_cycle))
        .add(Access::Caller(Action::RootDestroy), routes!(confirm_cycle))
}

/// The cycle of keys under way, or the last one, what it waits for, and when the next begins by itself.
#[utoipa::path(get, path = "/v1/root/cycle", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = CycleStatus), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
async fn show_cycle(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<CycleStatus>, Failure> {
    keys::show_cycle(&vault, &caller).await.map(Json)
}

/// Begins a cycle: every collection gets a fresh key version, what the old ones wrap moves, they and the root epochs that
/// wrapped them are destroyed. Another key officer has to agree before anything is destroyed.
#[utoipa::path(post, path = "/v1/root/cycle", tag = "keys", security(("bearer" = [])), request_body = BeginCycle,
    responses((status = 202, body = Cycle), (status = 200, body = Cycle, description = "with `plan_only`: nothing was done"),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem, description = "`conflict`: one is under way, or a restore is not confirmed"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn begin_cycle(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(asked): Body<BeginCycle>,
) -> Result<(StatusCode, Json<Cycle>), Failure> {
    let wish = CycleWish { reason: &asked.reason, throttle: asked.throttle };
    if asked.plan_only {
        return Ok((StatusCode::OK, Json(keys::planned_cycle(&vault, &caller, &wish).await?)));
    }
    Ok((StatusCode::ACCEPTED, Json(keys::begin_cycle(&vault, &caller, &wish).await?)))
}

/// Agrees to the cycle under way: another person than began it. Of one that began by its schedule two do. Versions are destroyed
/// once the cooling-off time is over.
#[utoipa::path(post, path = "/v1/root/cycle/confirm", tag = "keys", security(("bearer" = [])), request_body = ConfirmCycle,
    responses((status = 200, body = Cycle), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`self_approval`: the same person agreed to it; `not_in_log`"),
        (status = 409, body = Problem, description = "`conflict`: no cycle is under way, it has another scope, or two have agreed"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn confirm_cycle(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(asked): Body<ConfirmCycle>,
) -> Result<Json<Cycle>, Failure> {
    keys::confirm_cycle(&vault, &caller, &asked.scope_sha256).await.map(Json)
}

/// Cancels the cycle under way: any key officer. What is destroyed stays so, and what it has put down and not destroyed yet is not.
#[utoipa::path(delete, path = "/v1/root/cycle", tag = "keys", security(("bearer" = [])),
    responses((status = 200, body = Cycle), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem, description = "`conflict`: no cycle is under way"), (status = 503, body = Problem)))]
async fn cancel_cycle(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<Cycle>, Failure> {
    keys::cancel_cycle(&vault, &caller).await.map(Json)
}
