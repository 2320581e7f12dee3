//! Header fields and parameters that the vault reads from strangers, as pure functions: strict, bounded, without I/O.
//!
//! | module | reads |
//! | --- | --- |
//! | [`authorization`] | `Authorization: Bearer` (RFC 6750 §2.1), the form of a secret |
//! | [`cursor`] | cursors of lists |
//! | [`forwarded`] | `X-Forwarded-For` |
//! | [`precondition`] | entity tags, `If-Match`, `If-None-Match` (RFC 9110 §13) |
//! | [`range`] | `Range`, `If-Range` (RFC 9110 §14) |
//! | [`tus`] | what tus 1.0 sends: lengths, offsets, metadata, checksums |
//!
//! They stand apart from the server so that a fuzzer reaches them without a database or a socket.

pub mod authorization;
pub mod cursor;
pub mod forwarded;
pub mod precondition;
pub mod range;
pub mod tus;
