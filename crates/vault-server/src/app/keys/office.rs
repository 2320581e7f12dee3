//! Who works: one node on each rotation and re-encryption, and one on the cycle, under leases that clocks have no part in.

use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use crate::process;
use crate::state::Vault;
use crate::store::StoreError;
use crate::store::leases::{Lease, Standing};

/// A lease that has not changed for so long is free: what a node that was killed costs. Clocks are not compared.
pub(in crate::app) const TERM: Duration = Duration::from_secs(5);

/// This node as a candidate for leases.
pub struct Office {
    me: String,
    /// The leases as last seen, and since when they have been so.
    seen: HashMap<String, (Option<Standing>, Instant)>,
}

impl Office {
    /// A candidate that has seen no lease yet.
    #[must_use]
    pub fn new() -> Self {
        let me = format!("{}@{}", hex::encode(vault_core::random::array::<8>()), process::identity());
        Self { me, seen: HashMap::new() }
    }

    /// Takes a lease if it is free: given back, its holder's process known to have ended, or unchanged for a [`TERM`].
    pub(in crate::app) async fn stand(&mut self, vault: &Vault, name: &str) -> Result<Option<Lease>, StoreError> {
        let standing = Lease::standing(&vault.store, name).await?;
        let since = match self.seen.get(name) {
            Some((seen, since)) if *seen == standing => *since,
            _ => Instant::now(),
        };
        let free = standing.as_ref().is_none_or(|standing| {
            let process = standing.holder.split_once('@').map_or("", |(_, process)| process);
            standing.until == 0 || process::has_ended(process) || since.elapsed() >= TERM
        });
        let until = vault.clock.now().plus(TERM);
        let lease = if free {
            Lease::seize(&vault.store, name.to_owned(), &self.me, standing.as_ref(), until).await?
        } else {
            None
        };
        self.seen.insert(name.to_owned(), (standing, since));
        Ok(lease)
    }
}

impl Default for Office {
    fn default() -> Self {
        Self::new()
    }
}
