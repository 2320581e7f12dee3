//! Who may do what: roles and actions, persons, requests, grants, decisions and the evidence they take.
//!
//! Nothing is allowed that [`role::Action::roles`] does not name. An act that discloses or gives away takes
//! a [`decision::Authorized`], which only the checks in [`decision`] can make, and those work on what the
//! audit log proves ([`crate::audit::evidence::Recorded`]), never on a database row alone.

pub mod binding;
pub mod caller;
pub mod decision;
pub mod denial;
pub mod grant;
pub mod person;
pub mod request;
pub mod role;
pub mod scope;

/// RFC 8785 JSON of a value made of strings, small numbers and lists.
fn canonical(value: &impl serde::Serialize) -> String {
    // Fails only for maps with keys that are not text and for numbers out of range; these types have neither.
    serde_json_canonicalizer::to_string(value).unwrap_or_default()
}
