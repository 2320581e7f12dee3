//! References of log entries: how an act finds the entry that proves another.
//!
//! A reference is a hint. Evidence is what the entry itself says, and whoever asks compares that.

use vault_core::audit::entry::{Entry, Kind};
use vault_core::ids::{
    BindingId, CollectionId, DestructionId, GrantId, ObjectId, PersonId, RecordId, ReencryptionId, RequestId,
    RestoreId, SessionId, TokenId,
};

/// The declaration of the log of this generation.
#[must_use]
pub fn log_succeeded(generation: u32) -> String {
    format!("log-succeeded:{generation}")
}

/// `role.proposed` of a binding.
#[must_use]
pub fn role_proposed(id: BindingId) -> String {
    format!("role-proposed:{id}")
}

/// `role.granted` of a binding.
#[must_use]
pub fn role(id: BindingId) -> String {
    format!("role:{id}")
}

/// `role.revoked` of a binding.
#[must_use]
pub fn role_revoked(id: BindingId) -> String {
    format!("role-revoked:{id}")
}

/// `token.issued` of a token.
#[must_use]
pub fn token(id: TokenId) -> String {
    format!("token:{id}")
}

/// `token.confirmed` of a token.
#[must_use]
pub fn token_confirmed(id: TokenId) -> String {
    format!("token-confirmed:{id}")
}

/// `token.revoked` of a token.
#[must_use]
pub fn token_revoked(id: TokenId) -> String {
    format!("token-revoked:{id}")
}

/// `token.used` of a token in an hour since the epoch.
#[must_use]
pub fn token_used(id: TokenId, hour: i64) -> String {
    format!("token-used:{id}:{hour}")
}

/// `person.added` of a person or machine.
#[must_use]
pub fn person(id: PersonId) -> String {
    format!("person:{id}")
}

/// `person.disabled` of a person or machine.
#[must_use]
pub fn person_disabled(id: PersonId) -> String {
    format!("person-disabled:{id}")
}

/// `collection.created` of a collection.
#[must_use]
pub fn collection(id: CollectionId) -> String {
    format!("collection:{id}")
}

/// `access.requested` of a request.
#[must_use]
pub fn request(id: RequestId) -> String {
    format!("request:{id}")
}

/// `access.approved` of a grant.
#[must_use]
pub fn approval(id: GrantId) -> String {
    format!("approval:{id}")
}

/// `access.denied` of a request.
#[must_use]
pub fn denial(id: RequestId) -> String {
    format!("denial:{id}")
}

/// `access.revoked` of a grant.
#[must_use]
pub fn access_revoked(id: GrantId) -> String {
    format!("access-revoked:{id}")
}

/// `playback.opened` of a session.
#[must_use]
pub fn session(id: SessionId) -> String {
    format!("session:{id}")
}

/// `record.reencrypted`, by the object that was replaced.
#[must_use]
pub fn object_replaced(id: ObjectId) -> String {
    format!("object-replaced:{id}")
}

/// `record.erased` of a record, the last entry of its erasure.
#[must_use]
pub fn record_erased(id: RecordId) -> String {
    format!("record-erased:{id}")
}

/// The `key.operation` that says that a version of a collection's key was destroyed.
#[must_use]
pub fn key_destroyed(id: CollectionId, version: u32) -> String {
    format!("key-destroyed:{id}:{version}")
}

/// The `key.operation` that says that a version of a collection's key is compromised.
#[must_use]
pub fn key_compromised(id: CollectionId, version: u32) -> String {
    format!("key-compromised:{id}:{version}")
}

/// The entry that tells of a restore, once it is reconciled.
#[must_use]
pub fn restored(id: RestoreId) -> String {
    format!("restored:{id}")
}

/// The `root.operation` that says that a root epoch was destroyed.
#[must_use]
pub fn root_destroyed(epoch: u32) -> String {
    format!("root-destroyed:{epoch}")
}

/// The entry that says that a destruction was asked for.
#[must_use]
pub fn destroy_requested(id: DestructionId) -> String {
    format!("destroy-requested:{id}")
}

/// The entry that says that a destruction was confirmed.
#[must_use]
pub fn destroy_confirmed(id: DestructionId) -> String {
    format!("destroy-confirmed:{id}")
}

/// The entry that says that somebody asked for a re-encryption.
#[must_use]
pub fn reencryption(id: ReencryptionId) -> String {
    format!("reencryption:{id}")
}

/// The entry that says that a destruction was cancelled.
#[must_use]
pub fn destroy_cancelled(id: DestructionId) -> String {
    format!("destroy-cancelled:{id}")
}

/// The `root.operation` that says that a cycle of keys began.
#[must_use]
pub fn cycle_begun(number: u32) -> String {
    format!("cycle-begun:{number}")
}

/// The entry that says that a first key officer agreed to a cycle.
#[must_use]
pub fn cycle_requested(number: u32) -> String {
    format!("cycle-requested:{number}")
}

/// The entry that says that a second key officer agreed to a cycle.
#[must_use]
pub fn cycle_confirmed(number: u32) -> String {
    format!("cycle-confirmed:{number}")
}

/// The entry that says that a cycle was cancelled, or has come to its end.
#[must_use]
pub fn cycle_ended(number: u32) -> String {
    format!("cycle-ended:{number}")
}

/// The entry that says that a cycle put the destruction of a version down.
#[must_use]
pub fn destroy_by_cycle(id: DestructionId) -> String {
    format!("destroy-by-cycle:{id}")
}

/// `playback.closed` of a session.
#[must_use]
pub fn session_closed(id: SessionId) -> String {
    format!("session-closed:{id}")
}

/// The reference of an entry whose act is told in the clear: what was done to keys. For entries that come back without
/// theirs, from the published log.
#[must_use]
pub fn derived(entry: &[u8]) -> Option<String> {
    let entry = Entry::parse(entry).ok()?;
    let operation = entry.data("operation")?.as_str()?;
    // An entry about the vault's own key names no collection.
    let collection = entry.collection().unwrap_or(CollectionId::VAULT);
    match (entry.kind(), operation) {
        (Kind::KeyOperation, "destroy") => Some(key_destroyed(collection, entry.kek_version()?)),
        (Kind::KeyOperation, "mark-compromised") => Some(key_compromised(collection, entry.kek_version()?)),
        (Kind::RootOperation, "destroy") => Some(root_destroyed(number(&entry, "epoch")?)),
        (Kind::RootOperation, "cycle-begun") => Some(cycle_begun(number(&entry, "cycle")?)),
        (Kind::RootOperation, "cycle-requested") => Some(cycle_requested(number(&entry, "cycle")?)),
        (Kind::RootOperation, "cycle-confirmed") => Some(cycle_confirmed(number(&entry, "cycle")?)),
        (Kind::RootOperation, "cycle-cancelled" | "cycle-done") => Some(cycle_ended(number(&entry, "cycle")?)),
        _ => None,
    }
}

fn number(entry: &Entry<'_>, name: &str) -> Option<u32> {
    u32::try_from(entry.data(name)?.as_number()?).ok()
}
