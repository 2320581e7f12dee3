//! What crosses the wire between Feedback Vault and everyone else: request and response bodies, error
//! codes, names of headers. Server and command line share these types, and the OpenAPI document is
//! generated from them.
//!
//! Identifiers are UUIDv7 and times RFC 3339 in UTC, both carried as text: this crate depends on
//! nothing of the vault, so that a client can use it without the vault's laws. Request bodies refuse
//! members they do not know; responses may gain members, and clients ignore those.
//!
//! Bodies that carry a secret (a fresh token, a passphrase) have a `Debug` that does not print it.

pub mod access;
pub mod audit;
pub mod code;
pub mod collections;
pub mod consent;
pub mod cycle;
pub mod destruction;
pub mod dev;
pub mod erasure;
pub mod exposure;
pub mod health;
pub mod keys;
pub mod names;
pub mod page;
pub mod people;
pub mod playback;
pub mod problem;
pub mod records;
pub mod reencryption;
pub mod restore;
pub mod roles;
pub mod seal;
pub mod tokens;
