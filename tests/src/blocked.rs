//! The published log's place, made unwritable behind the server's back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::strait::BlockedStrait;
use crate::vault::Vault;

/// The place, blocked so that nothing can be written below it; undone when dropped.
pub enum Blocked {
    /// A directory, with a file in its place.
    Directory {
        /// Where it belongs.
        place: PathBuf,
        /// Where it is meanwhile.
        aside: PathBuf,
    },
    /// A bucket, on the way to which no write of the log passes.
    Bucket {
        /// The way.
        _strait: BlockedStrait,
    },
}

impl Blocked {
    /// Blocks the log of this vault; where its objects are in a bucket, it was started to be blocked
    /// ([`Vault::start_to_be_blocked`]).
    #[must_use]
    #[track_caller]
    pub fn log_of(vault: &Vault) -> Self {
        if vault.keeps_objects_elsewhere() {
            return Self::Bucket { _strait: vault.strait().expect("a strait on its way to the bucket").block() };
        }
        let place = log_folder(&vault.data().join("objects")).expect("a published checkpoint below objects/");
        let aside = vault.data().join("log-aside");
        fs::rename(&place, &aside).expect("the log is moved aside");
        // A file where a directory belongs: every write below it fails, for root too.
        fs::write(&place, b"in the way").expect("blocked");
        Self::Directory { place, aside }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Self::Directory { place, aside } = self {
            fs::remove_file(&*place).expect("unblocked");
            fs::rename(aside, place).expect("the log is back");
        }
    }
}

/// The directory below `folder` that holds a file called `checkpoint`.
#[must_use]
pub fn log_folder(folder: &Path) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    if entries.iter().any(|path| path.is_file() && path.file_name().is_some_and(|name| name == "checkpoint")) {
        return Some(folder.to_owned());
    }
    entries.iter().filter(|path| path.is_dir()).find_map(|path| log_folder(path))
}
