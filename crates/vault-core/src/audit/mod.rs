//! The audit log: entries with erasable slots, the Merkle tree over them, signed checkpoints,
//! proofs, the evidence that an entry is committed, and the offline verifier.
//!
//! `docs/audit-log.md` is the specification of what is particular to this log; trees, tiles,
//! notes, checkpoints and proofs are those of C2SP (tlog-tiles, tlog-checkpoint, signed-note,
//! tlog-proof). Nothing here reads a file, a socket or a clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`entry`] | entry types, drafting an entry, the strict parser |
//! | [`slot`] | commitments to what is personal, and their openings |
//! | [`merkle`] | RFC 6962 hashing, the growing tree, inclusion and consistency proofs |
//! | [`note`], [`checkpoint`] | signed notes, verifier keys, signed tree heads |
//! | [`tile`] | tiles and entry bundles, nodes out of tiles |
//! | [`evidence`] | [`evidence::Recorded`]: proof that an entry is in the log |
//! | [`succession`] | what is left of a log that lost entries, and the declaration of its successor |

pub mod bundle;
pub mod checkpoint;
pub mod entry;
pub mod evidence;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod slot;
pub mod succession;
pub mod tile;
pub mod verify;
