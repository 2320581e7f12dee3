//! What a user does, one file for each: the decisions and the order of acts.

pub mod access;
pub mod audit;
pub mod backup;
pub mod bootstrap;
pub mod callers;
pub mod collections;
pub mod entry;
pub mod erase;
pub mod error;
pub mod figures;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod people;
pub mod play;
pub mod records;
pub mod reencrypt;
pub mod reference;
pub mod restored;
pub mod restrict;
pub mod seal;
pub mod succession;
pub mod upload;
