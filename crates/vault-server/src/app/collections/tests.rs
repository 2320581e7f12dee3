//! Collections, asked from outside.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vault_api::code::Code;
use vault_core::time::Clock as _;

use super::{all, find, takes_uploads};
use crate::app::ledger::LedgerError;
use crate::app::restrict::Subject;
use crate::objects::faulty::Faulty;
use crate::testing::{House, collection};

const COLLECTIONS: &str = "/v1/collections";
const LATER: &str = "2027-06-01T00:00:00Z";

fn code(answer: &(StatusCode, Value)) -> &str {
    answer.1["code"].as_str().unwrap_or_default()
}

async fn takes(house: &House, name: &str) -> Result<(), Code> {
    let row = find(&house.vault, &name.parse().unwrap()).await.map_err(|e| e.code())?;
    takes_uploads(&house.vault, &row, house.clock.now()).await.map_err(|e| e.code())
}

async fn create(house: &House, body: Value) -> (StatusCode, Value) {
    house.ask("administrator", "POST", COLLECTIONS, body).await
}

async fn open(house: &House, name: &str) -> (StatusCode, Value) {
    house.ask("administrator", "POST", &format!("{COLLECTIONS}/{name}/open"), Value::Null).await
}

#[tokio::test]
async fn p10_a_collection_opens_only_when_nothing_is_missing() {
    let house = House::new().await;
    let mut bare = collection("bare", LATER);
    bare["countermeasures"] = json!([]);
    let (status, shown) = create(&house, bare).await;
    assert_eq!((status, shown["state"].as_str()), (StatusCode::CREATED, Some("draft")));
    assert_eq!(takes(&house, "bare").await, Err(Code::CollectionNotOpen));
    let refused = open(&house, "bare").await;
    assert_eq!((refused.0, code(&refused)), (StatusCode::CONFLICT, "countermeasures_missing"));
    let missing = refused.1["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 9, "{missing:?}");
    assert!(missing.contains(&json!("dpia")) && shown["missing"] == refused.1["missing"]);

    assert_eq!(create(&house, collection("calls", LATER)).await.0, StatusCode::CREATED);
    let (status, shown) = open(&house, "calls").await;
    assert_eq!((status, shown["state"].as_str()), (StatusCode::OK, Some("open")), "{shown}");
    assert_eq!(takes(&house, "calls").await, Ok(()));
    assert_eq!(code(&open(&house, "calls").await), "collection_state");
    assert_eq!(code(&create(&house, collection("calls", LATER)).await), "conflict");
}

#[tokio::test]
async fn p10_a_lapsed_countermeasure_or_a_lost_approver_stops_new_recordings() {
    let house = House::new().await;
    let ends = house.clock.now().plus(core::time::Duration::from_hours(1));
    assert_eq!(create(&house, collection("calls", &ends.to_string())).await.0, StatusCode::CREATED);
    assert_eq!(create(&house, collection("lasting", LATER)).await.0, StatusCode::CREATED);
    assert_eq!(open(&house, "calls").await.0, StatusCode::OK);
    assert_eq!(open(&house, "lasting").await.0, StatusCode::OK);
    assert_eq!((takes(&house, "calls").await, takes(&house, "lasting").await), (Ok(()), Ok(())));
    house.clock.advance(core::time::Duration::from_hours(1));
    assert_eq!(takes(&house, "calls").await, Err(Code::CountermeasuresMissing));
    assert_eq!(takes(&house, "lasting").await, Ok(()));
    let (_, shown) = house.ask("auditor", "GET", &format!("{COLLECTIONS}/calls"), Value::Null).await;
    assert_eq!(shown["missing"], json!(["dpia-lapsed"]));

    let path = format!("/v1/people/{}/disable", house.id("approver"));
    assert_eq!(house.ask("administrator", "POST", &path, json!({"reason": "left"})).await.0, StatusCode::OK);
    assert_eq!(takes(&house, "lasting").await, Err(Code::CountermeasuresMissing));
}

#[tokio::test]
async fn p6_a_suspended_collection_takes_nothing_whatever_its_row_says() {
    let house = House::new().await;
    assert_eq!(create(&house, collection("calls", LATER)).await.0, StatusCode::CREATED);
    assert_eq!(open(&house, "calls").await.0, StatusCode::OK);
    let path = format!("{COLLECTIONS}/calls/suspend");
    assert_eq!(house.ask("analyst", "POST", &path, json!({"reason": "x"})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("uploader", "POST", &path, json!({"reason": "x"})).await.0, StatusCode::NOT_FOUND);
    let (status, shown) = house.ask("approver", "POST", &path, json!({"reason": "a complaint"})).await;
    assert_eq!((status, shown["state"].as_str()), (StatusCode::OK, Some("suspended")));
    assert_eq!(takes(&house, "calls").await, Err(Code::CollectionNotOpen));
    house.by_hand("UPDATE collections SET state = 'open'").await;
    assert_eq!(takes(&house, "calls").await, Err(Code::CollectionNotOpen));
    house.by_hand("UPDATE collections SET state = 'suspended'").await;
    assert_eq!(open(&house, "calls").await.0, StatusCode::OK);
    assert_eq!(takes(&house, "calls").await, Ok(()));
}

fn restricted(house: &House, id: &Value) -> bool {
    let subject = Subject::new().collection(id.as_str().unwrap().parse().unwrap());
    house.vault.restrictions.check(&subject).is_err()
}

#[tokio::test]
async fn p6_no_edited_or_damaged_row_holds_up_a_suspension() {
    let house = House::new().await;
    let (_, other) = create(&house, collection("other", LATER)).await;
    for (name, edit) in [
        ("called-suspended", "UPDATE collections SET state = 'suspended' WHERE name = 'called-suspended'"),
        ("called-closed", "UPDATE collections SET state = 'closed' WHERE name = 'called-closed'"),
        ("called-draft", "UPDATE collections SET state = 'draft' WHERE name = 'called-draft'"),
        ("no-state", "UPDATE collections SET state = 'x' WHERE name = 'no-state'"),
        ("no-policy", "UPDATE collections SET policy = '{}' WHERE name = 'no-policy'"),
        ("no-hash", "UPDATE collections SET policy_hash = x'00' WHERE name = 'no-hash'"),
        (
            "no-key",
            "UPDATE kek_children SET wrap = x'00' WHERE collection_id IN (SELECT id FROM collections WHERE name = 'no-key')",
        ),
    ] {
        let (status, made) = create(&house, collection(name, LATER)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert_eq!(open(&house, name).await.0, StatusCode::OK);
        house.by_hand(edit).await;
        let path = format!("{COLLECTIONS}/{name}/suspend");
        let answer = house.ask("approver", "POST", &path, json!({"reason": "a complaint"})).await;
        if ["no-policy", "no-hash"].contains(&name) {
            assert_eq!((answer.0, code(&answer)), (StatusCode::INTERNAL_SERVER_ERROR, "integrity_failure"), "{name}");
            assert_eq!((&answer.1["suspended"], &answer.1["journalled"]), (&json!(true), &json!(true)), "{name}");
        } else {
            assert_eq!(answer.0, StatusCode::OK, "{name}: {}", answer.1);
        }
        assert!(restricted(&house, &made["id"]), "{name}");
        let again = house.ask("approver", "POST", &path, json!({"reason": "a complaint"})).await;
        assert_eq!((again.0, code(&again)), (StatusCode::CONFLICT, "collection_state"), "{name}");
    }
    assert!(!restricted(&house, &other["id"]));
    // Nor does a row called open by hand keep the suspension from being lifted.
    house.by_hand("UPDATE collections SET state = 'open' WHERE name = 'called-suspended'").await;
    assert_eq!(open(&house, "called-suspended").await.0, StatusCode::OK);
    assert_eq!(takes(&house, "called-suspended").await, Ok(()));
}

#[tokio::test]
async fn p6_with_names_swapped_the_collection_that_was_meant_is_suspended() {
    let house = House::new().await;
    let (_, calls) = create(&house, collection("calls", LATER)).await;
    let (_, other) = create(&house, collection("other", LATER)).await;
    house.by_hand("UPDATE collections SET name = 'aside' WHERE name = 'calls'").await;
    house.by_hand("UPDATE collections SET name = 'calls' WHERE name = 'other'").await;
    house.by_hand("UPDATE collections SET name = 'other' WHERE name = 'aside'").await;
    let house = house.restarted().await;
    let path = format!("{COLLECTIONS}/calls/suspend");
    let answer = house.ask("approver", "POST", &path, json!({"reason": "a complaint"})).await;
    assert_eq!((code(&answer), &answer.1["suspended"]), ("integrity_failure", &json!(true)));
    assert!(restricted(&house, &calls["id"]) && !restricted(&house, &other["id"]));
}

#[tokio::test]
async fn p10_a_draft_called_open_by_hand_takes_nothing_that_its_tier_forbids() {
    let house = House::new().await;
    let mut bare = collection("bare", LATER);
    bare["countermeasures"] = json!([]);
    assert_eq!(create(&house, bare).await.0, StatusCode::CREATED);
    house.by_hand("UPDATE collections SET state = 'open'").await;
    assert_eq!(takes(&house, "bare").await, Err(Code::CountermeasuresMissing));
}

#[tokio::test]
async fn a_policy_changed_by_hand_is_damage_and_costs_that_collection_alone() {
    let house = House::new().await;
    assert_eq!(create(&house, collection("calls", LATER)).await.0, StatusCode::CREATED);
    assert_eq!(create(&house, collection("other", LATER)).await.0, StatusCode::CREATED);
    // The policy of one, whole and with its own hash, in the row of the other: only the log can tell.
    let mut weaker = collection("weaker", LATER);
    weaker["access"]["rights"] = json!(["view", "export"]);
    assert_eq!(create(&house, weaker).await.0, StatusCode::CREATED);
    house
        .by_hand(
            "UPDATE collections SET policy = (SELECT policy FROM collections WHERE name = 'weaker'), \
             policy_hash = (SELECT policy_hash FROM collections WHERE name = 'weaker') WHERE name = 'calls'",
        )
        .await;
    assert_eq!(takes(&house, "calls").await, Err(Code::IntegrityFailure));
    let house = house.restarted().await;
    let answer = house.ask("auditor", "GET", &format!("{COLLECTIONS}/calls"), Value::Null).await;
    assert_eq!(code(&answer), "integrity_failure");
    let (_, list) = house.ask("auditor", "GET", COLLECTIONS, Value::Null).await;
    // Made in one millisecond, so in no order.
    let names: BTreeSet<_> = list["items"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["other", "weaker"]));
}

#[tokio::test]
async fn a_collection_whose_entry_is_on_its_way_is_not_taken_for_damaged() {
    let objects = Arc::new(Faulty::default());
    let house = House::over(objects.objects()).await;
    assert_eq!(create(&house, collection("calls", LATER)).await.0, StatusCode::CREATED);
    assert_eq!(takes(&house, "calls").await, Err(Code::CollectionNotOpen));
    objects.set_down(true);
    // Committed, and not acknowledged: the log cannot be published.
    assert_eq!(code(&create(&house, collection("late", LATER)).await), "log_unavailable");
    let get = async || house.ask("auditor", "GET", &format!("{COLLECTIONS}/late"), Value::Null).await;
    assert_eq!(code(&get().await), "log_unavailable");
    assert_eq!(all(&house.vault).await.unwrap().len(), 1);
    // A start that goes on with what was begun waits until the log has it.
    let waited = house.vault.ledger().unwrap().all_published().await;
    assert!(matches!(waited, Err(LedgerError::Timeout)), "{waited:?}");
    objects.set_down(false);
    // Who publishes tries again with a growing pause.
    let ledger = house.vault.ledger().unwrap();
    let published = async { while ledger.all_published().await.is_err() {} };
    tokio::time::timeout(core::time::Duration::from_secs(60), published).await.unwrap();
    assert_eq!(get().await.0, StatusCode::OK);
    assert_eq!(open(&house, "late").await.0, StatusCode::OK);
}

#[tokio::test]
async fn names_swapped_by_hand_are_damage() {
    let house = House::new().await;
    assert_eq!(create(&house, collection("calls", LATER)).await.0, StatusCode::CREATED);
    assert_eq!(create(&house, collection("other", LATER)).await.0, StatusCode::CREATED);
    let shown = house.ask("auditor", "GET", &format!("{COLLECTIONS}/calls"), Value::Null).await;
    assert_eq!(shown.0, StatusCode::OK);
    house.by_hand("UPDATE collections SET name = 'aside' WHERE name = 'calls'").await;
    house.by_hand("UPDATE collections SET name = 'calls' WHERE name = 'other'").await;
    house.by_hand("UPDATE collections SET name = 'other' WHERE name = 'aside'").await;
    // Both policies are the same, so only the name tells; with the proofs in memory and without.
    swapped_is_noticed(&house).await;
    swapped_is_noticed(&house.restarted().await).await;
}

async fn swapped_is_noticed(house: &House) {
    for name in ["calls", "other"] {
        let answer = house.ask("auditor", "GET", &format!("{COLLECTIONS}/{name}"), Value::Null).await;
        assert_eq!(code(&answer), "integrity_failure");
    }
    // Nor is a role or a token given for one in the other's place.
    let person = house.id("analyst").to_string();
    let body = json!({"person_id": person, "role": "auditor", "collection": "calls", "reason": "needed"});
    assert_eq!(code(&house.ask("administrator", "POST", "/v1/role-bindings", body).await), "integrity_failure");
    let ends = house.clock.now().plus(core::time::Duration::from_hours(1)).to_string();
    let body = json!({"person_id": person, "label": "x", "collection": "calls", "expires_at": ends});
    assert_eq!(code(&house.ask("administrator", "POST", "/v1/tokens", body).await), "integrity_failure");
}

#[tokio::test]
async fn the_notice_is_for_everybody_byte_for_byte_and_a_draft_for_nobody() {
    let house = House::new().await;
    let body = collection("calls", LATER);
    assert_eq!(create(&house, body.clone()).await.0, StatusCode::CREATED);
    let path = format!("{COLLECTIONS}/calls/notice");
    assert_eq!(house.ask_with(None, "GET", &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(open(&house, "calls").await.0, StatusCode::OK);
    let (status, notice) = house.ask_with(None, "GET", &path, Value::Null).await;
    assert_eq!((status, &notice["text"]), (StatusCode::OK, &body["notice"]["text"]));
    let digest = hex::encode(Sha256::digest(notice["text"].as_str().unwrap().as_bytes()));
    assert_eq!(notice["sha256"].as_str(), Some(digest.as_str()));
    for absent in ["/v1/collections/none/notice", "/v1/collections/No%20name/notice"] {
        assert_eq!(house.ask_with(None, "GET", absent, Value::Null).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn p5_a_role_in_one_collection_shows_that_collection_alone() {
    let house = House::new().await;
    for name in ["calls", "other"] {
        assert_eq!(create(&house, collection(name, LATER)).await.0, StatusCode::CREATED);
    }
    let newcomer = house.enter("Newcomer", "human").await;
    let (_, token) = house.issue(newcomer).await;
    let body = json!({"person_id": newcomer.to_string(), "role": "auditor", "collection": "calls", "reason": "needed"});
    assert_eq!(house.ask("administrator", "POST", "/v1/role-bindings", body).await.0, StatusCode::CREATED);
    let get = async |path: &str| house.ask_with(Some(&token), "GET", path, Value::Null).await;
    let (_, list) = get(COLLECTIONS).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["name"], "calls");
    assert_eq!(get("/v1/collections/calls").await.0, StatusCode::OK);
    assert_eq!(get("/v1/collections/other").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/v1/collections/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/v1/people").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_policy_out_of_bounds_is_refused_and_names_the_member() {
    let house = House::new().await;
    for (path, value, member) in [
        ("/retention_days", json!(0), "retention_days"),
        ("/access/session_seconds", json!(59), "access.session_seconds"),
        ("/access/grant_days", json!(91), "access.grant_days"),
        ("/purposes", json!([]), "purposes"),
        ("/notice/text", json!(" "), "notice.text"),
    ] {
        let mut body = collection("calls", LATER);
        *body.pointer_mut(path).unwrap() = value;
        let answer = create(&house, body).await;
        assert_eq!((answer.0, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"));
        assert!(answer.1["detail"].as_str().unwrap().contains(member), "{}", answer.1);
    }
    let mut body = collection("Calls", LATER);
    assert_eq!(code(&create(&house, body.clone()).await), "invalid_value");
    body["surprise"] = json!(1);
    assert_eq!(code(&create(&house, body).await), "invalid_request");
}
