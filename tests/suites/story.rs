//! The main job, whole: a recording goes in encrypted, comes out only with approval, and the log proves both.

use serde_json::{Value, json};
use vault_tests::fixtures::{MEDIA, media};
use vault_tests::http::{Answer, Caller};
use vault_tests::nodes::{comes_to_be_shown, within_the_promise};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

#[test]
fn each_recording_comes_out_as_it_went_in_and_the_log_proves_it() {
    let mut vault = Vault::start();
    let mut records = Vec::new();
    for (name, filetype) in MEDIA {
        let recording = media(name);
        let record = in_and_out(&vault, name, filetype, &recording);
        records.push((record, recording));
    }
    tells(&vault, MEDIA.len());
    cli_verifies(&vault);

    // The same again after an orderly stop: tokens, grants and recordings carry on.
    assert!(vault.stop().success(), "SIGTERM drains and exits 0");
    vault.launch();
    for (record, recording) in &records {
        let session = access::granted(&vault, record);
        assert!(access::play(&vault, &session) == *recording, "a recording changed over a restart");
        access::close(&vault, &session);
    }
    cli_verifies(&vault);
}

fn in_and_out(vault: &Vault, name: &str, filetype: &str, recording: &[u8]) -> String {
    // In: in three pieces that keep to no boundary.
    let upload = tus::create(vault, name, filetype, recording.len());
    let third = recording.len() / 3;
    let mut offset = 0;
    for piece in [&recording[..third], &recording[third..2 * third + 1], &recording[2 * third + 1..]] {
        let answer = upload.patch(vault, offset, piece).expect(204);
        offset += piece.len() as u64;
        assert_eq!(answer.header("upload-offset"), Some(offset.to_string().as_str()), "{name}");
    }
    let record = upload.record(vault).expect("complete");
    let shown = vault.person("analyst").get(&format!("/v1/records/{record}")).expect(200).json();
    assert_eq!(shown["state"], "available", "{name}: {shown}");
    assert_eq!(shown["size_bytes"], recording.len(), "{name}: {shown}");
    let kind = filetype.split(['/', ';']).next().expect("a type");
    assert_eq!(shown["kind"], kind, "{name}: {shown}");

    // Nothing before the approval, by nobody.
    let request = access::request(vault, "analyst", &record, "Hear what was said", "C-2026-118");
    access::try_open(&vault.person("analyst"), &request, &json!({})).refused(403, "grant_not_in_force");

    // Out: whole, and by seeks.
    let _grant = access::approve(vault, "approver", &request);
    let session = access::open(vault, "analyst", &request);
    assert!(access::play(vault, &session) == recording, "{name}: the whole recording");
    let last = recording.len() as u64 - 1;
    for range in [0..=0, 0..=last, last..=last, 65_535..=65_536, 1_000..=9_999, last / 2..=last / 2 + 20_000] {
        let range = (*range.start()).min(last)..=(*range.end()).min(last);
        let expected = &recording[*range.start() as usize..=*range.end() as usize];
        assert!(access::play_range(vault, &session, range.clone()) == expected, "{name}: {range:?}");
    }
    let whole = vault.person("analyst").send("HEAD", &session.playback_url, &[], &[]).expect(200);
    assert_eq!(whole.header("content-length"), Some(recording.len().to_string().as_str()));
    for (header, expected) in
        [("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("accept-ranges", "bytes")]
    {
        let value = whole.header(header).unwrap_or_default();
        assert!(value.contains(expected), "{name}: {header}: {value}");
    }
    let policy = whole.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{name}: {policy}");
    assert!(whole.header("content-type").is_some_and(|served| served.starts_with(kind)), "{name}: {whole:?}");
    access::close(vault, &session);
    let play = |analyst: &Caller| analyst.send("GET", &session.playback_url, &[("range", "bytes=0-9")], &[]);
    within_the_promise(&vault.person("analyst"), play, |after| matches!(after.status, 404 | 410));
    record
}

/// The log has an entry for each step.
fn tells(vault: &Vault, recordings: usize) {
    let auditor = vault.person("auditor");
    let closed = "/v1/audit/entries?limit=500&type=playback.closed";
    comes_to_be_shown(&auditor, |auditor| auditor.get(closed).expect(200), |page| items(page).len() == recordings);
    let page = auditor.get("/v1/audit/entries?limit=500").expect(200);
    let entries = items(&page);
    let count = |kind: &str| entries.iter().filter(|item| item["entry"]["type"] == kind).count();
    for kind in ["upload.completed", "access.requested", "access.approved", "playback.opened", "playback.closed"] {
        assert_eq!(count(kind), recordings, "{kind}");
    }
    let opened: Vec<&Value> = entries.iter().filter(|item| item["entry"]["type"] == "playback.opened").collect();
    for entry in opened {
        let slots: Vec<&str> =
            entry["openings"].as_array().expect("openings").iter().filter_map(|o| o["slot"].as_str()).collect();
        assert!(!slots.is_empty(), "playback.opened names nobody: {entry}");
    }
}

fn items(page: &Answer) -> Vec<Value> {
    page.json()["items"].as_array().expect("items").clone()
}

fn cli_verifies(vault: &Vault) {
    let _clean = cli::verify_log(vault).expect(0);
}
