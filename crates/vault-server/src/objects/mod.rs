//! Bytes of media, of the published log and of the journal, in an object store.
//!
//! One thin type over `object_store`: unique names, no append, no rename, no listing as truth, no conditional
//! put. What it adds: every call ends (a deadline), a short read is an error, and a delete on the local disk is
//! as durable as a write (`object_store` syncs writes and their directories, not deletes).
//!
//! | back end | an object written piece by piece |
//! | --- | --- |
//! | a directory, memory | streams: one piece is in memory |
//! | a bucket ([`s3`]) | is one PUT out of memory, so it is cut short ([`Objects::longest`]) |
//!
//! Small objects can be written together, with one that nobody finds before the others: on the local disk in one go
//! ([`together`]).
//!
//! [`check`] asks a store at start whether it does what all of this relies on.

mod check;
mod credentials;
mod files;
mod local;
mod metered;
mod name;
mod s3;
mod together;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub mod faulty;
#[cfg(test)]
mod unfit;

use core::ops::Range;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use vault_core::time::Timestamp;

use crate::config::Config;
use crate::metrics::Metrics;

pub use check::Unfit;
pub use credentials::ReadSecret;
pub use name::{InvalidName, Name};
pub use s3::S3Error;
pub use writer::PartWriter;

/// No call may take longer. A PUT that was given up may still land: the collector verifies a name's absence only
/// after this much time.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The longest object that is collected in memory for one PUT: what an upload to a bucket costs in memory at the most,
/// and a PUT in bytes.
const LONGEST_PUT: u64 = 4 << 20;

/// PUTs under way at once of objects that are written together: after a long outage there may be thousands.
const PUTS_AT_ONCE: usize = 16;

/// Why the object store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("an object is missing")]
    Missing,
    /// The object is shorter than it must be.
    #[error("an object is shorter than it must be")]
    Short,
    /// No answer within the deadline: it may have happened, or may still happen.
    #[error("the object store did not answer in time")]
    Deadline,
    /// The store failed or cannot be reached.
    #[error("the object store failed")]
    Failed(#[source] object_store::Error),
    /// The local directory cannot be used.
    #[error("the directory {path} cannot be used: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why an object store cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] ObjectError),
    /// What the configuration says of a bucket.
    #[error(transparent)]
    Settings(#[from] S3Error),
}

impl From<object_store::Error> for ObjectError {
    fn from(e: object_store::Error) -> Self {
        match e {
            // A bucket that is not there answers 404 too; nobody may take that for the absence of an object.
            object_store::Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
                Self::Failed(object_store::Error::Generic { store: "S3", source })
            }
            object_store::Error::NotFound { .. } => Self::Missing,
            // The local back end answers a range beyond the end with a generic error of its own kind.
            other => Self::Failed(other),
        }
    }
}

/// The object store of this vault.
#[derive(Clone)]
pub struct Objects {
    inner: Arc<dyn ObjectStore>,
    /// The directory, where it is one: deletes are synced there.
    local: Option<Arc<Path>>,
    /// The longest object that is collected in memory for one PUT, where pieces are not streamed.
    collects: Option<u64>,
    /// Its files that are read from.
    files: Option<files::Files>,
    /// What counts objects that do not go through `inner`.
    metrics: Option<Arc<Metrics>>,
}

impl Objects {
    /// As the configuration says. Of a bucket nothing has been asked yet.
    pub fn open(config: &Config, read: ReadSecret) -> Result<Self, OpenError> {
        // A configuration that was read has been checked; one that was made in the program may be wrong here first.
        match config.objects.bucket() {
            Ok(Some(bucket)) => Ok(Self {
                inner: s3::client(&config.objects, &bucket, read)?,
                local: None,
                collects: Some(LONGEST_PUT),
                files: None,
                metrics: None,
            }),
            Ok(None) | Err(_) => Ok(Self::local(&config.objects_path())?),
        }
    }

    /// A directory on the local disk, made if missing and readable only by its owner.
    pub fn local(path: &Path) -> Result<Self, ObjectError> {
        let root = local::directory(path)?;
        let inner = object_store::local::LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        let files = Some(files::Files::below(&root));
        Ok(Self { inner: Arc::new(inner), local: Some(root.into()), collects: None, files, metrics: None })
    }

    /// In memory: for tests, gone with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self::over(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Over any store; how tests put faults in between.
    #[must_use]
    pub fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, local: None, collects: None, files: None, metrics: None }
    }

    /// Counts and times what is asked of it from here on.
    #[must_use]
    pub fn metered(self, metrics: &Arc<Metrics>) -> Self {
        let inner = Arc::new(metered::Metered { inner: self.inner, metrics: Arc::clone(metrics) });
        Self { inner, metrics: Some(Arc::clone(metrics)), ..self }
    }

    /// Writes as a bucket is written to, with PUTs of at most `longest` bytes.
    #[cfg(test)]
    #[must_use]
    pub fn collecting(self, longest: u64) -> Self {
        Self { collects: Some(longest), ..self }
    }

    /// After how many bytes an object that is written piece by piece must be finished, where there is such a bound.
    #[must_use]
    pub fn longest(&self) -> Option<u64> {
        self.collects
    }

    /// Writes a small object whole. Durable once it returns. An existing object of that name is replaced: only
    /// the published log's checkpoint relies on that.
    pub async fn put(&self, name: &Name, bytes: impl Into<Bytes>) -> Result<(), ObjectError> {
        self.put_told(name, bytes).await.map(drop)
    }

    /// Likewise, and tells the version that the store says it gave the object.
    async fn put_told(&self, name: &Name, bytes: impl Into<Bytes>) -> Result<Option<String>, ObjectError> {
        let put = self.inner.put(name.path(), PutPayload::from_bytes(bytes.into()));
        Ok(timed(put).await?.version)
    }

    /// Writes small objects whole, and `last` so that nobody finds it before all the others are durable. All are once it
    /// returns; after an error any of them may be there, and `last` only with all the others.
    pub async fn put_before(&self, first: Vec<(Name, Bytes)>, last: (Name, Bytes)) -> Result<(), ObjectError> {
        if let Some(root) = &self.local {
            return together::put(root, first, last, self.metrics.as_ref()).await;
        }
        for some in first.chunks(PUTS_AT_ONCE) {
            try_join_all(some.iter().map(|(name, bytes)| self.put(name, bytes.clone()))).await?;
        }
        self.put(&last.0, last.1).await
    }

    /// Begins an object that is written piece by piece.
    pub async fn begin(&self, name: &Name) -> Result<PartWriter, ObjectError> {
        if self.collects.is_some() {
            return Ok(PartWriter::collecting(&self.inner, name));
        }
        PartWriter::streaming(&self.inner, name).await
    }

    /// Reads a whole object.
    pub async fn get(&self, name: &Name) -> Result<Bytes, ObjectError> {
        let (whole, bytes) = timed(async {
            let found = self.inner.get(name.path()).await?;
            Ok((found.meta.size, found.bytes().await?))
        })
        .await?;
        if bytes.len() as u64 == whole { Ok(bytes) } else { Err(ObjectError::Short) }
    }

    /// Reads exactly this range of bytes.
    pub async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        if let Some(files) = &self.files {
            return files.read(name, range).await;
        }
        let bytes = match timed(self.inner.get_range(name.path(), range.clone())).await {
            Ok(bytes) => bytes,
            // Past the end the back ends disagree on the error; the length tells what it was.
            Err(ObjectError::Failed(e)) => match self.length(name).await? {
                length if length < range.end => return Err(ObjectError::Short),
                _ => return Err(ObjectError::Failed(e)),
            },
            Err(e) => return Err(e),
        };
        if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(ObjectError::Short) }
    }

    /// The length of an object.
    pub async fn length(&self, name: &Name) -> Result<u64, ObjectError> {
        Ok(timed(self.inner.head(name.path())).await?.size)
    }

    /// Whether an object of that name is there.
    pub async fn exists(&self, name: &Name) -> Result<bool, ObjectError> {
        match self.length(name).await {
            Ok(_) => Ok(true),
            Err(ObjectError::Missing) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Deletes an object that is clutter and no more, and does not wait until its absence would survive a power loss: one
    /// sync less beside those that others wait for.
    pub async fn discard(&self, name: &Name) -> Result<(), ObjectError> {
        if let Some(files) = &self.files {
            files.forget(name);
        }
        match timed(self.inner.delete(name.path())).await {
            Ok(()) | Err(ObjectError::Missing) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Deletes an object; no error when it is not there. Durable once it returns.
    pub async fn delete(&self, name: &Name) -> Result<(), ObjectError> {
        self.discard(name).await?;
        match &self.local {
            Some(root) => local::settle_delete(Arc::clone(root), name.clone()).await,
            None => Ok(()),
        }
    }
}

impl Objects {
    /// Removes what crashes left half-written beside names that are replaced and never deleted; answers how many files
    /// there were. Stores other than the local disk keep no such files.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, ObjectError> {
        let Some(root) = &self.local else { return Ok(0) };
        let since = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
        local::sweep(Arc::clone(root), std::time::UNIX_EPOCH + since).await
    }
}

/// Bounds a call by [`DEADLINE`].
async fn timed<T>(call: impl Future<Output = object_store::Result<T>>) -> Result<T, ObjectError> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(ObjectError::Deadline),
    }
}
