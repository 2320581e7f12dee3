//! HTTP: requests become typed calls, failures become problem documents. Never touches the store.

mod access;
mod audit;
pub mod auth;
mod client;
pub mod collections;
mod connections;
pub mod health;
pub mod keys;
mod layers;
pub mod listen;
pub mod openapi;
mod page;
mod pages;
pub mod people;
pub mod playback;
pub mod problem;
mod records;
mod restore;
pub mod routes;
mod seal;
mod tus;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::config::Role;
use crate::state::Vault;
use routes::Routes;

/// Every route of the public listener, in the order of the OpenAPI document. A new slice adds its `routes()` here.
fn public_routes(vault: &Arc<Vault>) -> Routes {
    Routes::new(vault)
        .merge(health::routes(vault))
        .merge(openapi::routes(vault))
        .merge(people::routes(vault))
        .merge(collections::routes(vault))
        .merge(access::routes(vault))
        .merge(tus::routes(vault).only(Role::Ingest))
        .merge(records::routes(vault))
        .merge(playback::routes(vault).only(Role::Playback))
        .merge(keys::routes(vault).only(Role::Keys))
        .merge(restore::routes(vault).only(Role::Keys))
        .merge(audit::routes(vault))
        .merge(pages::routes(vault))
}

/// The public listener's service.
pub fn public(vault: &Arc<Vault>) -> Router {
    let router = public_routes(vault).into_router();
    layers::around(router.layer(from_fn_with_state(Arc::clone(vault), client::limit)), vault)
}

/// The admin listener's service: metrics and health; loopback only.
pub fn admin(vault: &Arc<Vault>) -> Router {
    let routes = Routes::new(vault)
        .merge(health::routes(vault))
        .merge(health::admin_routes(vault))
        .merge(seal::admin_routes(vault));
    layers::around(routes.into_router(), vault)
}
