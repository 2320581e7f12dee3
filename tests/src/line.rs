//! A TCP line to a vault that breaks.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vault::Vault;

/// Which way the bytes go that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    ToServer,
    /// From server to client.
    FromServer,
}

/// A line that breaks a few times, each time after so many bytes of one connection.
pub struct Line {
    /// The address of its near end.
    pub url: String,
    breaks: Arc<AtomicUsize>,
}

impl Line {
    /// Opens a line to a vault. It ends with the test's process.
    #[must_use]
    pub fn open(vault: &Vault, counted: Direction, times: usize, after: usize) -> Self {
        let target = vault.dev.url.strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let breaks = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&breaks);
        std::thread::spawn(move || {
            for near in listener.incoming().filter_map(Result::ok) {
                let far = TcpStream::connect(&target).expect("the server listens");
                for direction in [Direction::ToServer, Direction::FromServer] {
                    let (near, far) = (near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
                    let counter = Arc::clone(&counter);
                    std::thread::spawn(move || {
                        let breaks = direction == counted && counter.load(Ordering::SeqCst) < times;
                        let limit = if breaks { after } else { usize::MAX };
                        let broke = match direction {
                            Direction::ToServer => pass(&near, &far, limit),
                            Direction::FromServer => pass(&far, &near, limit),
                        };
                        if broke {
                            counter.fetch_add(1, Ordering::SeqCst);
                            let _ = near.shutdown(Shutdown::Both);
                            let _ = far.shutdown(Shutdown::Both);
                        }
                    });
                }
            }
        });
        Self { url, breaks }
    }

    /// How often it has broken.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.breaks.load(Ordering::SeqCst)
    }
}

/// Passes bytes on until the end (false) or the limit (true).
fn pass(mut from: &TcpStream, mut to: &TcpStream, limit: usize) -> bool {
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0_usize;
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => {
                let _ = to.shutdown(Shutdown::Write);
                return false;
            }
            Ok(read) => {
                if to.write_all(&buffer[..read]).is_err() {
                    return false;
                }
                passed += read;
                if passed >= limit {
                    return true;
                }
            }
        }
    }
}
