//! The OpenAPI document, generated from the routes as mounted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::routes;

use super::routes::{Access, Routes};
use crate::state::Vault;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Feedback Vault",
        description = "Takes in voice and video feedback, keeps it under per-record keys, and plays it only for a stated, \
                       approved purpose, with every byte accounted for in an append-only log. Errors are RFC 9457 problem \
                       documents with a stable `code`; times are RFC 3339 UTC; ids are UUIDv7.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    components(schemas(vault_api::problem::Problem))
)]
struct Document;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Public, routes!(openapi))
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "health",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value)))]
async fn openapi(State(vault): State<Arc<Vault>>) -> Json<OpenApi> {
    Json(document(&vault))
}

/// The whole document. Admin routes are left out: they answer on another listener.
#[must_use]
pub fn document(vault: &Arc<Vault>) -> OpenApi {
    let mut document = Document::openapi();
    document.merge(super::public_routes(vault).openapi());
    // The router marks a parameter that takes the rest of an address; OpenAPI has no such mark.
    let paths = core::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token that begins with fv_")).build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}
