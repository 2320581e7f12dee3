//! Asking for access to recordings, deciding on it, taking it back.
//!
//! ```text
//! request   row and access.requested, together            reference request:<id>
//! approve   another person's act, on what the log shows    access.approved, reference approval:<grant id>
//! deny      likewise                                       access.denied, reference denial:<id>
//! revoke    restriction, row, access.revoked together      reference access-revoked:<grant id>
//! ```
//!
//! Rows are for lists and for finding entries. What a grant gives is read from its `access.approved` entry
//! ([`vault_core::access::grant::Grant`]); what an approver approves is held against `access.requested` first. Reasons, case
//! numbers and comments are sealed: under the field key of the one record asked for, so that they go with it, else under the
//! collection's staff audit key.

mod decide;
mod pen;
mod request;
mod revoke;
mod show;

pub use decide::{approve, deny};
pub(super) use pen::text_place;
pub use request::file;
pub use revoke::revoke;
pub use show::{list, show};

#[cfg(test)]
mod tests;
