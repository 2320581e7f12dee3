//! Objects written together on the local disk: some, and one that nobody may find before the others are durable.
//!
//! Written one after the other they cost four waits for the disk at the least: each file's contents, and each directory that
//! one is entered in. Here all contents are on their way before the first is waited for, so that the file system's journal
//! takes them together, and each directory is synced once. What holds for one object holds for each: under its name it is
//! whole or absent, also after power loss, and durable once this returns.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};

use super::{DEADLINE, Name, ObjectError};
use crate::directory;
use crate::metrics::Metrics;

/// Objects in one go. After a long outage there may be thousands, and each is an open file.
const AT_ONCE: usize = 64;

/// Writes `first`, and then `last`. Each counts in the metrics as a PUT of its own.
pub(super) async fn put(
    root: &Arc<Path>,
    first: Vec<(Name, Bytes)>,
    last: (Name, Bytes),
    metrics: Option<&Arc<Metrics>>,
) -> Result<(), ObjectError> {
    let mut rest = first;
    while rest.len() > AT_ONCE {
        let later = rest.split_off(AT_ONCE);
        some(root, rest, None, metrics).await?;
        rest = later;
    }
    some(root, rest, Some(last), metrics).await
}

async fn some(
    root: &Arc<Path>,
    first: Vec<(Name, Bytes)>,
    last: Option<(Name, Bytes)>,
    metrics: Option<&Arc<Metrics>>,
) -> Result<(), ObjectError> {
    let (root, started) = (Arc::clone(root), Instant::now());
    let count = first.len() + usize::from(last.is_some());
    let writing = tokio::task::spawn_blocking(move || write(&root, &first, last.as_ref()));
    let (outcome, told) = match tokio::time::timeout(DEADLINE, writing).await {
        Ok(Ok(Ok(()))) => (Ok(()), "ok"),
        Ok(Ok(Err(e))) => (Err(failed(e)), "failed"),
        Ok(Err(_)) => (Err(ObjectError::Deadline), "failed"),
        Err(_) => (Err(ObjectError::Deadline), "abandoned"),
    };
    for _ in 0..count {
        metrics.inspect(|metrics| metrics.object_call("put", told, started.elapsed()));
    }
    outcome
}

fn failed(e: io::Error) -> ObjectError {
    ObjectError::Failed(object_store::Error::Generic { store: "local", source: e.into() })
}

fn write(root: &Path, first: &[(Name, Bytes)], last: Option<&(Name, Bytes)>) -> io::Result<()> {
    let stage = |(name, bytes): &(Name, Bytes)| Staged::write(root.join(name.to_string()), bytes);
    let first: Vec<Staged> = first.iter().map(stage).collect::<io::Result<_>>()?;
    let last = last.map(stage).transpose()?;
    // Begins to write them out (fadvise(2)): room for all of them is found before the first is waited for.
    for staged in first.iter().chain(&last) {
        let _ = fadvise(&staged.file, 0, None, Advice::DontNeed);
    }
    for staged in first.iter().chain(&last) {
        staged.file.sync_all()?;
    }
    let mut entered = BTreeSet::new();
    for staged in first {
        entered.extend(staged.enter()?);
    }
    for folder in entered {
        File::open(folder)?.sync_all()?;
    }
    // From here on it may be found: after a loss of power as well.
    if let Some(last) = last
        && let Some(folder) = last.enter()?
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// An object that has its contents and not yet its name.
struct Staged {
    file: File,
    /// Where it lies meanwhile, in the way of `object_store`; empty once it has its name.
    at: PathBuf,
    path: PathBuf,
}

impl Staged {
    fn write(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let (mut options, mut number) = (OpenOptions::new(), 1_u32);
        options.write(true).create_new(true).mode(0o600);
        loop {
            let mut at = path.clone().into_os_string();
            at.push(format!("#{number}"));
            let at = PathBuf::from(at);
            match options.open(&at) {
                Ok(file) => {
                    let mut staged = Self { file, at, path };
                    staged.file.write_all(bytes)?;
                    return Ok(staged);
                }
                // Another's, or one that a crash left.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number = number.saturating_add(1),
                Err(e) if e.kind() == ErrorKind::NotFound => match path.parent() {
                    Some(folder) if !folder.exists() => directory::make(folder)?,
                    _ => return Err(e),
                },
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives it its name; the directory that is to be synced.
    fn enter(mut self) -> io::Result<Option<PathBuf>> {
        std::fs::rename(&self.at, &self.path)?;
        self.at = PathBuf::new();
        Ok(self.path.parent().map(Path::to_owned))
    }
}

impl Drop for Staged {
    /// Best effort: what stays is swept later.
    fn drop(&mut self) {
        if !self.at.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.at);
        }
    }
}
