//! A role comes from the log: terms that anyone can write are not a binding.
use vault_core::access::binding::{Binding, Terms};

fn forge(terms: Terms) -> Binding {
    Binding(terms)
}

fn main() {}
