//! Persons, roles and tokens, asked from outside.

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::time::Clock as _;

use crate::app::callers::TokenText;
use crate::testing::House;

const ROLES: &str = "/v1/role-bindings";

async fn propose(house: &House, who: &str, body: Value) -> (StatusCode, Value) {
    house.ask(who, "POST", ROLES, body).await
}

async fn confirm(house: &House, who: &str, binding: &Value) -> (StatusCode, Value) {
    let path = format!("{ROLES}/{}/confirm", binding["id"].as_str().unwrap());
    house.ask(who, "POST", &path, Value::Null).await
}

fn role(house: &House, who: &str, role: &str) -> Value {
    json!({"person_id": house.id(who).to_string(), "role": role, "reason": "needed"})
}

fn code(answer: &(StatusCode, Value)) -> &str {
    answer.1["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn p5_a_role_that_plays_takes_two_administrators_and_neither_receives_it() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let (_, token) = house.issue_confirmed(newcomer).await;
    let body = json!({"person_id": newcomer.to_string(), "role": "analyst", "reason": "Joins the service team"});
    let (status, proposed) = propose(&house, "administrator", body.clone()).await;
    assert_eq!((status, proposed["state"].as_str()), (StatusCode::CREATED, Some("proposed")));
    assert_eq!(code(&propose(&house, "administrator", body).await), "conflict");

    // Proposed, it gives nothing; and neither the proposer nor a second token of theirs confirms it.
    let me = house.ask_with(Some(&token), "GET", "/v1/me", Value::Null).await.1;
    assert_eq!(me["roles"], json!([]));
    assert_eq!(code(&confirm(&house, "administrator", &proposed).await), "self_approval");
    let (_, second) = house.issue_confirmed(house.id("administrator")).await;
    let path = format!("{ROLES}/{}/confirm", proposed["id"].as_str().unwrap());
    assert_eq!(code(&house.ask_with(Some(&second), "POST", &path, Value::Null).await), "self_approval");
    assert_eq!(confirm(&house, "approver", &proposed).await.0, StatusCode::NOT_FOUND);
    assert_eq!(confirm(&house, "auditor", &proposed).await.0, StatusCode::FORBIDDEN);

    let (status, active) = confirm(&house, "administrator-2", &proposed).await;
    assert_eq!((status, active["state"].as_str()), (StatusCode::OK, Some("active")));
    assert_eq!(active["confirmed_by"]["name"], "administrator-2");
    let me = house.ask_with(Some(&token), "GET", "/v1/me", Value::Null).await.1;
    assert_eq!(me["roles"][0]["role"], "analyst");
    assert_eq!(code(&confirm(&house, "administrator-2", &proposed).await), "request_decided");
}

#[tokio::test]
async fn p5_a_proposal_written_or_changed_by_hand_cannot_be_confirmed() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let body = json!({"person_id": newcomer.to_string(), "role": "approver", "reason": "needed"});
    let (_, proposed) = propose(&house, "administrator", body).await;
    house.by_hand("UPDATE role_bindings SET role = 'analyst' WHERE state = 'proposed'").await;
    assert_eq!(code(&confirm(&house, "administrator-2", &proposed).await), "not_in_log");
    house.by_hand("UPDATE role_bindings SET role = 'approver' WHERE state = 'proposed'").await;
    house
        .by_hand(
            "UPDATE role_bindings SET proposed_by = (SELECT id FROM persons WHERE name = 'administrator-2') \
             WHERE state = 'proposed'",
        )
        .await;
    assert_eq!(code(&confirm(&house, "administrator", &proposed).await), "not_in_log");
    house
        .by_hand(
            "INSERT INTO role_bindings (id, person_id, role, state, proposed_by, proposed_at) SELECT \
             '019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55', person_id, 'analyst', 'proposed', proposed_by, proposed_at \
             FROM role_bindings WHERE state = 'proposed'",
        )
        .await;
    let planted = json!({"id": "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55"});
    assert_eq!(code(&confirm(&house, "administrator", &planted).await), "not_in_log");
}

#[tokio::test]
async fn p5_roles_that_exclude_each_other_and_kinds_that_do_not_fit_are_refused() {
    let house = House::new().await;
    for (who, asked, expected) in [
        ("administrator-2", "analyst", "role_not_givable"),
        ("analyst", "key-officer", "role_not_givable"),
        ("uploader", "analyst", "role_not_givable"),
        ("analyst", "uploader", "role_not_givable"),
        ("administrator", "auditor", "self_approval"),
        ("administrator", "approver", "self_approval"),
    ] {
        let answer = propose(&house, "administrator", role(&house, who, asked)).await;
        assert_eq!(code(&answer), expected, "{who} {asked}");
    }
    // Two proposals that would exclude each other: the second is refused before anybody confirms.
    let newcomer = house.enter("Newcomer", "human").await.to_string();
    let of = |role| json!({"person_id": newcomer, "role": role, "reason": "needed"});
    assert_eq!(propose(&house, "administrator", of("analyst")).await.0, StatusCode::CREATED);
    assert_eq!(code(&propose(&house, "administrator-2", of("key-officer")).await), "role_not_givable");
    assert_eq!(propose(&house, "administrator", of("auditor")).await.1["state"], "active");
}

#[tokio::test]
async fn a_proposal_lapses_and_falls_with_its_proposer() {
    let house = House::new().await;
    let third = house.enter("Third", "human").await;
    house.give(third, "administrator").await;
    let (_, token) = house.issue_confirmed(third).await;
    let newcomer = house.enter("Newcomer", "human").await.to_string();
    let body = json!({"person_id": newcomer, "role": "approver", "reason": "needed"});
    let (_, of_third) = house.ask_with(Some(&token), "POST", ROLES, body).await;
    let path = format!("/v1/people/{third}/disable");
    assert_eq!(house.ask("administrator", "POST", &path, json!({"reason": "left"})).await.0, StatusCode::OK);
    assert_eq!(code(&confirm(&house, "administrator", &of_third).await), "conflict");

    let body = json!({"person_id": newcomer, "role": "analyst", "reason": "needed"});
    let (_, waiting) = propose(&house, "administrator", body).await;
    house.clock.advance(core::time::Duration::from_hours(14 * 24));
    assert_eq!(code(&confirm(&house, "administrator-2", &waiting).await), "request_decided");
}

#[tokio::test]
async fn a_role_ends_by_itself() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let (_, token) = house.issue(newcomer).await;
    let until = house.clock.now().plus(core::time::Duration::from_hours(1)).to_string();
    let body = json!({"person_id": newcomer.to_string(), "role": "auditor", "until": until, "reason": "one audit"});
    assert_eq!(propose(&house, "administrator", body).await.0, StatusCode::CREATED);
    assert_eq!(house.ask_with(Some(&token), "GET", "/v1/people", Value::Null).await.0, StatusCode::OK);
    house.clock.advance(core::time::Duration::from_hours(1));
    assert_eq!(house.ask_with(Some(&token), "GET", "/v1/people", Value::Null).await.0, StatusCode::FORBIDDEN);
    let list = format!("{ROLES}?person_id={newcomer}&state=expired");
    assert_eq!(house.ask("auditor", "GET", &list, Value::Null).await.1["items"][0]["state"], "expired");
    let list = format!("{ROLES}?person_id={newcomer}&state=active");
    assert_eq!(house.ask("auditor", "GET", &list, Value::Null).await.1["items"], json!([]));
}

#[tokio::test]
async fn two_administrators_remain_and_neither_a_planted_nor_a_passing_one_counts() {
    let house = House::new().await;
    let disable = format!("/v1/people/{}/disable", house.id("administrator-2"));
    let reason = json!({"reason": "left"});
    let list = format!("{ROLES}?person_id={}", house.id("administrator-2"));
    let listed = house.ask("administrator", "GET", &list, Value::Null).await.1;
    let revoke = format!("{ROLES}/{}", listed["items"][0]["id"].as_str().unwrap());

    house
        .by_hand(
            "INSERT INTO role_bindings (id, person_id, role, state, proposed_at) SELECT \
             '019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55', id, 'administrator', 'active', 0 FROM persons WHERE name = 'auditor'",
        )
        .await;
    let third = house.enter("Third", "human").await;
    let until = house.clock.now().plus(core::time::Duration::from_hours(24)).to_string();
    let body = json!({"person_id": third.to_string(), "role": "administrator", "until": until, "reason": "a day"});
    let (_, proposed) = propose(&house, "administrator", body).await;
    assert_eq!(confirm(&house, "administrator-2", &proposed).await.0, StatusCode::OK);
    assert_eq!(code(&house.ask("administrator", "POST", &disable, reason.clone()).await), "last_administrator");
    assert_eq!(code(&house.ask("administrator", "DELETE", &revoke, Value::Null).await), "last_administrator");

    let fourth = house.enter("Fourth", "human").await;
    house.give(fourth, "administrator").await;
    assert_eq!(house.ask("administrator", "DELETE", &revoke, Value::Null).await.0, StatusCode::OK);
    assert_eq!(house.ask("administrator-2", "GET", "/v1/people", Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(code(&house.ask("administrator", "DELETE", &revoke, Value::Null).await), "conflict");
}

#[tokio::test]
async fn p1_a_token_is_shown_once_and_given_up_by_its_holder_alone() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let (id, secret) = house.issue(newcomer).await;
    let (_, listed) = house.ask("auditor", "GET", &format!("/v1/tokens?person_id={newcomer}"), Value::Null).await;
    assert_eq!(listed["items"][0]["id"].as_str(), Some(id.as_str()));
    assert!(!listed.to_string().contains(&secret[3..]));
    let path = format!("/v1/tokens/{id}");
    let nobody = "/v1/tokens/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    for other in [path.as_str(), nobody] {
        assert_eq!(house.ask("analyst", "DELETE", other, Value::Null).await.0, StatusCode::NOT_FOUND, "{other}");
    }
    assert_eq!(house.ask("auditor", "DELETE", &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask_with(Some(&secret), "DELETE", &path, Value::Null).await.0, StatusCode::OK);
    assert_eq!(house.ask_with(Some(&secret), "GET", "/v1/me", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    for hours in [0, 24 * 400] {
        let ends = house.clock.now().plus(core::time::Duration::from_hours(hours)).to_string();
        let body = json!({"person_id": newcomer.to_string(), "label": "x", "expires_at": ends});
        assert_eq!(code(&house.ask("administrator", "POST", "/v1/tokens", body).await), "invalid_value");
    }
}

#[tokio::test]
async fn people_are_listed_in_pages_and_a_name_is_given_once() {
    let house = House::new().await;
    let (_, first) = house.ask("auditor", "GET", "/v1/people?limit=6", Value::Null).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = house.ask("auditor", "GET", &format!("/v1/people?limit=6&cursor={cursor}"), Value::Null).await;
    assert_eq!(second["next_cursor"], Value::Null);
    let names = |page: &Value| page["items"].as_array().unwrap().iter().map(|p| p["name"].to_string()).collect();
    let all: std::collections::BTreeSet<String> =
        [names(&first), names(&second)].into_iter().flat_map(|n: Vec<_>| n).collect();
    assert_eq!(all.len(), 10);
    let body = json!({"name": "analyst", "kind": "human"});
    assert_eq!(code(&house.ask("administrator", "POST", "/v1/people", body).await), "conflict");
    for name in ["", "  ", "a\u{0}b", &"x".repeat(201)] {
        let body = json!({"name": name, "kind": "human"});
        assert_eq!(code(&house.ask("administrator", "POST", "/v1/people", body).await), "invalid_value");
    }
}

#[tokio::test]
async fn a_vault_begins_with_two_administrators_and_only_once() {
    let house = House::new().await;
    let first = crate::app::people::enter_first(&house.vault, &[], &[]).await;
    assert_eq!(first.err().map(|e| e.code()), Some(vault_api::code::Code::LastAdministrator));
    let again = ["x", "y"].map(|name| crate::app::people::First {
        name: name.into(),
        kind: vault_core::access::person::Kind::Human,
        roles: vec![vault_core::access::role::Role::Administrator],
        token_ends: house.clock.now().plus(core::time::Duration::from_hours(1)),
    });
    let tokens = [TokenText::generate(), TokenText::generate()];
    let again = crate::app::people::enter_first(&house.vault, &again, &tokens).await;
    assert_eq!(again.err().map(|e| e.code()), Some(vault_api::code::Code::Conflict));
}
