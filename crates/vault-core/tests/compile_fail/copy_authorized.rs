//! An authorisation is for one act: it is not copied.
use vault_core::access::decision::{Authorized, Play};

fn twice(authorised: Authorized<Play>) -> (Authorized<Play>, Authorized<Play>) {
    (authorised, authorised)
}

fn main() {}
