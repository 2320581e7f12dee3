//! Where a request comes from: the peer, or the client that a named proxy speaks for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use vault_api::code::Code;

use crate::state::Vault;

/// The header that proxies append to.
const FORWARDED: &str = "x-forwarded-for";

/// Addresses looked at, from the end: more proxies in a row have not been seen.
const HOPS: usize = 16;

/// The address that limits go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl ClientAddress {
    /// As [`limit`] found it; without a connection (in tests) there is one address for all.
    pub(super) fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0)
    }
}

/// The peer, unless it is a trusted proxy: then the last address that the proxies in front of us name and that is none of
/// them. What a client wrote into the header stands before that, and is not read.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(&client) {
        return client;
    }
    let values: Vec<&str> = headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')).take(HOPS) {
        let Some(address) = address(hop.trim()) else { return client };
        client = address;
        if !trusted.contains(&client) {
            return client;
        }
    }
    client
}

/// An address, with or without a port; IPv6 with a port stands in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.ok().or_else(bracketed).map(|address| address.to_canonical())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_last_address_before_the_proxies_counts() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = [ip("10.0.0.1"), ip("2001:db8::1")];
        let from = |peer: &str, values: &[&'static str]| client(ip(peer), &headers(values), &trusted).to_string();
        assert_eq!(from("192.0.2.1", &["198.51.100.1"]), "192.0.2.1", "no proxy, not believed");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["198.51.100.1, 2001:db8::1 ,10.0.0.1"]), "198.51.100.1");
        assert_eq!(from("2001:db8::1", &["1.1.1.1", "198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(from("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(from("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[""]), "10.0.0.1");
    }
}
