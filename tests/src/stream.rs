//! A playback under way that its player takes slowly, so that most of the recording is still in the vault.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use vault_api::playback::Session;

use crate::vault::Vault;

/// Longer than what two socket buffers hold between them, several times over.
pub const LENGTH: usize = 48 << 20;

/// A stream that is not ended within this is kept open.
const KEPT_OPEN: Duration = Duration::from_secs(20);

/// The answer to a GET of a whole recording, its beginning read.
pub struct Stream {
    stream: TcpStream,
    received: usize,
}

impl Stream {
    /// Begins to play a session as the analyst.
    #[must_use]
    #[track_caller]
    pub fn begin(node: &Vault, session: &Session) -> Self {
        let analyst = node.person("analyst");
        let host = analyst.base().strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
        let mut stream = TcpStream::connect(&host).expect("the server listens");
        stream.set_read_timeout(Some(KEPT_OPEN)).expect("a timeout");
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            session.playback_url,
            analyst.token().expect("a token")
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut buffer = vec![0; 64 << 10];
        stream.read_exact(&mut buffer).expect("the beginning");
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..80]));
        Self { stream, received: buffer.len() }
    }

    /// Reads to the end, and answers how many bytes came in all. A stream that is kept open is a failure.
    #[track_caller]
    pub fn rest(mut self) -> usize {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.received,
                Ok(more) => self.received += more,
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                    panic!("the stream is kept open after {} bytes", self.received)
                }
                // A reset is an end, too.
                Err(_) => return self.received,
            }
        }
    }
}
