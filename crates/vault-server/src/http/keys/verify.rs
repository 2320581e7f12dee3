//! Proving that every wrap opens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;
use vault_api::code::Code;
use vault_api::keys::{DEFAULT_VERIFIED, MOST_VERIFIED, VerifiedKeys, VerifyQuery};
use vault_api::problem::Problem;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;
use vault_fields::cursor;

use crate::app::error::Failure;
use crate::app::keys;
use crate::http::auth::SignedIn;
use crate::http::problem::{Named, Query};
use crate::http::routes::{Access, Routes};
use crate::state::Vault;

pub(super) fn routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault).add(Access::Caller(Action::KeyRead), routes!(verify))
}

/// Opens the wraps of a page of records under the versions they name, checks commitment and tag, and releases nothing. The first
/// page opens the collection's own keys and its key versions too.
#[utoipa::path(get, path = "/v1/collections/{collection}/keys/verify", operation_id = "verify_keys", tag = "keys", security(("bearer" = [])),
    params(("collection" = String, Path, description = "The collection's name"), VerifyQuery),
    responses((status = 200, body = VerifiedKeys), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn verify(
    State(vault): State<Arc<Vault>>,
    SignedIn(caller): SignedIn,
    Named(name): Named<CollectionName>,
    Query(query): Query<VerifyQuery>,
) -> Result<Json<VerifiedKeys>, Failure> {
    let limit = query.limit.unwrap_or(DEFAULT_VERIFIED);
    if !(1..=MOST_VERIFIED).contains(&limit) {
        return Err(Failure::new(Code::InvalidValue).detail(format!("limit: 1 to {MOST_VERIFIED}")));
    }
    let after = match query.cursor.as_deref() {
        // A damaged row's identifier may be of any form, and the page behind it is asked for too.
        Some(cursor) => cursor::read(cursor).ok_or(Code::InvalidCursor)?,
        None => String::new(),
    };
    let page = keys::verify(&vault, &caller, &name, &after, limit).await?;
    Ok(Json(VerifiedKeys { next_cursor: page.next_cursor.map(|id| cursor::write(&id)), ..page }))
}
