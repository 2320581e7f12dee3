//! Suites that cross crates: each module is one subject, tests of promises carry their numbers.

mod canary;
mod command_line;
mod crash;
mod matrix;
mod openapi;
mod refusals;
mod story;
