//! A grant comes from the log: terms that anyone can write are not a grant.
use vault_core::access::grant::{Grant, Terms};

fn forge(terms: Terms) -> Grant {
    Grant(terms)
}

fn main() {}
