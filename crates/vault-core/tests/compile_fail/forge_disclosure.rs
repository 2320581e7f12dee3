//! Plaintext needs a logged disclosure; nobody writes one down.
use vault_core::ids::{ObjectId, RecordId};
use vault_core::media::disclosure::Disclosure;

fn forge(record: RecordId, object: ObjectId) -> Disclosure {
    Disclosure { record, object }
}

fn main() {}
