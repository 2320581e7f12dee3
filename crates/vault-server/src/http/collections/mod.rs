//! Collections: set up, shown, opened, suspended; and their notices, for everybody.

mod wire;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::collections::{Collection, NewCollection, Notice};
use vault_api::page::{Page, PageQuery};
use vault_api::people::Reason;
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use super::auth::SignedIn;
use super::page::Asked;
use super::problem::{Body, Named, Query, parsed};
use super::routes::{Access, Routes};
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::CollectionCreate), routes!(create))
        .add(Access::Caller(Action::CollectionRead), routes!(list))
        .add(Access::Caller(Action::CollectionRead), routes!(show))
        .add(Access::Caller(Action::CollectionOpen), routes!(open))
        .add(Access::Caller(Action::CollectionSuspend), routes!(suspend))
        .add(Access::Public, routes!(notice))
}

/// Sets up a collection as a draft, with keys of its own. It takes recordings once it is opened.
#[utoipa::path(post, path = "/v1/collections", tag = "collections", operation_id = "create_collection", security(("bearer" = [])),
    request_body = NewCollection,
    responses((status = 201, body = Collection), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem, description = "The name is, or was, in use"),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn create(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Body(new): Body<NewCollection>,
) -> Result<(StatusCode, Json<Collection>), Failure> {
    let name = parsed("name", &new.name)?;
    let shown = collections::create(&vault, &caller, name, wire::policy_in(&new)?).await?;
    Ok((StatusCode::CREATED, Json(wire::collection(shown)?)))
}

/// The collections that the caller has a role in, in the order in which they were set up.
#[utoipa::path(get, path = "/v1/collections", tag = "collections", operation_id = "list_collections", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Page<Collection>), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Collection>>, Failure> {
    let asked = Asked::of(query.cursor.as_deref(), query.limit)?;
    let rows = collections::list(&vault, &caller, &asked.after, asked.fetch()).await?;
    Ok(Json(asked.try_page(rows, |shown| shown.row.id.to_string(), wire::collection)?))
}

/// One collection, with what is missing before it may take recordings.
#[utoipa::path(get, path = "/v1/collections/{collection}", tag = "collections", operation_id = "show_collection", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Collection), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
async fn show(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<Collection>, Failure> {
    Ok(Json(wire::collection(collections::show(&vault, &caller, &name).await?)?))
}

/// Lets a collection take recordings. Refused while a countermeasure of its risk tier is missing; `missing` names them.
#[utoipa::path(post, path = "/v1/collections/{collection}/open", tag = "collections", operation_id = "open_collection", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Collection), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "Something is missing, or it is open or closed"),
        (status = 503, body = Problem)))]
async fn open(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
) -> Result<Json<Collection>, Failure> {
    Ok(Json(wire::collection(collections::open(&vault, &caller, &name).await?)?))
}

/// Stops a collection at once, even while the log cannot be written.
#[utoipa::path(post, path = "/v1/collections/{collection}/suspend", tag = "collections", operation_id = "suspend_collection", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name")), request_body = Reason,
    responses((status = 200, body = Collection), (status = 202, body = Collection, description = "In force, not journalled yet"),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem, description = "It is suspended already"), (status = 422, body = Problem),
        (status = 500, body = Problem, description = "Its row is damaged; with the member `suspended` it is suspended all the same"),
        (status = 503, body = Problem)))]
async fn suspend(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    Body(why): Body<Reason>,
) -> Result<(StatusCode, Json<Collection>), Failure> {
    let done = collections::suspend(&vault, &caller, &name, &why.reason).await?;
    let status = if done.journalled { StatusCode::OK } else { StatusCode::ACCEPTED };
    match done.shown.and_then(wire::collection) {
        Ok(shown) => Ok((status, Json(shown))),
        Err(failure) => Err(failure
            .detail("the collection is suspended; what is stored of it is damaged")
            .member("suspended", true)
            .member("journalled", done.journalled)),
    }
}

/// The notice that data subjects are shown. `sha256` is that of the text's exact bytes; consents name it.
#[utoipa::path(get, path = "/v1/collections/{collection}/notice", tag = "collections", operation_id = "show_notice",
    params(("collection" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Notice), (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn notice(State(vault): State<Arc<Vault>>, Named(name): Named<CollectionName>) -> Result<Json<Notice>, Failure> {
    Ok(Json(wire::notice(&collections::of_notice(&vault, &name).await?)?))
}
