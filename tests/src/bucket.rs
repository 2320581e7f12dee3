//! A bucket on loopback that speaks as much S3 as a vault needs, and misbehaves as it is told: what a real store does
//! once in a thousand requests or once in a year, it does here in one of four.
//!
//! Signatures are not looked at. What conforms to S3 is tried on a real server (`cargo xtask test s3`); this one is for
//! what no real server does on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::fixtures::Chance;

/// The bucket's name.
const NAME: &str = "fake-bucket";

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// 503 `SlowDown`, and nothing is done.
    SlowDown,
    /// 429, and nothing is done.
    TooMany,
    /// 500 `InternalError`, and nothing is done.
    Internal,
    /// 500, and yet it is done.
    InternalAndDone,
    /// The connection is cut before the request is read to its end; nothing is done.
    Cut,
    /// It is done, and the answer is lost with the connection.
    LostAnswer,
    /// Half of the answer's body comes, then the connection is cut.
    CutBody,
    /// The answer takes a while.
    Slow,
}

const MISHAPS: [Mishap; 8] = [
    Mishap::SlowDown,
    Mishap::TooMany,
    Mishap::Internal,
    Mishap::InternalAndDone,
    Mishap::Cut,
    Mishap::LostAnswer,
    Mishap::CutBody,
    Mishap::Slow,
];

/// How the bucket behaves, besides mishaps. All off at first.
#[derive(Default)]
pub struct Manners {
    /// Every connection is cut at once.
    pub gone: AtomicBool,
    /// Reads of media bring one wrong bit.
    pub wrong: AtomicBool,
    /// One read of media sends half of its body, and then nothing more for a minute.
    pub stall: AtomicBool,
    /// A PUT answers with a version, as a bucket does that keeps them.
    pub versioned: AtomicBool,
    /// A PUT answers with the version `null`, as a bucket does that kept versions once.
    pub suspended: AtomicBool,
    /// Every request is refused for its time.
    pub skewed: AtomicBool,
    /// There is no bucket.
    pub no_bucket: AtomicBool,
    /// Requests of this method are refused with this status and code; a HEAD's answer has no body to tell the code in.
    pub refused: Mutex<Option<(&'static str, u16, &'static str)>>,
}

struct Shared {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    manners: Manners,
    /// Out of a thousand requests so many meet with a mishap.
    rate: AtomicU64,
    chance: Mutex<Chance>,
    met: Mutex<BTreeMap<Mishap, u64>>,
}

/// The bucket. Its threads end with the test's process.
#[derive(Clone)]
pub struct Bucket {
    shared: Arc<Shared>,
    address: String,
}

impl Bucket {
    /// An empty bucket that behaves; the seed decides its mishaps.
    #[must_use]
    pub fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            manners: Manners::default(),
            rate: AtomicU64::new(0),
            chance: Mutex::new(Chance::new(seed)),
            met: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, &stream));
            }
        });
        Self { shared, address }
    }

    /// What a vault is told to use it; writes a file of credentials into `room`.
    #[must_use]
    pub fn variables(&self, room: &Path) -> Vec<(String, String)> {
        let path = room.join("s3.toml");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).expect("a file of credentials");
        file.write_all(b"access_key_id = 'fake'\nsecret_access_key = 'fake-secret'\n").expect("written");
        let of = |key: &str, value: String| (format!("FEEDBACK_VAULT_OBJECTS_{key}"), value);
        vec![
            of("URL", format!("s3://{NAME}/vault")),
            of("ENDPOINT", format!("http://{}", self.address)),
            of("ALLOW_HTTP", "true".to_owned()),
            of("CREDENTIALS_FILE", path.display().to_string()),
        ]
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How it behaves from now on.
    #[must_use]
    pub fn manners(&self) -> &Manners {
        &self.shared.manners
    }

    /// Out of a thousand requests so many meet with a mishap from now on.
    pub fn mishaps(&self, rate: u64) {
        self.shared.rate.store(rate, Ordering::SeqCst);
    }

    /// How often each mishap has been met with.
    #[must_use]
    pub fn met(&self) -> BTreeMap<Mishap, u64> {
        lock(&self.shared.met).clone()
    }

    /// Takes away all that it holds.
    pub fn empty(&self) {
        lock(&self.shared.objects).clear();
    }

    /// The names of what it holds.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.shared.objects).keys().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    method: String,
    key: String,
    range: Option<(usize, usize)>,
    body: Vec<u8>,
}

fn serve(shared: &Shared, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        if shared.manners.gone.load(Ordering::SeqCst) {
            return;
        }
        let mishap = shared.mishap();
        let Some(request) = read(&mut reader, mishap == Some(Mishap::Cut)) else { return };
        if shared.manners.gone.load(Ordering::SeqCst) || !answer(shared, stream, &request, mishap) {
            return;
        }
    }
}

impl Shared {
    /// The mishap of the next request. Counted where it is met with.
    fn mishap(&self) -> Option<Mishap> {
        let mut chance = lock(&self.chance);
        if chance.below(1000) >= self.rate.load(Ordering::SeqCst) {
            return None;
        }
        let which = usize::try_from(chance.below(MISHAPS.len() as u64)).expect("small");
        Some(MISHAPS[which])
    }

    fn note(&self, mishap: Mishap) {
        *lock(&self.met).entry(mishap).or_default() += 1;
    }
}

/// The next request of a connection; `None` at its end, or when it is to be cut.
fn read(reader: &mut BufReader<&TcpStream>, cut: bool) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let key = target.split('?').next()?.strip_prefix(&format!("/{NAME}/"))?.to_owned();
    let (mut length, mut range) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "range" => {
                let (from, to) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
                range = Some((from.parse().ok()?, to.parse().ok()?));
            }
            _ => {}
        }
    }
    let mut body = vec![0; if cut { length / 2 } else { length }];
    reader.read_exact(&mut body).ok()?;
    if cut && length > 0 { None } else { Some(Request { method, key, range, body }) }
}

/// Does what is asked, or what the mishap makes of it. `false`: the connection is over.
fn answer(shared: &Shared, stream: &TcpStream, request: &Request, mishap: Option<Mishap>) -> bool {
    let manners = &shared.manners;
    let on = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
    if on(&manners.skewed) {
        return send(stream, request, 403, &[], error("RequestTimeTooSkewed").as_bytes(), None);
    }
    if on(&manners.no_bucket) {
        return send(stream, request, 404, &[], error("NoSuchBucket").as_bytes(), None);
    }
    let refused = *lock(&manners.refused);
    if let Some((_, status, code)) = refused.filter(|(method, ..)| *method == request.method) {
        return send(stream, request, status, &[], error(code).as_bytes(), None);
    }
    let refusal = match mishap {
        Some(Mishap::SlowDown) => Some((503, "SlowDown")),
        Some(Mishap::TooMany) => Some((429, "TooManyRequests")),
        Some(Mishap::Internal) => Some((500, "InternalError")),
        _ => None,
    };
    if let (Some(mishap), Some((status, code))) = (mishap, refusal) {
        shared.note(mishap);
        return send(stream, request, status, &[], error(code).as_bytes(), None);
    }
    let (status, headers, mut body) = done(shared, request);
    match mishap {
        Some(Mishap::InternalAndDone) => {
            shared.note(Mishap::InternalAndDone);
            return send(stream, request, 500, &[], error("InternalError").as_bytes(), None);
        }
        Some(Mishap::Cut | Mishap::LostAnswer) => {
            shared.note(Mishap::LostAnswer);
            return false;
        }
        Some(Mishap::Slow) => {
            shared.note(Mishap::Slow);
            std::thread::sleep(Duration::from_millis(400));
        }
        _ => {}
    }
    let media = request.method == "GET" && request.key.contains("/media/") && body.len() > 1;
    if media && on(&manners.wrong) {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    if media && manners.stall.swap(false, Ordering::SeqCst) {
        let _ = send(stream, request, status, &headers, &body, Some(body.len() / 2));
        std::thread::sleep(Duration::from_secs(60));
        return false;
    }
    if mishap == Some(Mishap::CutBody) && request.method == "GET" && body.len() > 1 {
        shared.note(Mishap::CutBody);
        let _ = send(stream, request, status, &headers, &body, Some(body.len() / 2));
        return false;
    }
    send(stream, request, status, &headers, &body, None)
}

type Done = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn done(shared: &Shared, request: &Request) -> Done {
    let mut objects = lock(&shared.objects);
    let tag = |bytes: &[u8]| ("etag", format!("\"{:x}\"", fnv(bytes)));
    match request.method.as_str() {
        "PUT" => {
            objects.insert(request.key.clone(), request.body.clone());
            let mut headers = vec![tag(&request.body)];
            if shared.manners.versioned.load(Ordering::SeqCst) {
                headers.push(("x-amz-version-id", "3HL4kqtJvjVBH40Nrjfkd".to_owned()));
            }
            if shared.manners.suspended.load(Ordering::SeqCst) {
                headers.push(("x-amz-version-id", "null".to_owned()));
            }
            (200, headers, Vec::new())
        }
        "DELETE" => {
            objects.remove(&request.key);
            (204, Vec::new(), Vec::new())
        }
        "GET" | "HEAD" => {
            let Some(bytes) = objects.get(&request.key) else {
                return (404, Vec::new(), error("NoSuchKey").into_bytes());
            };
            let headers = vec![tag(bytes), ("last-modified", "Mon, 21 Sep 2026 14:13:20 GMT".to_owned())];
            match request.range {
                Some((from, _)) if from >= bytes.len() => (416, Vec::new(), error("InvalidRange").into_bytes()),
                Some((from, to)) => {
                    let end = (to + 1).min(bytes.len());
                    let shown = format!("bytes {from}-{}/{}", end - 1, bytes.len());
                    (206, [headers, vec![("content-range", shown)]].concat(), bytes[from..end].to_vec())
                }
                None => (200, headers, bytes.clone()),
            }
        }
        _ => (501, Vec::new(), error("NotImplemented").into_bytes()),
    }
}

/// Sends an answer, or the first `only` bytes of its body. `false`: the connection is over.
fn send(
    mut stream: &TcpStream,
    request: &Request,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
    only: Option<usize>,
) -> bool {
    let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let shown = if request.method == "HEAD" { &[] } else { &body[..only.unwrap_or(body.len())] };
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(shown)).is_ok()
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as told</Message></Error>")
}

/// Tells bytes from other bytes; nobody attacks it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}
