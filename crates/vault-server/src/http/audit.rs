//! The audit log: checkpoint and tiles as c2sp.org/tlog-tiles has them, and entries with their openings.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa_axum::routes;
use vault_api::audit::{AuditPage, AuditQuery};
use vault_api::problem::Problem;
use vault_core::access::role::Action;

use super::auth::SignedIn;
use super::problem::Query;
use super::routes::{Access, Routes};
use crate::app::audit;
use crate::app::error::Failure;
use crate::state::Vault;

/// Tiles never change; they are for the caller's own cache, since they took a token.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// The checkpoint does: it is asked for again each time.
const EACH_TIME: &str = "private, no-cache";

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .add(Access::Caller(Action::AuditRead), routes!(checkpoint))
        .add(Access::Caller(Action::AuditRead), routes!(tile))
        .add(Access::Caller(Action::AuditRead), routes!(entries))
}

/// The signed checkpoint of the published log (c2sp.org/tlog-checkpoint).
#[utoipa::path(get, path = "/v1/audit/log/checkpoint", operation_id = "audit_checkpoint", tag = "audit", security(("bearer" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem),
        (status = 503, body = Problem)))]
async fn checkpoint(State(vault): State<Arc<Vault>>) -> Result<impl IntoResponse, Failure> {
    let note = audit::checkpoint(&vault).await?.note().to_owned();
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, EACH_TIME)], note))
}

/// A tile of hashes or a bundle of entries (c2sp.org/tlog-tiles): `0/x001/234`, `entries/000.p/7`. A partial tile of any
/// width up to the log's size can be had, also once it is full.
#[utoipa::path(get, path = "/v1/audit/log/tile/{*path}", operation_id = "audit_tile", tag = "audit", security(("bearer" = [])),
    params(("path" = String, Path, description = "Level, or `entries`, and index")),
    responses((status = 200, body = [u8], content_type = "application/octet-stream"), (status = "4XX", body = Problem),
        (status = 503, body = Problem)))]
async fn tile(State(vault): State<Arc<Vault>>, Path(path): Path<String>) -> Result<impl IntoResponse, Failure> {
    let bytes = audit::tile(&vault, &format!("tile/{path}")).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, FOR_EVER)], bytes))
}

/// Entries, oldest first, with the openings that the caller may see.
#[utoipa::path(get, path = "/v1/audit/entries", operation_id = "list_audit_entries", tag = "audit", security(("bearer" = [])), params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn entries(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Query(query): Query<AuditQuery>,
) -> Result<impl IntoResponse, Failure> {
    let page: AuditPage = audit::entries(&vault, &caller, query).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(page)))
}
