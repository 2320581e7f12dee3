//! One log, whoever sequences it and however a node ends.

use std::time::{Duration, Instant};

use vault_tests::fixtures::{Chance, wav};
use vault_tests::{access, cli, tus};

use super::Pair;

/// An act that needs the log, as an operator's client does it: asked again where the vault says so.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn p9_the_log_goes_on_when_the_node_that_sequences_is_killed() {
    let mut pair = Pair::start();
    let recording = wav(20_000, &mut Chance::new(0x0901));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    for round in 0..4 {
        let known = pair.one.person("auditor").get("/v1/audit/log/checkpoint").expect(200);
        let known_at = pair.one.room().join("known");
        std::fs::write(&known_at, &known.body).expect("written");
        // The first to start sequences; the second takes over, and so on.
        let (gone, left) = if round % 2 == 0 { (&mut pair.one, &pair.two) } else { (&mut pair.two, &pair.one) };
        gone.kill();
        let killed = Instant::now();
        let session = access::granted(left, &record);
        assert!(killed.elapsed() < PATIENCE);
        assert!(access::play(left, &session) == recording);
        access::close(left, &session);
        gone.launch();
        let bundle = left.room().join(format!("round-{round}"));
        let shown = bundle.to_string_lossy().into_owned();
        let _exported = cli::run(gone, "auditor", &["audit", "export", "--out", &shown]).expect(0);
        let mut verify = cli::offline(gone);
        verify.args(["audit", "verify", "--public-key", &gone.dev.log_public_key, "--bundle"]).arg(&bundle);
        verify.arg("--known-checkpoint").arg(&known_at);
        let _clean = cli::ended(verify).expect(0);
    }
    pair.verify();
}

#[test]
fn the_log_is_the_same_on_both_nodes_and_never_shrinks() {
    let pair = Pair::start();
    let recording = wav(5_000, &mut Chance::new(0x0902));
    let size = |turn: usize| -> u64 {
        let answer = pair.node(turn).person("auditor").get("/v1/audit/log/checkpoint").expect(200);
        let text = String::from_utf8(answer.body).expect("text");
        text.lines().nth(1).and_then(|line| line.parse().ok()).expect("a size")
    };
    let mut least = [size(0), size(1)];
    for turn in 0..12 {
        let record = tus::upload(pair.node(turn), "call.wav", "audio/wav", &recording);
        let session = access::granted(pair.node(turn + 1), &record);
        access::close(pair.node(turn + 1), &session);
        // Whoever has the checkpoint of one node gets from the other what it covers, and never an older one.
        let known = size(turn + 1);
        let auditor = pair.node(turn).person("auditor");
        let edge = auditor.get(&format!("/v1/audit/log/tile/entries/000.p/{known}")).expect(200);
        assert!(!edge.body.is_empty());
        let page = format!("/v1/audit/entries?limit=1&from_index={}&tree_size={known}", known - 1);
        assert_eq!(auditor.get(&page).expect(200).json()["items"][0]["index"], known - 1);
        for node in [turn, turn + 1] {
            let now = size(node);
            assert!(now >= known, "a node shows {now} entries after another one showed {known}");
            let least = &mut least[node % 2];
            assert!(now >= *least, "the log of a node went back from {least} to {now}");
            *least = now;
        }
    }
    let seen = Instant::now();
    while size(0) != size(1) {
        assert!(seen.elapsed() < PATIENCE, "the nodes show different logs");
    }
    pair.verify();
}
