//! A record key wraps nothing.
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::{Kek, RecordKey};
use vault_core::keys::wrap::KekRef;

fn confuse(me: KekRef, record: RecordId, key: &RecordKey) -> Vec<u8> {
    Kek::wrap_record_key(key, me, record, key)
}

fn main() {}
