//! An authorisation is made by a decision, not written down.
use vault_core::access::decision::{Authorized, Play, PlayTerms};
use vault_core::ids::PersonId;

fn forge(person: PersonId, detail: PlayTerms) -> Authorized<Play> {
    Authorized { person, detail }
}

fn main() {}
