//! Bodies that come a byte at a time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vault_tests::fixtures::media;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::{Vault, elsewhere};
use vault_tests::{access, cli};

use super::{KIND, NAME, PATIENCE, connect};

/// How many trickle at once.
const MANY: usize = 200;
/// How long an upload may be silent here; a minute unless set.
const IDLE: Duration = Duration::from_secs(2);

/// A request that never says all that it announces.
struct Trickle {
    stream: TcpStream,
    answer: Vec<u8>,
    ended: bool,
}

impl Trickle {
    fn begin(vault: &Vault, head: &str) -> Self {
        let mut stream = connect(vault);
        stream.write_all(head.as_bytes()).expect("sent");
        stream.set_nonblocking(true).expect("set");
        Self { stream, answer: Vec::new(), ended: false }
    }

    /// One more byte of the body, and a look for an answer.
    fn drip(&mut self, byte: u8) {
        // Cut, it is not to be written to; what the server said before is still there to be read.
        let _ = self.stream.write(&[byte]);
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.answer.extend_from_slice(&buffer[..read]);
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            return;
        }
    }

    /// Cut: answered, or closed.
    fn is_over(&self) -> bool {
        self.ended || self.answer.windows(4).any(|window| window == b"\r\n\r\n")
    }

    fn says(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }
}

fn announce(upload: &Upload) -> String {
    format!(
        "PATCH {} HTTP/1.1\r\nhost: vault\r\ntus-resumable: 1.0.0\r\ncontent-type: application/offset+octet-stream\r\n\
         upload-offset: 0\r\ncontent-length: 100000\r\n\r\n",
        upload.location
    )
}

/// Four bytes a second, of video, whose buffers are the largest. A body ends once it has lasted longer than an upload may be
/// silent and came slower than any codec sends.
#[test]
fn p11_trickled_bodies_are_cut_and_hold_nobody_up() {
    let idle = ("FEEDBACK_VAULT_LIMITS_IDLE_SECONDS".to_owned(), IDLE.as_secs().to_string());
    let vault = Vault::start_where(&[], |_| [elsewhere(), vec![idle]].concat());
    let recording = media(NAME);
    let record = tus::upload(&vault, NAME, KIND, &recording);
    let video = media("chromium-video.webm");
    let uploads: Vec<Upload> = (0..MANY).map(|_| tus::create(&vault, "slow.webm", "video/webm", 100_000)).collect();
    let mut slow: Vec<Trickle> = uploads.iter().map(|upload| Trickle::begin(&vault, &announce(upload))).collect();
    let start = Instant::now();
    let mut sent = 0;
    let mut others_went_on = false;
    while slow.iter().any(|one| !one.is_over()) {
        slow.iter_mut().filter(|one| !one.is_over()).for_each(|one| one.drip(video[sent]));
        sent += 1;
        if !others_went_on {
            assert!(
                slow.iter().all(|one| !one.is_over()),
                "cut before its time: {:?}",
                slow.iter().find(|s| s.is_over()).map(Trickle::says)
            );
            // All of them are under way: an upload and a playback beside them are done.
            let beside = tus::upload(&vault, NAME, KIND, &recording);
            assert_ne!(beside, record);
            let session = access::granted(&vault, &record);
            assert!(access::play(&vault, &session) == recording);
            others_went_on = true;
        }
        // The cut comes with a byte: two seconds, and what a busy machine adds.
        assert!(start.elapsed() < PATIENCE, "bodies are still taken after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(start.elapsed() >= IDLE, "cut after {:?}", start.elapsed());
    for one in &slow {
        let says = one.says();
        assert!(says.starts_with("HTTP/1.1 400") && says.contains("upload_interrupted"), "{says:?}");
    }
    // What came is kept, and whoever is slow by misfortune goes on from there.
    let kept: Vec<u64> = uploads.iter().map(|upload| upload.offset(&vault)).collect();
    assert!(kept.iter().all(|offset| (1..=sent as u64).contains(offset)), "{kept:?} of {sent}");
    let _clean = cli::verify_log(&vault).expect(0);
}

/// A body is not waited for that nobody may send.
#[test]
fn a_trickled_body_of_somebody_without_a_right_is_answered_at_once_and_not_read() {
    let vault = Vault::start();
    let guess = "A".repeat(43);
    let post = "POST /v1/access-requests HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\n";
    let patch = format!(
        "PATCH /v1/uploads/{guess} HTTP/1.1\r\nhost: vault\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\n"
    );
    let unknown = format!("{post}authorization: Bearer fv_{guess}\r\n");
    let analyst = vault.person("analyst");
    let wrong_role = format!(
        "POST /v1/people HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n",
        analyst.token().expect("a token")
    );
    for (what, head, status) in [
        ("no token", post, 401),
        ("a guess", &unknown, 401),
        ("no right", &wrong_role, 403),
        ("no upload", &patch, 404),
    ] {
        let mut slow = Trickle::begin(&vault, &format!("{head}content-length: 200000\r\n\r\n"));
        let start = Instant::now();
        while !slow.ended {
            slow.drip(b'{');
            assert!(start.elapsed() < PATIENCE, "{what}: its body is still taken");
            std::thread::sleep(Duration::from_millis(100));
        }
        let says = slow.says();
        assert!(says.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {says:?}");
        // Far less than the time that a body has: nobody waited for it.
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: after {:?}", start.elapsed());
    }
}
