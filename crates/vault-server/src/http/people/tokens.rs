//! Bearer tokens: issued, listed, revoked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::access::Restricted;
use vault_api::page::Page;
use vault_api::problem::Problem;
use vault_api::tokens::{IssuedToken, NewToken, Token, TokenQuery};
use vault_core::access::role::Action;
use vault_core::ids::TokenId;

use super::{restricted, wire};
use crate::app::error::Failure;
use crate::app::people;
use crate::http::auth::SignedIn;
use crate::http::page::Asked;
use crate::http::problem::{Body, Named, Query, parsed, parsed_time};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::TokenIssue), routes!(issue))
        .add(Access::Caller(Action::PersonRead), routes!(list))
        .add(Access::Caller(Action::RoleConfirm), routes!(confirm))
        // Anybody may give up a token of their own; for others the act asks for the role.
        .add(Access::SignedIn, routes!(revoke))
}

/// Issues a token for a person or machine. It is shown in this answer and never again. Until another administrator
/// confirms it, it carries only the roles that one administrator may give: uploader and auditor.
#[utoipa::path(post, path = "/v1/tokens", tag = "people", operation_id = "issue_token", security(("bearer" = [])), request_body = NewToken,
    responses((status = 201, body = IssuedToken), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn issue(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>), Failure> {
    let new = people::NewToken {
        person: parsed("person_id", &new.person_id)?,
        label: new.label,
        roles: new.roles.map(|roles| roles.into_iter().map(wire::role_in).collect()),
        collection: new.collection.as_deref().map(|name| parsed("collection", name)).transpose()?,
        expires_at: parsed_time("expires_at", &new.expires_at)?,
    };
    let (token, secret) = people::issue(&vault, &caller, new).await?;
    Ok((StatusCode::CREATED, Json(IssuedToken { secret: secret.show().to_owned(), token: wire::token(token) })))
}

/// Tokens, without their text, in the order in which they were issued.
#[utoipa::path(get, path = "/v1/tokens", tag = "people", operation_id = "list_tokens", security(("bearer" = [])), params(TokenQuery),
    responses((status = 200, body = Page<Token>), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<TokenQuery>,
) -> Result<Json<Page<Token>>, Failure> {
    let asked = Asked::of(query.cursor.as_deref(), query.limit)?;
    let person = query.person_id.as_deref().map(|id| parsed("person_id", id)).transpose()?;
    let rows = people::list_tokens(&vault, &caller, person, &asked.after, asked.fetch()).await?;
    Ok(Json(asked.page(rows, |view| view.row.id.to_string(), wire::token)))
}

/// Confirms a token: by an administrator who did not issue it. From then on it carries all its holder's roles.
#[utoipa::path(post, path = "/v1/tokens/{id}/confirm", tag = "people", operation_id = "confirm_token",
    security(("bearer" = [])), params(("id" = String, Path, description = "The token's identifier, not its text", format = "uuid")),
    responses((status = 200, body = Token), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "Confirmed, revoked or ended already, or nothing to confirm"),
        (status = 503, body = Problem)))]
async fn confirm(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<TokenId>,
) -> Result<Json<Token>, Failure> {
    Ok(Json(wire::token(people::confirm_token(&vault, &caller, id).await?)))
}

/// Revokes a token at once: one's own, or anybody's as administrator.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "people", operation_id = "revoke_token", security(("bearer" = [])),
    params(("id" = String, Path, description = "The token's identifier, not its text", format = "uuid")),
    responses((status = 200, body = Restricted), (status = 202, body = Restricted, description = "In force, not journalled yet"),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
async fn revoke(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<TokenId>,
) -> Result<(StatusCode, Json<Restricted>), Failure> {
    let journalled = people::revoke_token(&vault, &caller, id).await?;
    Ok((restricted(journalled), Json(Restricted { journalled })))
}
