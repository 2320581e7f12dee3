//! Pages for people: what `vault-web` embeds.

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::routes;

use super::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Public, routes!(index)).add(Access::Public, routes!(style))
}

/// The first page.
#[utoipa::path(get, path = "/", tag = "pages", responses((status = 200, description = "HTML", body = String)))]
async fn index() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, vault_web::INDEX)
}

/// The style of the pages.
#[utoipa::path(get, path = "/style.css", tag = "pages", responses((status = 200, description = "CSS", body = String)))]
async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], vault_web::STYLE)
}
