//! What a user does, one file for each: the decisions and the order of acts.

pub mod error;
pub mod ledger;
pub mod play;
pub mod restrict;
pub mod seal;
