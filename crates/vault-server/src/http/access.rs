//! Access requests and grants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::access::{
    AccessRequest, AccessRequestQuery, Approved, Decision, NewAccessRequest, RequestFiled, Restricted, Revocation,
};
use vault_api::page::Page;
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::{GrantId, RequestId};

use super::auth::SignedIn;
use super::problem::{Body, MaybeBody, Named, Query};
use super::routes::{Access, Routes};
use crate::app::access;
use crate::app::error::Failure;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::AccessRequest), routes!(file))
        .add(Access::Caller(Action::AccessRead), routes!(list))
        .add(Access::Caller(Action::AccessRead), routes!(show))
        .add(Access::Caller(Action::AccessDecide), routes!(approve))
        .add(Access::Caller(Action::AccessDecide), routes!(deny))
        .add(Access::Caller(Action::AccessRevoke), routes!(revoke))
}

/// Ask for access to one record, a frozen batch, or what a filter covers.
#[utoipa::path(post, path = "/v1/access-requests", operation_id = "file_access_request", tag = "access", security(("bearer" = [])),
    request_body = NewAccessRequest,
    responses((status = 201, body = RequestFiled), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn file(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(asked): Body<NewAccessRequest>,
) -> Result<(StatusCode, Json<RequestFiled>), Failure> {
    Ok((StatusCode::CREATED, Json(access::file(&vault, &caller, asked).await?)))
}

/// Requests, newest first: one's own, and those of the collections where one decides or audits.
#[utoipa::path(get, path = "/v1/access-requests", operation_id = "list_access_requests", tag = "access", security(("bearer" = [])),
    params(AccessRequestQuery),
    responses((status = 200, body = Page<AccessRequest>), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<AccessRequestQuery>,
) -> Result<Json<Page<AccessRequest>>, Failure> {
    Ok(Json(access::list(&vault, &caller, query).await?))
}

/// One request.
#[utoipa::path(get, path = "/v1/access-requests/{id}", operation_id = "show_access_request", tag = "access", security(("bearer" = [])),
    params(("id" = String, Path, description = "The request")),
    responses((status = 200, body = AccessRequest), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn show(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<RequestId>,
) -> Result<Json<AccessRequest>, Failure> {
    Ok(Json(access::show(&vault, &caller, id).await?))
}

/// Approve somebody else's request. The body may be left out.
#[utoipa::path(post, path = "/v1/access-requests/{id}/approve", operation_id = "approve_access_request", tag = "access", security(("bearer" = [])),
    params(("id" = String, Path, description = "The request")), request_body = Option<Decision>,
    responses((status = 200, body = Approved), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn approve(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<RequestId>,
    MaybeBody(said): MaybeBody<Decision>,
) -> Result<Json<Approved>, Failure> {
    Ok(Json(access::approve(&vault, &caller, id, said).await?))
}

/// Refuse somebody else's request. The body may be left out.
#[utoipa::path(post, path = "/v1/access-requests/{id}/deny", operation_id = "deny_access_request", tag = "access", security(("bearer" = [])),
    params(("id" = String, Path, description = "The request")), request_body = Option<Decision>,
    responses((status = 200, body = RequestFiled), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn deny(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<RequestId>,
    MaybeBody(said): MaybeBody<Decision>,
) -> Result<Json<RequestFiled>, Failure> {
    Ok(Json(access::deny(&vault, &caller, id, said).await?))
}

/// Take a grant back, at once: running sessions stop before their next segment. The body may be left out.
#[utoipa::path(delete, path = "/v1/grants/{id}", operation_id = "revoke_grant", tag = "access", security(("bearer" = [])),
    params(("id" = String, Path, description = "The grant")), request_body = Option<Revocation>,
    responses((status = 200, body = Restricted), (status = 202, body = Restricted, description = "In force, not journalled yet"),
        (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn revoke(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<GrantId>,
    MaybeBody(why): MaybeBody<Revocation>,
) -> Result<(StatusCode, Json<Restricted>), Failure> {
    let journalled = access::revoke(&vault, &caller, id, why).await?;
    Ok((if journalled { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(Restricted { journalled })))
}
