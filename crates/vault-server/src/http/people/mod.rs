//! Persons and machines, their roles, their tokens.

mod roles;
mod tokens;
mod wire;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::page::{Page, PageQuery};
use vault_api::people::{Me, NewPerson, Person, Reason};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::PersonId;

use super::auth::SignedIn;
use super::page::Asked;
use super::problem::{Body, Named, Query};
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::people;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::SignedIn, routes!(me))
        .add(Access::Caller(Action::PersonAdd), routes!(add))
        .add(Access::Caller(Action::PersonRead), routes!(list))
        .add(Access::Caller(Action::PersonRead), routes!(show))
        .add(Access::Caller(Action::RoleRevoke), routes!(disable))
        .merge(roles::routes(vault))
        .merge(tokens::routes(vault))
}

/// The status of a restriction: in force either way; 202 while the journal does not have it yet.
const fn restricted(journalled: bool) -> StatusCode {
    if journalled { StatusCode::OK } else { StatusCode::ACCEPTED }
}

/// Whom the presented token stands for, and what it can do now.
#[utoipa::path(get, path = "/v1/me", tag = "people", operation_id = "me", security(("bearer" = [])),
    responses((status = 200, body = Me), (status = 401, body = Problem), (status = 503, body = Problem)))]
async fn me(State(vault): State<Arc<Vault>>, SignedIn(caller): SignedIn) -> Result<Json<Me>, Failure> {
    let now = vault.clock.now();
    let me = people::me(&vault, &caller).await?;
    let roles = me.roles.into_iter().map(|role| wire::binding(role, now)).collect();
    Ok(Json(Me { person: wire::person(me.person), roles, token: wire::token(me.token) }))
}

/// Enters a person or machine. They can do nothing until a role is given and a token issued.
#[utoipa::path(post, path = "/v1/people", tag = "people", operation_id = "add_person", security(("bearer" = [])), request_body = NewPerson,
    responses((status = 201, body = Person), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem, description = "The name is in use"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn add(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(new): Body<NewPerson>,
) -> Result<(StatusCode, Json<Person>), Failure> {
    let person = people::add(&vault, &caller, &new.name, wire::kind_in(new.kind)).await?;
    Ok((StatusCode::CREATED, Json(wire::person(person))))
}

/// Persons and machines, in the order in which they were entered.
#[utoipa::path(get, path = "/v1/people", tag = "people", operation_id = "list_people", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Page<Person>), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Person>>, Failure> {
    let asked = Asked::of(query.cursor.as_deref(), query.limit)?;
    let rows = people::list(&vault, &caller, &asked.after, asked.fetch()).await?;
    Ok(Json(asked.page(rows, |row| row.id.to_string(), wire::person)))
}

/// One person or machine.
#[utoipa::path(get, path = "/v1/people/{id}", tag = "people", operation_id = "show_person", security(("bearer" = [])),
    params(("id" = String, Path, description = "The person", format = "uuid")),
    responses((status = 200, body = Person), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
async fn show(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<PersonId>,
) -> Result<Json<Person>, Failure> {
    Ok(Json(wire::person(people::get(&vault, &caller, id).await?)))
}

/// Disables a person: roles, tokens and playback sessions end at once, even while the log cannot be written.
#[utoipa::path(post, path = "/v1/people/{id}/disable", tag = "people", operation_id = "disable_person", security(("bearer" = [])),
    params(("id" = String, Path, description = "The person", format = "uuid")), request_body = Reason,
    responses((status = 200, body = Person), (status = 202, body = Person, description = "In force, not journalled yet"),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "Disabled already, or too few administrators would remain"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn disable(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<PersonId>,
    Body(why): Body<Reason>,
) -> Result<(StatusCode, Json<Person>), Failure> {
    let (person, journalled) = people::disable(&vault, &caller, id, &why.reason).await?;
    Ok((restricted(journalled), Json(wire::person(person))))
}
