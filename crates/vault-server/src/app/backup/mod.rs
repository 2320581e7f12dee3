//! Backups of the metadata (`docs/backup.md`): made without the root key, verified without a vault.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`folder`] | the directory: files of lines, hashed as they are written and read |
//! | [`create`](mod@create) | reads one moment of the database into it |
//! | [`restore`](mod@restore) | enters its rows into a database, once it was held against the published log |
//! | [`verify`](mod@verify) | holds it against itself and the log's signature, and against the keys of the live vault |

pub mod create;
mod folder;
pub mod restore;
pub mod verify;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use vault_core::backup::{LineError, ManifestError};

pub use create::{Made, create};
pub use folder::{Folder, MANIFEST};
pub use restore::{Restored, Step, Wish, restore};
pub use verify::{Verified, gone, verify};

use crate::app::ledger::LedgerError;
use crate::custody::FileError;
use crate::objects::ObjectError;
use crate::store::StoreError;

/// Why there is no backup, or none that can be relied on. No content of a row is told.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory or a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operating system refused.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is something in the way.
    #[error("{0} holds something else than a backup that was not finished; name an empty or a new directory")]
    InTheWay(PathBuf),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The published log.
    #[error(transparent)]
    Log(#[from] LedgerError),
    /// There is no vault, or no log that was published.
    #[error("there is nothing to back up: {0}")]
    Nothing(&'static str),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A line.
    #[error("{table}.jsonl, line {line}: {source}")]
    Line {
        /// Which table.
        table: &'static str,
        /// Which line, from 1.
        line: u64,
        /// Why.
        source: LineError,
    },
    /// It cannot be restored here.
    #[error("not restored: {0}")]
    Refused(String),
    /// What is there does not fit together.
    #[error("the backup is not whole, or was altered: {0}")]
    Altered(String),
}
