//! Uploads that go from node to node.

use std::sync::{Barrier, Mutex};
use std::time::Duration;

use serde_json::json;
use vault_tests::access;
use vault_tests::fixtures::{Chance, media, wav};
use vault_tests::http::Answer;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;

use super::Pair;

/// Sends what is left in small pieces, each to the other node; the record.
fn finish_by_turns(pair: &Pair, upload: &Upload, recording: &[u8], chance: &mut Chance) -> String {
    let mut turn = 0;
    loop {
        let node = pair.node(turn);
        let offset = usize::try_from(upload.offset(node)).expect("small");
        let left = &recording[offset..];
        let length = usize::try_from(chance.between(1, 90_000)).expect("small").min(left.len());
        let answer = upload.patch(node, offset as u64, &left[..length]).expect(204);
        if let Some(record) = answer.header("vault-record-id") {
            return record.to_owned();
        }
        turn += 1;
    }
}

fn plays_on_both(pair: &Pair, record: &str, recording: &[u8]) {
    for (by, of) in pair.both_ways() {
        let session = access::granted(by, record);
        assert!(access::play(of, &session) == recording, "{record} differs");
        access::close(of, &session);
    }
}

#[test]
fn p3_an_upload_that_hops_nodes_at_every_patch_is_whole() {
    let pair = Pair::start();
    let mut chance = Chance::new(0x0307);
    let video = media("chromium-video.webm");
    for (name, kind, recording) in [
        ("video.webm", "video/webm;codecs=vp8,opus", video),
        ("call.wav", "audio/wav", wav(900_000, &mut chance)),
        ("short.wav", "audio/wav", wav(3_000, &mut chance)),
    ] {
        let upload = tus::create(&pair.one, name, kind, recording.len());
        let record = finish_by_turns(&pair, &upload, &recording, &mut chance);
        for node in [&pair.one, &pair.two] {
            assert_eq!(upload.record(node).as_deref(), Some(record.as_str()));
        }
        plays_on_both(&pair, &record, &recording);
    }
    pair.verify();
}

#[test]
fn p3_a_line_that_breaks_on_one_node_goes_on_at_the_other() {
    let pair = Pair::start();
    let mut chance = Chance::new(0x0308);
    let recording = wav(700_000, &mut chance);
    let upload = tus::create(&pair.two, "call.wav", "audio/wav", recording.len());
    let mut least = 0;
    for turn in 0..6 {
        let (at, next) = (pair.node(turn), pair.node(turn + 1));
        let offset = upload.offset(at);
        assert!(offset >= least, "a confirmed offset went back from {least} to {offset}");
        let rest = &recording[usize::try_from(offset).expect("small")..];
        upload.patch_cut(at, offset, rest, usize::try_from(chance.between(1, 80_000)).expect("small"));
        // What the broken request still does on its node is fenced off by this one.
        let offset = upload.offset(next);
        let chunk = &recording[usize::try_from(offset).expect("small")..][..20_000];
        let answer = upload.try_patch(&next.nobody(), offset, chunk).expect("an answer");
        assert!([204, 409].contains(&answer.status), "{answer}");
        least = upload.offset(next).max(least);
    }
    let record = finish_by_turns(&pair, &upload, &recording, &mut chance);
    plays_on_both(&pair, &record, &recording);
    pair.verify();
}

#[test]
fn p3_two_nodes_that_write_at_once_keep_one_recording() {
    let pair = Pair::start();
    let mut chance = Chance::new(0x0309);
    let recording = wav(600_000, &mut chance);
    let upload = tus::create(&pair.one, "call.wav", "audio/wav", recording.len());
    let start = Barrier::new(2);
    // Set by either, read by both between the same two barriers: nobody waits for one that has left.
    let over: Mutex<Option<Result<(), String>>> = Mutex::new(None);
    let turn = |node: &Vault, chance: &mut Chance, head: &Answer| -> Result<bool, String> {
        let offset: Option<usize> = head.header("upload-offset").and_then(|n| n.parse().ok());
        let offset = offset.ok_or_else(|| format!("no offset: {head}"))?;
        if head.header("vault-record-id").is_some() {
            return Ok(true);
        }
        let length = usize::try_from(chance.between(1, 120_000)).expect("small").min(recording.len() - offset);
        match upload.try_patch(&node.nobody(), offset as u64, &recording[offset..offset + length]) {
            Some(answer) if [204, 409, 423].contains(&answer.status) => Ok(false),
            Some(answer) => Err(answer.to_string()),
            None => Err("no answer".to_owned()),
        }
    };
    let send = |node: &Vault, seed: u64| {
        let mut chance = Chance::new(seed);
        loop {
            start.wait();
            let head = upload.head(node);
            let left = over.lock().expect("no panic").is_some();
            // Both look before either writes.
            start.wait();
            if left {
                return;
            }
            match turn(node, &mut chance, &head) {
                Ok(false) => {}
                Ok(true) => {
                    over.lock().expect("no panic").get_or_insert(Ok(()));
                }
                Err(why) => *over.lock().expect("no panic") = Some(Err(why)),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| send(&pair.one, 1));
        scope.spawn(|| send(&pair.two, 2));
    });
    assert_eq!(over.into_inner().expect("no panic"), Some(Ok(())));
    let record = upload.record(&pair.two).expect("a record");
    assert_eq!(upload.record(&pair.one), Some(record.clone()));
    plays_on_both(&pair, &record, &recording);
    pair.verify();
}

#[test]
fn p7_a_rotation_on_one_node_is_followed_by_the_other() {
    let pair = Pair::start();
    let mut chance = Chance::new(0x0701);
    let first = wav(50_000, &mut chance);
    let before = tus::upload(&pair.two, "before.wav", "audio/wav", &first);
    let collection = pair.one.dev.collection.clone();
    for (round, by) in [(0, &pair.one), (1, &pair.two), (2, &pair.one)] {
        let (officer, why) = (by.person("key-officer"), json!({"reason": format!("round {round}")}));
        let rotated = officer.post(&format!("/v1/collections/{collection}/keys/rotate"), &why);
        assert!([200, 202].contains(&rotated.status), "{rotated}");
        let rotated = officer.post("/v1/root/rotate", &why);
        assert!([200, 202].contains(&rotated.status), "{rotated}");
        for node in [&pair.one, &pair.two] {
            let recording = wav(30_000, &mut chance);
            let record = tus::upload(node, "after.wav", "audio/wav", &recording);
            plays_on_both(&pair, &record, &recording);
        }
        plays_on_both(&pair, &before, &first);
        // One rotation of a collection at a time: the last one's record keys are moved.
        let waited = std::time::Instant::now();
        let path = format!("/v1/collections/{collection}/keys");
        while pair.two.person("key-officer").get(&path).expect(200).json()["rotation"]["state"] != "done" {
            assert!(waited.elapsed() < Duration::from_secs(60), "a rotation does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    pair.verify();
}
