//! Promise 9: the log convinces a stranger, who has the public key, perhaps a checkpoint seen before, and `vault-cli`.

use std::path::Path;

use serde_json::Value;
use vault_tests::cli::{self, Ended};
use vault_tests::fixtures::media;
use vault_tests::http::{Answer, Caller};
use vault_tests::nodes::comes_to_be_shown;
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

/// A played recording: a log with something to tell.
fn lived_in() -> Vault {
    let vault = Vault::start();
    play_one(&vault);
    vault
}

fn play_one(vault: &Vault) {
    let record = tus::upload(vault, "voice.webm", "audio/webm", &media("chromium-voice.webm"));
    let session = access::granted(vault, &record);
    let _heard = access::play(vault, &session);
    access::close(vault, &session);
    let closed = |auditor: &Caller| auditor.get("/v1/audit/entries?type=playback.closed").expect(200);
    let whole = |page: &Answer| {
        let items = page.json()["items"].as_array().expect("items").clone();
        items.iter().any(|item| item["openings"].to_string().contains(&session.session_id))
    };
    comes_to_be_shown(&vault.person("auditor"), closed, whole);
}

fn verify(vault: &Vault, more: &[&str]) -> Ended {
    let mut arguments = vec!["audit", "verify", "--public-key", &vault.dev.log_public_key];
    arguments.extend(more);
    cli::run(vault, "auditor", &arguments)
}

fn export(vault: &Vault, name: &str) -> Vec<u8> {
    let _done = cli::run(vault, "auditor", &["audit", "export", "--out", name]).expect(0);
    std::fs::read(vault.room().join(name)).expect("the export")
}

fn verify_offline(vault: &Vault, more: &[&str]) -> Ended {
    let mut command = cli::offline(vault);
    // An address in the environment does not get in the way of an offline verification.
    command.env("FEEDBACK_VAULT_URL", "http://127.0.0.1:9");
    command.args(["audit", "verify", "--public-key", &vault.dev.log_public_key]).args(more);
    cli::ended(command)
}

#[test]
fn p9_a_log_verifies_from_the_server_and_from_an_export_and_extends_what_was_seen() {
    let vault = lived_in();
    let first = verify(&vault, &["--save-checkpoint", "seen"]).expect(0);
    assert!(first.json().is_object(), "{first:?}");
    play_one(&vault);
    let _extends = verify(&vault, &["--known-checkpoint", "seen"]).expect(0);
    let _export = export(&vault, "log.bundle");
    let _offline = verify_offline(&vault, &["--bundle", "log.bundle", "--known-checkpoint", "seen"]).expect(0);
}

#[test]
fn p9_a_byte_changed_anywhere_in_an_export_is_found_or_changes_nothing() {
    let vault = lived_in();
    let bundle = export(&vault, "log.bundle");
    let text = String::from_utf8(bundle.clone()).expect("an export is text");
    // Every kind of thing that an entry says, and the checkpoint.
    for needle in ["playback.opened", "access.approved", "upload.completed", "sample", "\"at\""] {
        let Some(at) = text.find(needle) else { continue };
        let mut forged = bundle.clone();
        forged[at + 1] ^= 1;
        forged_is_found(&vault, &forged, needle);
    }
    // Shortened at the end, and in the middle.
    forged_is_found(&vault, &bundle[..bundle.len() * 2 / 3], "truncated");
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > 6 {
        let without = lines.iter().enumerate().filter(|(at, _)| *at != lines.len() / 2).map(|(_, line)| *line);
        forged_is_found(&vault, without.collect::<Vec<_>>().join("\n").as_bytes(), "a line left out");
    }
}

#[track_caller]
fn forged_is_found(vault: &Vault, forged: &[u8], what: &str) {
    std::fs::write(vault.room().join("forged.bundle"), forged).expect("written");
    let ended = verify_offline(vault, &["--bundle", "forged.bundle"]);
    assert_eq!(ended.code, Some(3), "{what}: a forged export: {ended:?}");
}

#[test]
fn p9_another_log_does_not_pass_for_this_one() {
    let (mine, other) = (lived_in(), lived_in());
    let _saved = verify(&mine, &["--save-checkpoint", "seen"]).expect(0);
    let theirs = export(&other, "log.bundle");
    std::fs::write(mine.room().join("theirs.bundle"), theirs).expect("written");
    // The other log under its own key is sound; under my key it is not, and it does not extend what I saw.
    let under_mine = verify_offline(&mine, &["--bundle", "theirs.bundle"]);
    assert!(matches!(under_mine.code, Some(1 | 3)), "{under_mine:?}");
    let seen = copy(&mine.room().join("seen"), &other);
    let fork = verify(&other, &["--known-checkpoint", &seen]);
    assert!(matches!(fork.code, Some(1..=3)), "a checkpoint of another log was taken as seen: {fork:?}");
}

fn copy(file: &Path, to: &Vault) -> String {
    let bytes = std::fs::read(file).expect("the checkpoint");
    std::fs::write(to.room().join("foreign"), bytes).expect("written");
    "foreign".to_owned()
}

#[test]
fn the_newest_entries_and_a_proof_of_one() {
    let vault = lived_in();
    let tail = cli::run(&vault, "auditor", &["audit", "tail"]).expect(0).json();
    let entries = tail["items"].as_array().or_else(|| tail.as_array()).expect("entries");
    assert!(entries.iter().any(|item| item["entry"]["type"] == "playback.closed"), "{tail}");
    let index = entries.iter().find_map(|item| item["index"].as_u64()).expect("an index").to_string();
    let key = &vault.dev.log_public_key;
    let arguments = ["audit", "prove", &index, "--public-key", key, "--out", "entry.tlog-proof"];
    let proven = cli::run(&vault, "auditor", &arguments).expect(0);
    assert!(matches!(proven.json(), Value::Object(_)));
    let proof = std::fs::read_to_string(vault.room().join("entry.tlog-proof")).expect("the proof");
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1"), "{proof}");
    let beyond = cli::run(&vault, "auditor", &["audit", "prove", "99999", "--public-key", key]);
    assert!(matches!(beyond.code, Some(1 | 2)), "{beyond:?}");
    let _not_theirs = cli::run(&vault, "analyst", &["audit", "tail"]).expect(1);
}
