//! What the local disk needs beyond `object_store`: a private directory, durable deletes, and the staging files
//! (`NAME#1`) that a crash leaves behind.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Name, ObjectError};

/// `object_store` numbers staging files from 1 and takes the first free one; unique names leave one at the most,
/// and a name that is replaced (a checkpoint) as many as there were crashes.
const STAGED: u32 = 8;

/// Makes the directory where missing, for its owner only, durably.
pub(super) fn directory(path: &Path) -> Result<PathBuf, ObjectError> {
    let named = |source: io::Error| ObjectError::Directory { path: path.to_owned(), source };
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(named)?;
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent).and_then(|d| d.sync_all()).map_err(named)?;
        }
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(named)?;
    path.canonicalize().map_err(named)
}

/// After a delete: removes staging files of the name and syncs the directory.
pub(super) async fn settle_delete(root: Arc<Path>, name: Name) -> Result<(), ObjectError> {
    let settled = tokio::task::spawn_blocking(move || {
        let file = root.join(name.to_string());
        let Some(parent) = file.parent() else { return Ok(()) };
        for n in 1..=STAGED {
            match std::fs::remove_file(format!("{}#{n}", file.display())) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(ObjectError::Directory { path: parent.to_owned(), source }),
            }
        }
        match File::open(parent).and_then(|d| d.sync_all()) {
            Ok(()) => Ok(()),
            // Never written to: no directory, nothing to sync.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ObjectError::Directory { path: parent.to_owned(), source }),
        }
    });
    settled.await.unwrap_or(Err(ObjectError::Deadline))
}
