//! Suites that cross crates: each module is one subject, tests of promises carry their numbers.

mod attack;
mod audit_log;
mod canary;
mod command_line;
mod crash;
mod destroy;
mod erasure;
mod gate;
mod key_crash;
mod matrix;
mod memory;
mod nodes;
mod object_store;
mod openapi;
mod operations;
mod postgres;
mod power_loss;
mod production;
mod refusals;
mod restore;
mod restrict;
mod rotation;
mod scopes;
mod story;
mod tampering;
mod trouble;
