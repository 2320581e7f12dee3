//! Promise 6 across nodes: what one takes away the other serves no longer.

use std::time::{Duration, Instant};

use vault_tests::fixtures::{Chance, wav};
use vault_tests::stream::{self, Stream};
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

use super::Pair;

/// The promise.
const BITES: Duration = Duration::from_secs(1);
const TRIES: usize = 100;

/// From the answer to a revocation on `one` until a Range of a warm session is refused on `two`.
fn until_refused(one: &Vault, two: &Vault, record: &str) -> Duration {
    let request = access::request(one, "analyst", record, "Hear what was said", "C-6");
    let approved = access::approve(one, "approver", &request);
    let session = access::open(two, "analyst", &request);
    let _warm = access::play_range(two, &session, 0..=99);
    let (analyst, grant) = (two.person("analyst"), format!("/v1/grants/{}", approved.grant_id));
    let revoked = one.person("approver").delete(&grant);
    assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
    let answered = Instant::now();
    loop {
        let answer = analyst.send("GET", &session.playback_url, &[("range", "bytes=0-99")], &[]);
        if answer.status != 206 {
            assert!([401, 403, 404, 410, 503].contains(&answer.status), "{answer}");
            return answered.elapsed();
        }
        // Looked at before the clock: one that is served after the promise has broken it.
        assert!(answered.elapsed() < BITES, "a revoked grant still plays on the other node");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn p6_a_revocation_on_one_node_stops_playback_on_the_other_within_a_second() {
    let pair = Pair::start();
    let recording = wav(20_000, &mut Chance::new(0x0601));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    let mut took: Vec<Duration> =
        (0..TRIES).map(|turn| until_refused(pair.node(turn), pair.node(turn + 1), &record)).collect();
    took.sort_unstable();
    report(&format!(
        "revocation on one node to refusal on the other, {TRIES} tries: median {:?}, p99 {:?}, most {:?}",
        took[TRIES / 2],
        took[TRIES * 99 / 100 - 1],
        took[TRIES - 1]
    ));
    pair.verify();
}

#[test]
fn p6_a_stream_under_way_on_the_other_node_is_cut() {
    let pair = Pair::start();
    let recording = wav(stream::LENGTH, &mut Chance::new(0x0602));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    for (one, two) in pair.both_ways() {
        let request = access::request(one, "analyst", &record, "Hear what was said", "C-6");
        let approved = access::approve(one, "approver", &request);
        let session = access::open(one, "analyst", &request);
        let stream = Stream::begin(two, &session);
        let revoked = one.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
        assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
        std::thread::sleep(BITES);
        // What is in the sockets by now was sent in time; nothing follows it.
        let received = stream.rest();
        assert!(received < recording.len() / 2, "{received} bytes of {} came", recording.len());
    }
    pair.verify();
}

#[test]
fn p6_a_revocation_reaches_the_other_node_while_the_log_is_blocked() {
    let pair = Pair::start();
    let recording = wav(20_000, &mut Chance::new(0x0603));
    let record = tus::upload(&pair.two, "call.wav", "audio/wav", &recording);
    for (round, (one, two)) in pair.both_ways().into_iter().enumerate() {
        let request = access::request(one, "analyst", &record, "Hear what was said", "C-6");
        let approved = access::approve(one, "approver", &request);
        let session = access::open(two, "analyst", &request);
        let _warm = access::play_range(two, &session, 0..=99);
        let blocked = pair.block_log();
        let revoked = one.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
        assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
        let answered = Instant::now();
        let analyst = two.person("analyst");
        while analyst.send("GET", &session.playback_url, &[("range", "bytes=0-99")], &[]).status == 206 {
            assert!(answered.elapsed() < BITES, "a revocation waits for the log");
        }
        // It was blocked: the entry waits.
        assert_eq!(revocations(one), round, "the log goes on");
        drop(blocked);
        for node in [one, two] {
            node.wait_until_ready();
        }
    }
    pair.verify();
}

/// How many revocations the log shows.
fn revocations(node: &Vault) -> usize {
    let page = node.person("auditor").get("/v1/audit/entries?type=access.revoked").expect(200).json();
    page["items"].as_array().expect("entries").len()
}

/// Shown with `--no-capture`, and in the report of a run.
#[allow(clippy::print_stderr)]
fn report(text: &str) {
    eprintln!("{text}");
}
