//! Spans of this server, collected for an OpenTelemetry collector.
//!
//! What leaves the process is a list by name: method, route pattern, status, the name of a transaction, of an operation, of
//! an outcome. A field that is not on the list is dropped, whatever it holds, and events (log lines) are not exported
//! at all: a field added to a span for the log cannot leak into a trace. Trace and span identifiers are random and
//! belong to no request's content; a `traceparent` of a caller is not taken over.

use core::fmt;
use core::time::Duration;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use vault_core::time::Clock as _;

use super::otlp::{self, Endpoint};
use crate::clock::SystemClock;

/// Fields that may leave, and the longest text of one.
const FIELDS: [&str; 6] = ["method", "route", "status", "transaction", "operation", "outcome"];
const LONGEST: usize = 128;

/// Spans that wait to be sent. Beyond it they are dropped: traces never hold anything up.
const QUEUE: usize = 4096;

/// A finished span.
pub(super) struct Finished {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: &'static str,
    /// Since 1970.
    pub(super) start: Duration,
    pub(super) end: Duration,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

/// A span that is open.
struct Open {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    start: Duration,
    fields: Fields,
}

/// Collects spans and hands them to a thread that sends them.
pub(super) struct Traces {
    sender: SyncSender<Finished>,
    /// What the clock said when the layer was made; spans add monotonic time to it.
    epoch: Duration,
    since: Instant,
}

impl Traces {
    /// Starts the sending thread. It ends with the process; the last seconds before that may be missing.
    pub(super) fn to(endpoint: Endpoint) -> Self {
        let (sender, spans) = sync_channel(QUEUE);
        std::thread::spawn(move || otlp::send(&endpoint, &spans));
        Self::into(sender)
    }

    fn into(sender: SyncSender<Finished>) -> Self {
        let now = u64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
        Self { sender, epoch: Duration::from_millis(now), since: Instant::now() }
    }

    fn now(&self) -> Duration {
        self.epoch + self.since.elapsed()
    }
}

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above = span.parent().and_then(|p| p.extensions().get::<Open>().map(|open| (open.trace, open.id)));
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let trace = above.map_or_else(vault_core::random::array, |(trace, _)| trace);
        let parent = above.map(|(_, id)| id);
        let open = Open { trace, id: vault_core::random::array(), parent, start: self.now(), fields };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Open { trace, id, parent, start, fields } = open;
        let finished = Finished { trace, id, parent, name: span.name(), start, end: self.now(), fields: fields.0 };
        // Full, or the thread is gone: the span is lost, the request is not.
        let _ = self.sender.try_send(finished);
    }
}

/// The fields on the list.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        if let Some(name) = FIELDS.iter().find(|name| **name == field.name()) {
            self.0.retain(|(held, _)| held != name);
            self.0.push((name, value()));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || Value::Text(format!("{value:?}").chars().take(LONGEST).collect()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || Value::Text(value.chars().take(LONGEST).collect()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn spans_are_nested_and_only_known_fields_leave() {
        let (sender, spans) = sync_channel(8);
        let subscriber = tracing_subscriber::registry().with(Traces::into(sender));
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("request", method = "GET", subject = "Ada", status = tracing::field::Empty);
            let _entered = outer.enter();
            let long = "x".repeat(LONGEST + 1);
            tracing::info_span!("object", operation = long, key = "secret").in_scope(|| tracing::error!("Ada"));
            outer.record("status", 404_u16);
        });
        let spans: Vec<Finished> = spans.try_iter().collect();
        let [object, request] = spans.as_slice() else { panic!("{} spans", spans.len()) };
        assert_eq!((object.name, request.name), ("object", "request"));
        assert_eq!((object.trace, object.parent), (request.trace, Some(request.id)));
        assert_eq!(request.parent, None);
        assert!(request.start <= object.start && object.end <= request.end);
        assert_eq!(object.fields, [("operation", Value::Text("x".repeat(LONGEST)))]);
        assert_eq!(request.fields, [("method", Value::Text("GET".to_owned())), ("status", Value::Number(404))]);
    }

    #[test]
    fn a_full_queue_holds_nothing_up() {
        let (sender, spans) = sync_channel(1);
        let subscriber = tracing_subscriber::registry().with(Traces::into(sender));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..10 {
                drop(tracing::info_span!("request"));
            }
        });
        assert_eq!(spans.try_iter().count(), 1);
    }
}
