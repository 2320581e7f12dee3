//! How fast, and how much: paces by address, person and collection in this node's memory, quotas in the database.
//!
//! Everything refused here is 429 with `Retry-After`, names the key of the configuration in `limit`, and is counted.

mod bucket;
mod quota;

use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use vault_api::code::Code;
use vault_core::ids::{CollectionId, PersonId};
use vault_core::time::Timestamp;

pub use quota::{admit, goes_on};

use crate::app::error::Failure;
use crate::config::Limits;
use crate::metrics::Metrics;
use bucket::Buckets;

/// The paces of one node.
pub struct Limiter {
    addresses: Buckets<IpAddr>,
    failures: Buckets<IpAddr>,
    persons: Buckets<PersonId>,
    collections: Buckets<CollectionId>,
    metrics: Arc<Metrics>,
}

impl Limiter {
    /// As configured.
    #[must_use]
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            addresses: Buckets::new(limits.address_per_minute),
            failures: Buckets::new(limits.failures_per_minute),
            persons: Buckets::new(limits.person_per_minute),
            collections: Buckets::new(limits.collection_per_minute),
            metrics,
        }
    }

    /// A request came from `address`.
    pub fn address(&self, address: IpAddr, now: Timestamp) -> Result<(), Failure> {
        self.addresses.take(network(address), now).map_err(|wait| self.refused("address_per_minute", wait))
    }

    /// Whether `address` may still present a token or an upload's address that this node does not know to be good.
    pub fn may_try(&self, address: IpAddr, now: Timestamp) -> Result<(), Failure> {
        self.failures.left(network(address), now).map_err(|wait| self.refused("failures_per_minute", wait))
    }

    /// What `address` presented does not exist.
    pub fn failed(&self, address: IpAddr, now: Timestamp) {
        let _counted = self.failures.take(network(address), now);
    }

    /// A request came with a token of `person`.
    pub fn person(&self, person: PersonId, now: Timestamp) -> Result<(), Failure> {
        self.persons.take(person, now).map_err(|wait| self.refused("person_per_minute", wait))
    }

    /// An upload is to begin in `collection`.
    pub fn collection(&self, collection: CollectionId, now: Timestamp) -> Result<(), Failure> {
        self.collections.take(collection, now).map_err(|wait| self.refused("collection_per_minute", wait))
    }

    fn refused(&self, limit: &'static str, wait: Duration) -> Failure {
        refused(&self.metrics, Code::RateLimited, limit, wait)
    }
}

/// The refusal by the limit of that key.
pub(super) fn refused(metrics: &Metrics, code: Code, limit: &'static str, wait: Duration) -> Failure {
    metrics.limited(limit);
    Failure::new(code).detail(format!("limits.{limit}")).member("limit", limit).retry_after(wait)
}

/// Whoever has one IPv6 address has a network of 64 bits of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
