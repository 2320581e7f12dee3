//! What a running node shares: configuration, clock, metrics, database, and what is built on them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vault_api::code::Code;
use vault_core::ids::CollectionId;
use vault_core::keys::keyring::Passphrase;
use vault_core::time::Clock;
use zeroize::Zeroizing;

use crate::app::callers::Callers;
use crate::app::collections::Policies;
use crate::app::error::Failure;
use crate::app::ledger::{KeyFacts, Ledger, VaultKeys};
use crate::app::limits::Limiter;
use crate::app::play::live::Sessions;
use crate::app::restored;
use crate::app::restrict::{Restriction, Restrictions};
use crate::app::upload::Uploads;
use crate::clock::Agreement;
use crate::config::Config;
use crate::custody::keyring_file::KeyringFile;
use crate::custody::{KeyService, private_file};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::store::{Source, Store};

/// The longest password of a database.
const MOST: usize = 1024;

/// A password's file is as private as a passphrase's.
fn database_password(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = private_file::read(path, MOST).map_err(|e| Failure::new(Code::Unavailable).because(e))?;
    let text = core::str::from_utf8(&bytes).map_err(|e| Failure::new(Code::Internal).because(e))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The database that a configuration names, with its password.
pub fn database_source(config: &Config) -> Result<Source, Failure> {
    let password = config.database.password_file.as_deref().map(database_password).transpose()?;
    Ok(config.database_source(password))
}

/// A node. Handlers hold it in an [`Arc`].
pub struct Vault {
    /// What it was told.
    pub config: Config,
    /// Where its time comes from.
    pub clock: Arc<dyn Clock>,
    /// Whether that is believed: somebody may set a clock.
    pub agreement: Arc<Agreement>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The metadata database.
    pub store: Store,
    /// Bytes of media, of the published log and of the journal.
    pub objects: Objects,
    /// Keys, sealed or not: for opening the vault. Acts take [`Vault::keys`].
    pub keys: Arc<KeyService>,
    /// What has been taken away, asked before anything is served.
    pub restrictions: Restrictions,
    /// Who called lately.
    pub callers: Callers,
    /// How fast this node lets anybody go.
    pub limiter: Limiter,
    /// The policies that the log was found to quote.
    pub policies: Policies,
    /// The audit log; closed until custody is open.
    pub ledger: Ledger,
    /// Uploads under way on this node.
    pub uploads: Uploads,
    /// Playback sessions that are warm on this node.
    pub sessions: Sessions,
    /// Cancelled when the node is to stop soon: it is not ready any more, and serves everything still.
    pub leaving: CancellationToken,
    /// Cancelled when the node is to stop: no new request is taken, running ones may end.
    pub stopping: CancellationToken,
    /// Cancelled when every request is answered: jobs end.
    pub closing: CancellationToken,
    /// Cancelled when the vault is unsealed: jobs that need keys or the log begin.
    pub opened: CancellationToken,
    /// Cancelled when what a restore brought back was held against the log: nobody is let in before.
    pub reconciled: CancellationToken,
    /// Two unseals at once would open the log twice.
    unsealing: tokio::sync::Mutex<()>,
}

impl Vault {
    /// Opens database and stores. The vault is still sealed afterwards.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Failure> {
        let objects = Objects::open(&config, private_file::read_secret)?;
        objects.check(config.objects.acknowledge_versioning).await?;
        Self::over(objects, config, clock).await
    }

    /// The same over objects that are open already.
    pub async fn over(objects: Objects, config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Failure> {
        let metrics = Arc::new(Metrics::new());
        let objects = objects.metered(&metrics);
        let store = Store::open(&database_source(&config)?, Arc::clone(&metrics)).await?;
        let keys = Arc::new(KeyService::new(
            Arc::new(KeyringFile::at(&config.keyring_path())),
            store.clone(),
            Arc::clone(&clock),
            config.setting,
            &config.log_name,
            &config.resume_path(),
        ));
        let restrictions = Restrictions::new(store.clone(), objects.clone());
        let replayed = restrictions.load().await?;
        if replayed.restored > 0 {
            tracing::warn!(replayed.restored, "the database is an older copy: restrictions entered from the journal");
        }
        if replayed.lost > 0 {
            tracing::error!(replayed.lost, "restrictions are missing from the journal: nobody can tell what they were");
        }
        let wait = Duration::from_secs(config.limits.log_seconds);
        let ledger = Ledger::new(store.clone(), objects.clone(), Arc::clone(&clock), Arc::clone(&metrics), wait);
        let (stopping, closing) = (CancellationToken::new(), CancellationToken::new());
        Ok(Arc::new(Self {
            uploads: Uploads::new(&config.limits),
            limiter: Limiter::new(&config.limits, Arc::clone(&metrics)),
            config,
            agreement: Arc::new(Agreement::with(clock.as_ref())),
            clock,
            metrics,
            store,
            objects,
            keys,
            restrictions,
            callers: Callers::default(),
            policies: Policies::default(),
            ledger,
            sessions: Sessions::new(),
            leaving: CancellationToken::new(),
            stopping,
            closing,
            opened: CancellationToken::new(),
            reconciled: CancellationToken::new(),
            unsealing: tokio::sync::Mutex::new(()),
        }))
    }

    /// Opens custody with `passphrase`, then what needs it. On any failure the vault stays sealed.
    pub async fn unseal(self: &Arc<Self>, passphrase: Arc<Passphrase>) -> Result<(), Failure> {
        let _one_at_a_time = self.unsealing.lock().await;
        if self.opened.is_cancelled() {
            if self.reconciled.is_cancelled() {
                return Err(Code::NotSealed.into());
            }
            // What kept the last attempt from its end may have passed.
            let known = self.hold_to_log().await?;
            return self.reconcile(&known).await;
        }
        self.keys.unseal(passphrase).await?;
        match self.open_what_needs_keys().await {
            Ok(known) => {
                self.opened.cancel();
                tracing::info!(custody = self.keys.kind(), "the vault is open");
                self.reconcile(&known).await
            }
            Err(e) => {
                self.keys.seal();
                Err(e)
            }
        }
    }

    /// Until this is done a version that the log calls compromised could wrap, and a number be given twice.
    async fn reconcile(&self, known: &BTreeMap<CollectionId, KeyFacts>) -> Result<(), Failure> {
        restored::reconcile(self, known).await?;
        self.reconciled.cancel();
        Ok(())
    }

    async fn open_what_needs_keys(self: &Arc<Self>) -> Result<BTreeMap<CollectionId, KeyFacts>, Failure> {
        // A log that cannot be signed, or whose copies disagree, is told now, not at the first playback.
        let signer = self.keys.log_signer().await?;
        let openings = VaultKeys::new(Arc::clone(&self.keys), self.store.clone());
        self.ledger.open(signer, Arc::new(openings)).await?;
        let held = self.hold_to_log().await;
        if held.is_err() {
            self.ledger.close().await;
        }
        held
    }

    /// What the log says was revoked stays revoked, whatever rows say: read from the entries at each start. Answers what it says
    /// of keys.
    pub(crate) async fn hold_to_log(&self) -> Result<BTreeMap<CollectionId, KeyFacts>, Failure> {
        let taken = self.ledger.taken_away().await?;
        let mut restrictions = taken.restrictions;
        for epoch in taken.epochs {
            restrictions.push(Restriction::root_destroyed(self.keys.root_ref(epoch)?.tag()));
        }
        self.restrictions.hold_to(&restrictions, self.clock.now());
        // Before anybody is served: a key that was destroyed does not come back with an older database.
        self.keys.withdraw(&self.restrictions.destroyed_keys());
        if taken.unknown > 0 {
            tracing::error!(taken.unknown, "the log takes something away and the opening that says what is gone");
        }
        Ok(taken.keys)
    }

    /// Keys, once everything that needs them stands too.
    pub fn keys(&self) -> Result<&Arc<KeyService>, Failure> {
        if self.opened.is_cancelled() { Ok(&self.keys) } else { Err(Code::Sealed.into()) }
    }

    /// The audit log, while the vault is open.
    pub fn ledger(&self) -> Result<&Ledger, Failure> {
        match (self.ledger.is_open(), self.ledger.has_stopped()) {
            (true, _) => Ok(&self.ledger),
            (false, true) => Err(Code::LogUnavailable.into()),
            (false, false) => Err(Code::Sealed.into()),
        }
    }

    /// What has to stand before this node serves, by name.
    pub async fn checks(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("custody", self.reconciled.is_cancelled()),
            ("log", self.ledger.is_writable()),
            ("database", self.store.ping().await.is_ok()),
            ("restrictions", self.restrictions.is_fresh()),
            ("running", !self.leaving.is_cancelled() && !self.stopping.is_cancelled()),
        ]
    }

    /// Ends what is open, in order; called once every request is answered.
    pub async fn close(&self) {
        self.closing.cancel();
        self.ledger.close().await;
        self.store.close().await;
    }
}
