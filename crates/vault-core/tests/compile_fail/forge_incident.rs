//! A version opens after an incident only for who shows the log's entry: naming the version is not enough.
use vault_core::keys::incident::Incident;
use vault_core::keys::wrap::KekRef;

fn forge(kek: KekRef) -> Incident {
    Incident(kek)
}

fn main() {}
