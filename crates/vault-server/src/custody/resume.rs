//! Resume keys: one a day, each in a file of its own, apart from database and backups (`docs/format.md` §8).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use vault_core::ids::ResumeKeyId;
use vault_core::keys::hierarchy::ResumeKey;
use vault_core::time::Timestamp;

use super::{Custody, CustodyError, FileError, private_file};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How long after its day a key is left alone: an upload may have taken it in the day's last moment and not yet
/// committed its row.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// Why a resume key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It was destroyed, or its directory was lost: uploads under it cannot go on.
    #[error("resume key {0} is gone; the upload cannot be continued")]
    Gone(ResumeKeyId),
    /// The file or custody refused.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

impl From<FileError> for ResumeError {
    fn from(e: FileError) -> Self {
        Self::Custody(e.into())
    }
}

/// The directory of resume keys.
pub(super) struct ResumeDirectory {
    path: PathBuf,
    /// Makes the day's key once, however many uploads begin with the day.
    today: Mutex<Option<ResumeKeyId>>,
}

impl ResumeDirectory {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), today: Mutex::new(None) }
    }

    fn file(&self, id: ResumeKeyId) -> PathBuf {
        self.path.join(id.to_string())
    }

    /// The id of the day's key; it is made where it is missing.
    pub(super) fn today(&self, custody: &dyn Custody, now: Timestamp) -> Result<ResumeKeyId, ResumeError> {
        let mut today = self.today.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fits = |id: &ResumeKeyId| day(made_at(*id)) == day(now);
        if let Some(id) = today.filter(fits) {
            return Ok(id);
        }
        let id = match self.list()?.into_iter().filter(fits).min() {
            Some(id) => id,
            None => {
                let id = ResumeKeyId::new(now);
                let sealed = custody.seal_resume_key(id, &ResumeKey::generate())?;
                private_file::directory(&self.path)?;
                private_file::create(&self.file(id), &sealed)?;
                id
            }
        };
        *today = Some(id);
        Ok(id)
    }

    pub(super) fn read(&self, custody: &dyn Custody, id: ResumeKeyId) -> Result<ResumeKey, ResumeError> {
        match private_file::read(&self.file(id), 1024) {
            Ok(sealed) => Ok(custody.open_resume_key(id, &sealed)?),
            Err(FileError::Missing(_)) => Err(ResumeError::Gone(id)),
            Err(e) => Err(e.into()),
        }
    }

    /// Keys whose day is over for so long that no upload can begin under them any more.
    pub(super) fn past(&self, now: Timestamp) -> Result<Vec<ResumeKeyId>, FileError> {
        let settled = now.minus(GRACE);
        Ok(self.list()?.into_iter().filter(|id| day(made_at(*id)) < day(settled)).collect())
    }

    /// Whether a key is still there.
    pub(super) fn holds(&self, id: ResumeKeyId) -> bool {
        self.file(id).exists()
    }

    /// Whether a key is known to be gone: its file is absent from a place that can be looked at.
    pub(super) fn is_destroyed(&self, id: ResumeKeyId) -> bool {
        matches!(self.file(id).try_exists(), Ok(false))
    }

    pub(super) fn destroy(&self, id: ResumeKeyId) -> Result<(), FileError> {
        private_file::remove(&self.file(id))
    }

    fn list(&self) -> Result<Vec<ResumeKeyId>, FileError> {
        let failed = |source| FileError::Io { act: "list", path: self.path.clone(), source };
        match std::fs::read_dir(&self.path) {
            Ok(entries) => {
                let mut ids = Vec::new();
                for entry in entries {
                    let name = entry.map_err(failed)?.file_name();
                    // What is not a key's name is not ours: a staged file, something an operator put there.
                    ids.extend(name.to_str().and_then(|n| n.parse::<ResumeKeyId>().ok()));
                }
                Ok(ids)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(failed(e)),
        }
    }
}

/// A UUIDv7 begins with 48 bits of milliseconds (RFC 9562 §5.7).
fn made_at(id: ResumeKeyId) -> Timestamp {
    let [a, b, c, d, e, f, ..] = *id.as_bytes();
    Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

const fn day(at: Timestamp) -> i64 {
    at.as_millis() / DAY_MILLIS
}
