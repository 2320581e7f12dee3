//! A vault that was used, backed up and looked at by a stranger.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::http::StatusCode;
use serde_json::json;

use super::{BackupError, Folder, MANIFEST, Made, create, gone, verify};
use crate::testing::{House, Recordings};

/// µ-law WAV.
fn recording() -> Vec<u8> {
    let data = 2_000_u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(data.to_le_bytes());
    wav.resize(wav.len() + 2_000, 0x55);
    wav
}

async fn lived() -> House {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    let whole = recording();
    let (status, begun) = recordings.begin(&house, Some(whole.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let (status, said) = recordings.send(&house, begun["location"].as_str().unwrap(), 0, whole).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    let ask = json!({"reason": "Due"});
    let (status, said) = house.ask("key-officer", "POST", "/v1/root/rotate", ask).await;
    assert!(status.is_success(), "{said}");
    house
}

async fn made(house: &House, dir: &Path) -> Made {
    let vault = &house.vault;
    let folder = Folder::begin(dir).unwrap();
    create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.unwrap()
}

#[tokio::test]
async fn a_backup_is_whole_private_and_of_one_position_of_the_log() {
    let house = lived().await;
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("backup");
    // One that was not finished is begun again.
    drop(Folder::begin(&dir).unwrap().write(&vault_core::backup::TABLES[0]).unwrap());
    let made = made(&house, &dir).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&dir), 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, vault_core::backup::TABLES.len() + 1);
    let key = made.manifest.log.public_key.clone();
    let verified = verify(&Folder::at(&dir), Some(&key), Some(&made.sha256)).unwrap();
    assert_eq!(verified.checked.manifest, made.manifest);
    assert_eq!(made.manifest.needs.keys.iter().map(|k| (k.records, k.root_epoch)).max(), Some((1, 2)));
    assert_eq!(gone(&verified.checked, &house.vault.store, &house.vault.objects).await.unwrap(), Vec::<String>::new());
    // A finished one is not overwritten.
    assert!(matches!(Folder::begin(&dir), Err(BackupError::InTheWay(_))));
    let other = "vault.example/log+00000000+AAAA";
    assert!(matches!(verify(&Folder::at(&dir), Some(other), None), Err(BackupError::Altered(_))));
    assert!(matches!(verify(&Folder::at(&dir), None, Some("00")), Err(BackupError::Altered(_))));
}

/// Whoever keeps the backups alters one, and makes the manifest's sums true again.
#[tokio::test]
async fn p9_an_entry_that_is_changed_or_left_out_is_found_whatever_the_sums_say() {
    let house = lived().await;
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("backup");
    let _made = made(&house, &dir).await;
    let entries = std::fs::read_to_string(dir.join("log_entries.jsonl")).unwrap();
    let whole = std::fs::read_to_string(dir.join(MANIFEST)).unwrap();
    let put = |name: &str, text: &str, summed: bool| {
        std::fs::write(dir.join(name), text).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let tables = manifest["tables"].as_array_mut().unwrap();
        let table = tables.iter_mut().find(|t| name == format!("{}.jsonl", t["name"].as_str().unwrap())).unwrap();
        if summed {
            table["rows"] = json!(text.lines().count());
            table["bytes"] = json!(text.len());
            table["sha256"] = json!(hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text)));
        }
        std::fs::write(dir.join(MANIFEST), manifest.to_string()).unwrap();
    };
    let told = || verify(&Folder::at(&dir), None, None).unwrap_err().to_string();
    let lines: Vec<&str> = entries.lines().collect();
    let changed = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();

    put("log_entries.jsonl", &changed(&lines[..lines.len() - 1]), false);
    assert_eq!(told(), "the backup is not whole, or was altered: log_entries.jsonl is not what the manifest says");
    put("log_entries.jsonl", &changed(&lines[..lines.len() - 1]), true);
    assert_eq!(told(), "the backup is not whole, or was altered: its entries are not those that the log's key signed");
    put("log_entries.jsonl", &changed(&[&lines[..3], &lines[4..]].concat()), true);
    assert_eq!(told(), "the backup is not whole, or was altered: an entry of the log is missing");
    let forged = lines[3].replacen("[3,\"", "[3,\"AAAA", 1);
    put("log_entries.jsonl", &changed(&[&lines[..3], &[&forged], &lines[4..]].concat()), true);
    assert_eq!(told(), "the backup is not whole, or was altered: its entries are not those that the log's key signed");
    let persons = std::fs::read_to_string(dir.join("persons.jsonl")).unwrap();
    let two: Vec<&str> = persons.lines().take(2).collect();
    for twice in [[two[1], two[0]], [two[0], two[0]]] {
        put("log_entries.jsonl", &entries, true);
        put("persons.jsonl", &changed(&twice), true);
        assert!(told().contains("its key does not come after the one before"), "{}", told());
    }
    put("persons.jsonl", &persons, true);
    put("log_entries.jsonl", &entries.replacen("[0,", "[0, ", 1), true);
    assert!(told().contains("log_entries.jsonl, line 1: not in the one form"), "{}", told());
    put("log_entries.jsonl", &entries, true);
    assert!(verify(&Folder::at(&dir), None, None).is_ok());

    let records = std::fs::read_to_string(dir.join("records.jsonl")).unwrap();
    assert!(!records.is_empty());
    put("records.jsonl", "", true);
    assert!(told().contains("it needs other keys than the manifest says"), "{}", told());
    std::fs::remove_file(dir.join("records.jsonl")).unwrap();
    assert!(matches!(verify(&Folder::at(&dir), None, None), Err(BackupError::Io { .. })));
}

#[tokio::test]
async fn p7_a_destroyed_key_is_told_of_the_backup_that_hangs_on_it() {
    let house = lived().await;
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("backup");
    let made = made(&house, &dir).await;
    let checked = verify(&Folder::at(&dir), None, None).unwrap().checked;
    let epoch = made.manifest.needs.log_seed;
    let tag = vault_core::keys::wrap::RootRef { keyring: made.manifest.vault_id, epoch }.tag();
    let restriction = crate::app::restrict::Restriction::root_destroyed(tag);
    let mut tx = house.vault.store.begin("test").await.unwrap();
    let imposed = house.vault.restrictions.impose(&mut tx, restriction, house.vault.clock.now()).await.unwrap();
    house.vault.restrictions.commit(tx, imposed).await.unwrap();
    let told = gone(&checked, &house.vault.store, &house.vault.objects).await.unwrap();
    assert!(told.len() >= 2 && told.iter().all(|what| what.contains("root epoch 2 is destroyed")), "{told:?}");
}
