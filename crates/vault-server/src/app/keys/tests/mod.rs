//! Rotation while the vault is used, cut short, and over rows that somebody has edited.

mod compromise;
mod control;
mod exposure;
mod nodes;
mod policies;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::ids::{CollectionId, CollectionName, ObjectId, RecordId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::wrap::{ChildKind, KekRef};

use super::{rewrap_all, settle_root};
use crate::app::collections;
use crate::custody::KeyError;
use crate::state::Vault;
use crate::store::faults::Fault;
use crate::store::keys;
use crate::store::records::{self, ObjectRow, RecordRow, RecordState};
use crate::store::uploads::ConsentTerms;
use crate::testing::{House, NOW, collection, oracle};

const DAYS: Duration = Duration::from_hours(24);
const KEYS: &str = "/v1/collections/calls/keys";
const ROTATE: &str = "/v1/collections/calls/keys/rotate";

async fn house() -> (House, CollectionId) {
    house_with(Value::Null).await
}

/// A vault with the collection `calls`, whose policy says this of its keys.
async fn house_with(policy: Value) -> (House, CollectionId) {
    let house = House::new().await;
    let mut body = collection("calls", "2030-01-01T00:00:00Z");
    if !policy.is_null() {
        body["keys"] = policy;
    }
    assert_eq!(house.ask("administrator", "POST", "/v1/collections", body).await.0, StatusCode::CREATED);
    let name: CollectionName = "calls".parse().unwrap();
    let id = collections::find(&house.vault, &name).await.unwrap().id;
    (house, id)
}

fn record(n: u16) -> RecordId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    RecordId::from_bytes(bytes)
}

/// A record as adoption leaves it, without media.
async fn put(vault: &Vault, collection: CollectionId, id: RecordId) {
    try_put(vault, collection, id).await.unwrap();
}

async fn try_put(vault: &Vault, collection: CollectionId, id: RecordId) -> Result<(), KeyError> {
    let policy = collections::get(vault, collection).await.unwrap().policy.key_policy();
    let mut tx = vault.store.begin("test").await.unwrap();
    let key = RecordKey::generate();
    let wrapped = vault.keys.wrap_record_key(&mut tx, collection, &policy, id, &key).await?;
    let row = RecordRow {
        id,
        collection,
        state: RecordState::Available,
        kek_version: wrapped.0,
        wrap: Some(wrapped.1),
        pseudonym: None,
        details: None,
        consent: None,
        terms: ConsentTerms { purposes: Vec::new(), expires_at: None, notice_sha256: [0; 32] },
        media: "audio".to_owned(),
        content_type: "audio/webm".to_owned(),
        size: 0,
        received_at: NOW,
        retain_until: None,
        key_tag: Some(key.field_key().tag()),
    };
    let object = ObjectRow {
        id: ObjectId::from_bytes(*id.as_bytes()),
        content_type: "audio/webm".to_owned(),
        header: Vec::new(),
        segment_length: 65_536,
        plaintext_length: 0,
    };
    records::insert(&mut tx, &row, &object).await.unwrap();
    tx.commit().await.unwrap();
    Ok(())
}

async fn opens(vault: &Vault, id: RecordId) -> Option<u32> {
    let row = records::find(&vault.store, id).await.unwrap().unwrap();
    let opened = vault.keys.unwrap_record_key(row.collection, id, row.kek_version, &row.wrap.unwrap()).await;
    opened.ok().map(|_| row.kek_version)
}

async fn rotate(house: &House) -> (StatusCode, Value) {
    house.ask("key-officer", "POST", ROTATE, json!({"reason": "Yearly"})).await
}

/// (version, state, records) of each version, oldest first.
async fn versions(house: &House) -> Vec<(u64, String, u64)> {
    let (status, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let rows = shown["versions"].as_array().unwrap().iter().rev();
    rows.map(|v| {
        let state = v["state"].as_str().unwrap().to_owned();
        (v["version"].as_u64().unwrap(), state, v["records"].as_u64().unwrap())
    })
    .collect()
}

/// What the entries of this type say, once there are `count` of them: some are sequenced a moment after their commit.
async fn logged(house: &House, kind: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/audit/entries?type={kind}&limit=500");
    for _ in 0..100 {
        let (status, page) = house.ask("auditor", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        if items.len() >= count {
            return items.iter().map(|item| item["entry"]["data"].clone()).collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("fewer than {count} entries {kind}");
}

#[tokio::test]
async fn p7_a_rotation_takes_effect_at_once_and_moves_every_record_key() {
    let (house, id) = house().await;
    for n in 0..450 {
        put(&house.vault, id, record(n)).await;
    }
    let (status, begun) = rotate(&house).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    assert_eq!((&begun["from_version"], &begun["to_version"]), (&json!(1), &json!(2)));
    let (one, two) = ((1, "deactivated".to_owned(), 450), (2, "active".to_owned(), 0));
    assert_eq!(versions(&house).await, [one, two]);
    // New records go under the new version while the old ones wait.
    put(&house.vault, id, record(450)).await;
    let again = rotate(&house).await;
    assert_eq!((again.0, &again.1["code"]), (StatusCode::CONFLICT, &json!("rotation_running")));

    rewrap_all(&house.vault).await.unwrap();
    for n in 0..=450 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(shown["rotation"]["state"], "done");
    assert_eq!((&shown["rotation"]["moved"], &shown["rotation"]["remaining"]), (&json!(450), &json!(0)));
    // Two children, one new record, 450 moved: every wrap is counted.
    assert_eq!((&shown["versions"][0]["wraps"], &shown["versions"][0]["new_keys"]), (&json!(453), &json!(1)));
    assert_eq!(shown["versions"][0]["children"], json!(["staff-audit", "subject"]));
    assert_eq!(shown["versions"][1]["children"], json!([]));

    let said = logged(&house, "key.operation", 5).await;
    let said: Vec<_> =
        said.iter().map(|d| (d["operation"].as_str().unwrap(), d["because"].as_str().unwrap())).collect();
    let expected = [
        ("create", "requested"),
        ("deactivate", "superseded"),
        ("activate", "requested"),
        ("rewrap", "holds-wraps"),
        ("rewrapped", "requested"),
    ];
    assert_eq!(said, expected);
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    assert_eq!(opens(&house.vault, record(7)).await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_uploads_go_on_while_keys_rotate() {
    let (house, id) = house().await;
    let vault = Arc::clone(&house.vault);
    let uploads = tokio::spawn(async move {
        for n in 0..300 {
            put(&vault, id, record(n)).await;
            tokio::task::yield_now().await;
        }
    });
    let mut rotations = 0;
    while !uploads.is_finished() || rotations < 2 {
        assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
        rewrap_all(&house.vault).await.unwrap();
        rotations += 1;
    }
    uploads.await.unwrap();
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    let versions = versions(&house).await;
    let active: Vec<_> = versions.iter().filter(|v| v.1 == "active").collect();
    assert_eq!(active.len(), 1);
    assert_eq!((active[0].0, active[0].2), (rotations + 2, 300));
    assert!(versions.iter().all(|v| v.1 == "active" || v.2 == 0), "{versions:?}");
    for n in 0..300 {
        assert!(opens(&house.vault, record(n)).await.is_some(), "record {n}");
    }
}

#[tokio::test]
async fn p7_a_rotation_cut_short_is_gone_on_with_after_a_restart() {
    let (house, id) = house().await;
    for n in 0..450 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    // Dropped in the middle, wherever that is: what a kill leaves of it.
    let cut = tokio::time::timeout(Duration::from_millis(30), rewrap_all(&house.vault)).await;
    let house = house.restarted().await;
    if cut.is_err() {
        assert_eq!(house.ask("key-officer", "GET", KEYS, Value::Null).await.1["rotation"]["state"], "running");
    }
    for n in 0..450 {
        assert!(opens(&house.vault, record(n)).await.is_some(), "record {n} between two versions");
    }
    rewrap_all(&house.vault).await.unwrap();
    for n in 0..450 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
}

#[tokio::test]
async fn p12_a_swapped_wrap_is_a_finding_and_costs_that_record_alone() {
    let (house, id) = house().await;
    for n in 0..10 {
        put(&house.vault, id, record(n)).await;
    }
    let kek = KekRef { collection: id, version: 1 };
    let wrap_of = async |n| records::find(&house.vault.store, record(n)).await.unwrap().unwrap().wrap.unwrap();
    let (a, b) = (wrap_of(3).await, wrap_of(4).await);
    let mut tx = house.vault.store.begin("test").await.unwrap();
    assert_eq!(keys::move_records(tx.conn(), kek, 1, vec![(record(3), b), (record(4), a)]).await.unwrap(), 2);
    tx.commit().await.unwrap();

    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    for n in 0..10 {
        let expected = if n == 3 || n == 4 { None } else { Some(2) };
        assert_eq!(opens(&house.vault, record(n)).await, expected, "record {n}");
    }
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!((&shown["rotation"]["state"], &shown["rotation"]["remaining"]), (&json!("done"), &json!(2)));
    let findings = logged(&house, "finding.reported", 2).await;
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|f| f["finding"] == "record-key-does-not-open"), "{findings:?}");
}

#[tokio::test]
async fn a_database_with_two_active_versions_is_not_rotated() {
    let (house, _) = house().await;
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    house.by_hand("UPDATE keks SET state = 'active' WHERE version = 1").await;
    let (status, problem) = rotate(&house).await;
    assert_eq!((status.as_u16(), &problem["code"]), (500, &json!("integrity_failure")));
    assert_eq!(versions(&house).await.len(), 2, "nothing was made");
}

#[tokio::test]
async fn p7_the_root_rotates_and_a_crash_in_between_is_settled() {
    let (house, id) = house().await;
    put(&house.vault, id, record(1)).await;
    let ask = json!({"reason": "Yearly"});
    let (status, root) = house.ask("key-officer", "POST", "/v1/root/rotate", ask).await;
    assert_eq!(status, StatusCode::OK, "{root}");
    assert_eq!((&root["epochs"][0]["epoch"], &root["epochs"][0]["wrapped"]), (&json!(2), &json!(3)));
    assert_eq!((&root["epochs"][1]["state"], &root["epochs"][1]["wrapped"]), (&json!("deactivated"), &json!(0)));

    // Custody has gone on, the database has not.
    house.vault.keys.rotate_root(NOW).await.unwrap();
    let house = house.restarted().await;
    assert_eq!(opens(&house.vault, record(1)).await, Some(1));
    settle_root(&house.vault).await.unwrap();
    let (_, root) = house.ask("key-officer", "GET", "/v1/root", Value::Null).await;
    assert_eq!((&root["epochs"][0]["epoch"], &root["epochs"][0]["wrapped"]), (&json!(3), &json!(3)));
    assert_eq!(logged(&house, "root.operation", 2).await.len(), 2);
    settle_root(&house.vault).await.unwrap();
    assert_eq!(logged(&house, "root.operation", 2).await.len(), 2, "nothing to settle, nothing to tell");
    let house = house.restarted().await;
    assert_eq!(opens(&house.vault, record(1)).await, Some(1));
}

/// A version that was never committed leaves nothing behind: its number will be another key's.
#[tokio::test]
async fn p7_a_rotation_that_was_rolled_back_leaves_no_key_in_memory() {
    let (house, id) = house().await;
    put(&house.vault, id, record(1)).await;
    house.vault.store.faults.add("rotate_kek", Fault::NotPersisted);
    assert_eq!(rotate(&house).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(versions(&house).await.len(), 1);
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    put(&house.vault, id, record(2)).await;
    rewrap_all(&house.vault).await.unwrap();
    let house = house.restarted().await;
    for n in [1, 2] {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
    assert!(verify::findings(&house).await.is_empty());
}

/// A commit without an answer happened or not; the next who goes on finds out from the records.
#[tokio::test]
async fn p7_a_batch_whose_commit_has_no_answer_is_gone_on_with() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        for transaction in ["begin_rewrap", "rewrap_record_keys", "finish_rotation"] {
            let (house, id) = house().await;
            for n in 0..40 {
                put(&house.vault, id, record(n)).await;
            }
            assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
            house.vault.store.faults.add(transaction, fault);
            // An end that was committed all the same leaves nothing that anybody could be told of.
            let ended = transaction == "finish_rotation" && fault == Fault::Persisted;
            assert_eq!(rewrap_all(&house.vault).await.is_ok(), ended, "{transaction} {fault:?}");
            rewrap_all(&house.vault).await.unwrap();
            for n in 0..40 {
                assert_eq!(opens(&house.vault, record(n)).await, Some(2), "{transaction} {fault:?}: record {n}");
            }
            let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
            let rotation = &shown["rotation"];
            assert_eq!(
                (&rotation["state"], &rotation["moved"]),
                (&json!("done"), &json!(40)),
                "{transaction} {fault:?}"
            );
            assert_eq!(logged(&house, "key.operation", 5).await.len(), 5, "{transaction} {fault:?}");
            oracle::sound(&house.vault, &[]).await;
        }
    }
}

#[tokio::test]
async fn the_logs_key_says_when_it_is_due() {
    let house = House::new().await;
    let shown = async || house.ask("key-officer", "GET", "/v1/root", Value::Null).await.1["log_key"].clone();
    let before = shown().await;
    assert_eq!(
        (&before["due"], &before["due_at"]),
        (&json!(false), &json!(NOW.plus(DAYS * 730).to_string())),
        "{before}"
    );
    assert_eq!(super::log_key_left(&house.vault).await.unwrap(), DAYS * 730);
    // Tokens have ended by then.
    house.clock.advance(DAYS * 730);
    assert!(super::root::log_key(&house.vault).await.unwrap().due);
    assert_eq!(super::log_key_left(&house.vault).await.unwrap(), Duration::ZERO);
}
