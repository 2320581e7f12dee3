//! A way to an S3 server on which writes of the published log can be stopped: what a directory made unwritable is to the
//! local file system.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::objects::ENDPOINT;

/// The way; it ends with the test's process.
pub struct Strait {
    endpoint: String,
    blocked: Arc<AtomicBool>,
}

/// While this lives, a PUT below `log/` ends its connection.
pub struct BlockedStrait(Arc<AtomicBool>);

impl Drop for BlockedStrait {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Strait {
    /// To the server at `endpoint`, `http://host:port`.
    #[must_use]
    pub fn to(endpoint: &str) -> Self {
        let target = endpoint.strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let blocked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&blocked);
        std::thread::spawn(move || {
            for near in listener.incoming().filter_map(Result::ok) {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                let (one, two) = (near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    pass(&near, &far, |bytes| asked.load(Ordering::SeqCst) && writes_log(bytes))
                });
                std::thread::spawn(move || pass(&two, &one, |_| false));
            }
        });
        Self { endpoint, blocked }
    }

    /// In front of the bucket that these variables name, if they name one.
    #[must_use]
    pub fn before(variables: &mut [(String, String)]) -> Option<Self> {
        let endpoint = variables.iter_mut().find(|(name, _)| name == ENDPOINT).map(|(_, value)| value)?;
        let strait = Self::to(endpoint);
        strait.endpoint().clone_into(endpoint);
        Some(strait)
    }

    /// Its near end. A request is signed for it, and the server believes what it is called.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops writes of the log until what this returns is dropped.
    #[must_use]
    pub fn block(&self) -> BlockedStrait {
        self.blocked.store(true, Ordering::SeqCst);
        BlockedStrait(Arc::clone(&self.blocked))
    }
}

/// Passes bytes on until the end, or until some that are refused; then both ends are shut.
fn pass(mut from: &TcpStream, mut to: &TcpStream, refused: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..read];
        if refused(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Whether these bytes begin a request that writes the log. A client sends no request before the last one is answered,
/// so that a request begins a read.
fn writes_log(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.starts_with(b"PUT ") && line.windows(5).any(|window| window == b"/log/")
}
