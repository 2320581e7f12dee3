//! Promise 6 across nodes: what one takes away the other serves no longer.

use std::time::{Duration, Instant};

use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Caller;
use vault_tests::stream::{self, Stream};
use vault_tests::vault::Vault;
use vault_tests::{access, report, tus};

use super::Pair;

/// The promise.
const BITES: Duration = Duration::from_secs(1);
const TRIES: usize = 100;
/// Revocations beside each other: each waits for the other node's next look.
const LANES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// A session that one node serves, under a grant that the other is to take back.
struct Warm {
    approver: Caller,
    grant: String,
    analyst: Caller,
    url: String,
}

impl Warm {
    fn on(pair: &Pair, turn: usize, record: &str) -> Self {
        let (one, two) = (pair.node(turn), pair.node(turn + 1));
        let request = access::request(one, "analyst", record, "Hear what was said", "C-6");
        let approved = access::approve(one, "approver", &request);
        let session = access::open(two, "analyst", &request);
        let (approver, analyst) = (one.person("approver"), two.person("analyst"));
        let warm = Self { approver, grant: approved.grant_id, analyst, url: session.playback_url };
        assert_eq!(warm.status(), 206);
        warm
    }

    fn status(&self) -> u16 {
        self.analyst.send("GET", &self.url, &[("range", "bytes=0-99")], &[]).status
    }

    /// From the answer to the revocation until a Range is not served any more.
    fn until_refused(&self) -> Duration {
        // Still, whatever has been blocked meanwhile.
        assert_eq!(self.status(), 206);
        let revoked = self.approver.delete(&format!("/v1/grants/{}", self.grant));
        assert!([200, 202, 204].contains(&revoked.status), "{revoked}");
        let answered = Instant::now();
        let mut ended = None;
        loop {
            let status = self.status();
            let now = answered.elapsed();
            match status {
                // Looked at before the clock: one that is served after the promise has broken it.
                206 => assert!(now < BITES && ended.is_none(), "a revoked grant plays on the other node after {now:?}"),
                // A node that does not know serves nothing, and learns.
                503 => {
                    ended.get_or_insert(now);
                    assert!(now < PATIENCE, "a node never learns of a revocation");
                }
                401 | 403 | 404 | 410 => return ended.unwrap_or(now),
                other => panic!("a revoked grant is answered {other}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Sessions for all tries, each on the node whose turn it is.
fn warm(pair: &Pair, record: &str) -> Vec<Warm> {
    let lane = move |number: usize| -> Vec<Warm> {
        (0..TRIES / LANES).map(|turn| Warm::on(pair, turn + number, record)).collect()
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("each is served")).collect()
    })
}

/// Revokes each, a few beside each other, and says how long it took.
fn revoke(warm: &[Warm], when: &str) {
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let lanes: Vec<_> = warm
            .chunks(TRIES.div_ceil(LANES))
            .map(|lane| scope.spawn(|| lane.iter().map(Warm::until_refused).collect::<Vec<_>>()))
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("each is refused in time")).collect()
    });
    took.sort_unstable();
    report(&format!(
        "revocation on one node to refusal on the other, {when}, {TRIES} tries: median {:?}, p99 {:?}, most {:?}",
        took[TRIES / 2],
        took[TRIES * 99 / 100 - 1],
        took[TRIES - 1]
    ));
}

#[test]
fn p6_a_revocation_on_one_node_stops_playback_on_the_other_within_a_second() {
    let pair = Pair::start();
    let recording = wav(20_000, &mut Chance::new(0x0601));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    revoke(&warm(&pair, &record), "the log going on");
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
    let warm = warm(&pair, &record);
    let blocked = pair.block_log();
    revoke(&warm, "the log blocked");
    // It was blocked all the while: every entry waits.
    for node in [&pair.one, &pair.two] {
        assert_eq!(revocations(node), 0, "the log goes on");
    }
    drop(blocked);
    let unblocked = Instant::now();
    for node in [&pair.one, &pair.two] {
        node.wait_until_ready();
        while revocations(node) < TRIES {
            assert!(unblocked.elapsed() < PATIENCE, "{} of {TRIES} entries came", revocations(node));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    pair.verify();
}

/// How many revocations the log shows.
fn revocations(node: &Vault) -> usize {
    let page = node.person("auditor").get("/v1/audit/entries?type=access.revoked&limit=500").expect(200).json();
    page["items"].as_array().expect("entries").len()
}
