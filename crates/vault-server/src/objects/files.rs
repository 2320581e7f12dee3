//! Ranges of files on the local disk: what lies in memory is read where it is asked for, the rest on a thread of its own.
//!
//! A change of threads costs more than copying a segment out of the page cache, and a player reads the same few parts
//! again and again. So some files are kept open, and a read that would wait for the disk says so (`RWF_NOWAIT`)
//! instead of waiting. A file that was deleted or replaced behind the vault's back is not read from any more.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, IoSliceMut};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{DEADLINE, Name, ObjectError};

/// Most files kept open: a quarter of the files that a process may open by default.
const MOST: usize = 256;

/// `f_type` of tmpfs (statfs(2)): it never waits for a disk, and does not know `RWF_NOWAIT`.
const TMPFS: i64 = 0x0102_1994;

/// The files below one directory.
#[derive(Clone)]
pub(super) struct Files(Arc<Shared>);

struct Shared {
    root: Box<Path>,
    open: Mutex<HashMap<Name, Arc<Open>>>,
    /// Counts uses, to tell the file that was not used for longest.
    clock: AtomicU64,
}

struct Open {
    file: File,
    in_memory: bool,
    used: AtomicU64,
}

impl Files {
    /// Those below `root`.
    pub(super) fn below(root: &Path) -> Self {
        Self(Arc::new(Shared { root: root.into(), open: Mutex::default(), clock: AtomicU64::new(0) }))
    }

    /// Exactly these bytes.
    pub(super) async fn read(&self, name: &Name, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| ObjectError::Short)?;
        let held = self.held(name);
        if let Some(open) = &held
            && let Some(bytes) = open.read_now(range.start, length)?
        {
            return Ok(bytes);
        }
        let (files, name) = (self.clone(), name.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let open = match held {
                Some(open) => open,
                None => files.keep(&name)?,
            };
            let mut bytes = vec![0; length];
            open.file.read_exact_at(&mut bytes, range.start).map_err(failed)?;
            Ok(Bytes::from(bytes))
        });
        match tokio::time::timeout(DEADLINE, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => Err(ObjectError::Deadline),
        }
    }

    /// Closes a file that is to be deleted.
    pub(super) fn forget(&self, name: &Name) {
        self.lock().remove(name);
    }

    /// A file that is open and still has its name.
    fn held(&self, name: &Name) -> Option<Arc<Open>> {
        let open = self.lock().get(name).map(Arc::clone)?;
        if !open.file.metadata().is_ok_and(|meta| meta.nlink() > 0) {
            self.forget(name);
            return None;
        }
        open.used.store(self.0.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(open)
    }

    /// Opens a file and keeps it, in place of the one that was not used for longest.
    fn keep(&self, name: &Name) -> Result<Arc<Open>, ObjectError> {
        let file = File::open(self.0.root.join(name.to_string())).map_err(failed)?;
        let in_memory = rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == TMPFS);
        let used = AtomicU64::new(self.0.clock.fetch_add(1, Ordering::Relaxed));
        let open = Arc::new(Open { file, in_memory, used });
        let mut all = self.lock();
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, open)| open.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(name.clone(), Arc::clone(&open));
        Ok(open)
    }

    /// A panic while this is held leaves a map of independent files: still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Open>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The bytes, if all of them lie in memory.
    fn read_now(&self, from: u64, length: usize) -> Result<Option<Bytes>, ObjectError> {
        let mut bytes = vec![0; length];
        if self.in_memory {
            self.file.read_exact_at(&mut bytes, from).map_err(failed)?;
            return Ok(Some(Bytes::from(bytes)));
        }
        match preadv2(&self.file, &mut [IoSliceMut::new(&mut bytes)], from, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => Ok(Some(Bytes::from(bytes))),
            // Some of it, or nothing, or a file system that cannot tell: it is read where waiting disturbs nobody.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => Ok(None),
            Err(e) => Err(failed(e.into())),
        }
    }
}

fn failed(e: std::io::Error) -> ObjectError {
    match e.kind() {
        ErrorKind::NotFound => ObjectError::Missing,
        ErrorKind::UnexpectedEof => ObjectError::Short,
        _ => ObjectError::Failed(object_store::Error::Generic { store: "local", source: e.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(folder: &Path) {
        let (files, name) = (Files::below(folder), Name::fresh_part());
        let path = folder.join(name.to_string());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        // Opened first, then read where it is asked for.
        for range in [0..10, 0..10, 1..131_073, 199_999..200_000] {
            let wanted = &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            assert_eq!(files.read(&name, range.clone()).await.unwrap(), wanted, "{range:?}");
        }
        assert!(matches!(files.read(&name, 199_999..200_001).await, Err(ObjectError::Short)));

        // Replaced behind the vault's back: what has the name now is read.
        std::fs::write(folder.join("other"), b"another file").unwrap();
        std::fs::rename(folder.join("other"), &path).unwrap();
        assert_eq!(files.read(&name, 0..7).await.unwrap(), &b"another"[..]);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(files.read(&name, 0..7).await, Err(ObjectError::Missing)));
        assert!(files.lock().is_empty());
    }

    #[tokio::test]
    async fn ranges_are_read_from_what_has_the_name_now() {
        check(tempfile::tempdir().unwrap().path()).await;
        // Where this program lies is a disk, whatever temporary files are on.
        let built = std::env::current_exe().unwrap();
        check(tempfile::tempdir_in(built.parent().unwrap()).unwrap().path()).await;
    }

    #[tokio::test]
    async fn no_more_files_stay_open_than_may() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::below(folder.path());
        let names: Vec<Name> = (0..MOST + 10).map(|_| Name::fresh_part()).collect();
        for name in &names {
            let path = folder.path().join(name.to_string());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"part").unwrap();
            files.read(name, 0..4).await.unwrap();
            // The first stays in use.
            files.read(&names[0], 0..4).await.unwrap();
        }
        assert_eq!(files.lock().len(), MOST);
        assert!(files.lock().contains_key(&names[0]) && !files.lock().contains_key(&names[1]));
    }
}
