//! What is prepared is not in the log yet.
use vault_core::access::binding::Binding;
use vault_core::access::denial::Denial;
use vault_core::audit::entry::{Prepared, RoleGranted};

fn early(prepared: &Prepared<RoleGranted>) -> Result<Binding, Denial> {
    Binding::from_evidence(prepared)
}

fn main() {}
