//! Promise 7, from outside: after an incident the vault says which recordings the leaked version exposes, and what is erased
//! because of it, or encrypted anew, is not among them any more.

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

#[test]
fn p7_after_an_incident_the_officer_has_everything_encrypted_anew_and_the_list_is_empty() {
    let vault = Vault::start();
    let mut chance = Chance::new(0x0E4C);
    let sent: Vec<Sent> = (0..3).map(|_| upload(&vault, &mut chance).1).collect();
    for one in &sent {
        acknowledged::play_anew(&vault, one).unwrap_or_else(|finding| panic!("{finding}"));
    }
    let officer = |args: &[&str], code: i32| cli::run(&vault, "key-officer", args).expect(code).json();
    let exposed = || officer(&["keys", "exposed", "demo", "1"], 0)["records"].as_array().map(Vec::len);
    let anew = ["records", "reencrypt", "demo", "--exposed-by", "1", "--reason", "INC-7"];
    // Nothing approves it before the incident is in the log; what it would cost can be asked.
    let plan = officer(&[&anew[..], &["--plan"]].concat(), 0);
    let bytes: usize = sent.iter().map(|one| one.recording.len()).sum();
    assert_eq!((&plan["records"], &plan["bytes"]), (&json!(3), &json!(bytes)), "{plan}");
    assert_eq!(officer(&anew, 1)["code"], json!("key_unusable"));
    assert_eq!(officer(&["records", "reencrypt", "demo", "--status"], 0)["reencryption"], json!(null));

    let marked = ["keys", "mark-compromised", "demo", "1", "--incident", "INC-7", "--reason", "A dump left the house"];
    let _marked = officer(&marked, 0);
    assert_eq!(exposed(), Some(3));
    // Its keys are still moving perhaps: it waits for them.
    let done = officer(&[&anew[..], &["--wait"]].concat(), 0);
    assert_eq!((&done["state"], &done["done"], &done["damaged"]), (&json!("done"), &json!(3), &json!(0)), "{done}");
    assert_eq!(exposed(), Some(0));
    for one in &sent {
        acknowledged::play_anew(&vault, one).unwrap_or_else(|finding| panic!("{finding}"));
    }
    let record = sent[0].record.clone().expect("a record");
    let single =
        ["records", "reencrypt", "demo", "--record", &record, "--incident", "INC-8", "--reason", "Seen", "--wait"];
    assert_eq!(officer(&single, 0)["done"], json!(1));
    acknowledged::play_anew(&vault, &sent[0]).unwrap_or_else(|finding| panic!("{finding}"));
    assert_eq!(officer(&["records", "reencrypt", "demo", "--cancel"], 1)["code"], json!("reencryption_not_running"));
    assert_eq!(officer(&["keys", "verify"], 0)["findings"], json!([]));
    for person in ["analyst", "auditor", "approver"] {
        assert_eq!(cli::run(&vault, person, &single).expect(1).json()["status"], json!(403), "{person}");
    }
    let _clean = cli::verify_log(&vault).expect(0);
}
