//! OTLP over HTTP with JSON bodies (opentelemetry.io/docs/specs/otlp), which every collector takes: one POST for each batch.
//!
//! Written here because what is sent is a dozen fields, and the usual crates bring gRPC, protobuf and a second way to
//! run tasks. It speaks plain HTTP to a collector on this machine or network, which speaks TLS onwards. A collector
//! that is slow or away costs spans, never a request.

use core::str::FromStr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::traces::{Finished, Value};

/// A batch goes out when it has this many spans, or is this old.
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);

/// How long a collector may take over anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where spans are sent: `http://host:port`, with a path when it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
    path: String,
}

/// Why something is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("telemetry.otlp_endpoint: expected http://HOST:PORT or http://HOST:PORT/PATH of an OTLP collector")]
pub struct InvalidEndpoint;

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let rest = text.strip_prefix("http://").ok_or(InvalidEndpoint)?;
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let (host, port) = authority.rsplit_once(':').ok_or(InvalidEndpoint)?;
        // What goes into a request's head has no room for anything but a name.
        let plain = |c: char| c.is_ascii_graphic() && !"@?#".contains(c);
        if host.is_empty() || port.parse::<u16>().is_err() || !rest.chars().all(plain) {
            return Err(InvalidEndpoint);
        }
        let path = if path.is_empty() { "/v1/traces".to_owned() } else { format!("/{path}") };
        Ok(Self { authority: authority.to_owned(), path })
    }
}

impl<'de> serde::Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Sends batches until nobody hands in spans any more.
pub(super) fn send(endpoint: &Endpoint, spans: &Receiver<Finished>) {
    let mut failing = false;
    while let Some(batch) = batch(spans) {
        let outcome = post(endpoint, &body(&batch));
        match &outcome {
            Err(e) if !failing => tracing::warn!(error = %e, "traces are lost: the collector does not take them"),
            Ok(()) if failing => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        failing = outcome.is_err();
    }
}

/// The next batch; `None` when there will be none.
fn batch(spans: &Receiver<Finished>) -> Option<Vec<Finished>> {
    let mut batch = vec![spans.recv().ok()?];
    let end = Instant::now() + EVERY;
    while batch.len() < BATCH {
        match spans.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(span) => batch.push(span),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

fn post(endpoint: &Endpoint, body: &str) -> std::io::Result<()> {
    let mut addresses = endpoint.authority.to_socket_addrs()?;
    let address = addresses.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Endpoint { authority, path } = endpoint;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let taken = answer.starts_with(b"HTTP/1.") && answer.get(9) == Some(&b'2');
    if taken { Ok(()) } else { Err(std::io::Error::other("it answered with an error")) }
}

fn body(spans: &[Finished]) -> String {
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "feedback-vault"}},
        {"key": "service.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
    ]});
    let spans: Vec<Json> = spans.iter().map(span).collect();
    let scope = json!({"scope": {"name": "vault-server"}, "spans": spans});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).to_string()
}

fn span(span: &Finished) -> Json {
    let nanos = |time: Duration| time.as_nanos().to_string();
    let attribute = |(name, value): &(&'static str, Value)| {
        let value = match value {
            Value::Number(number) => json!({"intValue": number.to_string()}),
            Value::Text(text) => json!({"stringValue": text}),
        };
        json!({"key": name, "value": value})
    };
    json!({
        "traceId": hex::encode(span.trace),
        "spanId": hex::encode(span.id),
        "parentSpanId": span.parent.map(hex::encode).unwrap_or_default(),
        "name": span.name,
        // A span with a caller is a server's; what lies below is internal.
        "kind": if span.parent.is_none() { 2 } else { 1 },
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": span.fields.iter().map(attribute).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let parts = |text: &str| text.parse::<Endpoint>().map(|e| (e.authority, e.path));
        let usual = |authority: &str| Ok((authority.to_owned(), "/v1/traces".to_owned()));
        assert_eq!(parts("http://127.0.0.1:4318"), usual("127.0.0.1:4318"));
        assert_eq!(parts("http://collector:4318/"), usual("collector:4318"));
        assert_eq!(parts("http://[::1]:4318/a/b"), Ok(("[::1]:4318".to_owned(), "/a/b".to_owned())));
        for bad in ["", "https://x:1", "http://x", "http://:1", "http://x:y", "http://u@x:1", "http://x:1/\r\nA: b"] {
            assert_eq!(parts(bad), Err(InvalidEndpoint), "{bad}");
        }
    }

    #[test]
    fn a_batch_has_the_form_of_otlp() {
        let finished = Finished {
            trace: [0xab; 16],
            id: [1; 8],
            parent: Some([2; 8]),
            name: "object",
            start: Duration::from_nanos(7),
            end: Duration::from_nanos(9),
            fields: vec![("status", Value::Number(200)), ("operation", Value::Text("put".to_owned()))],
        };
        let body: Json = serde_json::from_str(&body(&[finished])).unwrap();
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "ab".repeat(16));
        assert_eq!((&span["spanId"], &span["parentSpanId"]), (&json!("01".repeat(8)), &json!("02".repeat(8))));
        assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&json!("7"), &json!("9")));
        assert_eq!(span["attributes"][0], json!({"key": "status", "value": {"intValue": "200"}}));
    }
}
