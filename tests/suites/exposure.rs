//! Promise 7, from outside: after an incident the vault says which recordings the leaked version exposes, and what is erased
//! because of it is not among them any more.

use serde_json::json;
use vault_tests::acknowledged::{self, Sent};
use vault_tests::fixtures::{Chance, wav};
use vault_tests::vault::Vault;
use vault_tests::{cli, tus};

fn upload(vault: &Vault, chance: &mut Chance) -> (String, Sent) {
    let recording = wav(20_000, chance);
    let mut sent = Sent::new(tus::create(vault, "call.wav", "audio/wav", recording.len()), recording);
    let _answer = sent.send(&vault.nobody(), sent.left()).expect("an answer").expect(204);
    (sent.record.clone().expect("a finished upload has a record"), sent)
}

#[test]
fn p7_after_an_incident_the_officer_lists_what_is_exposed_and_erasing_it_empties_the_list() {
    let vault = Vault::start();
    let mut chance = Chance::new(0x0E4B);
    let (first, first_sent) = upload(&vault, &mut chance);
    let (second, second_sent) = upload(&vault, &mut chance);
    let exposed = || cli::run(&vault, "key-officer", &["keys", "exposed", "demo", "1"]).expect(0).json();
    let before = exposed();
    assert_eq!((&before["state"], &before["looked_at"]), (&json!("active"), &json!(2)), "{before}");
    let sizes = (first_sent.recording.len() + second_sent.recording.len()) as u64;
    assert_eq!(before["bytes"], json!(sizes));

    let marked = ["keys", "mark-compromised", "demo", "1", "--incident", "INC-7", "--reason", "A dump left the house"];
    let _marked = cli::run(&vault, "key-officer", &marked).expect(0);
    let status = ["keys", "status", "demo", "--watch"];
    let _moved = cli::run(&vault, "key-officer", &status).expect(0);
    // Their keys have moved, they play, and are exposed all the same.
    let after = exposed();
    assert_eq!(
        (&after["state"], after["records"].as_array().map(Vec::len)),
        (&json!("compromised"), Some(2)),
        "{after}"
    );
    for record in after["records"].as_array().expect("records") {
        assert_eq!((&record["how"], &record["key_version"]), (&json!("passed"), &json!(2)));
    }
    acknowledged::play_anew(&vault, &second_sent).unwrap_or_else(|finding| panic!("{finding}"));

    let _erased = cli::run(&vault, "approver", &["erase", &first, "--yes", "--reason", "INC-7"]).expect(0);
    let left = exposed();
    assert_eq!((&left["looked_at"], &left["records"][0]["record_id"]), (&json!(1), &json!(second)), "{left}");
    // Whoever plays or reads the log has no business with it.
    for person in ["analyst", "auditor", "approver"] {
        let refused = cli::run(&vault, person, &["keys", "exposed", "demo", "1"]).expect(1);
        assert_eq!(refused.json()["status"], json!(403), "{person}");
    }
    let _clean = cli::verify_log(&vault).expect(0);
}
