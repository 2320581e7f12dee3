//! Sessions opened on one node and served by another.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_api::playback::Session;
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
        let data = &closing["entry"]["data"];
        // Each node served all of it. Where one was too slow to say so, the whole is presumed.
        assert!(data["bytes"] == recording.len() || data["disclosed"] == "presumed-whole", "{closing}");
    }
    pair.verify();
}

/// What the log says was served of a session, once it says so.
fn told(node: &Vault, session: &Session) -> Value {
    let asked = Instant::now();
    loop {
        let closing = closings(node).into_iter().find(|closing| {
            let openings = closing["openings"].as_array().expect("openings");
            openings.iter().any(|opening| opening["value"] == session.session_id.as_str())
        });
        if let Some(closing) = closing {
            return closing["entry"]["data"].clone();
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "a session is not closed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn p4_what_several_nodes_served_of_a_session_is_told_as_one_and_never_as_less() {
    let mut pair = Pair::start();
    let recording = wav(400_000, &mut Chance::new(0x0402));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    let served = json!(["0-999", "5000-5999", "300000-399999"]);
    let serve = |pair: &Pair, opened_by: &Vault| {
        let session = access::granted(opened_by, &record);
        let _range = access::play_range(&pair.one, &session, 0..=999);
        let _range = access::play_range(&pair.two, &session, 300_000..=399_999);
        let _range = access::play_range(&pair.two, &session, 5_000..=5_999);
        session
    };
    // Ended while both serve it: the one that ends it waits for the other, and not for ever.
    let mut exact = 0;
    for turn in 0..6 {
        let session = serve(&pair, pair.node(turn));
        access::close(pair.node(turn / 2), &session);
        let told = told(pair.node(turn), &session);
        exact += usize::from(told["ranges"] == served);
        assert!(told["ranges"] == served || told["disclosed"] == "presumed-whole", "{told}");
    }
    assert!(exact > 0, "the ranges of both were never known");

    // A node that is stopped in order leaves word.
    let session = serve(&pair, &pair.two);
    assert!(pair.two.stop().success());
    access::close(&pair.one, &session);
    assert_eq!(told(&pair.one, &session)["ranges"], served);
    pair.two.launch();

    // One that is killed does not.
    let session = serve(&pair, &pair.one);
    pair.two.kill();
    access::close(&pair.one, &session);
    let told = told(&pair.one, &session);
    assert_eq!((&told["disclosed"], &told["ranges"]), (&json!("presumed-whole"), &Value::Null));
    pair.two.launch();
    pair.verify();
}
