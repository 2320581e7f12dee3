//! Custody: where the root key is kept, and the keys that hang under it while the vault is open.
//!
//! [`Custody`] is the small trait a back end implements; this version has one, the [keyring file](keyring_file). Over it
//! stands the [`KeyService`], which the acts in `app` hold: it unwraps, caches in locked memory, and counts.

mod cache;
pub mod keyring_file;
pub mod private_file;
mod resume;
mod service;

#[cfg(test)]
mod tests;

use vault_core::ids::{KeyringId, ResumeKeyId};
use vault_core::keys::hierarchy::{Kek, LogSeed, ResumeKey};
use vault_core::keys::keyring::{EpochError, EpochInfo, KeyringError, Passphrase, PassphraseError, Setting};
use vault_core::keys::wrap::{KekRef, UnwrapError};
use vault_core::time::Timestamp;

pub use private_file::FileError;
pub use resume::ResumeError;
pub use service::{Checked, Fault, Finding, KeyError, KeyService, LogKey, Rewrapped, Scope};

/// A key wrapped by the root, and the epoch that did.
pub struct RootWrap {
    /// The epoch.
    pub epoch: u32,
    /// The wrap, in the back end's own form.
    pub bytes: Vec<u8>,
}

/// Why custody did not do what was asked. Nothing has changed in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The root key is not in memory.
    #[error("the vault is sealed")]
    Sealed,
    /// It is open already.
    #[error("the vault is open already")]
    NotSealed,
    /// The keyring file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its bytes cannot be opened.
    #[error("{path}: {source}")]
    Keyring {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: KeyringError,
    },
    /// The passphrase is none.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The root epoch that a wrap names cannot be used.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The wrap does not open under the epoch it names.
    #[error("a wrap by the root key does not open: {0}")]
    Unwrap(#[from] UnwrapError),
}

/// What the destruction of a root epoch is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The custody itself destroys the key, and no copy of it can exist.
    Destroyed,
    /// The custody destroys it after a time of its own, and says when.
    Scheduled,
    /// The key is removed from where the vault reads it; people attest that no copy is left.
    Attested,
}

/// What became of a root epoch that was to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// It is gone.
    Destroyed,
    /// It will be.
    Scheduled {
        /// Then.
        until: Timestamp,
    },
    /// It is gone from where the vault reads it.
    Attested,
}

/// The root key, wherever it is kept. Calls may block (a token, a file): run them off the async threads.
pub trait Custody: Send + Sync {
    /// What kind it is, for people: `keyring-file`.
    fn kind(&self) -> &'static str;

    /// Whether it can wrap and unwrap now.
    fn is_open(&self) -> bool;

    /// Opens it. A wrong passphrase changes nothing.
    fn unseal(&self, passphrase: &Passphrase) -> Result<(), CustodyError>;

    /// Closes it: the root key leaves memory.
    fn seal(&self);

    /// Which custody this is.
    fn id(&self) -> Result<KeyringId, CustodyError>;

    /// Whether this custody is for real recordings.
    fn setting(&self) -> Result<Setting, CustodyError>;

    /// The root epochs, oldest first.
    fn epochs(&self) -> Result<Vec<EpochInfo>, CustodyError>;

    /// Makes a fresh epoch the current one, durably, before it returns.
    fn begin_epoch(&self, now: Timestamp) -> Result<u32, CustodyError>;

    /// What [`destroy`](Self::destroy) is worth here.
    fn worth(&self) -> Worth;

    /// Destroys a former epoch, durably, before it returns. Again: [`EpochError::Destroyed`].
    fn destroy(&self, epoch: u32) -> Result<Destroyed, CustodyError>;

    /// Wraps a KEK under the current epoch.
    fn wrap_kek(&self, kek: KekRef, key: &Kek) -> Result<RootWrap, CustodyError>;

    /// Unwraps a KEK under the epoch its wrap names.
    fn unwrap_kek(&self, kek: KekRef, wrap: &[u8]) -> Result<Kek, CustodyError>;

    /// Wraps a log seed under the current epoch.
    fn wrap_log_seed(&self, name: &str, seed: &LogSeed) -> Result<RootWrap, CustodyError>;

    /// Unwraps a log seed under the epoch its wrap names.
    fn unwrap_log_seed(&self, name: &str, wrap: &[u8]) -> Result<LogSeed, CustodyError>;

    /// Seals a resume key under the ingest secret.
    fn seal_resume_key(&self, id: ResumeKeyId, key: &ResumeKey) -> Result<Vec<u8>, CustodyError>;

    /// Opens a sealed resume key.
    fn open_resume_key(&self, id: ResumeKeyId, sealed: &[u8]) -> Result<ResumeKey, CustodyError>;
}
