//! Addresses: which server, and what may stand in a path.

use ureq::http::Uri;

use crate::error::Failure;

/// The address of a vault without a trailing slash: `http` or `https`, host, perhaps port and a path.
pub fn normalise(url: &str, plain_allowed: bool) -> Result<String, Failure> {
    let refuse = |why: &str| Failure::Usage(format!("--url {url}: {why}"));
    let uri: Uri = url.parse().map_err(|_| refuse("not an address"))?;
    let host = uri.host().ok_or_else(|| refuse("an address like https://vault.example is needed"))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse("names and passwords do not belong into an address"));
    }
    if uri.query().is_some() {
        return Err(refuse("a query does not belong here"));
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if plain_allowed || is_loopback(host) => {}
        Some("http") => return Err(refuse("the token would travel in the clear: use https, or --allow-plain-http")),
        _ => return Err(refuse("https or http is needed")),
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Text that may stand in a path as it is: what identifiers and collection names are made of.
pub fn segment(text: &str) -> Result<&str, Failure> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        Ok(text)
    } else {
        Err(Failure::Usage(format!("{text:?} is neither an identifier nor a collection's name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_the_clear_only_to_this_machine() {
        for good in ["https://vault.example", "http://127.0.0.1:8080/", "http://[::1]:1", "http://localhost"] {
            assert!(normalise(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://vault.example",
            "vault.example",
            "ftp://x",
            "https://a:b@x",
            "https://x/?q",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(normalise(bad, false).is_err(), "{bad}");
        }
        assert_eq!(normalise("http://vault:8080//", true).unwrap(), "http://vault:8080");
    }

    #[test]
    fn nothing_else_gets_into_a_path() {
        assert!(segment("019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55").is_ok());
        for bad in ["", "../x", "a/b", "a?b", "a%2f", "ä"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
    }
}
