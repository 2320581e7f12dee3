//! What a running node shares: configuration, clock, metrics, database, and what is built on them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vault_core::time::Clock;

use crate::app::error::Failure;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::store::Store;

/// A node. Handlers hold it in an [`Arc`].
pub struct Vault {
    /// What it was told.
    pub config: Config,
    /// Where its time comes from.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The metadata database.
    pub store: Store,
    /// Bytes of media, of the published log and of the journal.
    pub objects: Objects,
    /// Cancelled when the node is to stop: jobs end, no new request is taken.
    pub stopping: CancellationToken,
}

impl Vault {
    /// Opens database and stores. The vault is still sealed afterwards.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Failure> {
        let metrics = Arc::new(Metrics::new());
        let store = Store::open(&config.database_url(), Arc::clone(&metrics)).await?;
        let objects = Objects::local(&config.objects_path())?;
        Ok(Arc::new(Self { config, clock, metrics, store, objects, stopping: CancellationToken::new() }))
    }

    /// What has to stand before this node serves, by name.
    pub async fn checks(&self) -> Vec<(&'static str, bool)> {
        vec![("database", self.store.ping().await.is_ok()), ("running", !self.stopping.is_cancelled())]
    }

    /// Ends what is open, in order; called once every request is answered.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
