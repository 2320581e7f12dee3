//! Privacy: risk tiers and their countermeasures, lawful bases, consent, retention, erasure, the policy of a collection.
//!
//! Software states facts and applies rules; whether a basis is the right one is for counsel.

pub mod basis;
pub mod certificate;
pub mod consent;
pub mod erasure;
pub mod policy;
pub mod readiness;
pub mod retention;
pub mod tier;
