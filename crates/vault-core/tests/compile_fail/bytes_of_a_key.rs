//! The bytes of a key stay in the crate.
use vault_core::keys::hierarchy::RecordKey;

fn leak(key: &RecordKey) -> [u8; 32] {
    *key.secret().expose()
}

fn main() {}
