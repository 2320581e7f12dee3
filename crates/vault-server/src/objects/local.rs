//! What the local disk needs beyond `object_store`: a private directory, durable deletes, and the staging files
//! (`NAME#1`) that a crash leaves behind.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{DEADLINE, Name, ObjectError};
use crate::directory;

/// `object_store` numbers staging files from 1 and takes the first free one; unique names leave one at the most,
/// and a name that is replaced (a checkpoint) as many as there were crashes.
const STAGED: u32 = 8;

/// Makes the directory where missing, for its owner only, durably.
pub(super) fn directory(path: &Path) -> Result<PathBuf, ObjectError> {
    let named = |source: io::Error| ObjectError::Directory { path: path.to_owned(), source };
    directory::make(path).map_err(named)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(named)?;
    path.canonicalize().map_err(named)
}

/// Removes staging files of `log/` and `journal/` that are older than any PUT: a crash left them, and nothing deletes a
/// name there, so that nothing else would lead to them. Answers how many there were. Parts have intents instead.
pub(super) async fn sweep(root: Arc<Path>, now: SystemTime) -> Result<u64, ObjectError> {
    let swept = tokio::task::spawn_blocking(move || {
        let mut swept = 0;
        for folder in ["log", "journal"] {
            sweep_folder(&root.join(folder), now, &mut swept)?;
        }
        Ok(swept)
    });
    swept.await.unwrap_or(Err(ObjectError::Deadline))
}

fn sweep_folder(folder: &Path, now: SystemTime, swept: &mut u64) -> Result<(), ObjectError> {
    let named = |source: io::Error| ObjectError::Directory { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(named(e)),
    };
    for entry in entries {
        let entry = entry.map_err(named)?;
        if entry.file_type().map_err(named)?.is_dir() {
            sweep_folder(&entry.path(), now, swept)?;
            continue;
        }
        // No name of ours has this sign in it.
        let staged = entry.file_name().to_string_lossy().contains('#');
        let age = || entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if staged && age().is_some_and(|age| age > 2 * DEADLINE) {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => *swept += 1,
                // Its PUT has ended after all.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(named(e)),
            }
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_crashes_left_staged_is_swept_once_no_put_can_need_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = directory(dir.path()).unwrap();
        let kept = ["log/checkpoint", "log/tile/0/000", "media/ab/abcd#1"];
        for name in kept.iter().copied().chain(["log/checkpoint#1", "log/tile/0/001#12", "journal/7#1"]) {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "half").unwrap();
        }
        let root: Arc<Path> = root.into();
        let made = std::fs::metadata(root.join("log/checkpoint#1")).unwrap().modified().unwrap();
        assert_eq!(sweep(Arc::clone(&root), made + DEADLINE).await.unwrap(), 0, "a PUT may still end");
        assert_eq!(sweep(Arc::clone(&root), made + 3 * DEADLINE).await.unwrap(), 3);
        assert_eq!(sweep(Arc::clone(&root), made + 3 * DEADLINE).await.unwrap(), 0);
        assert!(kept.iter().all(|name| root.join(name).exists()));
    }
}
