//! What the suites share: a vault as a child process, clients of its interface, searches of its disk.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`programs`] | `vault-server` and `vault-cli`, built once for a run |
//! | [`vault`] | [`vault::Vault`]: `vault-server dev` in a directory of its own; killed, restarted, its log kept |
//! | [`http`] | [`http::Caller`]: requests as a person; [`http::Answer`] |
//! | [`bucket`] | an S3 store that misbehaves as it is told |
//! | [`tus`] | uploads, well-behaved or cut in the middle |
//! | [`access`] | request, approve, open a session, play |
//! | [`collection`] | collections as an administrator describes them |
//! | [`acknowledged`] | what a server confirmed, and whether it still knows it after a crash |
//! | [`rights`] | what is taken from machines and collections, and whether that stands after a crash |
//! | [`published`] | the published log, verified with nothing but its public key |
//! | [`power`] | disks rebuilt from recorded system calls, as they would be after power loss |
//! | [`blocked`] | the published log's place, made unwritable in a directory or a bucket |
//! | [`cli`] | `vault-cli` as a person, and offline |
//! | [`canary`] | a search for secrets in every encoding that they could hide in |
//! | [`database`] | the metadata database opened behind the server's back |
//! | [`copies`] | that database as a whole: copied, put back, lost, laid open to a search |
//! | [`rows_at_rest`] | what PostgreSQL's own files keep of a vault's rows, to be searched |
//! | [`objects`] | the object store opened behind the server's back, in a directory or a bucket |
//! | [`console`] | `vault-server` at the console: backups, restores, declarations |
//! | [`cluster`] | a PostgreSQL cluster to be stopped, killed, replicated, promoted |
//! | [`wire`] | a TCP wire to that cluster, cut around a COMMIT, or silent |
//! | [`strait`] | a way to an S3 server on which the log cannot be written |
//! | [`stream`] | a playback under way, taken slowly |
//! | [`h2`] | a connection that speaks HTTP/2 and is cut |
//! | [`mod@line`] | a TCP line to a vault that breaks |
//! | [`mod@memory`] | what a server's process holds |
//! | [`fixtures`] | recordings, and a seeded source of chance |
//!
//! It is test code: what should not happen panics, with the answer that it got.

pub mod access;
pub mod acknowledged;
pub mod blocked;
pub mod bucket;
pub mod canary;
pub mod cli;
pub mod cluster;
pub mod collection;
pub mod console;
pub mod copies;
pub mod database;
pub mod fixtures;
pub mod h2;
pub mod http;
pub mod line;
pub mod memory;
pub mod nodes;
pub mod objects;
pub mod power;
pub mod programs;
pub mod published;
pub mod rights;
pub mod rows_at_rest;
pub mod strait;
pub mod stream;
pub mod tus;
pub mod vault;
pub mod wire;

/// What a run has found out, beside whether it holds: a profile of `.config/nextest.toml` shows it.
#[allow(clippy::print_stderr)]
pub fn report(text: &str) {
    eprintln!("{text}");
}
