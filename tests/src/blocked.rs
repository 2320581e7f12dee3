//! The published log's place, made unwritable behind the server's back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::vault::Vault;

/// The place, blocked so that nothing can be written below it; undone when dropped.
pub struct Blocked {
    place: PathBuf,
    aside: PathBuf,
}

impl Blocked {
    /// Blocks the log of this vault.
    #[must_use]
    pub fn log_of(vault: &Vault) -> Self {
        let place = log_folder(&vault.data().join("objects")).expect("a published checkpoint below objects/");
        let aside = vault.data().join("log-aside");
        fs::rename(&place, &aside).expect("the log is moved aside");
        // A file where a directory belongs: every write below it fails, for root too.
        fs::write(&place, b"in the way").expect("blocked");
        Self { place, aside }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        fs::remove_file(&self.place).expect("unblocked");
        fs::rename(&self.aside, &self.place).expect("the log is back");
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
