//! Suites that cross crates: each module is one subject, tests of promises carry their numbers.

mod canary;
mod crash;
