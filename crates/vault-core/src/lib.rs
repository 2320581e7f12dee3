//! The laws of Feedback Vault, without I/O, without async, without an ambient clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`ids`], [`time`], [`secret`], [`random`] | the small types everything else is made of |
//! | [`keys`] | the hierarchy, derivations, committing wraps, the life cycle of key versions |
//! | [`media`] | FLOE: sealing, opening in order and by range; containers recognised by content |
//! | [`audit`] | entries with erasable slots, the Merkle tree, checkpoints, proofs, the offline verifier |
//! | [`access`] | roles, persons, requests, grants, decisions and the evidence they leave |
//! | [`privacy`] | risk tiers, consent, retention |
//! | [`restriction`] | what was taken away, and the form of its journal |
//! | [`backup`] | the form of a backup |

pub mod access;
pub mod audit;
pub mod backup;
pub mod framing;
pub mod ids;
pub mod keys;
pub mod media;
pub mod privacy;
pub mod random;
pub mod restriction;
pub mod secret;
pub mod time;
