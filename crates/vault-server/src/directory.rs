//! Directories of the vault's own: for their owner alone, and there for good once they are made.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes a directory where missing, with every missing one above it. Each of them is entered durably in the one above:
/// without that, power loss would take a whole vault with one directory's name, however well its files were synced.
pub fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        // A process killed between making it and syncing left that to this one. One that somebody else made, in a
        // directory that this user cannot open, is theirs to sync.
        let _ = sync_above(path);
        return Ok(());
    }
    if let Some(above) = above(path).filter(|above| !above.exists()) {
        make(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists || !path.is_dir() => Err(e),
        _ => sync_above(path),
    }
}

/// Syncs the directory that a path lies in: what was entered there, renamed or removed survives power loss.
pub fn sync_above(path: &Path) -> io::Result<()> {
    File::open(above(path).unwrap_or(Path::new(".")))?.sync_all()
}

fn above(path: &Path) -> Option<&Path> {
    path.parent().filter(|above| !above.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn missing_ones_are_made_for_their_owner_alone() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("one/two/three");
        make(&path).unwrap();
        make(&path).unwrap();
        for made in [&path, path.parent().unwrap(), &room.path().join("one")] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o700, "{}", made.display());
        }
        std::fs::write(room.path().join("file"), "").unwrap();
        assert!(make(&room.path().join("file")).is_err());
        assert!(make(&room.path().join("file/below")).is_err());
    }
}
