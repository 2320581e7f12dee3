//! A key is never copied.
use vault_core::keys::hierarchy::RecordKey;

fn copy(key: &RecordKey) -> RecordKey {
    key.clone()
}

fn main() {}
