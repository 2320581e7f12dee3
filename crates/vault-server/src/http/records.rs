//! Records: what is known about them, never their media.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa_axum::routes;
use vault_api::erasure::{EraseRecord, Erasure};
use vault_api::page::Page;
use vault_api::problem::Problem;
use vault_api::records::{Record, RecordQuery};
use vault_core::access::role::Action;
use vault_core::ids::RecordId;

use super::auth::SignedIn;
use super::problem::{MaybeBody, Named, Query};
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::{erase, records};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RecordRead), routes!(list))
        .add(Access::Caller(Action::RecordRead), routes!(show))
        .add(Access::Caller(Action::RecordErase), routes!(erase_record))
        .add(Access::Caller(Action::RecordRead), routes!(erasure))
}

/// Records of the collections that the caller's roles cover, newest first.
#[utoipa::path(get, path = "/v1/records", operation_id = "list_records", tag = "records", security(("bearer" = [])), params(RecordQuery),
    responses((status = 200, body = Page<Record>), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn list(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<RecordQuery>,
) -> Result<Json<Page<Record>>, Failure> {
    Ok(Json(records::list(&vault, &caller, query).await?))
}

/// One record.
#[utoipa::path(get, path = "/v1/records/{id}", operation_id = "show_record", tag = "records", security(("bearer" = [])),
    params(("id" = String, Path, description = "The record")),
    responses((status = 200, body = Record), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn show(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
) -> Result<Json<Record>, Failure> {
    Ok(Json(records::show(&vault, &caller, &id).await?))
}

/// Erase a record, at once and for good: its key, everything sealed under it, its media. Answers the certificate; asked
/// again, the same with today's horizon. The body may be left out.
#[utoipa::path(delete, path = "/v1/records/{id}", operation_id = "erase_record", tag = "records", security(("bearer" = [])),
    params(("id" = String, Path, description = "The record")), request_body = Option<EraseRecord>,
    responses((status = 200, body = Erasure),
        (status = 202, body = Erasure, description = "Erased and in force; not journalled yet, or its entry waits for the log"),
        (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn erase_record(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<RecordId>,
    MaybeBody(asked): MaybeBody<EraseRecord>,
) -> Result<(StatusCode, Json<Erasure>), Failure> {
    let erased = erase::erase(&vault, &caller, id, asked).await?;
    let settled = erased.journalled && erased.proof.is_some();
    Ok((if settled { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(erased)))
}

/// The certificate of a record's erasure, with today's horizon; 404 while it is not erased.
#[utoipa::path(get, path = "/v1/records/{id}/erasure", operation_id = "show_erasure", tag = "records", security(("bearer" = [])),
    params(("id" = String, Path, description = "The record")),
    responses((status = 200, body = Erasure), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn erasure(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(id): Named<RecordId>,
) -> Result<Json<Erasure>, Failure> {
    Ok(Json(erase::show(&vault, &caller, id).await?))
}
