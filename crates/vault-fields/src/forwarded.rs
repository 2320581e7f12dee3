//! `X-Forwarded-For`: the client that a named proxy speaks for.

use core::net::{IpAddr, SocketAddr};
use core::str;

use http::HeaderMap;

/// The header that proxies append to.
pub const FORWARDED: &str = "x-forwarded-for";

/// Addresses looked at, from the end: more proxies in a row have not been seen.
pub const HOPS: usize = 16;

/// The peer, unless it is a trusted proxy: then the last address that the proxies in front of us name and that is none of
/// them. What a client wrote into the header stands before that, and is not read.
///
/// So the values are read as bytes, from their end: a proxy appends to what the client sent, and a value that is passed over
/// because something in it is no text would hide the proxy's word and let one stand that the client wrote.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(&client) {
        return client;
    }
    let values: Vec<&[u8]> = headers.get_all(FORWARDED).iter().map(|value| value.as_bytes()).collect();
    for hop in values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b',')).take(HOPS) {
        let Some(address) = str::from_utf8(hop).ok().and_then(|hop| address(hop.trim_ascii())) else { return client };
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn from(peer: &str, values: &[&[u8]]) -> String {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        client(ip(peer), &headers(values), &[ip("10.0.0.1"), ip("2001:db8::1")]).to_string()
    }

    #[test]
    fn the_last_address_before_the_proxies_counts() {
        assert_eq!(from("192.0.2.1", &[b"198.51.100.1"]), "192.0.2.1", "no proxy, not believed");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[b"198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("::ffff:10.0.0.1", &[b"198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &[b"1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &[b"198.51.100.1, 2001:db8::1 ,10.0.0.1"]), "198.51.100.1");
        assert_eq!(from("2001:db8::1", &[b"1.1.1.1", b"198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &[b"[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(from("10.0.0.1", &[b"[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(from("10.0.0.1", &[b"198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[b""]), "10.0.0.1");
    }

    /// A client sends two lines, of which the proxy appends to the second.
    #[test]
    fn what_is_no_text_hides_nothing_of_what_the_proxy_appended() {
        assert_eq!(from("10.0.0.1", &[b"1.1.1.1", b"\xff, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &[b"\xff, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &[b"1.1.1.1", b"198.51.100.1\xff"]), "10.0.0.1");
    }
}
