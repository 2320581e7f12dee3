//! The tables of a backup and their columns, in the order in which they are restored: what others refer to comes first.
//!
//! The columns of the key come first in each table; a file's lines ascend by them. A test of the store holds this against the
//! schema.

use super::line::{Column, Kind};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in the database; its file is called after it.
    pub name: &'static str,
    /// How many of its first columns are its key.
    pub key: usize,
    /// Its columns.
    pub columns: &'static [Column],
}

macro_rules! column {
    ($name:ident number) => {
        column!($name, Number, false)
    };
    ($name:ident text) => {
        column!($name, Text, false)
    };
    ($name:ident bytes) => {
        column!($name, Bytes, false)
    };
    ($name:ident number_or_null) => {
        column!($name, Number, true)
    };
    ($name:ident text_or_null) => {
        column!($name, Text, true)
    };
    ($name:ident bytes_or_null) => {
        column!($name, Bytes, true)
    };
    ($name:ident, $kind:ident, $nullable:literal) => {
        Column { name: stringify!($name), kind: Kind::$kind, nullable: $nullable }
    };
}

macro_rules! tables {
    ($($table:ident($key:literal) [$($name:ident: $kind:ident),* $(,)?];)*) => {
        /// Every table of a backup.
        pub const TABLES: &[Table] = &[
            $(Table { name: stringify!($table), key: $key, columns: &[$(column!($name $kind)),*] },)*
        ];
    };
}

tables! {
    meta(1) [name: text, value: text];
    counters(1) [name: text, value: number];
    collections(1) [id: text, name: text, state: text, policy: text, policy_hash: bytes, created_at: number];
    root_epochs(1) [epoch: number, state: text, created_at: number];
    keks(2) [collection_id: text, version: number, root_epoch: number, wrap: bytes, state: text, wraps: number, moved: number, created_at: number, activated_at: number_or_null, deactivated_at: number_or_null];
    kek_children(2) [collection_id: text, kind: text, kek_version: number, wrap: bytes];
    log_keys(1) [name: text, root_epoch: number, wrap: bytes, public_key: text, state: text, created_at: number];
    rotations(1) [collection_id: text, from_version: number, to_version: number, state: text, because: text, priority: number, throttle: number_or_null, total: number, done: number, damaged: number, worked_ms: number, started_at: number, updated_at: number, finished_at: number_or_null];
    destructions(1) [id: text, kind: text, collection_id: text, version: number, state: text, requested_by: text, requested_at: number, confirmed_by: text_or_null, confirmed_at: number_or_null, not_before: number_or_null, ended_at: number_or_null, inventory: text];
    cycles(1) [number: number, state: text, scope: text, throttle: number_or_null, requested_by: text_or_null, confirmed_by: text_or_null, started_at: number, ended_at: number_or_null];
    persons(1) [id: text, name: text, kind: text, created_at: number, disabled_at: number_or_null];
    role_bindings(1) [id: text, person_id: text, role: text, collection_id: text_or_null, state: text, proposed_by: text_or_null, proposed_at: number, confirmed_by: text_or_null, active_at: number_or_null, until: number_or_null, revoked_at: number_or_null];
    tokens(1) [id: text, person_id: text, hash: bytes, label: text, roles: text_or_null, collection_id: text_or_null, issued_by: text_or_null, confirmed_by: text_or_null, created_at: number, expires_at: number, revoked_at: number_or_null, used_hour: number];
    records(1) [id: text, collection_id: text, state: text, kek_version: number, wrap: bytes_or_null, pseudonym: bytes_or_null, details: bytes_or_null, consent: bytes_or_null, purposes: text, consent_expires_at: number_or_null, notice_sha256: bytes, media: text, content_type: text, size: number, received_at: number, retain_until: number_or_null, resume_key: text_or_null, key_tag: bytes_or_null, rekeyed_under: number_or_null, rekeyed_at: number_or_null];
    objects(1) [id: text, record_id: text, kind: text, content_type: text, header: bytes, segment_length: number, plaintext_length: number, created_at: number];
    parts(2) [object_id: text, start: number, length: number, name: text, first_segment: number, tags: bytes];
    garbage(1) [name: text, verify_after: number, record_id: text_or_null];
    reencryptions(1) [collection_id: text, id: text, kek_version: number_or_null, record_id: text_or_null, state: text, throttle: number_or_null, total: number, total_bytes: number, done: number, done_bytes: number, skipped: number, damaged: number, cursor: text, worked_ms: number, started_at: number, updated_at: number, finished_at: number_or_null];
    erasures(1) [record_id: text, collection_id: text, at: number, kek_version: number, root_epoch: number, resume_key: text_or_null, restriction: number, completed_at: number_or_null];
    access_requests(1) [id: text, collection_id: text, requester: text, record_id: text_or_null, scope: text, purpose: text, rights: text, limits: text, reason: bytes, case_number: bytes_or_null, comment: bytes_or_null, state: text, created_at: number, until: number_or_null, waits_until: number, decided_by: text_or_null, decided_at: number_or_null];
    grants(1) [id: text, request_id: text, created_at: number, expires_at: number, revoked_at: number_or_null];
    sessions(1) [id: text, request_id: text, grant_id: text, binding_id: text, collection_id: text, record_id: text, object_id: text, person_id: text, representation: text, instance: text, created_at: number, expires_at: number, closed_at: number_or_null];
    restrictions(1) [counter: number, act: text, kind: text, target: text, at: number, until: number_or_null, journalled: number];
    log_head(1) [id: number, size: number, edge: bytes, fence: number];
    log_entries(1) [idx: number, entry: bytes, reference: text_or_null];
    log_openings(2) [idx: number, slot: text, under: text, owner: text, sealed: bytes_or_null];
    backups(1) [id: text, created_at: number, log_size: number, manifest_sha256: text, needs: text];
    log_outbox(1) [id: text, entry: bytes, openings: bytes, reference: text_or_null, mac: bytes];
}

/// The table called `name`.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}
