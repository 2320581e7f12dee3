//! A TCP wire to a PostgreSQL server that can be cut at the worst moments: around a COMMIT, or while it is laid to
//! another server; or that falls silent, as a network does that drops packets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// COMMIT as a message of the simple query protocol: its letter, its length, its text.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A wire; it ends with the test's process.
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: AtomicU16,
    /// Each commit of which the number is a multiple of this is cut; none while it is zero.
    every: AtomicUsize,
    commits: AtomicUsize,
    cuts: AtomicUsize,
    /// What comes in at either end stays where it is.
    silent: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// When a connection is cut around its COMMIT.
#[derive(Clone, Copy)]
enum Cut {
    /// The server never hears of it.
    Before,
    /// The server hears of it, and nobody waits for its answer: it may commit at any later moment.
    Sent,
    /// The server has answered, and the answer does not arrive.
    Answered,
}

impl Wire {
    /// To a server on loopback.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        shared.target.store(target, Ordering::SeqCst);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming().filter_map(Result::ok) {
                let target = accepting.target.load(Ordering::SeqCst);
                // A server that is gone refuses; so does the wire.
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (one, two) = (near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
                accepting.opened(target, &near, &far);
                let deaf = Arc::new(AtomicBool::new(false));
                let (client, hears) = (Arc::clone(&accepting), Arc::clone(&deaf));
                std::thread::spawn(move || client.forth(near, far, &hears));
                let server = Arc::clone(&accepting);
                std::thread::spawn(move || server.back(two, one, &deaf));
            }
        });
        Self { port, shared }
    }

    /// Its near end, as the address of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Cuts every `n`th commit from now on, each in the next of three ways; none when `n` is zero.
    pub fn cut_every(&self, n: usize) {
        self.shared.every.store(n, Ordering::SeqCst);
    }

    /// How often it was cut around a commit.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Cuts every connection, and refuses new ones until it is laid again.
    pub fn sever(&self) {
        // No server can be reached at port 0.
        self.lay_to(0);
    }

    /// Whether nothing passes any more, either way: connections stay open and are made, and nobody answers.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// Lays it to another server, and cuts every connection to the old one.
    pub fn lay_to(&self, target: u16) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.target.store(target, Ordering::SeqCst);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Keeps a connection to `target`, unless the wire was laid elsewhere meanwhile: then it is cut with the others.
    fn opened(&self, target: u16, near: &TcpStream, far: &TcpStream) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for end in [near, far] {
            if self.target.load(Ordering::SeqCst) == target {
                open.push(end.try_clone().expect("a clone"));
            } else {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    fn cut_now(&self) -> Option<Cut> {
        let every = self.every.load(Ordering::SeqCst);
        let commit = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        if every == 0 || !commit.is_multiple_of(every) {
            return None;
        }
        Some(match self.cuts.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Cut::Answered,
            1 => Cut::Before,
            _ => Cut::Sent,
        })
    }

    fn forth(&self, mut near: TcpStream, mut far: TcpStream, deaf: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = near.read(&mut buffer) {
            let bytes = &buffer[..read];
            self.wait_while_silent();
            // sqlx writes a COMMIT in one piece, after it has read every answer before.
            let cut = if bytes.windows(COMMIT.len()).any(|window| window == COMMIT) { self.cut_now() } else { None };
            match cut {
                None => {
                    if far.write_all(bytes).is_err() {
                        break;
                    }
                }
                Some(Cut::Before) => break,
                Some(Cut::Sent) => {
                    let _ = far.write_all(bytes);
                    break;
                }
                Some(Cut::Answered) => {
                    deaf.store(true, Ordering::SeqCst);
                    if far.write_all(bytes).is_err() {
                        break;
                    }
                }
            }
        }
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
    }

    fn back(&self, mut far: TcpStream, mut near: TcpStream, deaf: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = far.read(&mut buffer) {
            self.wait_while_silent();
            if deaf.load(Ordering::SeqCst) || near.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
    }

    fn wait_while_silent(&self) {
        while self.silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
