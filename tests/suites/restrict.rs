//! Promise 6: a restriction bites at once, within one second and mid-stream.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Caller;
use vault_tests::nodes::{PROMISED, within_the_promise};
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

/// Larger than what two socket buffers hold between them, so that most of it is still in the vault.
const LENGTH: usize = 48 << 20;

#[test]
fn p6_a_revocation_cuts_a_stream_within_a_second() {
    let vault = Vault::start();
    let recording = wav(LENGTH, &mut Chance::new(0x5eed_0006));
    let record = tus::upload(&vault, "long.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let session = access::open(&vault, "analyst", &request);

    let host = vault.turn("GET").strip_prefix("http://").expect("plain HTTP on loopback");
    let mut stream = TcpStream::connect(host).expect("the server listens");
    let token = vault.dev.tokens.get("analyst").expect("an analyst");
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
        session.playback_url
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut buffer = vec![0; 1 << 20];
    stream.read_exact(&mut buffer).expect("the stream has begun");
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..80]));

    let start = Instant::now();
    let revoked = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
    // The beginning: a whole recording, cut on its way, would be no answer.
    let play = |analyst: &Caller| analyst.send("GET", &session.playback_url, &[("range", "bytes=0-9")], &[]);
    within_the_promise(&vault.person("analyst"), play, |refused| refused.status >= 400);
    // One node alone has taken it back and plays nothing within the second, its own answer included.
    let alone = vault.nodes().count() == 1;
    assert!(!alone || start.elapsed() < PROMISED, "it took {:?} to bite", start.elapsed());

    // Whatever the kernel held already may still arrive; the vault gives nothing more, and hangs up.
    std::thread::sleep(PROMISED.saturating_sub(start.elapsed()));
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut received = buffer.len();
    let ended = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(n) => received += n,
            // A reset is an end, too; a timeout would be a stream that is kept open.
            Err(error) => break !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    };
    assert!(ended, "the stream of a revoked grant is kept open");
    assert!(received < LENGTH / 2, "{received} of {LENGTH} bytes arrived after the revocation");
}
