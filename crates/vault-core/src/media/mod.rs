//! Media: sealed and opened in segments, laid out in parts, recognised by content.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`floe`] | the cipher, exactly as specified |
//! | [`layout`] | offsets: plaintext range → segments → ciphertext → parts |
//! | [`object`] | what an object is bound to |
//! | [`seal`] | sealing an object, resumable at segment boundaries |
//! | [`open`] | opening it against evidence, or checking it without plaintext |
//! | [`disclosure`] | that evidence |
//! | [`tail`] | the sealed rest of an unfinished upload |
//! | [`container`] | recordings recognised and checked by their content |

pub mod container;
pub mod disclosure;
pub mod floe;
pub mod layout;
pub mod object;
pub mod open;
pub mod seal;
pub mod tail;

/// Where a segment's plaintext lies in a buffer that is sealed or opened in place.
pub const PLAIN_AT: usize = floe::BODY_AT;

/// Bytes a segment is longer than its plaintext.
pub const SEGMENT_OVERHEAD: usize = floe::OVERHEAD;

#[cfg(test)]
mod tests;
