//! A vault on a bucket that throttles, fails, is slow, cuts transfers, loses answers, brings wrong bytes, or is gone.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::names::VAULT_RECORD_ID;
use vault_tests::bucket::{Bucket, Mishap};
use vault_tests::fixtures::{Chance, wav};
use vault_tests::programs::program;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, database, tus};

/// No single request of a client may take longer, whatever the store does.
const BOUND: Duration = Duration::from_secs(50);
/// Until a vault is itself again after its store is.
const RECOVERY: Duration = Duration::from_secs(60);

fn start(bucket: &Bucket) -> Vault {
    Vault::start_where(&[], |room| [bucket.variables(room), database::of_the_run()].concat())
}

/// Sends all of a recording as a client does who goes on where HEAD says, whatever was answered.
#[track_caller]
fn persist(vault: &Vault, recording: &[u8], chunk: usize) -> String {
    let upload = tus::create(vault, "call.wav", "audio/wav", recording.len());
    let started = Instant::now();
    let mut acknowledged = 0;
    loop {
        let head = upload.head(vault).expect(200);
        let offset: u64 = head.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        assert!(offset >= acknowledged, "{offset} found, {acknowledged} acknowledged");
        if let Some(record) = head.header(VAULT_RECORD_ID) {
            assert_eq!(offset, recording.len() as u64);
            return record.to_owned();
        }
        let from = usize::try_from(offset).expect("small");
        let piece = &recording[from..recording.len().min(from + chunk)];
        let answer = upload.patch(vault, offset, piece);
        match answer.status {
            204 => acknowledged = answer.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset"),
            503 => assert!(answer.header("retry-after").is_some(), "{answer}"),
            _ => panic!("{answer}"),
        }
        assert!(started.elapsed() < Duration::from_secs(240), "the upload does not end");
    }
}

#[test]
fn p3_recordings_survive_a_store_that_fails_one_request_in_four() {
    let bucket = Bucket::start(0x5eed_0353);
    let vault = start(&bucket);
    bucket.mishaps(250);
    let mut chance = Chance::new(0x5eed_0354);
    let mut kept = Vec::new();
    // Short ones for many requests, and one that takes several PUTs in one request.
    for (length, chunk) in [(90_000, 40_000), (700_000, 250_000), (9 << 20, 9 << 20)] {
        let recording = wav(length, &mut chance);
        kept.push((persist(&vault, &recording, chunk), recording));
    }
    for (record, recording) in &kept {
        let session = access::granted(&vault, record);
        let played = vault.person("analyst").get(&session.playback_url).expect(200).body;
        assert!(played == *recording, "{record} does not play back what was recorded");
        let last = recording.len() as u64 - 1;
        assert!(access::play_range(&vault, &session, last - 70_000..=last) == recording[recording.len() - 70_001..]);
        access::close(&vault, &session);
    }
    let met = bucket.met();
    let needed = [Mishap::SlowDown, Mishap::TooMany, Mishap::Internal, Mishap::InternalAndDone, Mishap::LostAnswer];
    assert!(needed.iter().all(|mishap| met.contains_key(mishap)), "it was not tried: {met:?}");
    bucket.mishaps(0);
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn p12_wrong_bits_from_the_store_reach_nobody_and_pass_with_it() {
    let bucket = Bucket::start(1);
    let vault = start(&bucket);
    let recording = wav(400_000, &mut Chance::new(0x5eed_0355));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let _approved = access::approve(&vault, "approver", &request);
    bucket.manners().wrong.store(true, Ordering::SeqCst);
    let opened = access::try_open(&vault.person("analyst"), &request, &json!({"representation": "original"}));
    if opened.status == 201 {
        let url = opened.text("playback_url");
        let played = vault.person("analyst").try_send("GET", &url, &[], &[]);
        // Refused, or cut: a body that ended early is no answer to this client.
        assert!(played.is_none_or(|answer| answer.status >= 500), "wrong bits were served");
    } else {
        assert!(opened.status >= 500, "{opened}");
    }
    bucket.manners().wrong.store(false, Ordering::SeqCst);
    let session = access::open(&vault, "analyst", &request);
    assert!(access::play(&vault, &session) == recording);
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_read_that_stalls_ends_in_time_and_is_taken_up_again() {
    let bucket = Bucket::start(2);
    let vault = start(&bucket);
    let recording = wav(300_000, &mut Chance::new(0x5eed_0356));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let session = access::granted(&vault, &record);
    bucket.manners().stall.store(true, Ordering::SeqCst);
    let started = Instant::now();
    assert!(access::play(&vault, &session) == recording);
    assert!(!bucket.manners().stall.load(Ordering::SeqCst), "nothing stalled");
    assert!(started.elapsed() < BOUND);
}

#[test]
fn p6_while_the_store_is_gone_nothing_is_served_and_restrictions_bite() {
    let bucket = Bucket::start(3);
    let vault = start(&bucket);
    let recording = wav(300_000, &mut Chance::new(0x5eed_0357));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let playing = access::open(&vault, "analyst", &request);
    let unfinished = tus::create(&vault, "call.wav", "audio/wav", recording.len());
    let _half = unfinished.patch(&vault, 0, &recording[..150_000]).expect(204);

    bucket.manners().gone.store(true, Ordering::SeqCst);
    for (what, answer) in [
        ("an upload", timed(|| unfinished.patch(&vault, 150_000, &recording[150_000..]))),
        ("a session", timed(|| access::try_open(&vault.person("analyst"), &request, &json!({})))),
    ] {
        assert_eq!(answer.status, 503, "{what}: {answer}");
        assert!(!answer.code().is_empty() && answer.header("retry-after").is_some(), "{what}: {answer}");
    }
    let played = vault.person("analyst").try_send("GET", &playing.playback_url, &[], &[]);
    assert!(played.is_none_or(|answer| answer.status == 503), "media without a store");
    assert_eq!(vault.nobody().get("/readyz").status, 503);
    assert_eq!(vault.nobody().get("/healthz").status, 200);

    let revoked = timed(|| vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id)));
    assert_eq!(revoked.status, 202, "in force, and not journalled yet: {revoked}");
    let refused = vault.person("analyst").get(&playing.playback_url);
    assert!((400..500).contains(&refused.status), "a revoked grant: {refused}");

    bucket.manners().gone.store(false, Ordering::SeqCst);
    let back = Instant::now();
    while vault.nobody().get("/readyz").status != 200 {
        assert!(back.elapsed() < RECOVERY, "the vault does not recover");
        std::thread::sleep(Duration::from_millis(200));
    }
    let offset = unfinished.offset(&vault);
    assert_eq!(offset, 150_000, "what was acknowledged is there, and nothing else");
    let answer = unfinished.patch(&vault, offset, &recording[150_000..]).expect(204);
    let session = access::granted(&vault, answer.header(VAULT_RECORD_ID).expect("a record"));
    assert!(access::play(&vault, &session) == recording);
    let again = vault.person("analyst").get(&playing.playback_url);
    assert!((400..500).contains(&again.status), "the restriction stands: {again}");
    while !bucket.names().iter().any(|name| name.contains("/journal/")) {
        assert!(back.elapsed() < RECOVERY, "the revocation is not journalled");
        std::thread::sleep(Duration::from_millis(200));
    }
    let _clean = cli::verify_log(&vault).expect(0);
}

#[track_caller]
fn timed<T>(act: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = act();
    assert!(started.elapsed() < BOUND, "it took {:?}", started.elapsed());
    done
}

#[test]
fn a_store_that_is_not_as_it_must_be_is_refused_in_words() {
    let bucket = Bucket::start(4);
    let room = tempfile::tempdir().expect("a folder");
    std::fs::write(room.path().join("vault.toml"), "data_dir = 'data'\nlog_name = 'vault.example/log'\n")
        .expect("written");
    let check = || {
        let mut command = Command::new(program("vault-server"));
        command.args(["check", "--config", "vault.toml"]).current_dir(room.path()).envs(bucket.variables(room.path()));
        let done = command.output().expect("it starts");
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (fit, said) = check();
    assert!(fit && said.contains("fake-bucket"), "{said}");
    let manners = bucket.manners();
    for (flag, words) in [
        (&manners.versioned, "keeps old versions"),
        (&manners.suspended, "versioning is suspended"),
        (&manners.skewed, "clock"),
        (&manners.no_bucket, "no such bucket"),
    ] {
        flag.store(true, Ordering::SeqCst);
        let (fit, said) = check();
        assert!(!fit && said.contains(words), "{said}");
        assert!(!said.contains("fake-secret"), "{said}");
        flag.store(false, Ordering::SeqCst);
    }
    for (method, status, code, words) in [
        ("GET", 403, "InvalidAccessKeyId", "does not accept the credentials"),
        ("GET", 403, "SignatureDoesNotMatch", "does not accept the credentials"),
        ("GET", 400, "ExpiredToken", "does not accept the credentials"),
        ("HEAD", 401, "", "does not accept the credentials"),
        ("GET", 301, "PermanentRedirect", "in another region"),
        ("GET", 400, "AuthorizationHeaderMalformed", "in another region"),
        ("GET", 403, "AccessDenied", "may not read"),
        ("HEAD", 403, "", "may not tell that a name is absent"),
        ("PUT", 403, "AccessDenied", "may not write"),
        ("DELETE", 403, "AccessDenied", "may not delete"),
        ("PUT", 400, "InvalidRequest", "cannot write"),
    ] {
        *manners.refused.lock().expect("not poisoned") = Some((method, status, code));
        let (fit, said) = check();
        assert!(!fit && said.contains(words), "{method} {status} {code}: {said}");
        assert!(!said.contains("fake-secret"), "{said}");
        *manners.refused.lock().expect("not poisoned") = None;
        // Where deletes are refused, what the check wrote stays.
        assert_eq!(bucket.names().len(), usize::from(method == "DELETE"), "{method} {code}");
        bucket.empty();
    }
    let left = bucket.names();
    assert!(left.is_empty(), "{left:?}");
}

/// TLS in front of a bucket: `https://localhost:…`, and the certificate that has to be trusted for it.
fn tls_before(plain: String) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let (config, plain) = (Arc::clone(&config), plain.clone());
            std::thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).expect("a session");
                let mut near = BufReader::new(rustls::StreamOwned::new(session, stream));
                let mut far = BufReader::new(TcpStream::connect(plain).expect("the bucket listens"));
                // One message each way in turn, until either side has no more or does not trust the other.
                while let Some((asked, head_only)) = message(&mut near, false) {
                    if far.get_mut().write_all(&asked).is_err() {
                        return;
                    }
                    let Some((answered, _)) = message(&mut far, head_only) else { return };
                    if near.get_mut().write_all(&answered).and_then(|()| near.get_mut().flush()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, made.cert.pem())
}

/// A message with its body, and whether it is a HEAD request.
fn message(from: &mut impl BufRead, no_body: bool) -> Option<(Vec<u8>, bool)> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(line.as_bytes());
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let head_only = bytes.starts_with(b"HEAD ");
    let mut body = vec![0; if no_body { 0 } else { length }];
    from.read_exact(&mut body).ok()?;
    bytes.extend_from_slice(&body);
    Some((bytes, head_only))
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named_and_no_other_is() {
    let bucket = Bucket::start(5);
    let room = tempfile::tempdir().expect("a folder");
    std::fs::write(room.path().join("vault.toml"), "data_dir = 'data'\nlog_name = 'vault.example/log'\n")
        .expect("written");
    let (url, certificate) = tls_before(bucket.address().to_owned());
    let named = room.path().join("ca.pem");
    std::fs::write(&named, certificate).expect("written");
    let check = |authority: Option<&std::path::Path>| {
        let mut command = Command::new(program("vault-server"));
        command.args(["check", "--config", "vault.toml"]).current_dir(room.path()).envs(bucket.variables(room.path()));
        command.env("FEEDBACK_VAULT_OBJECTS_ENDPOINT", &url).env_remove("FEEDBACK_VAULT_OBJECTS_ALLOW_HTTP");
        if let Some(path) = authority {
            command.env("FEEDBACK_VAULT_OBJECTS_CA_FILE", path);
        }
        let done = command.output().expect("it starts");
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (fit, said) = check(Some(&named));
    assert!(fit, "{said}");
    assert!(bucket.names().is_empty());
    let (fit, said) = check(None);
    assert!(!fit && said.contains("certificate"), "{said}");
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&named, stranger.cert.pem()).expect("written");
    let (fit, said) = check(Some(&named));
    assert!(!fit && said.contains("certificate"), "{said}");
}
