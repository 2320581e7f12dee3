//! Downloading by Range into a file beside the target, which takes the target's name at the end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Response;
use ureq::{Body, Error};

use crate::client::{Client, connection, header, problem_of};
use crate::error::Failure;
use crate::output::note;
use crate::progress;

/// How often in a row the connection may break without bringing a byte.
const MAX_BREAKS: u32 = 8;

/// Read at once.
const BUFFER: usize = 64 * 1024;

/// A file under way, readable by its owner only, removed unless it is kept.
pub struct Target {
    file: File,
    path: PathBuf,
    kept: bool,
}

/// A file that has arrived whole.
pub struct Fetched {
    target: Target,
    /// Its length in bytes.
    pub size: u64,
}

impl Target {
    /// Makes a file beside `out`, so that renaming is atomic; here, before anything is asked for.
    pub fn beside(out: &Path) -> Result<Self, Failure> {
        let name = out.file_name().ok_or_else(|| Failure::Usage(format!("{} is not a file", out.display())))?;
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let path = out.with_file_name(hidden);
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = open.map_err(Failure::file(&path))?;
        Ok(Self { file, path, kept: false })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.kept {
            // Half a recording in the clear must not stay; if it cannot be removed, say where it is.
            if let Err(error) = std::fs::remove_file(&self.path) {
                note(&format!("{} could not be removed: {error}", self.path.display()));
            }
        }
    }
}

impl Fetched {
    /// Gives the file its name.
    pub fn keep(mut self, out: &Path) -> Result<(), Failure> {
        self.target.file.sync_all().map_err(Failure::file(&self.target.path))?;
        std::fs::rename(&self.target.path, out).map_err(Failure::file(out))?;
        self.target.kept = true;
        Ok(())
    }
}

/// Fetches all of a playback address. The server may answer with less than was asked for; then the
/// next request goes on from there, if it is still the same representation.
pub fn fetch(client: &Client, url: &str, mut target: Target) -> Result<Fetched, Failure> {
    let mut response = client.head(url)?;
    if !response.status().is_success() {
        // An answer to HEAD has no body; GET says what is the matter.
        return Err(match get(client, url, 0, None) {
            Ok(mut answer) if !answer.status().is_success() => problem_of(&mut answer),
            _ => problem_of(&mut response),
        });
    }
    let size: u64 = header(&response, "content-length")
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| Failure::Protocol("no Content-Length".to_owned()))?;
    let etag = header(&response, "etag").map(str::to_owned);
    let bar = progress::bytes(size, "downloading");
    let mut have = 0_u64;
    let mut breaks = 0;
    while have < size {
        let before = have;
        let broke = match get(client, url, have, etag.as_deref()) {
            Err(error) => Some(error.to_string()),
            Ok(mut answer) => match answer.status().as_u16() {
                206 if starts_at(&answer, have, size) => copy(&mut answer, &mut target, &mut have, size, &bar)?,
                200 if have == 0 => copy(&mut answer, &mut target, &mut have, size, &bar)?,
                200 | 206 => return Err(Failure::Protocol("the recording changed while it was fetched".to_owned())),
                429 | 503 => Some(format!("HTTP {}", answer.status())),
                _ => return Err(problem_of(&mut answer)),
            },
        };
        breaks = if have > before { 0 } else { breaks + 1 };
        if let Some(reason) = broke {
            if breaks >= MAX_BREAKS {
                return Err(Failure::Connection(reason));
            }
            bar.suspend(|| note(&format!("{reason}; going on at {have}")));
            std::thread::sleep(Duration::from_millis(500) * (breaks + 1));
        } else if breaks > 0 {
            return Err(Failure::Protocol("an empty answer to a range".to_owned()));
        }
    }
    bar.finish_and_clear();
    Ok(Fetched { target, size })
}

fn get(client: &Client, url: &str, from: u64, etag: Option<&str>) -> Result<Response<Body>, Error> {
    let address = client.address(url).map_err(|_| Error::BadUri("playback address".to_owned()))?;
    let bearer = client.bearer().map_err(|_| Error::BadUri("no token".to_owned()))?;
    let mut request =
        client.agent().get(address).header("Authorization", bearer).header("Range", format!("bytes={from}-"));
    if let Some(etag) = etag {
        request = request.header("If-Range", etag);
    }
    request.call()
}

/// Whether `Content-Range` begins where we are and is of the same length.
fn starts_at(answer: &Response<Body>, from: u64, size: u64) -> bool {
    header(answer, "content-range")
        .and_then(|range| range.strip_prefix("bytes "))
        .is_some_and(|range| range.starts_with(&format!("{from}-")) && range.ends_with(&format!("/{size}")))
}

/// Copies what an answer brings. A break of the connection is told, not an error; a full disk is.
fn copy(
    answer: &mut Response<Body>,
    target: &mut Target,
    have: &mut u64,
    size: u64,
    bar: &indicatif::ProgressBar,
) -> Result<Option<String>, Failure> {
    let mut body = answer.body_mut().with_config().limit(size).reader();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => read,
            Err(error) => return Ok(Some(connection(&Error::Io(error)).to_string())),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        let arrived = u64::try_from(read).unwrap_or(u64::MAX);
        if *have + arrived > size {
            return Err(Failure::Protocol("more bytes than the recording has".to_owned()));
        }
        target.file.write_all(bytes).map_err(Failure::file(&target.path))?;
        *have += arrived;
        bar.set_position(*have);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("clip.webm");
        let target = Target::beside(&out).unwrap();
        let part = target.path.clone();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&part).unwrap()) & 0o777, 0o600);
        drop(target);
        assert!(!part.exists());
        Fetched { target: Target::beside(&out).unwrap(), size: 0 }.keep(&out).unwrap();
        assert!(out.exists() && !part.exists());
    }
}
