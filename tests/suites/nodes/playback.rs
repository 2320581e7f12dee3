//! Sessions opened on one node and served by another.

use std::time::{Duration, Instant};

use serde_json::Value;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

use super::Pair;

/// A restriction reaches every node within this (promise 6).
const BITES: Duration = Duration::from_secs(1);

fn closings(node: &Vault) -> Vec<Value> {
    let page = node.person("auditor").get("/v1/audit/entries?type=playback.closed").expect(200).json();
    page["items"].as_array().expect("entries").clone()
}

#[test]
fn p4_what_is_asked_for_approved_and_opened_on_different_nodes_plays_on_both() {
    let pair = Pair::start();
    let mut chance = Chance::new(0x0401);
    let recording = wav(400_000, &mut chance);
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    for turn in 0..6 {
        let (one, two) = (pair.node(turn), pair.node(turn + 1));
        // Each act rests on what the other node has just put into the log.
        let request = access::request(one, "analyst", &record, "Hear what was said", "C-1");
        let _grant = access::approve(two, "approver", &request);
        let session = access::open(one, "analyst", &request);
        assert!(access::play(two, &session) == recording);
        assert!(access::play(one, &session) == recording);
        let (from, to) = (70_000 + turn, 200_000);
        let range = access::play_range(two, &session, from as u64..=to as u64);
        assert!(range == recording[from..=to]);

        access::close(two, &session);
        let ended = two.person("analyst").get(&session.playback_url);
        assert_eq!(ended.status, 410, "{ended}");
        let closed = Instant::now();
        loop {
            // A body that is cut in the middle is no answer.
            let answer = one.person("analyst").try_send("GET", &session.playback_url, &[], &[]);
            if answer.is_some_and(|answer| answer.status == 410) {
                break;
            }
            assert!(closed.elapsed() < BITES, "a session closed on one node plays on the other");
        }
        // Closed once, whoever asks.
        assert_eq!(one.person("analyst").delete(&session.playback_url).status, 410);
    }
    // A node may show the log as it was a moment ago.
    let asked = Instant::now();
    while closings(&pair.two).len() < 6 && asked.elapsed() < Duration::from_secs(30) {}
    let closings = closings(&pair.two);
    assert_eq!(closings.len(), 6, "each is closed once");
    for closing in closings {
        // Two nodes served it, and neither knows all of it: the presumption is not narrowed.
        assert_eq!(closing["entry"]["data"]["disclosed"], "presumed-whole", "{closing}");
    }
    pair.verify();
}
