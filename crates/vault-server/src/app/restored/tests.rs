//! A vault that was used, backed up, used on, and put back.

use core::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::app::backup::{BackupError, Folder, Wish, create, restore};
use crate::app::erase;
use crate::app::keys::carry_out_due;
use crate::app::succession::Examination;
use crate::objects::Name;
use crate::objects::faulty::Faulty;
use crate::store::faults::Fault;
use crate::testing::{House, Recordings, oracle, passphrase};
use vault_core::audit::succession::Because;

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

async fn take_in(house: &House, recordings: &Recordings) {
    let whole = recording();
    let (status, begun) = recordings.begin(house, Some(whole.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let (status, said) = recordings.send(house, begun["location"].as_str().unwrap(), 0, whole).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
}

/// Waits until nothing waits for the log any more: what was only committed is in it.
async fn in_the_log(house: &House) {
    let started = std::time::Instant::now();
    while house.vault.store.number("SELECT COUNT(*) FROM log_outbox").await > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "entries wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn backed_up(house: &House, dir: &std::path::Path) -> Folder {
    let (vault, folder) = (house.console().await, Folder::begin(dir).unwrap());
    create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.unwrap();
    vault.close().await;
    folder
}

/// The same with the vault stopped.
async fn put_back_stopped(house: &House, folder: &Folder) -> Result<crate::app::backup::Restored, BackupError> {
    put_back(house, folder, Wish { replace: true, ..Wish::default() }).await
}

async fn put_back(house: &House, folder: &Folder, wish: Wish) -> Result<crate::app::backup::Restored, BackupError> {
    let vault = house.console().await;
    let name = &vault.config.log_name;
    let done = restore(&vault.store, &vault.objects, vault.clock.as_ref(), name, folder, &wish, |_| ()).await;
    vault.close().await;
    done
}

/// Two officers declare a successor of the log.
async fn succeed(house: &House) {
    for who in ["key-officer", "key-officer-2"] {
        let vault = house.console().await;
        let examined = Examination::of(&vault, passphrase(), &[]).await.unwrap();
        match who {
            "key-officer" => examined.propose(house.token(who), Because::KeyCompromised, "Copied").await.unwrap(),
            _ => drop(examined.confirm(house.token(who)).await.unwrap()),
        }
        vault.close().await;
    }
}

#[tokio::test]
async fn p6_p7_rows_of_before_are_held_against_the_log_on_either_engine() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    take_in(&house, &recordings).await;
    let room = tempfile::tempdir().unwrap();
    let folder = Folder::begin(&room.path().join("backup")).unwrap();
    let vault = &house.vault;
    create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.unwrap();
    let (status, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{said}");

    let rotate = json!({"reason": "Due"});
    let (status, said) = house.ask("key-officer", "POST", "/v1/collections/demo/keys/rotate", rotate).await;
    assert!(status.is_success(), "{said}");
    take_in(&house, &recordings).await;

    // Nor one that a node runs on, on this host or another.
    let refused = put_back_stopped(&house, &folder).await.unwrap_err().to_string();
    assert!(refused.contains("on every node"), "{refused}");
    house.stop().await;
    // A database that holds the vault is left alone unless somebody says otherwise.
    let refused = put_back(&house, &folder, Wish::default()).await.unwrap_err().to_string();
    assert!(refused.contains("--replace"), "{refused}");
    let other = Wish { sha256: Some("00".repeat(32)), replace: true, ..Wish::default() };
    assert!(matches!(put_back(&house, &folder, other).await, Err(BackupError::Altered(_))));
    let done = put_back(&house, &folder, Wish { replace: true, ..Wish::default() }).await.unwrap();
    assert!(done.facts.published > done.verified.checked.manifest.log.size && done.facts.parts_missing == 0);

    let house = house.started().await.unwrap();
    let (status, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(
        (&said["reconciled"], &said["uploads_lost"], &said["collections_renewed"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert_eq!(said["versions_lost"][0]["version"], 2, "{said}");
    let (_, keys) = house.ask("key-officer", "GET", "/v1/collections/demo/keys", json!(null)).await;
    let active: Vec<_> = keys["versions"].as_array().unwrap().iter().filter(|key| key["state"] == "active").collect();
    assert_eq!((active.len(), &active[0]["version"]), (1, &json!(3)), "{keys}");
    take_in(&house, &recordings).await;

    // Nothing is destroyed before it is confirmed, and what was lost counts as destroyed afterwards, by the log's word.
    carry_out_due(&house.vault).await.unwrap();
    let reference = crate::app::reference::key_destroyed(
        said["versions_lost"][0]["collection_id"].as_str().unwrap().parse().unwrap(),
        2,
    );
    assert!(house.vault.ledger().unwrap().witness_of(&reference).await.unwrap().is_none());
    let why = json!({"reason": "Looked through"});
    let (status, said) = house.ask("key-officer", "POST", "/v1/restore/confirm", why.clone()).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert!(house.vault.ledger().unwrap().witness_of(&reference).await.unwrap().is_some());
    let (status, _) = house.ask("key-officer-2", "POST", "/v1/restore/confirm", why).await;
    assert_eq!(status, StatusCode::CONFLICT);
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p9_a_backup_of_a_successor_log_is_restored_and_none_from_before_takes_its_key_away() {
    let house = House::new().await;
    let room = tempfile::tempdir().unwrap();
    house.stop().await;
    let older = backed_up(&house, &room.path().join("older")).await;
    succeed(&house).await;
    // Declared, and published nowhere yet: the key is in this database alone.
    let refused = put_back_stopped(&house, &older).await.unwrap_err().to_string();
    assert!(refused.contains("succeeded"), "{refused}");
    let house = house.started().await.unwrap();
    let key = house.vault.ledger.verifier().unwrap();
    house.stop().await;
    let newer = backed_up(&house, &room.path().join("newer")).await;
    // Published, and the database is lost.
    let vault = house.console().await;
    vault.store.by_hand("DELETE FROM log_keys").await;
    vault.close().await;
    let refused = put_back_stopped(&house, &older).await.unwrap_err().to_string();
    assert!(refused.contains("succeeded"), "{refused}");
    put_back_stopped(&house, &newer).await.unwrap();
    let house = house.started().await.unwrap();
    assert_eq!(house.vault.ledger.verifier().unwrap(), key);
    oracle::sound(&house.vault, &[]).await;
}

/// A row lists a version that is there: whoever confirms the restore would make a destroyed one of it.
#[tokio::test]
async fn p7_no_row_of_a_restore_makes_a_lost_version_of_one_that_is_there() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    take_in(&house, &recordings).await;
    let room = tempfile::tempdir().unwrap();
    house.stop().await;
    let folder = backed_up(&house, &room.path().join("backup")).await;
    put_back_stopped(&house, &folder).await.unwrap();
    let house = house.started().await.unwrap();
    let (_, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
    assert_eq!(said["versions_lost"], json!([]), "{said}");
    house
        .by_hand(
            "UPDATE restores SET report = REPLACE(report, '\"versions_lost\":[]', '\"versions_lost\":[{\"collection_id\":\"' ||
             (SELECT id FROM collections) || '\",\"version\":1}]')",
        )
        .await;
    let (_, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
    assert_eq!(said["versions_lost"][0]["version"], 1, "{said}");
    let why = json!({"reason": "Looked through"});
    let (status, said) = house.ask("key-officer", "POST", "/v1/restore/confirm", why).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{said}");
    take_in(&house, &recordings).await;
    oracle::sound(&house.vault, &[]).await;
}

/// Openings that somebody takes away are a finding, whatever a row says of a restore.
#[tokio::test]
async fn p9_no_row_of_a_restore_excuses_an_opening_that_is_gone() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    take_in(&house, &recordings).await;
    house.stop().await;
    let vault = house.console().await;
    vault.store.by_hand("DELETE FROM log_openings WHERE idx = 5").await;
    vault
        .store
        .by_hand(
            "INSERT INTO restores (id, manifest_sha256, backup_at, log_size, restored_at, facts)
             SELECT '01a0d1de-0000-7000-8000-000000000001', 'ab', 0, 0, 0,
               '{\"published\":' || size || ',\"uploads_waited\":0,\"parts_missing\":0,\"records_without_media\":0}'
             FROM log_head",
        )
        .await;
    vault.close().await;
    let house = house.started().await.unwrap();
    let told = "/v1/audit/entries?type=vault.restored";
    while house.ask("auditor", "GET", told, json!(null)).await.1["items"] == json!([]) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = oracle::report(&house.vault, &[]).await;
    assert!(report.findings.iter().any(|finding| finding.code() == "opening_missing"), "{:?}", report.findings);
}

#[tokio::test]
async fn p7_nobody_is_let_in_before_a_restore_is_reconciled() {
    use axum::body::Body;
    use axum::http::{Request, header};
    use tower::ServiceExt as _;
    let house = House::new().await;
    let room = tempfile::tempdir().unwrap();
    house.stop().await;
    let folder = backed_up(&house, &room.path().join("backup")).await;
    put_back_stopped(&house, &folder).await.unwrap();
    let vault = house.console().await;
    let app = crate::http::public(&vault);
    let shown = async || {
        let token = format!("Bearer {}", house.token("key-officer"));
        let request = Request::get("/v1/restore").header(header::AUTHORIZATION, token).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    };
    vault.store.faults.add("reconcile_restore", Fault::NotPersisted);
    assert!(vault.unseal(passphrase()).await.is_err());
    assert_eq!(shown().await, StatusCode::SERVICE_UNAVAILABLE);
    // The next attempt finds out what is left to do.
    vault.unseal(passphrase()).await.unwrap();
    assert_eq!(shown().await, StatusCode::OK);
    assert!(vault.unseal(passphrase()).await.is_err(), "it is open");
    vault.close().await;
}

/// The database was lost between an act's commit and its place in the journal: the published log has the entry, and nobody its openings.
#[tokio::test]
async fn p6_what_the_log_takes_away_and_no_journal_names_stays_restricted() {
    for journalled in [true, false] {
        let objects = std::sync::Arc::new(Faulty::default());
        let house = House::over(objects.objects()).await;
        let recordings = Recordings::open(&house).await;
        take_in(&house, &recordings).await;
        in_the_log(&house).await;
        let room = tempfile::tempdir().unwrap();
        let folder = Folder::begin(&room.path().join("backup")).unwrap();
        let vault = &house.vault;
        create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.unwrap();
        let counter = "SELECT value FROM counters WHERE name = 'restrictions'";
        let before = vault.store.number(counter).await;
        let (_, records) = house.ask("auditor", "GET", "/v1/records", json!(null)).await;
        let record = records["items"][0]["id"].as_str().unwrap().to_owned();
        let why = json!({"reason": "Asked for"});
        let (status, said) = house.ask("approver", "DELETE", &format!("/v1/records/{record}"), why.clone()).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let person = format!("/v1/people/{}/disable", house.id("analyst"));
        let (status, said) = house.ask("administrator", "POST", &person, why.clone()).await;
        assert!(status.is_success(), "{said}");
        let after = vault.store.number(counter).await;
        in_the_log(&house).await;
        house.stop().await;
        if !journalled {
            let vault = house.console().await;
            for number in before + 1..=after {
                vault.objects.delete(&Name::journal(number)).await.unwrap();
            }
            vault.close().await;
        }
        put_back_stopped(&house, &folder).await.unwrap();
        let house = house.started().await.unwrap();
        let (_, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
        let doubts = u64::from(!journalled);
        assert_eq!(
            (&said["collections_in_doubt"], &said["rights_in_doubt"]),
            (&json!(doubts), &json!(doubts)),
            "{said}"
        );
        let (_, collection) = house.ask("administrator", "GET", "/v1/collections/demo", json!(null)).await;
        assert_eq!(collection["state"], if journalled { "open" } else { "suspended" }, "{collection}");
        let (status, _) = recordings.begin(&house, Some(recording().len())).await;
        assert_eq!(status == StatusCode::CREATED, journalled, "{status}");
        // Somebody has looked, and opens it again.
        if !journalled {
            let open = "/v1/collections/demo/open";
            let (status, said) = house.ask("administrator", "POST", open, json!({})).await;
            assert_eq!(status, StatusCode::OK, "{said}");
            assert_eq!(recordings.begin(&house, Some(recording().len())).await.0, StatusCode::CREATED);
        }
        // By the openings that the erasure lists, which came back with the backup, it is known which record was erased.
        erase::again(&house.vault).await.unwrap();
        let (_, shown) = house.ask("auditor", "GET", &format!("/v1/records/{record}"), json!(null)).await;
        assert_eq!(shown["state"], "erased", "{shown}");
        oracle::sound(&house.vault, &[]).await;
    }
}

/// A collection that was suspended after the backup comes back suspended, by the log's word.
#[tokio::test]
async fn p6_a_collection_that_was_suspended_since_the_backup_is_so_again() {
    let objects = std::sync::Arc::new(Faulty::default());
    let house = House::over(objects.objects()).await;
    let recordings = Recordings::open(&house).await;
    let room = tempfile::tempdir().unwrap();
    let folder = Folder::begin(&room.path().join("backup")).unwrap();
    let vault = &house.vault;
    create(&vault.store, &vault.objects, vault.clock.as_ref(), &vault.config.log_name, &folder).await.unwrap();
    let counter = "SELECT value FROM counters WHERE name = 'restrictions'";
    let before = vault.store.number(counter).await;
    let suspend = "/v1/collections/demo/suspend";
    let (status, said) = house.ask("administrator", "POST", suspend, json!({"reason": "Looked into"})).await;
    assert!(status.is_success(), "{said}");
    let after = vault.store.number(counter).await;
    house.stop().await;
    let vault = house.console().await;
    for number in before + 1..=after {
        vault.objects.delete(&Name::journal(number)).await.unwrap();
    }
    vault.close().await;
    put_back_stopped(&house, &folder).await.unwrap();
    let house = house.started().await.unwrap();
    let (_, said) = house.ask("key-officer", "GET", "/v1/restore", json!(null)).await;
    assert_eq!(said["collections_in_doubt"], 1, "{said}");
    assert_ne!(recordings.begin(&house, Some(recording().len())).await.0, StatusCode::CREATED);
    oracle::sound(&house.vault, &[]).await;
}
