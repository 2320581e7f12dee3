//! What every input must satisfy: one function for each parser that reads what others wrote.
//!
//! The fuzz targets call these, and so does an ordinary test, with every file of the corpora
//! (`crates/vault-core/tests/corpora.rs`). None may panic, and none only does that: where a parser has a writer, what is
//! read is written again the same way; where a form is canonical, nothing else is taken; where bytes are authentic, each
//! altered one is refused for the reason that its place gives.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `media` | containers, claimed types, FLOE, offsets, tails |
//! | `log` | entries, notes, checkpoints, proofs, tiles, exports, the offline verifier |
//! | `keys` | wraps, sealed fields, the keyring file |
//! | `rules` | consents, policies, scopes, identifiers and times |
//! | `fields` | header fields, and the journal of restrictions |
//! | `caller` | credentials, the caller's address, cursors |
//! | `claims` | certificates of erasures |
//! | `histories` | declarations of successor logs and what survives of a log; scopes of key cycles; what grants and roles say |
//! | `backup` | a backup's lines and its manifest |

mod backup;
mod caller;
mod claims;
mod fields;
mod histories;
mod keys;
mod log;
mod media;
mod rules;

pub use backup::backup;
pub use caller::{authorization, cursor, forwarded};
pub use claims::certificate;
pub use fields::{journal, preconditions, range, tus};
pub use histories::{cycle, succession, terms};
pub use keys::{keyring, sealed, wraps};
pub use log::{audit_entry, audit_log, checkpoint, export_line, note, proof, tile_path, verifier};
pub use media::{claimed_type, container, container_state, floe, layout, tail};
pub use rules::{consent, policy, scope, texts};

/// A target: its name, which is also its corpus's, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, in the order of their names.
pub const TARGETS: &[Target] = &[
    ("audit_entry", audit_entry),
    ("audit_log", audit_log),
    ("authorization", authorization),
    ("backup", backup),
    ("certificate", certificate),
    ("checkpoint", checkpoint),
    ("claimed_type", claimed_type),
    ("consent", consent),
    ("container", container),
    ("container_state", container_state),
    ("cursor", cursor),
    ("cycle", cycle),
    ("export_line", export_line),
    ("floe", floe),
    ("forwarded", forwarded),
    ("journal", journal),
    ("keyring", keyring),
    ("layout", layout),
    ("note", note),
    ("policy", policy),
    ("preconditions", preconditions),
    ("proof", proof),
    ("range", range),
    ("scope", scope),
    ("sealed", sealed),
    ("succession", succession),
    ("tail", tail),
    ("terms", terms),
    ("texts", texts),
    ("tile_path", tile_path),
    ("tus", tus),
    ("verifier", verifier),
    ("wraps", wraps),
];

/// `bytes`, with `mask` laid over their beginning by exclusive or; and the first place where that changed one.
fn altered(bytes: &[u8], mask: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut altered = bytes.to_vec();
    for (byte, mask) in altered.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    let first = bytes.iter().zip(&altered).position(|(old, new)| old != new);
    (altered, first)
}

/// The beginning of `data` as one number, and the rest.
fn number(data: &[u8]) -> (u64, &[u8]) {
    match data.split_first_chunk::<8>() {
        Some((head, rest)) => (u64::from_be_bytes(*head), rest),
        None => (0, data),
    }
}
