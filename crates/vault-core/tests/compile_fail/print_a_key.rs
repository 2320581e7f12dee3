//! A key is never printed.
use vault_core::keys::hierarchy::RecordKey;

fn print(key: &RecordKey) -> String {
    format!("{key:?}")
}

fn main() {}
