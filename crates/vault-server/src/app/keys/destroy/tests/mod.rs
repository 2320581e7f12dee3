//! Destroying versions: refused while anything needs them, never alone, never early, once, and for good.

mod root;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vault_core::ids::CollectionName;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Clock as _;

use super::{again, carry_out_due};
use crate::app::collections;
use crate::app::keys::rewrap_all;
use crate::custody::KeyError;
use crate::objects::faulty::Faulty;
use crate::store::faults::Fault;
use crate::testing::{House, Recordings, oracle};

const KEYS: &str = "/v1/collections/demo/keys";
const FIRST: &str = "/v1/collections/demo/keys/1/destroy";
const AT_ONCE: &str = "[keys]\ndestroy_cooling_off_hours = 0\n";
const DAY: Duration = Duration::from_hours(24);
const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];

/// A µ-law WAV of a few bytes.
fn recording() -> Vec<u8> {
    let mut wav = b"RIFF".to_vec();
    wav.extend(136u32.to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(100u32.to_le_bytes());
    wav.extend([0x55; 100]);
    wav
}

async fn upload(house: &House, recordings: &Recordings) {
    let whole = recording();
    let (status, begun) = recordings.begin(house, Some(whole.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let (status, sent) = recordings.send(house, begun["location"].as_str().unwrap(), 0, whole).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{sent}");
}

/// A vault with a record in `demo`, whose key has been rotated: version 1 is empty.
async fn rotated(house: House) -> (House, Recordings, KekRef) {
    let recordings = Recordings::open(&house).await;
    upload(&house, &recordings).await;
    rotate(&house).await;
    let name: CollectionName = "demo".parse().unwrap();
    let collection = collections::find(&house.vault, &name).await.unwrap().id;
    (house, recordings, KekRef { collection, version: 1 })
}

async fn rotate(house: &House) {
    let path = format!("{KEYS}/rotate");
    let (status, begun) = house.ask("key-officer", "POST", &path, json!({"reason": "Yearly"})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    rewrap_all(&house.vault).await.unwrap();
}

async fn request(house: &House, who: &str) -> (StatusCode, Value) {
    house.ask(who, "POST", FIRST, json!({"reason": "Empty since March"})).await
}

async fn confirm(house: &House, who: &str) -> (StatusCode, Value) {
    house.ask(who, "POST", &format!("{FIRST}/confirm"), Value::Null).await
}

/// Asked for and confirmed.
async fn agreed(house: &House) -> Value {
    let (status, asked) = request(house, OFFICERS[0]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    let (status, confirmed) = confirm(house, OFFICERS[1]).await;
    assert_eq!(status, StatusCode::OK, "{confirmed}");
    confirmed
}

/// The state of version 1, as the list of keys has it.
async fn state(house: &House) -> String {
    let (status, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let first = shown["versions"].as_array().unwrap().iter().find(|v| v["version"] == 1).unwrap();
    first["state"].as_str().unwrap().to_owned()
}

/// Rows of keys with a wrap, of how many.
async fn wraps(house: &House) -> (i64, i64) {
    let held = "SELECT COUNT(*) FROM keks WHERE length(wrap) > 0";
    (house.vault.store.number(held).await, house.vault.store.number("SELECT COUNT(*) FROM keks").await)
}

/// The entries about version 1 that say one of `operations`, once there are `count` of them.
async fn logged(house: &House, operation: &str, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let path = "/v1/audit/entries?type=key.operation&limit=500";
        let (status, page) = house.ask("auditor", "GET", path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let said = page["items"].as_array().unwrap().iter().map(|item| item["entry"].clone());
        let said: Vec<_> = said.filter(|e| e["data"]["operation"] == operation && e["kek_version"] == 1).collect();
        if said.len() >= count {
            assert_eq!(said.len(), count, "{said:?}");
            return said;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("fewer than {count} entries {operation}");
}

async fn is_gone(house: &House, kek: KekRef) {
    assert_eq!(state(house).await, "destroyed");
    let (held, all) = wraps(house).await;
    assert_eq!(held, all - 1, "one row is empty");
    let opened = house.vault.keys.kek(kek).await.map(drop);
    assert!(matches!(opened, Err(KeyError::State { state: KeyState::Destroyed, .. })), "{opened:?}");
}

#[tokio::test]
async fn p7_a_version_is_refused_with_the_list_and_goes_when_two_officers_want_it_and_nothing_needs_it() {
    let house = House::with(AT_ONCE).await;
    let recordings = Recordings::open(&house).await;
    upload(&house, &recordings).await;
    let (status, refused) = request(&house, OFFICERS[0]).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("key_in_use")), "{refused}");
    let inventory = &refused["inventory"];
    assert_eq!((&inventory["state"], &inventory["records"]), (&json!("active"), &json!(1)), "{refused}");
    assert_eq!(inventory["children"], json!(["staff-audit", "subject"]));
    assert_eq!(inventory["record_ids"].as_array().unwrap().len(), 1);
    assert!(refused["detail"].as_str().unwrap().contains("1 record keys"), "{refused}");

    // New keys come to lie under version 2, the old ones wait: a rotation is under way.
    let path = format!("{KEYS}/rotate");
    assert_eq!(house.ask("key-officer", "POST", &path, json!({"reason": "x"})).await.0, StatusCode::ACCEPTED);
    let (status, refused) = request(&house, OFFICERS[0]).await;
    assert_eq!((status, &refused["inventory"]["rotation"]), (StatusCode::CONFLICT, &json!(true)), "{refused}");
    rewrap_all(&house.vault).await.unwrap();
    let name: CollectionName = "demo".parse().unwrap();
    let kek = KekRef { collection: collections::find(&house.vault, &name).await.unwrap().id, version: 1 };
    house.vault.keys.kek(kek).await.unwrap();

    assert_eq!(confirm(&house, OFFICERS[1]).await.0, StatusCode::CONFLICT, "nothing to confirm");
    assert_eq!(request(&house, OFFICERS[0]).await.0, StatusCode::ACCEPTED);
    let (status, twice) = request(&house, OFFICERS[1]).await;
    assert_eq!((status, &twice["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    // The same person, by whatever token.
    let (_, other) = house.issue_confirmed(house.id(OFFICERS[0])).await;
    for token in [house.token(OFFICERS[0]), &other] {
        let path = format!("{FIRST}/confirm");
        let (status, refused) = house.ask_with(Some(token), "POST", &path, Value::Null).await;
        assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("self_approval")), "{refused}");
    }
    assert_eq!(state(&house).await, "deactivated");
    let (status, done) = confirm(&house, OFFICERS[1]).await;
    assert_eq!((status, &done["state"]), (StatusCode::OK, &json!("done")), "{done}");
    is_gone(&house, kek).await;

    let said = logged(&house, "destroy", 1).await;
    let written = serde_json::from_value::<vault_api::destruction::Inventory>(done["inventory"].clone()).unwrap();
    let written = serde_json::to_string(&written).unwrap();
    assert_eq!(said[0]["data"]["inventory_sha256"], json!(hex::encode(Sha256::digest(&written))));
    assert_eq!((&written.contains("\"held\":{\"2\":1}"), &said[0]["data"]["root_epoch"]), (&true, &json!(1)));
    let (status, gone) = request(&house, OFFICERS[0]).await;
    assert_eq!((status, &gone["code"]), (StatusCode::CONFLICT, &json!("key_unusable")));
    upload(&house, &recordings).await;
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_destruction_waits_for_its_time_whatever_the_clock_does_and_can_be_cancelled() {
    let (house, _, kek) = rotated(House::new().await).await;
    let waiting = agreed(&house).await;
    assert_eq!(waiting["state"], "confirmed");
    assert_eq!(waiting["not_before"], json!(house.clock.now().plus(DAY).to_string()));
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(shown["destructions"][0]["not_before"], waiting["not_before"], "{shown}");
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated");
    house.clock.set_forward(DAY + DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated", "no day has passed");
    house.clock.set_back(DAY + DAY);
    let (status, cancelled) = house.ask(OFFICERS[0], "DELETE", FIRST, Value::Null).await;
    assert_eq!((status, &cancelled["state"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(house.ask(OFFICERS[0], "DELETE", FIRST, Value::Null).await.0, StatusCode::CONFLICT);
    house.clock.advance(DAY + DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated", "what was cancelled is not done");
    house.clock.set_back(DAY);

    agreed(&house).await;
    house.clock.set_back(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated");
    // A restart on the way, and the clock right again.
    let house = house.restarted().await;
    house.clock.advance(DAY + DAY);
    carry_out_due(&house.vault).await.unwrap();
    is_gone(&house, kek).await;
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(logged(&house, "destroy", 1).await.len(), 1);
    logged(&house, "destroy-cancelled", 1).await;
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_what_came_to_need_a_version_meanwhile_keeps_it() {
    let (house, _, _) = rotated(House::new().await).await;
    // A record comes back under version 1 between request and confirmation, and between confirmation and the time.
    assert_eq!(request(&house, OFFICERS[0]).await.0, StatusCode::ACCEPTED);
    house.by_hand("UPDATE records SET kek_version = 1").await;
    let (status, refused) = confirm(&house, OFFICERS[1]).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("key_in_use")), "{refused}");
    assert_eq!(refused["inventory"]["records"], 1);
    house.by_hand("UPDATE records SET kek_version = 2").await;
    assert_eq!(confirm(&house, OFFICERS[1]).await.0, StatusCode::OK);
    house.by_hand("UPDATE records SET kek_version = 1").await;
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated");
    assert_eq!(wraps(&house).await, (3, 3));
    assert_eq!(logged(&house, "destroy-cancelled", 1).await[0]["data"]["because"], "needed-again");
    house.by_hand("UPDATE records SET kek_version = 2").await;
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(state(&house).await, "deactivated", "a destruction that ended does not come back");
    oracle::sound(&house.vault, &[]).await;
}

/// A wrap under version 1 in a row that names version 2: the rotation does not find it, and it would be lost.
#[tokio::test]
async fn p12_a_wrap_that_a_row_misnames_keeps_its_version() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    upload(&house, &recordings).await;
    let path = format!("{KEYS}/rotate");
    assert_eq!(house.ask("key-officer", "POST", &path, json!({"reason": "x"})).await.0, StatusCode::ACCEPTED);
    house.by_hand("UPDATE records SET kek_version = 2").await;
    rewrap_all(&house.vault).await.unwrap();
    let (status, refused) = request(&house, OFFICERS[0]).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("key_in_use")), "{refused}");
    let inventory = &refused["inventory"];
    assert_eq!((&inventory["records"], &inventory["misnamed"]), (&json!(0), &json!(1)));
    assert_eq!(inventory["record_ids"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn p7_no_row_alone_destroys_a_key() {
    let (house, _, _) = rotated(House::new().await).await;
    assert_eq!(request(&house, OFFICERS[0]).await.0, StatusCode::ACCEPTED);
    // Called confirmed, by somebody else, long ago.
    house
        .by_hand("UPDATE destructions SET state = 'confirmed', confirmed_by = 'x', confirmed_at = 0, not_before = 0")
        .await;
    assert!(carry_out_due(&house.vault).await.is_err());
    house.by_hand("UPDATE destructions SET confirmed_by = requested_by").await;
    assert!(carry_out_due(&house.vault).await.is_err());
    // Called somebody else's request, so that one officer could do both.
    house
        .by_hand(
            "UPDATE destructions SET state = 'requested', confirmed_by = NULL, confirmed_at = NULL, not_before = NULL,
             requested_by = (SELECT id FROM persons WHERE id <> requested_by ORDER BY id LIMIT 1)",
        )
        .await;
    let (status, refused) = confirm(&house, OFFICERS[0]).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("self_approval")), "{refused}");
    // Confirmed as it should be, and then called due.
    assert_eq!(confirm(&house, OFFICERS[1]).await.0, StatusCode::OK);
    house.by_hand("UPDATE destructions SET not_before = 0").await;
    assert!(carry_out_due(&house.vault).await.is_err());
    // Cancelled, and then called confirmed again.
    assert_eq!(house.ask(OFFICERS[0], "DELETE", FIRST, Value::Null).await.0, StatusCode::OK);
    logged(&house, "destroy-cancelled", 1).await;
    house.by_hand("UPDATE destructions SET state = 'confirmed'").await;
    house.clock.advance(DAY + DAY);
    assert!(carry_out_due(&house.vault).await.is_err());
    // And the way to the entry that says so cleared.
    house.by_hand("UPDATE log_entries SET reference = NULL WHERE reference LIKE 'destroy-cancelled:%'").await;
    assert!(carry_out_due(&house.vault).await.is_err());
    assert_eq!((state(&house).await, wraps(&house).await), ("deactivated".to_owned(), (3, 3)));
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_destroyed_version_does_not_come_back_with_an_older_database() {
    let (house, _, kek) = rotated(House::with(AT_ONCE).await).await;
    agreed(&house).await;
    is_gone(&house, kek).await;
    logged(&house, "destroy", 1).await;
    // As an older copy has it: the row with a wrap, and nothing of the act.
    house
        .by_hand(
            "UPDATE keks SET state = 'deactivated',
             wrap = (SELECT other.wrap FROM keks AS other WHERE other.version = 2 AND other.collection_id = keks.collection_id)
             WHERE version = 1 AND length(wrap) = 0",
        )
        .await;
    house.by_hand("DELETE FROM restrictions").await;
    house.by_hand("UPDATE counters SET value = 0 WHERE name = 'restrictions'").await;
    let house = house.restarted().await;
    let opened = house.vault.keys.kek(kek).await.map(drop);
    assert!(matches!(opened, Err(KeyError::State { state: KeyState::Destroyed, .. })), "{opened:?}");
    assert_eq!(again(&house.vault).await.unwrap(), 1);
    is_gone(&house, kek).await;
    assert_eq!(again(&house.vault).await.unwrap(), 0);
    logged(&house, "destroy", 2).await;
    oracle::sound(&house.vault, &[]).await;
}

/// Whoever writes the object store puts it into the journal that a key is destroyed: it is not opened, and still there once
/// that is put right.
#[tokio::test]
async fn p7_no_entry_of_the_journal_destroys_a_key() {
    use crate::objects::Name;
    use vault_core::restriction::{Numbered, Restriction, journal};
    let (house, _, kek) = rotated(House::new().await).await;
    let before = wraps(&house).await;
    let active = KekRef { version: 2, ..kek };
    let known = house.vault.store.number("SELECT value FROM counters WHERE name = 'restrictions'").await;
    for (counter, kek) in (known + 1..).zip([kek, active]) {
        let planted = Numbered { counter, restriction: Restriction::key_destroyed(kek.tag()), at: house.clock.now() };
        house.vault.objects.put(&Name::journal(counter), journal::write(&planted).unwrap()).await.unwrap();
    }
    let house = house.restarted().await;
    let opened = house.vault.keys.kek(active).await.map(drop);
    assert!(matches!(opened, Err(KeyError::State { state: KeyState::Destroyed, .. })), "{opened:?}");
    assert_eq!(again(&house.vault).await.unwrap(), 0);
    assert_eq!(wraps(&house).await, before);
}

#[tokio::test]
async fn p7_a_commit_of_unknown_outcome_destroys_once_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        let (house, _, kek) = rotated(House::new().await).await;
        agreed(&house).await;
        house.clock.advance(DAY);
        house.vault.store.faults.add("destroy_key", fault);
        assert!(carry_out_due(&house.vault).await.is_err());
        assert_eq!(state(&house).await == "destroyed", fault == Fault::Persisted);
        let house = house.restarted().await;
        carry_out_due(&house.vault).await.unwrap();
        is_gone(&house, kek).await;
        logged(&house, "destroy", 1).await;
        oracle::sound(&house.vault, &[]).await;
    }
}

/// The log cannot be written, nor the journal: what was agreed on before is done all the same, and told later.
#[tokio::test]
async fn p7_a_blocked_log_holds_up_an_agreement_and_no_destruction() {
    let objects = Arc::new(Faulty::default());
    let (house, _, kek) = rotated(House::over(objects.objects()).await).await;
    agreed(&house).await;
    house.clock.advance(DAY);
    objects.set_down(true);
    carry_out_due(&house.vault).await.unwrap();
    let gone = "SELECT COUNT(*) FROM keks WHERE state = 'destroyed' AND length(wrap) = 0";
    assert_eq!(house.vault.store.number(gone).await, 1);
    objects.heal();
    is_gone(&house, kek).await;
    logged(&house, "destroy", 1).await;
    house.vault.restrictions.complete_journal().await.unwrap();
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_of_officers_at_once_one_asks_one_confirms_and_one_node_destroys() {
    let (house, _, kek) = rotated(House::new().await).await;
    let asked = tokio::join!(request(&house, OFFICERS[0]), request(&house, OFFICERS[1]));
    let mut statuses = [asked.0.0.as_u16(), asked.1.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409], "{asked:?}");
    let other = if asked.0.0 == StatusCode::ACCEPTED { OFFICERS[1] } else { OFFICERS[0] };
    let confirmed = tokio::join!(confirm(&house, other), confirm(&house, other));
    let mut statuses = [confirmed.0.0.as_u16(), confirmed.1.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{confirmed:?}");
    house.clock.advance(DAY);
    let at_once = tokio::join!(carry_out_due(&house.vault), carry_out_due(&house.vault));
    assert!(at_once.0.is_ok() && at_once.1.is_ok(), "{at_once:?}");
    is_gone(&house, kek).await;
    logged(&house, "destroy", 1).await;
    oracle::sound(&house.vault, &[]).await;
}

/// Uploads commit under whatever version is active while versions are rotated away and destroyed beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_no_upload_is_lost_to_a_destruction_beside_it() {
    let house = House::with(AT_ONCE).await;
    let recordings = Recordings::open(&house).await;
    let uploads = async {
        for _ in 0..25 {
            upload(&house, &recordings).await;
        }
    };
    let destructions = async {
        let mut done = 0;
        for version in 1..=4 {
            rotate(&house).await;
            let path = format!("{KEYS}/{version}/destroy");
            let asked = house.ask(OFFICERS[0], "POST", &path, json!({"reason": "x"})).await;
            assert!([StatusCode::ACCEPTED, StatusCode::CONFLICT].contains(&asked.0), "{}", asked.1);
            let confirmed = house.ask(OFFICERS[1], "POST", &format!("{path}/confirm"), Value::Null).await;
            done += u32::from(confirmed.1["state"] == "done");
        }
        done
    };
    let ((), done) = tokio::join!(uploads, destructions);
    assert!(done > 0, "nothing was destroyed");
    let under_none = "SELECT COUNT(*) FROM records r WHERE NOT EXISTS (SELECT 1 FROM keks k
        WHERE k.collection_id = r.collection_id AND k.version = r.kek_version AND length(k.wrap) > 0)";
    assert_eq!(house.vault.store.number(under_none).await, 0);
    assert_eq!(house.vault.store.number("SELECT COUNT(*) FROM records WHERE wrap IS NOT NULL").await, 25);
    rotate(&house).await;
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(shown["versions"][0]["records"], 25, "every key opened and moved: {shown}");
    oracle::sound(&house.vault, &[]).await;
}
