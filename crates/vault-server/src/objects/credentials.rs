//! Credentials of an S3 store out of a file: three keys of TOML, readable by its owner alone.
//!
//! ```toml
//! access_key_id = "…"
//! secret_access_key = "…"
//! session_token = "…"          # only with temporary credentials
//! ```
//!
//! The file is read again while the server runs, so that a key is changed by replacing the file. What is read gives
//! access to ciphertext, never to a key of the vault.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(30);
/// The longest file. Session tokens have some thousand characters.
const MOST: usize = 16 * 1024;

/// Reads a secret's file of at most so many bytes, if its owner alone can reach it.
pub type ReadSecret = fn(&Path, usize) -> Result<Zeroizing<Vec<u8>>, Box<dyn core::error::Error + Send + Sync>>;

/// Why a file of credentials was not taken. No content of the file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read, or others can read it too.
    #[error("the credentials of the object store cannot be read")]
    Unreadable(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// It is no TOML, or has other keys.
    #[error("{0} must hold access_key_id and secret_access_key, perhaps session_token, and nothing else")]
    Form(PathBuf),
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Content {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// A file of credentials, read again when it is no longer fresh.
pub(super) struct CredentialsFile {
    path: PathBuf,
    read: ReadSecret,
    last: Mutex<(Instant, Arc<AwsCredential>)>,
}

impl CredentialsFile {
    /// Reads it for the first time.
    pub(super) fn open(path: &Path, read: ReadSecret) -> Result<Self, CredentialsError> {
        let first = parse(path, read)?;
        Ok(Self { path: path.to_owned(), read, last: Mutex::new((Instant::now(), first)) })
    }

    fn current(&self) -> Arc<AwsCredential> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.elapsed() >= FRESH {
            last.0 = Instant::now();
            match parse(&self.path, self.read) {
                Ok(fresh) => last.1 = fresh,
                // Half written, perhaps: what worked until now may go on working.
                Err(e) => tracing::warn!(error = %e, "the credentials of the object store stay as they were"),
            }
        }
        Arc::clone(&last.1)
    }
}

fn parse(path: &Path, read: ReadSecret) -> Result<Arc<AwsCredential>, CredentialsError> {
    let bytes = read(path, MOST).map_err(CredentialsError::Unreadable)?;
    // The parser's error quotes the line it stopped at: it is not passed on.
    let form = || CredentialsError::Form(path.to_owned());
    let text = core::str::from_utf8(&bytes).map_err(|_| form())?;
    let mut content: Content = toml::from_str(text).map_err(|_| form())?;
    if content.access_key_id.is_empty() || content.secret_access_key.is_empty() {
        return Err(form());
    }
    Ok(Arc::new(AwsCredential {
        key_id: std::mem::take(&mut content.access_key_id),
        secret_key: std::mem::take(&mut content.secret_access_key),
        token: content.session_token.take(),
    }))
}

impl fmt::Debug for CredentialsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        Ok(self.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(path: &Path, _: usize) -> Result<Zeroizing<Vec<u8>>, Box<dyn core::error::Error + Send + Sync>> {
        Ok(std::fs::read(path)?.into())
    }

    #[test]
    fn a_file_is_read_and_tells_nothing_of_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3.toml");
        let secret = "access_key_id = 'AK'\nsecret_access_key = 'hush-hush'\n";
        std::fs::write(&path, secret).unwrap();
        let file = CredentialsFile::open(&path, plain).unwrap();
        assert_eq!(file.current().secret_key, "hush-hush");
        assert_eq!(file.current().token, None);
        assert!(!format!("{file:?} {:?}", file.current()).contains("hush"));

        for bad in ["", "hush-hush", "access_key_id = 'AK'", &format!("{secret}hush = 1"), "access_key_id = hush"] {
            std::fs::write(&path, bad).unwrap();
            let error = CredentialsFile::open(&path, plain).unwrap_err();
            assert!(matches!(error, CredentialsError::Form(_)), "{bad}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn a_file_that_was_replaced_counts_soon_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3.toml");
        std::fs::write(&path, "access_key_id = 'one'\nsecret_access_key = 'x'").unwrap();
        let file = CredentialsFile::open(&path, plain).unwrap();
        let age = || file.last.lock().unwrap().0 -= FRESH;
        std::fs::write(&path, "access_key_id = 'two'\nsecret_access_key = 'x'").unwrap();
        assert_eq!(file.current().key_id, "one");
        age();
        assert_eq!(file.current().key_id, "two");
        std::fs::write(&path, "access_key").unwrap();
        age();
        assert_eq!(file.current().key_id, "two");
    }
}
