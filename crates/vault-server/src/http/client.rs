//! Where a request comes from: the peer, or the client that a named proxy speaks for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use vault_api::code::Code;
use vault_fields::forwarded::client;

use crate::state::Vault;

/// The address that limits go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl ClientAddress {
    /// As [`limit`] found it; without a connection (in tests) there is one address for all.
    pub(super) fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0)
    }
}

/// Finds the client's address, refuses who is too fast, and counts guesses at upload addresses. Health is not limited: whoever
/// watches the node must see it.
pub(super) async fn limit(State(vault): State<Arc<Vault>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = client(peer, request.headers(), &vault.config.proxy.trusted);
    request.extensions_mut().insert(ClientAddress(address));
    let (path, now) = (request.uri().path(), vault.clock.now());
    if matches!(path, "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let capability = path.starts_with("/v1/uploads/");
    let passed = vault.limiter.address(address, now);
    let passed = passed.and_then(|()| if capability { vault.limiter.may_try(address, now) } else { Ok(()) });
    if let Err(failure) = passed {
        return failure.into_response();
    }
    let response = next.run(request).await;
    if response.extensions().get::<Code>() == Some(&Code::UploadNotFound) {
        vault.limiter.failed(address, now);
    }
    response
}
