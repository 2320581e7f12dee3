//! Log lines and traces.
//!
//! Log lines go to standard error, as text or JSON. Spans carry explicit fields only (`skip_all`), and never a secret, an
//! address with a secret in it, or anything of a data subject. Traces go further than this machine, so they are
//! held to a shorter list: [`traces`] exports the fields it knows by name and no events.

mod otlp;
mod traces;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::config::{LogFormat, Logging, Telemetry};

pub use otlp::{Endpoint, InvalidEndpoint};

/// Starts writing log lines. A second call, as in tests, changes nothing.
pub fn start(logging: &Logging) {
    start_with(logging, &Telemetry::default());
}

/// Starts writing log lines, and exporting traces where an endpoint is configured.
pub fn start_with(logging: &Logging, telemetry: &Telemetry) {
    let filter = EnvFilter::try_new(&logging.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    let lines = match logging.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // Ours alone: spans of libraries name addresses and statements.
    let ours = Targets::new().with_target("vault_server", LevelFilter::DEBUG);
    let traces = telemetry.otlp_endpoint.clone().map(|endpoint| traces::Traces::to(endpoint).with_filter(ours));
    // An error means that a subscriber is already set.
    let _ = Registry::default().with(lines).with(traces).try_init();
}
