//! Promise 7 from outside: a key version that was destroyed is nowhere on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::destruction::{Destruction, DestructionState};
use vault_api::keys::{CollectionKeys, KeyState};
use vault_tests::canary::Canary;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::vault::Vault;
use vault_tests::{cli, copies, database, tus};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn p7_a_destroyed_version_is_nowhere_in_the_data_directory() {
    let vault = Vault::start();
    let record = tus::upload(&vault, "call.wav", "audio/wav", &wav(40_000, &mut Chance::new(0x5eed_0007)));
    let wrap = "SELECT k.wrap FROM keks k JOIN collections c ON c.id = k.collection_id WHERE k.version = 1";
    let wrap = database::blobs(&vault, wrap).pop().expect("a wrap");
    assert_eq!(wrap.len(), 129);
    // The part that is random: the rest of it is in every wrap.
    let wrap = Canary::new("the wrap of version 1", &wrap[25..]);
    let is_kept = || copies::places(&vault).iter().any(|place| lies_in(place, &wrap));
    assert!(is_kept(), "the search finds what is there");

    let officer = vault.person("key-officer");
    let keys = format!("/v1/collections/{}/keys", vault.dev.collection);
    let refused = officer.post(&format!("{keys}/1/destroy"), &json!({"reason": "Yearly"}));
    refused.refused(409, "key_in_use");
    let _begun = officer.post(&format!("{keys}/rotate"), &json!({"reason": "Yearly"})).expect(202);
    let start = Instant::now();
    let asked = loop {
        let asked = officer.post(&format!("{keys}/1/destroy"), &json!({"reason": "Yearly"}));
        if asked.status == 202 {
            break asked.read::<Destruction>();
        }
        assert!(asked.status == 409 && start.elapsed() < PATIENCE, "{asked}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(asked.state, DestructionState::Requested);
    let confirm = format!("{keys}/1/destroy/confirm");
    officer.post(&confirm, &json!({})).refused(403, "self_approval");
    let done = vault.person("key-officer-2").post(&confirm, &json!({})).expect(200).read::<Destruction>();
    assert_eq!(done.state, DestructionState::Done, "dev waits for nothing");

    let shown: CollectionKeys = officer.get(&keys).expect(200).read();
    let first = shown.versions.iter().find(|version| version.version == 1).expect("it is listed");
    assert_eq!((first.state, shown.destructions.len()), (KeyState::Destroyed, 0));
    let held = "SELECT COUNT(*) FROM keks WHERE state = 'destroyed' AND length(wrap) > 0";
    assert_eq!(database::number(&vault, held), 0);
    // The database's own log is emptied as soon as no reader stands in the way.
    let start = Instant::now();
    while is_kept() {
        assert!(start.elapsed() < PATIENCE, "the wrap of a destroyed version is kept");
        std::thread::sleep(Duration::from_millis(200));
    }
    let shown = vault.person("analyst").get(&format!("/v1/records/{record}")).expect(200);
    assert_eq!(shown.text("state"), "available");
    let _clean = cli::verify_log(&vault).expect(0);
}

/// Whether a file, or some file below a folder, holds it, in whatever form.
fn lies_in(place: &Path, wrap: &Canary) -> bool {
    if !place.is_dir() {
        // A file that is gone by now holds nothing.
        return wrap.found_in(&std::fs::read(place).unwrap_or_default()).is_some();
    }
    let mut entries = std::fs::read_dir(place).expect("a folder of the vault's");
    entries.any(|entry| lies_in(&entry.expect("readable").path(), wrap))
}
