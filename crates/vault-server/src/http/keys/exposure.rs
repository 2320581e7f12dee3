//! What a key version exposes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::exposure::{DEFAULT_LOOKED_AT, ExposurePage, ExposureQuery, MOST_LOOKED_AT};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_fields::cursor;

use super::destroy::VersionOf;
use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::Query;
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Caller(Action::KeyRead), routes!(exposure))
}

/// The records whose keys a version wraps or may have wrapped: what whoever has its bytes and a copy of the wraps under it opens.
/// Nothing is decrypted.
#[utoipa::path(get, path = "/v1/collections/{collection}/keys/{version}/exposure", operation_id = "key_exposure", tag = "keys",
    security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"),
        ("version" = u32, Path, description = "The version"), ExposureQuery),
    responses((status = 200, body = ExposurePage), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn exposure(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    VersionOf(name, version): VersionOf,
    Query(query): Query<ExposureQuery>,
) -> Result<Json<ExposurePage>, Failure> {
    let limit = query.limit.unwrap_or(DEFAULT_LOOKED_AT);
    if !(1..=MOST_LOOKED_AT).contains(&limit) {
        return Err(Failure::new(Code::InvalidValue).detail(format!("limit: 1 to {MOST_LOOKED_AT}")));
    }
    let after = match query.cursor.as_deref() {
        Some(cursor) => cursor::read(cursor).ok_or(Code::InvalidCursor)?,
        None => String::new(),
    };
    let page = keys::exposed(&vault, &caller, &name, version, &after, limit).await?;
    Ok(Json(ExposurePage { next_cursor: page.next_cursor.map(|id| cursor::write(&id)), ..page }))
}
