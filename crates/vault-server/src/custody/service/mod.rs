//! The key service: what the acts in `app` hold. It finds wraps in the database, opens them with custody, keeps what it
//! opened in locked memory within bounds, and counts every use of a KEK in the caller's own transaction.
//!
//! | file | does |
//! | --- | --- |
//! | `found` | makes a vault's and a collection's first keys |
//! | `keks` | KEK versions and the record keys under them: wrap, unwrap, rewrap |
//! | `children` | the collection's own keys |
//! | `log` | the log's signing key |
//! | `root` | root epochs |
//! | `withdrawn` | keys that were destroyed or compromised |
//! | `resume` | resume keys of uploads under way |
//! | `verify` | whether every wrap opens under the version it names |

mod children;
mod found;
mod keks;
mod log;
mod resume;
mod root;
mod verify;
mod withdrawn;

use core::sync::atomic::AtomicU64;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::ids::{CollectionId, KeyringId, ResumeKeyId};
use vault_core::keys::hierarchy::{Kek, ResumeKey, StaffAuditKey, SubjectKey};
use vault_core::keys::keyring::{Passphrase, Setting};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::{KekRef, UnwrapError};
use vault_core::time::Clock;

pub use keks::Rewrapped;
pub use verify::{Checked, Fault, Finding, Scope};

use super::cache::Cache;
use super::resume::ResumeDirectory;
use super::{Custody, CustodyError, FileError, ResumeError};
use crate::store::{Store, StoreError, keys};

/// KEK versions kept open; a deployment has tens of collections with a few versions each.
const KEKS: usize = 512;
/// Children of KEKs kept open, of each kind.
const CHILDREN: usize = 512;
/// Resume keys kept open; an upload lives a day or two.
const RESUME_KEYS: usize = 16;

/// Why a key could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The root key is not in memory.
    #[error("the vault is sealed")]
    Sealed,
    /// Custody refused.
    #[error(transparent)]
    Custody(CustodyError),
    /// The keyring is another vault's.
    #[error("the keyring ({keyring}) does not belong to this database ({vault})")]
    Foreign {
        /// Which keyring was opened.
        keyring: KeyringId,
        /// Which one the database was made with.
        vault: String,
    },
    /// The database was never initialised.
    #[error("this database holds no vault yet; run vault-server init")]
    NotInitialised,
    /// A vault for trying out under `serve`, or the other way round.
    #[error("the keyring is for {found:?}, this program runs for {wanted:?}")]
    Setting {
        /// What it was made for.
        found: Setting,
        /// What is run.
        wanted: Setting,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such key version, or no such child.
    #[error("{0} does not exist")]
    Missing(KekRef),
    /// The version may not do this in its state.
    #[error("{kek} is {state}")]
    State {
        /// Which.
        kek: KekRef,
        /// Its state.
        state: KeyState,
    },
    /// The collection has no active version.
    #[error("collection {0} has no active key")]
    NoActiveKey(CollectionId),
    /// The active version has wrapped as often as it may.
    #[error("the active key of collection {0} has reached its ceiling of uses: rotate it")]
    Ceiling(CollectionId),
    /// A wrap does not open: altered, moved from another row, or of another key. Nothing was decrypted.
    #[error("the wrap of {what} does not open: {source}")]
    Wrap {
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: UnwrapError,
    },
    /// The database has no signing key for this log, or another one than it says.
    #[error("the signing key of log {0} is missing or not the one on record")]
    LogKey(String),
    /// A resume key.
    #[error(transparent)]
    Resume(ResumeError),
}

impl From<CustodyError> for KeyError {
    fn from(e: CustodyError) -> Self {
        match e {
            CustodyError::Sealed => Self::Sealed,
            CustodyError::Unwrap(source) => Self::Wrap { what: "a key under the root key", source },
            other => Self::Custody(other),
        }
    }
}

impl From<ResumeError> for KeyError {
    fn from(e: ResumeError) -> Self {
        match e {
            ResumeError::Custody(CustodyError::Sealed) => Self::Sealed,
            other => Self::Resume(other),
        }
    }
}

impl From<FileError> for KeyError {
    fn from(e: FileError) -> Self {
        Self::Custody(e.into())
    }
}

/// A log's signing key, opened.
pub type LogKey = Arc<CheckpointSigner>;

/// Keys for the acts of this node.
pub struct KeyService {
    custody: Arc<dyn Custody>,
    store: Store,
    clock: Arc<dyn Clock>,
    setting: Setting,
    log_name: String,
    resume: Arc<ResumeDirectory>,
    keks: Cache<KekRef, Kek>,
    staff: Cache<CollectionId, StaffAuditKey>,
    subjects: Cache<CollectionId, SubjectKey>,
    resume_keys: Cache<ResumeKeyId, ResumeKey>,
    log_key: RwLock<Option<LogKey>>,
    rotation: Notify,
    /// A version has reached a ceiling.
    due: Notify,
    /// A cycle of keys can go on.
    cycle: Notify,
    /// What was destroyed.
    withdrawn: RwLock<HashSet<KeyTag>>,
    /// How often keys were forgotten because of what somebody did.
    forgotten: AtomicU64,
}

impl KeyService {
    /// Over `custody`, which may be sealed still.
    #[must_use]
    pub fn new(
        custody: Arc<dyn Custody>,
        store: Store,
        clock: Arc<dyn Clock>,
        setting: Setting,
        log_name: &str,
        resume: &Path,
    ) -> Self {
        Self {
            custody,
            store,
            clock,
            setting,
            log_name: log_name.to_owned(),
            resume: Arc::new(ResumeDirectory::at(resume)),
            keks: Cache::new(KEKS),
            staff: Cache::new(CHILDREN),
            subjects: Cache::new(CHILDREN),
            resume_keys: Cache::new(RESUME_KEYS),
            log_key: RwLock::new(None),
            rotation: Notify::new(),
            due: Notify::new(),
            cycle: Notify::new(),
            withdrawn: RwLock::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// The kind of custody: `keyring-file`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.custody.kind()
    }

    /// Whether keys can be had now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.custody.is_open()
    }

    /// Opens custody and makes sure that it is this vault's. On any error the vault stays sealed.
    pub async fn unseal(&self, passphrase: Arc<Passphrase>) -> Result<(), KeyError> {
        let custody = Arc::clone(&self.custody);
        // Half a second of argon2id.
        blocking(move || custody.unseal(&passphrase)).await?;
        let outcome = self.check_custody().await;
        if outcome.is_err() {
            self.seal();
        }
        outcome
    }

    async fn check_custody(&self) -> Result<(), KeyError> {
        let keyring = self.custody.id()?;
        let mut conn = self.store.read().await?;
        let vault = keys::meta(conn.conn(), "vault_id").await?.ok_or(KeyError::NotInitialised)?;
        if vault != keyring.to_string() {
            return Err(KeyError::Foreign { keyring, vault });
        }
        let found = self.custody.setting()?;
        if found != self.setting {
            return Err(KeyError::Setting { found, wanted: self.setting });
        }
        Ok(())
    }

    /// Closes custody and forgets every key.
    pub fn seal(&self) {
        self.custody.seal();
        self.keks.clear();
        self.staff.clear();
        self.subjects.clear();
        self.resume_keys.clear();
        *self.log_key.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells the job that moves record keys that there is something to move.
    pub fn rotation_begun(&self) {
        self.rotation.notify_one();
    }

    /// Waits until a rotation begins on this node.
    pub async fn rotation_to_run(&self) {
        self.rotation.notified().await;
    }

    /// Waits until a version reaches a ceiling on this node.
    pub async fn due_key(&self) {
        self.due.notified().await;
    }

    /// Tells the job that carries cycles out that there is something to do.
    pub fn cycle_to_go(&self) {
        self.cycle.notify_one();
    }

    /// Waits until a cycle began or was agreed to on this node.
    pub async fn cycle_going(&self) {
        self.cycle.notified().await;
    }

    /// A cached key must not outlive the seal by a race: asked before every use.
    fn check_open(&self) -> Result<(), KeyError> {
        if self.custody.is_open() { Ok(()) } else { Err(KeyError::Sealed) }
    }
}

fn does_not_open(what: &'static str) -> impl Fn(UnwrapError) -> KeyError {
    move |source| KeyError::Wrap { what, source }
}

/// Runs `f` off the async threads. A panic in it is passed on.
async fn blocking<T, E>(f: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, KeyError>
where
    T: Send + 'static,
    E: Send + 'static,
    KeyError: From<E>,
{
    match tokio::task::spawn_blocking(f).await {
        Ok(outcome) => Ok(outcome?),
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime is going down.
            Err(_) => Err(KeyError::Sealed),
        },
    }
}
