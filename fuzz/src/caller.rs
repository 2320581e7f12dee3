//! Who calls, from where, and behind what: credentials, the address that a proxy names, cursors of lists.

use core::net::{IpAddr, SocketAddr};
use core::str;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use vault_fields::authorization::{bearer, is_secret};
use vault_fields::cursor as cursors;
use vault_fields::forwarded::{FORWARDED, HOPS, client};

/// A field for each line; what HTTP itself would not let in is left out.
fn fields(name: &HeaderName, data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(name, value);
    }
    headers
}

/// A field `Authorization` for each line. Credentials come out of exactly one, and are its end; a secret is what a decoder takes
/// for 256 bits.
pub fn authorization(data: &[u8]) {
    let headers = fields(&header::AUTHORIZATION, data);
    let lines: Vec<&[u8]> = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    let found = bearer(&headers);
    let visible = |line: &[u8]| line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let expected = match lines[..] {
        [line] if visible(line) && line.len() > 6 && line[..6].eq_ignore_ascii_case(b"bearer") && line[6] == b' ' => {
            let start = line[6..].iter().position(|byte| *byte != b' ').map_or(line.len(), |at| at + 6);
            Some(&line[start..])
        }
        _ => None,
    };
    assert_eq!(found.map(str::as_bytes), expected);
    for text in [found, str::from_utf8(data).ok()].into_iter().flatten() {
        let decoded = URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
        assert_eq!(is_secret(text), decoded, "{text:?}");
    }
}

/// The first byte chooses the peer, then comes a field `X-Forwarded-For` for each line. Nobody but a named proxy is believed; of
/// what those name, nothing counts that stands before the first address that is none of theirs, whatever it is.
pub fn forwarded(data: &[u8]) {
    let Some((peer, rest)) = data.split_first() else { return };
    let proxies: [IpAddr; 2] = [[10, 0, 0, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
    let peer = match peer % 4 {
        0 => proxies[0],
        1 => proxies[1],
        2 => IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]),
        _ => IpAddr::from([192, 0, 2, 1]),
    };
    let name = HeaderName::from_static(FORWARDED);
    let headers = fields(&name, rest);
    let found = client(peer, &headers, &proxies);
    assert_eq!(found, found.to_canonical());
    if !proxies.contains(&peer.to_canonical()) {
        assert_eq!(found, peer);
        return;
    }
    // The same read forwards, as one list, and only then from its end.
    let list: Vec<u8> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
    let hops: Vec<Option<IpAddr>> = list.split(|byte| *byte == b',').map(plain).collect();
    let proxy = |hop: &Option<IpAddr>| hop.is_some_and(|address| proxies.contains(&address));
    let theirs = hops.iter().rev().take(HOPS).take_while(|hop| proxy(hop)).count();
    let last_of_theirs = if theirs == 0 { peer.to_canonical() } else { hops[hops.len() - theirs].expect("an address") };
    let next = hops.iter().rev().take(HOPS).nth(theirs).copied().flatten();
    assert_eq!(found, next.unwrap_or(last_of_theirs));
    if next.is_some() {
        // What a client writes in front changes nothing, lines of its own and bytes that are no text included.
        for forged in [&b"198.51.100.77\n"[..], b"198.51.100.77, \xff,", b"\xff\n10.0.0.1,"] {
            assert_eq!(client(peer, &fields(&name, &[forged, rest].concat()), &proxies), found);
        }
    }
}

/// An address as proxies write them.
fn plain(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?.trim_matches([' ', '\t', '\n', '\x0c', '\r']);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(inside) if !inside.contains(']') => inside.parse().ok(),
        _ => text.parse().ok(),
    };
    address
        .or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
        .map(|address| address.to_canonical())
}

/// A cursor: one spelling, one identifier, within bounds; and every text within them has one.
pub fn cursor(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(id) = cursors::read(text) {
        assert_eq!(cursors::write(&id), text);
        assert!((1..=cursors::LONGEST).contains(&id.len()) && !id.contains('\0'));
    }
    let sound = (1..=cursors::LONGEST).contains(&text.len()) && !text.contains('\0');
    assert_eq!(cursors::read(&cursors::write(text)), sound.then(|| text.to_owned()));
}
