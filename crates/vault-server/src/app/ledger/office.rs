//! Which node sequences and publishes: the holder of a lease. It only saves work. What keeps two nodes from appending at
//! once is the head, which is compared and set, and whose fence every takeover raises.
//!
//! Candidates compare no clocks: they watch the lease's row, and take it when it was given back, when its holder's process is
//! known to have ended, or when it has not changed for a [`TERM`]. A holder that nobody watches does not write: whoever
//! follows says so in a row of its own, and the holder looks there.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::process;
use crate::store::StoreError;
use crate::store::leases::{Lease, Standing};

/// The lease's name.
const LOG: &str = "log";

/// The row that changes while somebody follows.
const FOLLOWERS: &str = "log-followers";

/// A lease that has not changed for this long is free: what a holder that was killed costs.
const TERM: Duration = Duration::from_secs(3);

/// How often the holder looks for followers, and renews while there are some.
const RENEW: Duration = Duration::from_secs(1);

/// How often a follower says that it is there. Several go by before it is forgotten.
const BEAT: Duration = Duration::from_secs(2);
const FORGET: Duration = Duration::from_secs(7);

/// This node as a candidate.
pub(super) struct Office {
    shared: Arc<Shared>,
    me: String,
    /// The lease as last seen, and since when it has been so.
    seen: Option<(Option<Standing>, Instant)>,
    beaten: Option<Instant>,
}

impl Office {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let me = format!("{}@{}", hex::encode(vault_core::random::array::<8>()), process::identity());
        Self { shared, me, seen: None, beaten: None }
    }

    /// Tells the holder, every now and then, that somebody follows.
    pub(super) async fn beat(&mut self) -> Result<(), StoreError> {
        if self.beaten.is_none_or(|at| at.elapsed() >= BEAT) {
            Lease::beat(&self.shared.store, FOLLOWERS).await?;
            self.beaten = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes the lease if it is free.
    pub(super) async fn stand(&mut self) -> Result<Option<Lease>, StoreError> {
        let store = &self.shared.store;
        let standing = Lease::standing(store, LOG).await?;
        let since = match &self.seen {
            Some((seen, since)) if *seen == standing => *since,
            _ => Instant::now(),
        };
        let free = match &standing {
            None => true,
            Some(standing) => {
                let process = standing.holder.split_once('@').map_or("", |(_, process)| process);
                standing.until == 0 || process::has_ended(process) || since.elapsed() >= TERM
            }
        };
        let until = self.shared.clock.now().plus(TERM);
        let lease = if free { Lease::seize(store, LOG, &self.me, standing.as_ref(), until).await? } else { None };
        self.seen = Some((standing, since));
        Ok(lease)
    }
}

/// What a node knows while it holds the lease.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) fence: i64,
    /// Cancelled when another node has it.
    pub(super) lost: CancellationToken,
    /// Whether other nodes follow: they leave entries in the outbox, and wait.
    followed: Arc<AtomicBool>,
}

impl Held {
    pub(super) fn new(lease: &Lease) -> Self {
        Self { fence: lease.fence(), lost: CancellationToken::new(), followed: Arc::default() }
    }

    pub(super) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    /// Whether this node still holds it, by the row.
    pub(super) async fn stands(&self, shared: &Shared) -> Result<bool, StoreError> {
        let stands = Lease::standing(&shared.store, LOG).await?.is_some_and(|row| row.fence == self.fence);
        if !stands {
            self.lost.cancel();
        }
        Ok(stands)
    }
}

/// Keeps the lease until it is lost or `stop` is cancelled. Renews it while somebody follows. A database that does not
/// answer is no reason to let go: the holder cannot append without it either.
pub(super) async fn keep(shared: Arc<Shared>, lease: Arc<Lease>, held: Held, stop: CancellationToken) {
    let (mut beat, mut heard) = (None, None::<Instant>);
    loop {
        let followed = heard.is_some_and(|at| at.elapsed() < FORGET);
        held.followed.store(followed, Ordering::Relaxed);
        let outcome = async {
            if !held.stands(&shared).await? {
                return Ok(false);
            }
            let now = Lease::standing(&shared.store, FOLLOWERS).await?.map(|row| row.until);
            if beat.is_some_and(|before| before != now) {
                heard = Some(Instant::now());
            }
            beat = Some(now);
            if followed { lease.renew(&shared.store, shared.clock.now().plus(TERM)).await } else { Ok(true) }
        };
        match outcome.await {
            Ok(true) => {}
            Ok(false) => {
                held.lost.cancel();
                return;
            }
            Err::<bool, StoreError>(e) => tracing::debug!(error = %e, "the lease of the log could not be looked at"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = held.lost.cancelled() => return,
            () = tokio::time::sleep(RENEW) => {}
        }
    }
}
