//! Just enough HTTP for a demonstration on loopback: one request, one answer, one connection.
//!
//! HTTP/1.0 on purpose: the answer then ends with the connection and is never chunked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer of the demonstration takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value, String> {
        serde_json::from_slice(&self.body)
            .map_err(|_| format!("status {} without JSON: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The status and the problem's code, for people.
    pub fn spelled(&self) -> String {
        let code = self.json().ok().and_then(|problem| problem["code"].as_str().map(str::to_owned));
        code.map_or_else(|| self.status.to_string(), |code| format!("{} ({code})", self.status))
    }
}

/// Sends a request to `http://host:port` + `path`, with a bearer token if there is one.
pub fn request(
    base: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<&serde_json::Value>,
) -> Result<Answer, String> {
    let host = base.strip_prefix("http://").ok_or_else(|| format!("{base} is not http://"))?;
    let failed = |error: std::io::Error| format!("{method} {base}: {error}");
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;

    let mut head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\n");
    if let Some(token) = token {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    if !body.is_empty() {
        head.push_str("content-type: application/json\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    parse(&answer).ok_or_else(|| format!("{method} {base}: not an HTTP answer"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    // A body shorter than announced is a connection that broke, not an answer.
    let announced = answer.header("content-length").map(str::parse::<usize>);
    match announced {
        Some(Ok(length)) if length != answer.body.len() && !answer.body.is_empty() => None,
        _ => Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed_and_short_ones_refused() {
        let answer =
            parse(b"HTTP/1.0 206 Partial Content\r\nContent-Length: 3\r\nETag: \"x\"\r\n\r\nabc").expect("whole");
        assert_eq!((answer.status, answer.header("etag"), answer.body.as_slice()), (206, Some("\"x\""), &b"abc"[..]));
        assert!(parse(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nabc").is_none());
        assert!(parse(b"HTTP/1.0 200").is_none());
    }
}
