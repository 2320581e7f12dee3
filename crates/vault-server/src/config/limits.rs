//! Bounds on what callers may ask, and on how long things may take.

use serde::Deserialize;

/// Bounds on what callers may ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest recording.
    pub upload_bytes: u64,
    /// How long an unfinished upload is kept after its last byte.
    pub upload_hours: u64,
    /// Unfinished uploads for each uploader.
    pub open_uploads: u64,
    /// Open playback sessions for each person.
    pub sessions_per_person: u64,
    /// Requests a minute with the tokens of one person.
    pub person_per_minute: u64,
    /// Requests a minute from one address (of IPv6: from one network of 64 bits).
    pub address_per_minute: u64,
    /// Tokens and upload addresses that do not exist, tried in a minute from one address.
    pub failures_per_minute: u64,
    /// Uploads begun in a minute in one collection.
    pub collection_per_minute: u64,
    /// Connections at once from one address that is not a named proxy.
    pub connections_per_address: u64,
    /// Bytes of the uploads begun in one collection on one UTC day.
    pub collection_bytes_per_day: Option<u64>,
    /// Records of one collection, uploads under way included.
    pub collection_records: Option<u64>,
    /// Plaintext and ciphertext buffered for uploads, all together. A playback buffers about a segment.
    pub buffer_bytes: u64,
    /// How long an upload request may wait for the next bytes.
    pub idle_seconds: u64,
    /// How long an act waits for its audit entry to be published before it answers 503.
    pub log_seconds: u64,
    /// After SIGTERM, how long `/readyz` says no while everything is still served: a balancer notices before
    /// connections are refused.
    pub leave_seconds: u64,
    /// How long a running request may go on after that.
    pub drain_seconds: u64,
}

impl Limits {
    /// For trying out and for tests: what is a matter of pace is far above any.
    pub const fn relax(&mut self) {
        const MUCH: u64 = 10_000_000;
        self.sessions_per_person = MUCH;
        self.person_per_minute = MUCH;
        self.address_per_minute = MUCH;
        self.failures_per_minute = MUCH;
        self.collection_per_minute = MUCH;
        self.connections_per_address = MUCH;
    }

    /// Those that refuse everything at zero.
    pub(super) const fn least(&self) -> [u64; 7] {
        [
            self.open_uploads,
            self.sessions_per_person,
            self.person_per_minute,
            self.address_per_minute,
            self.failures_per_minute,
            self.collection_per_minute,
            self.connections_per_address,
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes: 8 << 30,
            upload_hours: 24,
            open_uploads: 10_000,
            sessions_per_person: 64,
            person_per_minute: 6_000,
            address_per_minute: 24_000,
            failures_per_minute: 120,
            collection_per_minute: 6_000,
            connections_per_address: 512,
            collection_bytes_per_day: None,
            collection_records: None,
            buffer_bytes: 128 << 20,
            idle_seconds: 60,
            log_seconds: 10,
            leave_seconds: 0,
            drain_seconds: 30,
        }
    }
}
