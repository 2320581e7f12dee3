//! Metrics in the Prometheus text format. Labels name kinds of things, never a person, record or token.

use core::sync::atomic::AtomicU64;
use core::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use vault_api::code::Code;

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

/// The limits that refuse with a count, by their keys.
const LIMITS: [&str; 9] = [
    "open_uploads",
    "sessions_per_person",
    "person_per_minute",
    "address_per_minute",
    "failures_per_minute",
    "collection_per_minute",
    "connections_per_address",
    "collection_bytes_per_day",
    "collection_records",
];

/// One label, whose name says what it tells apart.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CheckLabel {
    check: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabel {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabel {
    version: &'static str,
}

/// Every metric of this node.
pub struct Metrics {
    registry: Registry,
    transactions: Family<TransactionLabel, Histogram>,
    requests: Family<RequestLabel, Counter>,
    limited: Family<LimitLabel, Counter>,
    refusals: Family<CodeLabel, Counter>,
    checks: Family<CheckLabel, Gauge>,
    appends: Family<OutcomeLabel, Histogram>,
    audit_failures: Family<StageLabel, Counter>,
    object_calls: Family<CallLabel, Histogram>,
    keys: Family<StateLabel, Gauge>,
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
    /// Unfinished uploads in the database.
    pub uploads_open: Gauge,
    /// Memory left for buffering uploads.
    pub buffer_free: Gauge,
    /// Entries that wait in this node's memory.
    pub audit_queue: Gauge,
    /// Entries that are committed and wait for the log.
    pub audit_outbox: Gauge,
    /// How long ago the last successful poll of the restrictions began.
    pub restrictions_age: Gauge<f64, AtomicU64>,
    /// Restrictions that the journal does not have yet.
    pub restrictions_unjournalled: Gauge,
    /// Names of objects that wait to be deleted.
    pub garbage: Gauge,
    /// Wraps that the most used active key version may still make.
    pub key_wraps_left: Gauge,
    /// That version's ceiling.
    pub key_wraps_ceiling: Gauge,
    /// How long the log's key has until it is due.
    pub log_key_left: Gauge,
    /// How long the cycle of keys under way has been so.
    pub key_cycle: Gauge,
    /// Whether the database's figures are of now.
    pub figures_fresh: Gauge,
}

/// Registers metrics under the prefix; each is given out to be counted with.
struct Register(Registry);

impl Register {
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let made = Counter::default();
        self.0.register(name, help, made.clone());
        made
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let made = Gauge::default();
        self.0.register(name, help, made.clone());
        made
    }

    fn family<L, M>(&mut self, name: &str, help: &str) -> Family<L, M>
    where
        L: Clone + Eq + core::hash::Hash + EncodeLabelSet + core::fmt::Debug + Send + Sync + 'static,
        M: Default + EncodeMetric + TypedMetric + Send + Sync + core::fmt::Debug + 'static,
    {
        let made = Family::<L, M>::default();
        self.0.register(name, help, made.clone());
        made
    }

    fn times<L>(&mut self, name: &str, help: &str) -> Family<L, Histogram>
    where
        L: Clone + Eq + core::hash::Hash + EncodeLabelSet + core::fmt::Debug + Send + Sync + 'static,
    {
        let made = Family::<L, Histogram>::new_with_constructor(times);
        self.0.register_with_unit(name, help, Unit::Seconds, made.clone());
        made
    }
}

/// 0.25 ms to 8 s.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let mut r = Register(Registry::with_prefix("feedback_vault"));
        let build = r.family::<BuildLabel, Gauge>("build_info", "1, with the program's version");
        build.get_or_create(&BuildLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
        // There from the start: the first failure is a rise from zero, which an alarm on the rate can see.
        let audit_failures =
            r.family::<StageLabel, Counter>("audit_failures", "Attempts to commit or publish entries that failed");
        for stage in ["commit", "publish"] {
            let _ = audit_failures.get_or_create(&StageLabel { stage });
        }
        let limited = r.family::<LimitLabel, Counter>("limited", "Requests and connections refused by a limit");
        for limit in LIMITS {
            let _ = limited.get_or_create(&LimitLabel { limit });
        }
        let refusals = r.family::<CodeLabel, Counter>("refusals", "Problem documents answered, by code");
        for code in Code::ALL {
            let _ = refusals.get_or_create(&CodeLabel { code: code.as_str() });
        }
        let uploaded_bytes = Counter::default();
        r.0.register_with_unit("uploaded", "Plaintext taken in", Unit::Bytes, uploaded_bytes.clone());
        let played_bytes = Counter::default();
        r.0.register_with_unit("played", "Plaintext played", Unit::Bytes, played_bytes.clone());
        let buffer_free = Gauge::default();
        r.0.register_with_unit("buffer_free", "Memory left for buffering uploads", Unit::Bytes, buffer_free.clone());
        let restrictions_age = Gauge::<f64, AtomicU64>::default();
        let help = "Time since the last successful poll of the restrictions began";
        r.0.register_with_unit("restrictions_age", help, Unit::Seconds, restrictions_age.clone());
        Self {
            transactions: r.times("transaction", "Time of a database transaction"),
            requests: r.family("http_requests", "HTTP requests answered"),
            limited,
            refusals,
            checks: r.family("check", "1 while this part of readiness stands"),
            appends: r.times("audit_append", "Time from an entry's arrival to its published checkpoint"),
            audit_failures,
            object_calls: r.times("object_call", "Time of a call to the object store"),
            keys: r.family("keys", "Versions of collections' keys, by state"),
            uploaded_bytes,
            played_bytes,
            buffer_free,
            restrictions_age,
            audit_entries: r.counter("audit_entries", "Entries appended to the audit log by this node"),
            audit_size: r.gauge("audit_size", "Entries in the audit log as this node last saw it"),
            audit_queue: r.gauge("audit_queue", "Entries that wait in this node's memory for the log"),
            audit_outbox: r.gauge("audit_outbox", "Entries that are committed and wait for the log"),
            uploads_active: r.gauge("uploads_active", "Upload requests being received"),
            uploads_open: r.gauge("uploads_open", "Unfinished uploads, all nodes' together"),
            sessions_open: r.gauge("sessions_open", "Playback sessions open on this node"),
            restrictions_unjournalled: r.gauge("restrictions_unjournalled", "Restrictions that the journal lacks"),
            garbage: r.gauge("garbage_objects", "Names of objects that wait to be deleted"),
            key_wraps_left: r.gauge("key_wraps_left", "Wraps left to the active key version nearest to its ceiling"),
            key_wraps_ceiling: r.gauge("key_wraps_ceiling", "The hard ceiling of that version"),
            log_key_left: r.gauge("log_key_seconds_left", "How long the log's signing key has until it is due"),
            key_cycle: r.gauge("key_cycle_seconds", "How long the cycle of keys under way has been so"),
            figures_fresh: r.gauge("figures_fresh", "1 when the database answered this scrape's questions"),
            registry: r.0,
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

    /// A request was refused, or failed, with this code.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.get_or_create(&CodeLabel { code }).inc();
    }

    /// What readiness found.
    pub fn check(&self, check: &'static str, ok: bool) {
        self.checks.get_or_create(&CheckLabel { check }).set(i64::from(ok));
    }

    /// Somebody waited this long for an entry to be in the published log.
    pub fn append(&self, took: Duration, recorded: bool) {
        let outcome = if recorded { "recorded" } else { "failed" };
        self.appends.get_or_create(&OutcomeLabel { outcome }).observe(took.as_secs_f64());
    }

    /// An attempt to write the log failed: `commit` or `publish`.
    pub fn audit_failure(&self, stage: &'static str) {
        self.audit_failures.get_or_create(&StageLabel { stage }).inc();
    }

    /// A call to the object store ended.
    pub fn object_call(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.object_calls.get_or_create(&CallLabel { operation, outcome }).observe(took.as_secs_f64());
    }

    /// How many key versions are in this state.
    pub fn keys(&self, state: &'static str, count: i64) {
        self.keys.get_or_create(&StateLabel { state }).set(count);
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
