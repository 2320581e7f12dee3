//! Records: what is known about them, never their media.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use utoipa_axum::routes;
use vault_api::page::Page;
use vault_api::problem::Problem;
use vault_api::records::{Record, RecordQuery};
use vault_core::access::role::Action;

use super::auth::SignedIn;
use super::problem::Query;
use super::routes::{Access, Routes};
use crate::app::error::Failure;
use crate::app::records;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::RecordRead), routes!(list))
        .add(Access::Caller(Action::RecordRead), routes!(show))
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
