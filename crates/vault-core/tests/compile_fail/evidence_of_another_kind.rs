//! That access was asked for is not that it was approved.
use vault_core::access::denial::Denial;
use vault_core::access::grant::Grant;
use vault_core::audit::entry::AccessRequested;
use vault_core::audit::evidence::Recorded;

fn hurry(asked: &Recorded<AccessRequested>) -> Result<Grant, Denial> {
    Grant::from_evidence(asked)
}

fn main() {}
