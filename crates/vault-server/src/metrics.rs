//! Metrics in the Prometheus text format. Labels name kinds of things, never a person, record or token.

use core::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The label of a named transaction.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TransactionLabel {
    name: &'static str,
    outcome: &'static str,
}

/// The labels of an HTTP request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabel {
    method: &'static str,
    route: String,
    status: u16,
}

/// The label of a refusal by a limit: the limit's key.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LimitLabel {
    limit: &'static str,
}

/// Every metric of this node.
pub struct Metrics {
    registry: Registry,
    transactions: Family<TransactionLabel, Histogram>,
    requests: Family<RequestLabel, Counter>,
    limited: Family<LimitLabel, Counter>,
    /// Plaintext bytes taken in.
    pub uploaded_bytes: Counter,
    /// Plaintext bytes played.
    pub played_bytes: Counter,
    /// Entries appended to the audit log.
    pub audit_entries: Counter,
    /// Size of the audit log.
    pub audit_size: Gauge,
    /// Uploads being received now.
    pub uploads_active: Gauge,
    /// Playback sessions open on this node.
    pub sessions_open: Gauge,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("feedback_vault");
        // 0.25 ms to 8 s.
        let transactions = Family::<TransactionLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
        });
        registry.register_with_unit(
            "transaction",
            "Time of a database transaction",
            Unit::Seconds,
            transactions.clone(),
        );
        let requests = Family::<RequestLabel, Counter>::default();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        let limited = Family::<LimitLabel, Counter>::default();
        registry.register("limited", "Requests and connections refused by a limit", limited.clone());
        let uploaded_bytes = Counter::default();
        registry.register_with_unit("uploaded", "Plaintext taken in", Unit::Bytes, uploaded_bytes.clone());
        let played_bytes = Counter::default();
        registry.register_with_unit("played", "Plaintext played", Unit::Bytes, played_bytes.clone());
        let audit_entries = Counter::default();
        registry.register("audit_entries", "Entries appended to the audit log by this node", audit_entries.clone());
        let audit_size = Gauge::default();
        registry.register("audit_size", "Entries in the audit log as this node last saw it", audit_size.clone());
        let uploads_active = Gauge::default();
        registry.register("uploads_active", "Upload requests being received", uploads_active.clone());
        let sessions_open = Gauge::default();
        registry.register("sessions_open", "Playback sessions open on this node", sessions_open.clone());
        Self {
            registry,
            transactions,
            requests,
            limited,
            uploaded_bytes,
            played_bytes,
            audit_entries,
            audit_size,
            uploads_active,
            sessions_open,
        }
    }

    /// A transaction ended.
    pub fn transaction(&self, name: &'static str, took: Duration, committed: bool) {
        let outcome = if committed { "committed" } else { "failed" };
        self.transactions.get_or_create(&TransactionLabel { name, outcome }).observe(took.as_secs_f64());
    }

    /// A request was answered. `route` is the route's pattern, so that no secret of an address gets in.
    pub fn request(&self, method: &http::Method, route: &str, status: u16) {
        let method = match *method {
            http::Method::GET => "GET",
            http::Method::HEAD => "HEAD",
            http::Method::POST => "POST",
            http::Method::PUT => "PUT",
            http::Method::PATCH => "PATCH",
            http::Method::DELETE => "DELETE",
            http::Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        self.requests.get_or_create(&RequestLabel { method, route: route.to_owned(), status }).inc();
    }

    /// Something was refused by the limit of this key.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&LimitLabel { limit }).inc();
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
