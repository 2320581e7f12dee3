//! Files that hold secrets: readable by their owner alone, written whole or not at all.
//!
//! Reading checks what it opened, not what the path meant a moment ago: the file is opened without following a symbolic
//! link, and kind, owner and mode are those of the open file.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::directory;

/// Why a secret's file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// It is there already.
    #[error("{0} exists already and is left as it is")]
    Exists(PathBuf),
    /// It is a symbolic link: whoever can move the link could exchange the secret.
    #[error("{0} is a symbolic link; name the file itself")]
    Symlink(PathBuf),
    /// It is a directory, a pipe, a device.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// It belongs to another user.
    #[error("{path} belongs to user {owner}, not to this process's user {me}")]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        me: u32,
    },
    /// Others may read or write it.
    #[error("{path} has mode {mode:04o}: others than its owner can reach it; chmod 600 it, and change what was in it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is longer than such a file can be.
    #[error("{0} is too long to be what it should be")]
    TooLong(PathBuf),
    /// The operating system refused.
    #[error("cannot {act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// No secret file is longer.
const MOST_WIPED: usize = 1 << 20;

fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { act, path, source }
}

/// Reads a secret's file of at most `max` bytes.
pub fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // NONBLOCK: opening a planted pipe must not hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Err(FileError::Missing(path.to_owned())),
        Err(Errno::LOOP) => return Err(FileError::Symlink(path.to_owned())),
        Err(e) => return Err(io("open", path)(e.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|e| io("look at", path)(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        return Err(FileError::ForeignOwner { path: path.to_owned(), owner: stat.st_uid, me });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let too_long = || FileError::TooLong(path.to_owned());
    let length = usize::try_from(stat.st_size).ok().filter(|l| *l <= max).ok_or_else(too_long)?;
    // One byte more than expected, reserved at once: growing would leave copies in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    let limit = u64::try_from(length).unwrap_or(u64::MAX) + 1;
    (&file).take(limit).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() > length { Err(too_long()) } else { Ok(bytes) }
}

/// [`read`] for those who know nothing of custody.
pub fn read_secret(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(read(path, max)?)
}

/// Writes a secret's file that must not exist yet, durably.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let staged = stage(path, bytes)?;
    // A link fails where a rename would replace.
    let linked = std::fs::hard_link(&staged, path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => io("create", path)(e),
    });
    let unstaged = std::fs::remove_file(&staged).map_err(io("remove", &staged));
    linked.and(unstaged)?;
    sync_directory(path)
}

/// Writes or replaces a secret's file, durably: after a crash it is the old one or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
        return Err(FileError::Symlink(path.to_owned()));
    }
    let staged = stage(path, bytes)?;
    if let Err(e) = std::fs::rename(&staged, path) {
        // The rename's error is the one to tell; a staged file that stays is removed next time.
        let _ = std::fs::remove_file(&staged);
        return Err(io("replace", path)(e));
    }
    sync_directory(path)
}

/// [`replace`], and overwrites the bytes of the file that was replaced: whoever reads the disk's free blocks, or a hard link,
/// finds nothing, as far as the file system writes in place. A copy elsewhere is not reached.
pub fn replace_and_wipe(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let old = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    replace(path, bytes)?;
    let wiped = old.map_err(std::io::Error::from).and_then(|mut old| {
        let length = usize::try_from(old.metadata()?.len()).unwrap_or(0).min(MOST_WIPED);
        old.write_all(&vec![0; length])?;
        old.sync_all()
    });
    if let Err(e) = wiped {
        // It has no name any more; that is what its holder can rely on.
        tracing::warn!(error = %e, "the bytes of the replaced file could not be overwritten");
    }
    Ok(())
}

/// Removes a file, durably; a missing one is removed already.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => sync_directory(path),
    }
}

/// Makes a directory for its owner alone, where missing, durably.
pub fn directory(path: &Path) -> Result<(), FileError> {
    directory::make(path).map_err(io("make", path))
}

/// The whole content beside its place, synced. The name is fixed: what a crash left behind is replaced, not collected.
fn stage(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let staged = path.with_file_name(name);
    match std::fs::remove_file(&staged) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &staged)(e)),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&staged, flags, Mode::RUSR | Mode::WUSR).map_err(|e| io("create", &staged)(e.into()))?;
    let mut file = File::from(fd);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(e) = written {
        let _ = std::fs::remove_file(&staged);
        return Err(io("write", &staged)(e));
    }
    Ok(staged)
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    directory::sync_above(path).map_err(io("sync the directory of", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_was_written_is_read_and_only_its_owner_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, b"one").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"one");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"two");
        assert!(matches!(create(&path, b"three"), Err(FileError::Exists(_))));
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing staged is left");
    }

    #[test]
    fn what_a_crash_left_staged_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(dir.path().join(".secret.new"), b"half").unwrap();
        create(&path, b"whole").unwrap();
        assert_eq!(read(&path, 100).unwrap().as_slice(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn each_bad_file_has_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read(&path, 10), Err(FileError::Missing(_))));
        create(&path, b"secret").unwrap();
        assert!(matches!(read(&path, 5), Err(FileError::TooLong(_))));
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644, 0o601] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(read(&path, 10), Err(FileError::Exposed { mode: m, .. }) if m == mode), "{mode:o}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        assert!(read(&path, 10).is_ok());

        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 10), Err(FileError::Symlink(_))));
        assert!(matches!(replace(&link, b"x"), Err(FileError::Symlink(_))));
        assert!(matches!(create(&link, b"x"), Err(FileError::Exists(_))));
        assert!(matches!(read(dir.path(), 10), Err(FileError::NotAFile(_))));
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).unwrap();
        assert!(matches!(read(&pipe, 10), Err(FileError::NotAFile(_))));
        assert_eq!(read(&path, 10).unwrap().as_slice(), b"secret");
    }

    /// Root gives a file away; for anybody else one that is root's everywhere serves as well.
    #[test]
    fn a_file_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, whose) = if rustix::process::geteuid().is_root() {
            let path = dir.path().join("secret");
            create(&path, b"secret").unwrap();
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            (path, 4242)
        } else {
            (PathBuf::from("/etc/passwd"), 0)
        };
        assert!(matches!(read(&path, 10), Err(FileError::ForeignOwner { owner, .. }) if owner == whose));
    }
}
