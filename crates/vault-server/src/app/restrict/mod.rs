//! Restrictions: acts that take something away, and bite at once (promise 6).
//!
//! ```text
//! impose   in the caller's transaction, beside the pending log entry: row, counter
//! commit   the restriction is in force: this node's view has it before the act goes on
//! journal  written to the object store; until then the act is answered with `journalled: false`
//! poll     every other node learns of it within 250 ms, checks before each segment, and serves nothing at all
//!          when it has not learnt anything for 750 ms
//! ```
//!
//! None of it waits for the audit log: the entry is committed with the restriction and sequenced when the log can be
//! written again.

mod journal;
mod poller;
mod view;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, watch};
use vault_api::code::Code;
use vault_core::ids::RecordId;
use vault_core::keys::tag::KeyTag;
use vault_core::time::Timestamp;

pub use journal::Replayed;
pub use poller::EVERY;
pub use view::{Refusal, STALE_AFTER, Subject, View, Watch};

pub use crate::store::restrictions::{Kind, Restriction};

use crate::app::error::Failure;
use crate::objects::{ObjectError, Objects};
use crate::store::restrictions::{self as rows, Numbered};
use crate::store::{Store, StoreError, Tx};

/// Why the restrictions cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum RestrictError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// An entry of the journal is not one.
    #[error("entry {counter} of the journal of restrictions is damaged")]
    Journal {
        /// Its number.
        counter: i64,
    },
    /// The database's counter went back while the vault ran.
    #[error("the counter of restrictions went back: the database is an older copy")]
    WentBack,
    /// The database did not answer in time.
    #[error("the restrictions were not read in time")]
    Slow,
}

impl From<RestrictError> for Failure {
    fn from(e: RestrictError) -> Self {
        match e {
            RestrictError::Store(e) => e.into(),
            other => Self::new(Code::RestrictionsStale).because(other),
        }
    }
}

impl From<Refusal> for Failure {
    /// What the refused caller is told. Who has lost role, token or standing is told no more than somebody who never
    /// had it.
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Stale => Code::RestrictionsStale,
            Refusal::Restricted(Kind::GrantRevoked) => Code::GrantNotInForce,
            Refusal::Restricted(Kind::RoleRevoked) => Code::Forbidden,
            Refusal::Restricted(Kind::TokenRevoked | Kind::PersonDisabled) => Code::Unauthenticated,
            Refusal::Restricted(Kind::RecordErased | Kind::RecordRestricted) => Code::RecordNotAvailable,
            Refusal::Restricted(Kind::CollectionSuspended) => Code::CollectionState,
            Refusal::Restricted(Kind::SessionClosed) => Code::SessionEnded,
            Refusal::Restricted(Kind::KeyDestroyed | Kind::RootDestroyed | Kind::KeyCompromised) => Code::KeyUnusable,
        };
        Self::new(code).because(refusal)
    }
}

/// Restrictions imposed in a transaction that is not committed yet.
#[derive(Debug, Default)]
#[must_use = "after the commit, make it stand: until then only polls bring it into force here"]
pub struct Imposed(Vec<Numbered>);

impl Imposed {
    /// The greatest number among them; 0 for none.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.0.iter().map(|one| one.counter).max().unwrap_or(0)
    }

    /// Both.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// The restrictions as one node knows them.
#[derive(Clone)]
pub struct Restrictions {
    view: Arc<View>,
    store: Store,
    objects: Objects,
    /// Keys that the log itself says are destroyed.
    logged: Arc<RwLock<HashSet<KeyTag>>>,
    /// Wakes the job that completes the journal.
    waiting: Arc<Notify>,
}

impl Restrictions {
    /// Over this database and object store; refuses everything as stale until [`Self::load`].
    #[must_use]
    pub fn new(store: Store, objects: Objects) -> Self {
        let (logged, waiting) = (Arc::default(), Arc::new(Notify::new()));
        Self { view: Arc::new(View::new()), store, objects, logged, waiting }
    }

    /// At start: reads the whole journal, enters what is beyond the database's counter, then reads everything in force.
    pub async fn load(&self) -> Result<Replayed, RestrictError> {
        // Before the rows: of a row and a journal entry under one number the journal's counts.
        journal::read_to_counter(&self.store, &self.objects, &self.view).await?;
        let replayed = journal::replay(&self.store, &self.objects).await?;
        self.poll().await?;
        Ok(replayed)
    }

    /// What rows and journal take away, without entering anything.
    pub async fn look(&self) -> Result<(), RestrictError> {
        journal::read_to_counter(&self.store, &self.objects, &self.view).await?;
        self.poll().await
    }

    /// Brings into force here what the log says was taken away for good, whatever rows say. Held in memory, and read
    /// from the log again at each start.
    pub fn hold_to(&self, logged: &[Restriction], at: Timestamp) {
        let acts: Vec<_> =
            logged.iter().map(|restriction| Numbered { counter: 0, restriction: *restriction, at }).collect();
        self.view.apply(&acts);
        let destroyed = logged.iter().filter(|one| matches!(one.kind, Kind::KeyDestroyed | Kind::RootDestroyed));
        let tags = destroyed.map(|one| KeyTag::from_bytes(one.target.to_bytes()));
        self.logged.write().unwrap_or_else(PoisonError::into_inner).extend(tags);
    }

    /// Whether the log said at start that this key is destroyed. Rows and the journal are written by whoever writes the database or
    /// the object store: they keep a key from being opened, and nothing is destroyed on their word.
    #[must_use]
    pub fn is_destroyed_by_log(&self, key: KeyTag) -> bool {
        self.logged.read().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Whether nothing that `subject` leans on is restricted, and this node would know. In memory.
    pub fn check(&self, subject: &Subject) -> Result<(), Refusal> {
        self.view.check(subject)
    }

    /// As [`Self::check`] for what is checked again and again.
    pub fn check_watched(&self, watch: &Watch) -> Result<(), Refusal> {
        watch.check(&self.view)
    }

    /// Whether this node would know of a restriction.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.view.fresh().is_ok()
    }

    /// Every key version and root epoch that is known to be destroyed: by a restriction, by the journal, or by the log.
    #[must_use]
    pub fn destroyed_keys(&self) -> HashSet<KeyTag> {
        self.keys(&[Kind::KeyDestroyed, Kind::RootDestroyed])
    }

    /// Every key version that is known to be compromised.
    #[must_use]
    pub fn compromised_keys(&self) -> HashSet<KeyTag> {
        self.keys(&[Kind::KeyCompromised])
    }

    fn keys(&self, kinds: &[Kind]) -> HashSet<KeyTag> {
        let targets = kinds.iter().flat_map(|kind| self.view.targets(*kind));
        targets.map(|target| KeyTag::from_bytes(target.to_bytes())).collect()
    }

    /// Changes whenever a key is destroyed or compromised, on whichever node.
    #[must_use]
    pub fn watch_keys(&self) -> watch::Receiver<()> {
        self.view.watch_keys()
    }

    /// Every record that is known to be erased: by a restriction, by the journal, or by the log.
    #[must_use]
    pub fn erased_records(&self) -> Vec<RecordId> {
        self.view
            .targets(Kind::RecordErased)
            .into_iter()
            .map(|target| RecordId::from_bytes(target.to_bytes()))
            .collect()
    }

    /// How old this node's knowledge of restrictions is.
    #[must_use]
    pub fn age(&self) -> core::time::Duration {
        self.view.age()
    }

    /// Imposes (or lifts) in the caller's transaction, beside its pending log entry. Hand what it returns to
    /// [`Self::commit`], or to [`Self::stand`] after the commit.
    pub async fn impose(&self, tx: &mut Tx, restriction: Restriction, at: Timestamp) -> Result<Imposed, StoreError> {
        Ok(Imposed(vec![rows::add(tx, restriction, at).await?]))
    }

    /// Commits the transaction and makes the restriction stand. Returns whether it is journalled.
    pub async fn commit(&self, tx: Tx, imposed: Imposed) -> Result<bool, StoreError> {
        tx.commit().await?;
        Ok(self.stand(imposed).await)
    }

    /// After the commit: in force on this node at once, then journalled. Returns whether it is journalled; if not, a
    /// job goes on trying.
    pub async fn stand(&self, imposed: Imposed) -> bool {
        self.view.apply(&imposed.0);
        let kept = tokio::time::timeout(journal::PATIENCE, journal::keep(&self.store, &self.objects, &imposed.0)).await;
        match kept {
            Ok(Ok(())) => true,
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "a restriction is in force but not journalled yet");
                self.waiting.notify_one();
                false
            }
            Err(_) => {
                tracing::warn!("a restriction is in force but not journalled yet: the object store is slow");
                self.waiting.notify_one();
                false
            }
        }
    }

    /// After the commit: in force on this node at once; the journal is left to the job. For what is not answered as
    /// journalled: a session ended by its own holder.
    pub fn stand_quietly(&self, imposed: &Imposed) {
        self.view.apply(&imposed.0);
        self.waiting.notify_one();
    }
}
