//! The keyring file: root epochs under an argon2id passphrase (`docs/format.md` §7).
//!
//! Several nodes may share one. Each looks whether the file was replaced before it wraps anything, and when a wrap names an
//! epoch that it does not know; a new epoch is begun under a lock on the directory.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use vault_core::ids::{KeyringId, ResumeKeyId};
use vault_core::keys::hierarchy::{Kek, LogSeed, ResumeKey};
use vault_core::keys::keyring::{
    EpochError, EpochInfo, Keyring, KeyringError, MAX_KEYRING_LEN, Parameters, Passphrase, Setting,
};
use vault_core::keys::wrap::{self, KekRef};
use vault_core::time::Timestamp;
use zeroize::Zeroizing;

use super::{Custody, CustodyError, Destroyed, FileError, RootWrap, Worth, private_file};

/// How long argon2id should take on the machine that makes the keyring.
const STRETCH: Duration = Duration::from_millis(500);
/// A passphrase file is short; anything longer is another file.
const MAX_PASSPHRASE_FILE: usize = 1100;

/// A keyring in a file.
pub struct KeyringFile {
    path: PathBuf,
    open: RwLock<Option<Open>>,
}

struct Open {
    keyring: Keyring,
    /// The file as it was when it was last read or written.
    stamp: Option<Stamp>,
}

/// What differs between a file and the one that replaced it.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
}

impl Open {
    /// Takes in what another node has stored since. What cannot be taken in is told once, and the keyring stays as it is:
    /// what it wraps can be unwrapped by every node.
    fn refresh(&mut self, path: &Path) {
        self.refresh_by(path, private_file::read);
    }

    fn refresh_by(&mut self, path: &Path, read: impl FnOnce(&Path, usize) -> Result<Zeroizing<Vec<u8>>, FileError>) {
        let now = stamp(path);
        if now.is_none() || now == self.stamp {
            return;
        }
        let read = read(path, MAX_KEYRING_LEN).map_err(CustodyError::from);
        if let Err(CustodyError::File(FileError::Io { .. } | FileError::Missing(_))) = &read {
            // Nothing was learnt of this file: it is looked at again the next time.
            tracing::warn!("the keyring file has changed and cannot be read now");
            return;
        }
        self.stamp = now;
        match read.and_then(|bytes| self.keyring.reread(&bytes).map_err(|e| named(path, e))) {
            Ok(()) => tracing::info!(epoch = self.keyring.current().0.epoch, "the keyring file was read again"),
            Err(e) => tracing::error!(error = %e, "the keyring file has changed and is not taken in"),
        }
    }
}

impl KeyringFile {
    /// The keyring at `path`, sealed. The file is looked at when it is unsealed.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), open: RwLock::new(None) }
    }

    /// Makes a keyring where there is none and leaves it open. `parameters` as [`calibrated`] says, or the floor.
    pub fn create(
        path: &Path,
        now: Timestamp,
        setting: Setting,
        passphrase: &Passphrase,
        parameters: Parameters,
    ) -> Result<Self, CustodyError> {
        let keyring = Keyring::create(now, setting, passphrase, parameters).map_err(|e| named(path, e))?;
        private_file::create(path, &keyring.seal())?;
        let open = Open { keyring, stamp: stamp(path) };
        Ok(Self { path: path.to_owned(), open: RwLock::new(Some(open)) })
    }

    fn with<T>(&self, f: impl FnOnce(&Keyring) -> Result<T, CustodyError>) -> Result<T, CustodyError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        f(&open.as_ref().ok_or(CustodyError::Sealed)?.keyring)
    }

    /// With the epochs as they are in the file.
    fn with_latest<T>(&self, f: impl FnOnce(&Keyring) -> Result<T, CustodyError>) -> Result<T, CustodyError> {
        let current = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            open.as_ref().ok_or(CustodyError::Sealed)?.stamp == stamp(&self.path)
        };
        if !current && let Some(open) = self.open.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            open.refresh(&self.path);
        }
        self.with(f)
    }

    /// With the keyring as it is known, or as it is in the file when it does not know the epoch.
    fn with_epoch<T>(&self, f: impl Fn(&Keyring) -> Result<T, CustodyError>) -> Result<T, CustodyError> {
        match self.with(&f) {
            Err(CustodyError::Epoch(EpochError::Unknown(_))) => self.with_latest(f),
            outcome => outcome,
        }
    }

    /// Held while a keyring is read, changed and written: no other node does the same meanwhile.
    fn lock(&self) -> Result<std::fs::File, CustodyError> {
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed = |source| FileError::Io { act: "lock", path: folder.to_owned(), source };
        let folder = std::fs::File::open(folder).map_err(failed)?;
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        Ok(folder)
    }
}

fn named(path: &Path, source: KeyringError) -> CustodyError {
    CustodyError::Keyring { path: path.to_owned(), source }
}

/// Argon2id parameters for this machine: about half a second, never below the floor.
#[must_use]
pub fn calibrated() -> Parameters {
    Parameters::calibrated(STRETCH, |parameters| {
        let started = Instant::now();
        parameters.exercise();
        started.elapsed()
    })
}

/// The passphrase in a file of its owner's.
pub fn read_passphrase(path: &Path) -> Result<Passphrase, CustodyError> {
    Ok(Passphrase::new(private_file::read(path, MAX_PASSPHRASE_FILE)?)?)
}

impl Custody for KeyringFile {
    fn kind(&self) -> &'static str {
        "keyring-file"
    }

    fn is_open(&self) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn unseal(&self, passphrase: &Passphrase) -> Result<(), CustodyError> {
        if self.is_open() {
            return Err(CustodyError::NotSealed);
        }
        // Before the file is read: one that replaces it meanwhile is read again.
        let stamp = stamp(&self.path);
        let bytes = private_file::read(&self.path, MAX_KEYRING_LEN)?;
        let keyring = Keyring::open(&bytes, passphrase).map_err(|e| named(&self.path, e))?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Open { keyring, stamp });
        Ok(())
    }

    fn seal(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn id(&self) -> Result<KeyringId, CustodyError> {
        self.with(|k| Ok(k.id()))
    }

    fn setting(&self) -> Result<Setting, CustodyError> {
        self.with(|k| Ok(k.setting()))
    }

    fn epochs(&self) -> Result<Vec<EpochInfo>, CustodyError> {
        self.with_latest(|k| Ok(k.epochs()))
    }

    fn begin_epoch(&self, now: Timestamp) -> Result<u32, CustodyError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or(CustodyError::Sealed)?;
        let _alone = self.lock()?;
        open.refresh(&self.path);
        let begun = open.keyring.begin_epoch(now)?;
        // Nothing is wrapped by an epoch that is not on disk yet: the lock is held until it is.
        if let Err(e) = private_file::replace(&self.path, &open.keyring.seal()) {
            open.keyring.abandon_epoch();
            return Err(e.into());
        }
        open.stamp = stamp(&self.path);
        Ok(begun.epoch)
    }

    fn worth(&self) -> Worth {
        Worth::Attested
    }

    fn destroy(&self, epoch: u32) -> Result<Destroyed, CustodyError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or(CustodyError::Sealed)?;
        let _alone = self.lock()?;
        open.refresh(&self.path);
        // The key leaves memory after the file: what cannot be stored changes nothing.
        let without = open.keyring.seal_without(epoch)?;
        private_file::replace_and_wipe(&self.path, &without)?;
        open.keyring.destroy_epoch(epoch)?;
        open.stamp = stamp(&self.path);
        Ok(Destroyed::Attested)
    }

    fn wrap_kek(&self, kek: KekRef, key: &Kek) -> Result<RootWrap, CustodyError> {
        self.with_latest(|k| {
            let (me, root) = k.current();
            Ok(RootWrap { epoch: me.epoch, bytes: root.wrap_kek(me, kek, key) })
        })
    }

    fn unwrap_kek(&self, kek: KekRef, bytes: &[u8]) -> Result<Kek, CustodyError> {
        self.with_epoch(|k| {
            let named = wrap::names_root(bytes)?;
            Ok(k.root(named)?.unwrap_kek(named, kek, bytes)?)
        })
    }

    fn wrap_log_seed(&self, name: &str, seed: &LogSeed) -> Result<RootWrap, CustodyError> {
        self.with_latest(|k| {
            let (me, root) = k.current();
            Ok(RootWrap { epoch: me.epoch, bytes: root.wrap_log_seed(me, name, seed) })
        })
    }

    fn unwrap_log_seed(&self, name: &str, bytes: &[u8]) -> Result<LogSeed, CustodyError> {
        self.with_epoch(|k| {
            let named = wrap::names_root(bytes)?;
            Ok(k.root(named)?.unwrap_log_seed(named, name, bytes)?)
        })
    }

    fn seal_resume_key(&self, id: ResumeKeyId, key: &ResumeKey) -> Result<Vec<u8>, CustodyError> {
        self.with(|k| {
            let (me, ingest) = k.ingest();
            Ok(ingest.wrap_resume_key(me, id, key))
        })
    }

    fn open_resume_key(&self, id: ResumeKeyId, sealed: &[u8]) -> Result<ResumeKey, CustodyError> {
        self.with(|k| {
            let (me, ingest) = k.ingest();
            Ok(ingest.unwrap_resume_key(me, id, sealed)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_that_cannot_be_read_for_a_moment_is_taken_in_the_next_time() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Timestamp::from_millis(1_790_000_000_000));
        let path = dir.path().join("keyring");
        let passphrase = Passphrase::new(Zeroizing::new(b"correct horse battery".to_vec())).unwrap();
        let one = KeyringFile::create(&path, now, Setting::Production, &passphrase, Parameters::FLOOR).unwrap();
        let other = KeyringFile::at(&path);
        other.unseal(&passphrase).unwrap();
        assert_eq!(other.begin_epoch(now).unwrap(), 2);
        let known = |custody: &KeyringFile| custody.with(|k| Ok(k.current().0.epoch)).unwrap();
        let full = |path: &Path, _| {
            let source = rustix::io::Errno::MFILE.into();
            Err(FileError::Io { act: "open", path: path.to_owned(), source })
        };
        one.open.write().unwrap().as_mut().unwrap().refresh_by(&path, full);
        assert_eq!(known(&one), 1);
        assert_eq!(one.epochs().unwrap().len(), 2, "the same file is looked at again");
        assert_eq!(known(&one), 2);
    }
}
