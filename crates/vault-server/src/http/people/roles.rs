//! Roles: proposed, confirmed, listed, taken away.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::access::Restricted;
use vault_api::page::Page;
use vault_api::problem::Problem;
use vault_api::roles::{NewRoleBinding, RoleBinding, RoleBindingQuery};
use vault_core::access::role::Action;
use vault_core::ids::BindingId;

use super::{restricted, wire};
use crate::app::error::Failure;
use crate::app::people::{self, Proposal};
use crate::http::auth::SignedIn;
use crate::http::page::Asked;
use crate::http::problem::{Body, Named, Query, parsed, parsed_time};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RolePropose), routes!(propose))
        .add(Access::Caller(Action::PersonRead), routes!(list))
        .add(Access::Caller(Action::RoleConfirm), routes!(confirm))
        .add(Access::Caller(Action::RoleRevoke), routes!(revoke))
}

/// Gives a role, or proposes one that a second administrator has to confirm: roles that play, approve, hold keys or
/// give roles.
#[utoipa::path(post, path = "/v1/role-bindings", tag = "people", operation_id = "propose_role", security(("bearer" = [])),
    request_body = NewRoleBinding,
    responses((status = 201, body = RoleBinding), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem, description = "Held or proposed already"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn propose(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(new): Body<NewRoleBinding>,
) -> Result<(StatusCode, Json<RoleBinding>), Failure> {
    let proposal = Proposal {
        person: parsed("person_id", &new.person_id)?,
        role: wire::role_in(new.role),
        collection: new.collection.as_deref().map(|name| parsed("collection", name)).transpose()?,
        until: new.until.as_deref().map(|at| parsed_time("until", at)).transpose()?,
        reason: new.reason,
    };
    let binding = people::propose(&vault, &caller, proposal).await?;
    Ok((StatusCode::CREATED, Json(wire::binding(binding, vault.clock.now()))))
}

/// Roles, in the order in which they were proposed.
#[utoipa::path(get, path = "/v1/role-bindings", tag = "people", operation_id = "list_roles", security(("bearer" = [])), params(RoleBindingQuery),
    responses((status = 200, body = Page<RoleBinding>), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<RoleBindingQuery>,
) -> Result<Json<Page<RoleBinding>>, Failure> {
    let asked = Asked::of(query.cursor.as_deref(), query.limit)?;
    let person = query.person_id.as_deref().map(|id| parsed("person_id", id)).transpose()?;
    let filter = wire::filter(person, query.state);
    let now = vault.clock.now();
    let rows = people::list_roles(&vault, &caller, filter, &asked.after, asked.fetch()).await?;
    Ok(Json(asked.page(rows, |view| view.row.id.to_string(), |view| wire::binding(view, now))))
}

/// Confirms a proposed role: by an administrator who neither proposed nor receives it.
#[utoipa::path(post, path = "/v1/role-bindings/{id}/confirm", tag = "people", operation_id = "confirm_role", security(("bearer" = [])),
    params(("id" = String, Path, description = "The binding", format = "uuid")),
    responses((status = 200, body = RoleBinding), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn confirm(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<BindingId>,
) -> Result<Json<RoleBinding>, Failure> {
    let binding = people::confirm(&vault, &caller, id).await?;
    Ok(Json(wire::binding(binding, vault.clock.now())))
}

/// Takes a role away at once, or withdraws a proposal. At least two administrators remain.
#[utoipa::path(delete, path = "/v1/role-bindings/{id}", tag = "people", operation_id = "revoke_role", security(("bearer" = [])),
    params(("id" = String, Path, description = "The binding", format = "uuid")),
    responses((status = 200, body = Restricted), (status = 202, body = Restricted, description = "In force, not journalled yet"),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
async fn revoke(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<BindingId>,
) -> Result<(StatusCode, Json<Restricted>), Failure> {
    let journalled = people::revoke(&vault, &caller, id).await?;
    Ok((restricted(journalled), Json(Restricted { journalled })))
}
