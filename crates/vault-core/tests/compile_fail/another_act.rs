//! A role that allows an upload does not allow a playback: no role alone does.
use vault_core::access::caller::Caller;
use vault_core::access::decision::{Authorized, Play, Upload, authorise};
use vault_core::access::denial::Denial;
use vault_core::access::person::Place;

fn play(caller: &Caller) -> Result<Authorized<Play>, Denial> {
    authorise::<Upload>(caller, Place::Vault)
}

fn main() {}
