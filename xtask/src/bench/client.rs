//! One HTTP/1.1 connection that can be timed: the same client for the vault and for its peers.
//!
//! It understands what is measured: a head, and a body of announced length. Chunks are taken for no body; whoever
//! sends them is not asked again on that connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest head.
const HEAD: usize = 64 * 1024;
/// What is read or written at once.
const PIECE: usize = 256 * 1024;

/// An answer's head.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// Bytes of the body, where they are announced.
    pub length: u64,
}

impl Head {
    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let mut head = Self { status, headers, length: 0 };
        if let Some(length) = head.header("content-length") {
            head.length = length.parse().ok()?;
        }
        Some(head)
    }
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    /// Read and not yet used.
    ahead: Vec<u8>,
    piece: Vec<u8>,
    host: String,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(host: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{host}: {error}");
        let stream = TcpStream::connect(host).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { stream, ahead: Vec::new(), piece: vec![0; PIECE], host: host.to_owned() })
    }

    /// Sends a request's head. Of a body, `length` bytes are to follow by [`Connection::send`].
    pub fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], length: u64) -> Result<(), String> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if length > 0 || method != "GET" {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    /// Sends bytes of a body.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in bytes.chunks(PIECE) {
            self.stream.write_all(piece).map_err(|error| format!("{}: {error}", self.host))?;
        }
        Ok(())
    }

    /// Waits for an answer's head.
    pub fn head(&mut self) -> Result<Head, String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 4);
                return Head::parse(&text).ok_or_else(|| format!("{}: not an answer: {text}", self.host));
            }
            if self.ahead.len() > HEAD {
                return Err(format!("{}: a head without an end", self.host));
            }
            let read = self.read()?;
            self.ahead.extend_from_slice(&self.piece[..read]);
        }
    }

    /// Reads up to `most` bytes of a body and drops them; says how many.
    pub fn some(&mut self, most: u64) -> Result<u64, String> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if !self.ahead.is_empty() {
            let used = most.min(self.ahead.len());
            self.ahead.drain(..used);
            return Ok(used as u64);
        }
        let most = most.min(PIECE);
        let read = self.stream.read(&mut self.piece[..most]).map_err(|error| format!("{}: {error}", self.host))?;
        if read == 0 { Err(format!("{}: the connection ended", self.host)) } else { Ok(read as u64) }
    }

    /// Reads a body to its end and drops it.
    pub fn drop_body(&mut self, head: &Head) -> Result<(), String> {
        let mut left = head.length;
        while left > 0 {
            left -= self.some(left)?;
        }
        Ok(())
    }

    /// Reads a whole body.
    pub fn body(&mut self, head: &Head) -> Result<Vec<u8>, String> {
        let length = usize::try_from(head.length).map_err(|error| error.to_string())?;
        while self.ahead.len() < length {
            let read = self.read()?;
            self.ahead.extend_from_slice(&self.piece[..read]);
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// What the other side said before it hung up in the middle of a request.
    pub fn refusal(&mut self) -> String {
        let said = self.head().and_then(|head| Ok((head.status, self.body(&head)?)));
        said.map_or_else(|error| error, |(status, body)| format!("{status} {}", String::from_utf8_lossy(&body)))
    }

    fn read(&mut self) -> Result<usize, String> {
        let read = self.stream.read(&mut self.piece).map_err(|error| format!("{}: {error}", self.host))?;
        if read == 0 { Err(format!("{}: the connection ended", self.host)) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn heads_are_parsed_and_other_protocols_refused() {
        let head = Head::parse("HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nETag: \"x\"").expect("a head");
        assert_eq!((head.status, head.length, head.header("etag")), (206, 3, Some("\"x\"")));
        assert_eq!(Head::parse("HTTP/1.1 204 No Content").map(|head| head.length), Some(0));
        assert!(Head::parse("HTTP/1.1 200 OK\r\nContent-Length: many").is_none());
        assert!(Head::parse("220 ready").is_none());
    }

    #[test]
    fn two_answers_on_one_connection_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let host = listener.local_addr().expect("an address").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let answers =
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond";
            // In two portions that end nowhere in particular.
            stream.write_all(&answers[..47]).expect("sent");
            stream.write_all(&answers[47..]).expect("sent");
            // Until the client has gone.
            let _ = stream.read(&mut [0; 1]);
        });
        let mut connection = Connection::open(&host).expect("connected");
        let head = connection.head().expect("a head");
        assert_eq!(connection.body(&head).expect("a body"), b"first");
        let head = connection.head().expect("a head");
        connection.drop_body(&head).expect("read");
        assert!(connection.ahead.is_empty());
        drop(connection);
        server.join().expect("no panic");
    }
}
