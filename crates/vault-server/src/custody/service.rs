//! The key service: what the acts in `app` hold. It finds wraps in the database, opens them with custody, keeps what it
//! opened in locked memory within bounds, and counts every use of a KEK in the caller's own transaction.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::ids::{CollectionId, KeyringId, RecordId, ResumeKeyId};
use vault_core::keys::hierarchy::{Kek, LogSeed, RecordKey, ResumeKey, StaffAuditKey, SubjectKey};
use vault_core::keys::keyring::{EpochInfo, Passphrase, Setting};
use vault_core::keys::lifecycle::{KeyState, Policy};
use vault_core::keys::wrap::{self, ChildKind, KekRef, UnwrapError};
use vault_core::time::{Clock, Timestamp};

use super::cache::Cache;
use super::resume::ResumeDirectory;
use super::{Custody, CustodyError, FileError, ResumeError};
use crate::store::keys::{self, LogKeyRow};
use crate::store::{Hold, Store, StoreError, Tx};

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
    policy: Policy,
    resume: Arc<ResumeDirectory>,
    keks: Cache<KekRef, Kek>,
    staff: Cache<CollectionId, StaffAuditKey>,
    subjects: Cache<CollectionId, SubjectKey>,
    resume_keys: Cache<ResumeKeyId, ResumeKey>,
    log_key: RwLock<Option<LogKey>>,
    rotation: Notify,
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
            policy: Policy::default(),
            resume: Arc::new(ResumeDirectory::at(resume)),
            keks: Cache::new(KEKS),
            staff: Cache::new(CHILDREN),
            subjects: Cache::new(CHILDREN),
            resume_keys: Cache::new(RESUME_KEYS),
            log_key: RwLock::new(None),
            rotation: Notify::new(),
        }
    }

    /// When keys are due.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
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

    /// The root epochs, oldest first.
    pub fn epochs(&self) -> Result<Vec<EpochInfo>, KeyError> {
        Ok(self.custody.epochs()?)
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

    /// Makes the vault that a database without one is to hold: ties the database to custody, makes the vault's own keys
    /// and the log's. Leaves the vault sealed. Answers false, and changes nothing, where there is a vault already.
    pub async fn found(&self, passphrase: Arc<Passphrase>, made_by: &str) -> Result<bool, KeyError> {
        let founded = {
            let mut conn = self.store.read().await?;
            keys::meta(conn.conn(), "vault_id").await?.is_some()
        };
        if founded {
            return Ok(false);
        }
        let custody = Arc::clone(&self.custody);
        blocking(move || custody.unseal(&passphrase)).await?;
        let outcome = self.found_under_open_custody(made_by).await;
        self.seal();
        outcome.map(|()| true)
    }

    async fn found_under_open_custody(&self, made_by: &str) -> Result<(), KeyError> {
        let found = self.custody.setting()?;
        if found != self.setting {
            return Err(KeyError::Setting { found, wanted: self.setting });
        }
        let now = self.clock.now();
        let keyring = self.custody.id()?.to_string();
        let mut tx = self.store.begin("found_vault").await?;
        for (name, value) in [("vault_id", keyring.as_str()), ("made_by", made_by), ("log_name", &self.log_name)] {
            keys::insert_meta(tx.conn(), name, value).await?;
        }
        for epoch in self.custody.epochs()? {
            keys::put_epoch(tx.conn(), epoch.epoch, epoch.state, epoch.created_at).await?;
        }
        self.create_collection(&mut tx, CollectionId::VAULT, now).await?;
        self.create_log_key(&mut tx, now).await?;
        Ok(tx.commit().await?)
    }

    /// What the vault was made by, `init` or `dev`; `None`: the database holds no vault yet.
    pub async fn made_by(&self) -> Result<Option<String>, KeyError> {
        let mut conn = self.store.read().await?;
        Ok(keys::meta(conn.conn(), "made_by").await?)
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

    /// Makes the first KEK version of a collection (or of the vault itself) with the keys that hang under it, in the
    /// caller's transaction.
    pub async fn create_collection(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        now: Timestamp,
    ) -> Result<KekRef, KeyError> {
        let me = KekRef { collection, version: 1 };
        let kek = self.make_kek(tx, me, now).await?;
        if !keys::step_kek(tx.conn(), me, KeyState::PreActive, KeyState::Active, now).await? {
            return Err(KeyError::Missing(me));
        }
        let (staff, subject) = (StaffAuditKey::generate(), SubjectKey::generate());
        self.count(tx, collection, 2).await?;
        keys::put_child(tx.conn(), me, ChildKind::StaffAudit, &kek.wrap_staff_audit_key(me, &staff)).await?;
        keys::put_child(tx.conn(), me, ChildKind::Subject, &kek.wrap_subject_key(me, &subject)).await?;
        // The entry that tells of the collection is drafted in the same transaction and needs them. Should it be
        // rolled back, they are keys of an id that nobody has.
        self.staff.keep(collection, staff);
        self.subjects.keep(collection, subject);
        Ok(me)
    }

    /// Makes a KEK version, pre-active.
    pub async fn make_kek(&self, tx: &mut Tx, me: KekRef, now: Timestamp) -> Result<Arc<Kek>, KeyError> {
        // From before the wrap: a root rotation meanwhile would not see the row, and leave it under the old epoch.
        tx.hold(Hold::Keys).await?;
        let kek = Kek::generate();
        let wrapped = self.custody.wrap_kek(me, &kek)?;
        keys::insert_kek(tx.conn(), me, wrapped.epoch, &wrapped.bytes, now).await?;
        Ok(Arc::new(kek))
    }

    /// Makes the signing key of the log, in the caller's transaction.
    pub async fn create_log_key(&self, tx: &mut Tx, now: Timestamp) -> Result<LogKey, KeyError> {
        let seed = LogSeed::generate();
        let signer = self.signer(&seed)?;
        let wrapped = self.custody.wrap_log_seed(&self.log_name, &seed)?;
        let row = LogKeyRow {
            name: self.log_name.clone(),
            root_epoch: wrapped.epoch,
            wrap: wrapped.bytes,
            public_key: signer.verifier().to_string(),
        };
        keys::insert_log_key(tx.conn(), &row, now).await?;
        Ok(Arc::new(signer))
    }

    fn signer(&self, seed: &LogSeed) -> Result<CheckpointSigner, KeyError> {
        CheckpointSigner::new(&self.log_name, seed).map_err(|_| KeyError::LogKey(self.log_name.clone()))
    }

    /// The log's signing key.
    pub async fn log_signer(&self) -> Result<LogKey, KeyError> {
        if let Some(key) = self.log_key.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(key));
        }
        let mut conn = self.store.read().await?;
        let wrong = || KeyError::LogKey(self.log_name.clone());
        let row = keys::log_key(conn.conn(), &self.log_name).await?.ok_or_else(wrong)?;
        let signer = self.signer(&self.custody.unwrap_log_seed(&self.log_name, &row.wrap)?)?;
        // Auditors hold the public key on record: a log signed with another would be another log.
        if signer.verifier().to_string() != row.public_key {
            return Err(wrong());
        }
        let signer = Arc::new(signer);
        *self.log_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signer));
        Ok(signer)
    }

    /// The verifier key of the log, `name+hash+base64`; can be had while the vault is sealed.
    pub async fn log_public_key(&self) -> Result<String, KeyError> {
        let mut conn = self.store.read().await?;
        let row = keys::log_key(conn.conn(), &self.log_name).await?;
        row.map(|row| row.public_key).ok_or_else(|| KeyError::LogKey(self.log_name.clone()))
    }

    /// The key of the openings that name staff in this collection's entries.
    pub async fn staff_audit_key(&self, collection: CollectionId) -> Result<Arc<StaffAuditKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.staff.get(collection) {
            return Ok(key);
        }
        let (me, kek, bytes) = self.child(collection, ChildKind::StaffAudit).await?;
        let key = kek.unwrap_staff_audit_key(me, &bytes).map_err(does_not_open("a staff audit key"))?;
        Ok(self.staff.keep(collection, key))
    }

    /// The key that makes this collection's pseudonyms.
    pub async fn subject_key(&self, collection: CollectionId) -> Result<Arc<SubjectKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.subjects.get(collection) {
            return Ok(key);
        }
        let (me, kek, bytes) = self.child(collection, ChildKind::Subject).await?;
        let key = kek.unwrap_subject_key(me, &bytes).map_err(does_not_open("a subject key"))?;
        Ok(self.subjects.keep(collection, key))
    }

    async fn child(&self, collection: CollectionId, kind: ChildKind) -> Result<(KekRef, Arc<Kek>, Vec<u8>), KeyError> {
        let found = {
            let mut conn = self.store.read().await?;
            keys::child(conn.conn(), collection, kind).await?
        };
        let (version, bytes) = found.ok_or(KeyError::Missing(KekRef { collection, version: 0 }))?;
        let me = KekRef { collection, version };
        Ok((me, self.kek(me).await?, bytes))
    }

    /// A KEK version that may unwrap.
    pub async fn kek(&self, me: KekRef) -> Result<Arc<Kek>, KeyError> {
        self.check_open()?;
        if let Some(kek) = self.keks.get(me) {
            return Ok(kek);
        }
        let row = {
            let mut conn = self.store.read().await?;
            keys::kek(conn.conn(), me).await?.ok_or(KeyError::Missing(me))?
        };
        if !row.state.may_unwrap() {
            return Err(KeyError::State { kek: me, state: row.state });
        }
        Ok(self.keks.keep(me, self.custody.unwrap_kek(me, &row.wrap)?))
    }

    /// Lets go of a KEK version whose state has changed.
    pub fn forget(&self, me: KekRef) {
        self.keks.forget(me);
    }

    /// Wraps a record key under the collection's active KEK and counts the use, in the caller's transaction: should the
    /// version be retired meanwhile, no row answers and nothing is wrapped.
    pub async fn wrap_record_key(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        record: RecordId,
        key: &RecordKey,
    ) -> Result<(u32, Vec<u8>), KeyError> {
        let (me, kek) = self.count(tx, collection, 1).await?;
        Ok((me.version, kek.wrap_record_key(me, record, key)))
    }

    /// Counts `uses` of the active version in the caller's transaction and answers it.
    pub async fn count(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        uses: u64,
    ) -> Result<(KekRef, Arc<Kek>), KeyError> {
        self.check_open()?;
        let ceiling = self.policy.hard_ceiling;
        let Some((version, bytes)) = keys::count_uses(tx.conn(), collection, uses, ceiling).await? else {
            let active = keys::active(tx.conn(), collection).await?;
            return Err(active.map_or(KeyError::NoActiveKey(collection), |_| KeyError::Ceiling(collection)));
        };
        let me = KekRef { collection, version };
        let kek = match self.keks.get(me) {
            Some(kek) => kek,
            None => self.keks.keep(me, self.custody.unwrap_kek(me, &bytes)?),
        };
        Ok((me, kek))
    }

    /// Opens a record key's wrap. The row says which version made it, and the wrap says so too: a row edited by hand
    /// is an error here, before anything is decrypted.
    pub async fn unwrap_record_key(
        &self,
        collection: CollectionId,
        record: RecordId,
        kek_version: u32,
        bytes: &[u8],
    ) -> Result<RecordKey, KeyError> {
        let me = KekRef { collection, version: kek_version };
        let not_open = does_not_open("a record key");
        if wrap::names(bytes).map_err(&not_open)? != me {
            return Err(not_open(UnwrapError::NamesAnotherKey));
        }
        self.kek(me).await?.unwrap_record_key(me, record, bytes).map_err(not_open)
    }

    /// Moves record wraps from one version to another, which must be open; each answers for itself.
    pub async fn rewrap_records(
        &self,
        from: KekRef,
        to: KekRef,
        wraps: &[(RecordId, Vec<u8>)],
    ) -> Result<Vec<Result<Vec<u8>, UnwrapError>>, KeyError> {
        let (old, new) = (self.kek(from).await?, self.kek(to).await?);
        Ok(wraps.iter().map(|(record, bytes)| old.rewrap_record_key(from, (&new, to), *record, bytes)).collect())
    }

    /// Moves the collection's own keys to `to`, in the caller's transaction; answers how many wraps were made.
    pub async fn rewrap_children(&self, tx: &mut Tx, to: KekRef, new: &Kek) -> Result<u64, KeyError> {
        let mut moved = 0;
        for kind in [ChildKind::StaffAudit, ChildKind::Subject] {
            let Some((version, bytes)) = keys::child(tx.conn(), to.collection, kind).await? else { continue };
            let from = KekRef { version, ..to };
            if from == to {
                continue;
            }
            let old = match self.keks.get(from) {
                Some(kek) => kek,
                None => {
                    let row = keys::kek(tx.conn(), from).await?.ok_or(KeyError::Missing(from))?;
                    self.keks.keep(from, self.custody.unwrap_kek(from, &row.wrap)?)
                }
            };
            let bytes = old.rewrap_child(from, (new, to), kind, &bytes).map_err(does_not_open("a collection's key"))?;
            keys::put_child(tx.conn(), to, kind, &bytes).await?;
            moved += 1;
        }
        Ok(moved)
    }

    /// Makes a fresh root epoch the current one, then moves every key under it. The keyring is stored first: a crash in
    /// between leaves wraps under an epoch that the keyring still has.
    pub async fn rotate_root(&self, now: Timestamp) -> Result<u32, KeyError> {
        let custody = Arc::clone(&self.custody);
        blocking(move || custody.begin_epoch(now)).await
    }

    /// Moves what other epochs wrap to the current one, in the caller's transaction; answers how many keys it moved.
    pub async fn move_to_current_epoch(&self, tx: &mut Tx) -> Result<u64, KeyError> {
        tx.hold(Hold::Keys).await?;
        let mut moved = 0;
        for epoch in self.custody.epochs()? {
            keys::put_epoch(tx.conn(), epoch.epoch, epoch.state, epoch.created_at).await?;
            if epoch.state != KeyState::Deactivated {
                continue;
            }
            for (me, bytes) in keys::keks_under(tx.conn(), epoch.epoch).await? {
                let wrapped = self.custody.wrap_kek(me, &self.custody.unwrap_kek(me, &bytes)?)?;
                keys::move_kek(tx.conn(), me, wrapped.epoch, &wrapped.bytes).await?;
                moved += 1;
            }
            for row in keys::log_keys_under(tx.conn(), epoch.epoch).await? {
                let seed = self.custody.unwrap_log_seed(&row.name, &row.wrap)?;
                let wrapped = self.custody.wrap_log_seed(&row.name, &seed)?;
                keys::move_log_key(tx.conn(), &row.name, wrapped.epoch, &wrapped.bytes).await?;
                moved += 1;
            }
        }
        Ok(moved)
    }

    /// Tells the job that moves record keys that there is something to move.
    pub fn rotation_begun(&self) {
        self.rotation.notify_one();
    }

    /// Waits until a rotation begins on this node.
    pub async fn rotation_to_run(&self) {
        self.rotation.notified().await;
    }

    /// The resume key under which uploads begin today.
    pub async fn resume_key_today(&self) -> Result<(ResumeKeyId, Arc<ResumeKey>), KeyError> {
        self.check_open()?;
        let (custody, resume, now) = (Arc::clone(&self.custody), Arc::clone(&self.resume), self.clock.now());
        let id = blocking(move || resume.today(custody.as_ref(), now)).await?;
        Ok((id, self.resume_key(id).await?))
    }

    /// A resume key that an upload under way names.
    pub async fn resume_key(&self, id: ResumeKeyId) -> Result<Arc<ResumeKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.resume_keys.get(id) {
            return Ok(key);
        }
        let (custody, resume) = (Arc::clone(&self.custody), Arc::clone(&self.resume));
        let key = blocking(move || resume.read(custody.as_ref(), id)).await?;
        Ok(self.resume_keys.keep(id, key))
    }

    /// Lets go of the resume keys that another node has destroyed.
    pub async fn forget_destroyed_resume_keys(&self) -> Result<(), KeyError> {
        let (resume, held) = (Arc::clone(&self.resume), self.resume_keys.keys());
        let gone =
            blocking(move || Ok::<_, FileError>(held.into_iter().filter(|id| !resume.holds(*id)).collect::<Vec<_>>()));
        for id in gone.await? {
            self.resume_keys.forget(id);
        }
        Ok(())
    }

    /// Destroys the resume keys of past days under which no upload is under way any more; answers which.
    pub async fn destroy_resume_keys(&self) -> Result<Vec<ResumeKeyId>, KeyError> {
        let (resume, now) = (Arc::clone(&self.resume), self.clock.now());
        let past = blocking(move || resume.past(now)).await?;
        let mut destroyed = Vec::new();
        for id in past {
            let held = {
                let mut conn = self.store.read().await?;
                keys::uploads_under(conn.conn(), id).await?
            };
            if held == 0 {
                self.resume_keys.forget(id);
                let resume = Arc::clone(&self.resume);
                blocking(move || resume.destroy(id)).await?;
                destroyed.push(id);
            }
        }
        Ok(destroyed)
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
