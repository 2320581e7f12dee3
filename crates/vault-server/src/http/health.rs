//! Health, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::routes;
use vault_api::health::{Health, Readiness, ReadinessCheck};

use super::routes::{Access, Routes};
use crate::app::figures;
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Public, routes!(healthz)).add(Access::Public, routes!(readyz))
}

pub(super) fn admin_routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Public, routes!(metrics))
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Whether this node can take recordings and play them: custody open, database and log writable.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Readiness), (status = 503, body = Readiness, description = "Not ready; the checks say why")))]
async fn readyz(State(vault): State<Arc<Vault>>) -> impl IntoResponse {
    let checks: Vec<ReadinessCheck> =
        vault.checks().await.into_iter().map(|(name, ok)| ReadinessCheck { name: name.to_owned(), ok }).collect();
    let ready = checks.iter().all(|c| c.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks }))
}

/// Metrics in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String)))]
async fn metrics(State(vault): State<Arc<Vault>>) -> impl IntoResponse {
    figures::refresh(&vault).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], vault.metrics.encode())
}
