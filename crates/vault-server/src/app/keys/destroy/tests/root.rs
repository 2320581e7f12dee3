//! Destroying root epochs: the same rules, and a keyring that no longer has the key.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::time::Clock as _;

use super::super::{again, carry_out_due};
use crate::custody::private_file;
use crate::store::faults::Fault;
use crate::testing::{House, oracle};

const FIRST: &str = "/v1/root/1/destroy";
const DAY: Duration = Duration::from_hours(24);
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

async fn rotated() -> House {
    let house = House::new().await;
    let (status, root) = house.ask(OFFICERS[0], "POST", "/v1/root/rotate", json!({"reason": "Monthly"})).await;
    assert_eq!((status, &root["destruction"]), (StatusCode::OK, &json!("attested")), "{root}");
    house
}

async fn request(house: &House, who: &str, known_copies: u32) -> (StatusCode, Value) {
    house.ask(who, "POST", FIRST, json!({"reason": "Monthly", "known_copies": known_copies})).await
}

async fn confirm(house: &House, who: &str) -> (StatusCode, Value) {
    house.ask(who, "POST", &format!("{FIRST}/confirm"), Value::Null).await
}

async fn agreed(house: &House) {
    let (status, asked) = request(house, OFFICERS[0], 0).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    let (status, confirmed) = confirm(house, OFFICERS[1]).await;
    assert_eq!((status, &confirmed["state"]), (StatusCode::OK, &json!("confirmed")), "{confirmed}");
}

async fn state(house: &House) -> String {
    let (_, root) = house.ask(OFFICERS[0], "GET", "/v1/root", Value::Null).await;
    let first = root["epochs"].as_array().unwrap().iter().find(|epoch| epoch["epoch"] == 1).unwrap();
    first["state"].as_str().unwrap().to_owned()
}

async fn logged(house: &House, operation: &str) -> Vec<Value> {
    for _ in 0..200 {
        let path = "/v1/audit/entries?type=root.operation&limit=500";
        let (_, page) = house.ask("auditor", "GET", path, Value::Null).await;
        let said = page["items"].as_array().unwrap().iter().map(|item| item["entry"]["data"].clone());
        let said: Vec<_> = said.filter(|data| data["operation"] == operation).collect();
        if !said.is_empty() {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no entry {operation}");
}

#[tokio::test]
async fn p8_a_root_epoch_goes_when_it_wraps_nothing_and_two_officers_attest_that_no_copy_is_left() {
    let house = House::new().await;
    let (status, refused) = request(&house, OFFICERS[0], 0).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("key_in_use")), "{refused}");
    assert_eq!((&refused["inventory"]["state"], &refused["inventory"]["wrapped"]), (&json!("active"), &json!(2)));
    let rotated = house.ask(OFFICERS[0], "POST", "/v1/root/rotate", json!({"reason": "Monthly"})).await;
    assert_eq!(rotated.0, StatusCode::OK);
    let (status, refused) = request(&house, OFFICERS[0], 2).await;
    assert_eq!((status, &refused["inventory"]["copies"]), (StatusCode::CONFLICT, &json!(2)), "{refused}");
    assert_eq!(request(&house, OFFICERS[0], 0).await.0, StatusCode::ACCEPTED);
    let (status, refused) = confirm(&house, OFFICERS[0]).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("self_approval")), "{refused}");
    assert_eq!(confirm(&house, OFFICERS[1]).await.0, StatusCode::OK);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated", "its time has not come");

    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "destroyed");
    let said = logged(&house, "destroy").await;
    assert_eq!((said.len(), &said[0]["epoch"], &said[0]["known_copies"]), (1, &json!(1), &json!(0)));
    // The file has it no more either, and what the vault needs is there.
    let house = house.restarted().await;
    assert_eq!(state(&house).await, "destroyed");
    assert_eq!(request(&house, OFFICERS[0], 0).await.1["code"], "key_unusable");
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p8_an_epoch_that_came_to_wrap_something_stays_and_a_cancelled_destruction_is_none() {
    let house = rotated().await;
    agreed(&house).await;
    house.by_hand("UPDATE log_keys SET root_epoch = 1").await;
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated");
    assert_eq!(logged(&house, "destroy-cancelled").await[0]["because"], "needed-again");
    house.by_hand("UPDATE log_keys SET root_epoch = 2").await;
    agreed(&house).await;
    assert_eq!(house.ask(OFFICERS[1], "DELETE", FIRST, Value::Null).await.0, StatusCode::OK);
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated");
    oracle::sound(&house.vault, &[]).await;
}

/// The keyring cannot be written: a directory has taken the staging name. Nothing is half done, and it is done later.
#[tokio::test]
async fn p8_a_keyring_that_cannot_be_written_keeps_its_epoch() {
    let house = rotated().await;
    agreed(&house).await;
    house.clock.advance(DAY);
    let keyring = house.vault.config.keyring_path();
    let before = std::fs::read(&keyring).unwrap();
    let taken = keyring.with_file_name(".keyring.new");
    std::fs::create_dir_all(taken.join("full")).unwrap();
    assert!(carry_out_due(&house.vault).await.is_err());
    assert_eq!((state(&house).await, std::fs::read(&keyring).unwrap() == before), ("deactivated".to_owned(), true));
    std::fs::remove_dir_all(&taken).unwrap();
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "destroyed");
    assert_eq!(logged(&house, "destroy").await.len(), 1);
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p8_a_crash_between_custody_and_database_is_made_good() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        let house = rotated().await;
        agreed(&house).await;
        house.clock.advance(DAY);
        house.vault.store.faults.add("destroy_root", fault);
        assert!(carry_out_due(&house.vault).await.is_err());
        let house = house.restarted().await;
        carry_out_due(&house.vault).await.unwrap();
        assert_eq!(state(&house).await, "destroyed");
        assert_eq!(logged(&house, "destroy").await.len(), 1);
        oracle::sound(&house.vault, &[]).await;
    }
}

#[tokio::test]
async fn p8_an_older_keyring_file_does_not_bring_an_epoch_back() {
    let house = rotated().await;
    let keyring = house.vault.config.keyring_path();
    let older = std::fs::read(&keyring).unwrap();
    agreed(&house).await;
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    logged(&house, "destroy").await;
    private_file::replace(&keyring, &older).unwrap();
    assert_eq!(state(&house).await, "destroyed", "a node that runs does not take it in");
    let house = house.restarted().await;
    assert_eq!(state(&house).await, "deactivated", "the file has it");
    assert_eq!(again(&house.vault).await.unwrap(), 1);
    assert_eq!(state(&house).await, "destroyed");
    let house = house.restarted().await;
    assert_eq!(state(&house).await, "destroyed");
    oracle::sound(&house.vault, &[]).await;
}

/// The row of a log key that has ended stays, without a wrap: it needs no root epoch.
#[tokio::test]
async fn p8_a_log_that_was_succeeded_keeps_no_root_epoch() {
    let house = House::new().await;
    let mut tx = house.vault.store.begin("succeed_log").await.unwrap();
    house.vault.keys.succeed_log_key(&mut tx, house.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let (status, root) = house.ask(OFFICERS[0], "POST", "/v1/root/rotate", json!({"reason": "Monthly"})).await;
    assert_eq!(status, StatusCode::OK, "{root}");
    agreed(&house).await;
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "destroyed");
}
