//! Who calls: the guard that stands before every route with an action, and what handlers see of its finding.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vault_api::code::Code;
use vault_core::access::denial::Denial;
use vault_core::access::role::Action;
use vault_fields::authorization::bearer;

use super::client::ClientAddress;
use super::problem::Refused;
use crate::app::callers::{self, Caller, Trace};
use crate::app::error::Failure;
use crate::state::Vault;

/// What the guard needs to know of the route it stands before.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) vault: Arc<Vault>,
    /// `None`: whoever has a valid token.
    pub(super) action: Option<Action>,
}

/// The caller, as the guard found them. A handler that takes this on a route without a guard answers 401.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Arc<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Code::Unauthenticated.into())
    }
}

/// Finds the caller, refuses who may not, notes the token's use, and only then lets the handler run.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&guard, &parts).await {
        Ok(caller) => {
            parts.extensions.insert(SignedIn(Arc::clone(&caller)));
            let response = next.run(Request::from_parts(parts, body)).await;
            if let Some(refused) = response.extensions().get::<Refused>().copied() {
                note(&guard, &caller, refused).await;
            }
            response
        }
        Err(failure) => failure.into_response(),
    }
}

/// A refusal from deeper than the guard (the right role in the wrong place, one's own request) is noted too. That a
/// request is decided already is none.
async fn note(guard: &Guard, caller: &Caller, refused: Refused) {
    let Refused { action, denial } = refused;
    if let Some(action) = action.or(guard.action).filter(|_| denial != Denial::AlreadyDecided) {
        callers::note_denial(&guard.vault, caller, action, denial).await;
    }
}

/// Makes an address absent for whoever has no valid token.
pub(super) async fn hide(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED { Failure::from(Code::NotFound).into_response() } else { response }
}

async fn admit(guard: &Guard, parts: &Parts) -> Result<Arc<Caller>, Failure> {
    let token = bearer(&parts.headers).ok_or(Code::Unauthenticated)?;
    let (vault, now) = (&guard.vault, guard.vault.clock.now());
    let address = ClientAddress::of(&parts.extensions);
    // Only what this node does not know to be good is slowed down: whoever shares the address of a guesser works on.
    if !callers::is_known(vault, token) {
        vault.limiter.may_try(address, now)?;
    }
    if vault.opened.is_cancelled() && !vault.reconciled.is_cancelled() {
        return Err(Failure::new(Code::Sealed).detail("what a restore brought back is not reconciled with the log yet"));
    }
    let caller = match callers::authenticate(vault, token).await {
        Ok(caller) => caller,
        Err(failure) => {
            if failure.code() == Code::Unauthenticated {
                vault.limiter.failed(address, now);
            }
            return Err(failure);
        }
    };
    vault.limiter.person(caller.person(), now)?;
    let Some(action) = guard.action else {
        // One's own affairs, giving up a token among them.
        callers::note_use(&guard.vault, &caller, Trace::Queued).await?;
        return Ok(caller);
    };
    if !caller.may_somewhere(action) {
        let names_a_thing = parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str().contains('{'));
        let denial = refusal(&caller, action, names_a_thing);
        callers::note_denial(&guard.vault, &caller, action, denial).await;
        return Err(denial.into());
    }
    callers::note_use(&guard.vault, &caller, Trace::of(action)).await?;
    Ok(caller)
}

/// What the caller learns: a thing they may not see looks absent; that a list or a way to create exists is public.
fn refusal(caller: &Caller, action: Action, names_a_thing: bool) -> Denial {
    let unseen = action.conceals() && !caller.may_somewhere(action.visible_by());
    if names_a_thing && unseen { Denial::Absent } else { Denial::Forbidden }
}
