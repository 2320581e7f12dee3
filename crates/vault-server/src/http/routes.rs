//! Mounting routes: nothing can be mounted without saying who may call it.
//!
//! [`Routes::add`] is the only way in, and it takes an [`Access`]. What it mounts is also written down, so that
//! a test can hold the list against the OpenAPI document and the golden matrix of roles.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::MethodRouter;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use vault_api::code::Code;
use vault_core::access::role::Action;

use super::auth::{self, Guard};
use crate::app::error::Failure;
use crate::config::Role;
use crate::state::Vault;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a token.
    Public,
    /// Whoever holds the address, which carries a secret of 256 bits.
    Capability,
    /// Whoever has a valid token: their own affairs.
    SignedIn,
    /// Callers with a role that may do this, somewhere; the act itself checks the place.
    Caller(Action),
    /// The same, for an address that is absent for everybody else: without a valid token too.
    Hidden(Action),
}

/// A route as mounted, for the tests that list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its parameters in braces.
    pub path: String,
    /// Who may call it.
    pub access: Access,
}

/// Routes with their access.
pub struct Routes {
    router: OpenApiRouter<Arc<Vault>>,
    mounted: Vec<Mounted>,
    vault: Arc<Vault>,
}

impl Routes {
    /// No routes yet.
    #[must_use]
    pub fn new(vault: &Arc<Vault>) -> Self {
        Self { router: OpenApiRouter::new(), mounted: Vec::new(), vault: Arc::clone(vault) }
    }

    /// Mounts what `routes!(handler, …)` made, for those whom `access` names.
    #[must_use]
    pub fn add(mut self, access: Access, made: UtoipaMethodRouter<Arc<Vault>>) -> Self {
        let (schemas, paths, methods) = made;
        for (path, item) in &paths.paths {
            let named = [
                ("GET", &item.get),
                ("HEAD", &item.head),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
                ("OPTIONS", &item.options),
            ];
            for (method, operation) in named {
                if operation.is_some() {
                    self.mounted.push(Mounted { method: method.to_owned(), path: path.clone(), access });
                }
            }
        }
        let methods = match access {
            Access::Public | Access::Capability => methods,
            Access::SignedIn => self.guarded(None, methods),
            Access::Caller(action) => self.guarded(Some(action), methods),
            Access::Hidden(action) => self.guarded(Some(action), methods).layer(from_fn(auth::hide)),
        };
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// The handlers behind the guard: it runs before any of them and before their bodies are read.
    fn guarded(&self, action: Option<Action>, methods: MethodRouter<Arc<Vault>>) -> MethodRouter<Arc<Vault>> {
        let guard = Guard { vault: Arc::clone(&self.vault), action };
        methods.route_layer(from_fn_with_state(guard, auth::guard))
    }

    /// Leaves these routes to other nodes, where this one does not have the role: they stay in every list and answer so,
    /// whoever asks.
    #[must_use]
    pub fn only(mut self, role: Role) -> Self {
        if !self.vault.config.has(role) {
            self.router =
                self.router.layer(from_fn(async |_: Request, _: Next| Failure::new(Code::WrongNode).into_response()));
        }
        self
    }

    /// Both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.mounted.extend(other.mounted);
        self
    }

    /// What is mounted.
    #[must_use]
    pub fn mounted(&self) -> &[Mounted] {
        &self.mounted
    }

    /// The OpenAPI paths and schemas.
    #[must_use]
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        self.router.get_openapi().clone()
    }

    /// The service; an address without a route gets a problem document.
    pub fn into_router(self) -> axum::Router {
        let (router, _) = self.router.split_for_parts();
        router
            .fallback(super::problem::absent)
            .method_not_allowed_fallback(super::problem::method_not_allowed)
            .with_state(self.vault)
    }
}
