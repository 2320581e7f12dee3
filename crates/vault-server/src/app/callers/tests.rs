//! Who is let in, asked from outside: tokens, rows written by hand, what is taken away.

use axum::http::StatusCode;
use serde_json::Value;
use vault_core::audit::entry::{RoleRevoked, TokenUsed};
use vault_core::ids::TokenId;
use vault_core::time::Clock as _;

use super::{TokenText, Trace, authenticate, note_use};
use crate::app::reference;
use crate::testing::House;

const ME: &str = "/v1/me";
const PEOPLE: &str = "/v1/people";

async fn get(house: &House, token: Option<&str>, path: &str) -> (StatusCode, Value) {
    house.ask_with(token, "GET", path, Value::Null).await
}

#[tokio::test]
async fn p5_every_bad_token_gets_the_same_answer() {
    let house = House::new().await;
    let (status, anonymous) = get(&house, None, ME).await;
    assert_eq!((status, anonymous["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("unauthenticated")));

    let newcomer = house.enter("Newcomer", "human").await;
    let (id, revoked) = house.issue(newcomer).await;
    assert_eq!(get(&house, Some(&revoked), ME).await.0, StatusCode::OK);
    let (_, disabled) = house.issue(newcomer).await;
    assert_eq!(get(&house, Some(&disabled), ME).await.0, StatusCode::OK);
    let path = format!("/v1/tokens/{id}");
    assert_eq!(house.ask("administrator", "DELETE", &path, Value::Null).await.0, StatusCode::OK);
    assert_eq!(get(&house, Some(&revoked), ME).await, (StatusCode::UNAUTHORIZED, anonymous.clone()));
    assert_eq!(get(&house, Some(&disabled), ME).await.0, StatusCode::OK);
    let path = format!("/v1/people/{newcomer}/disable");
    let (status, person) = house.ask("administrator", "POST", &path, serde_json::json!({"reason": "left"})).await;
    assert_eq!((status, person["state"].as_str()), (StatusCode::OK, Some("disabled")));

    for token in [&revoked, &disabled] {
        assert_eq!(get(&house, Some(token), ME).await, (StatusCode::UNAUTHORIZED, anonymous.clone()));
    }
    let other = house.enter("Other", "human").await;
    let (_, expired) = house.issue(other).await;
    let unknown = TokenText::generate().show().to_owned();
    let analyst = house.token("analyst").to_owned();
    house.clock.advance(core::time::Duration::from_hours(25));
    for token in [&expired, &unknown, &format!("{analyst}x"), "", "fv_", &analyst[3..]] {
        let (status, problem) = get(&house, Some(token), ME).await;
        assert_eq!((status, &problem), (StatusCode::UNAUTHORIZED, &anonymous), "{token:?}");
    }
    assert_eq!(get(&house, Some(&analyst), ME).await.0, StatusCode::OK);
}

#[tokio::test]
async fn p5_a_role_written_into_the_database_by_hand_opens_nothing() {
    let house = House::new().await;
    assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    // A row of its own, and one that points to somebody's entry in the log.
    house
        .by_hand(
            "INSERT INTO role_bindings (id, person_id, role, state, proposed_at) SELECT \
             '019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55', id, 'administrator', 'active', 0 FROM persons WHERE name = 'analyst'",
        )
        .await;
    assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    house
        .by_hand(
            "UPDATE role_bindings SET person_id = (SELECT id FROM persons WHERE name = 'analyst') \
                  WHERE role = 'administrator' AND person_id = (SELECT id FROM persons WHERE name = 'administrator')",
        )
        .await;
    assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("administrator", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    // Its own role, called another.
    house.by_hand("UPDATE role_bindings SET role = 'administrator' WHERE role = 'auditor'").await;
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("administrator-2", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn p5_a_token_written_into_the_database_by_hand_opens_nothing() {
    let house = House::new().await;
    let forged = TokenText::generate();
    let mut tx = house.vault.store.begin("test").await.unwrap();
    let mut row = crate::store::people::TokenRow {
        id: TokenId::new(house.clock.now()),
        person: house.id("administrator"),
        hash: forged.hash(),
        label: "forged".into(),
        narrowing: vault_core::access::person::Narrowing::default(),
        issued_by: None,
        confirmed_by: None,
        created_at: house.clock.now(),
        expires_at: house.clock.now().plus(core::time::Duration::from_hours(1)),
        revoked_at: None,
    };
    row.insert(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(get(&house, Some(forged.show()), ME).await.0, StatusCode::UNAUTHORIZED);
    // The uploader's token, pointed at somebody else, or made to last.
    row.hash = house.token("uploader").parse::<TokenText>().unwrap().hash();
    house
        .by_hand(
            "UPDATE tokens SET person_id = (SELECT id FROM persons WHERE name = 'administrator') \
                  WHERE person_id = (SELECT id FROM persons WHERE name = 'uploader')",
        )
        .await;
    assert_eq!(house.ask("uploader", "GET", ME, Value::Null).await.0, StatusCode::UNAUTHORIZED);
    house
        .by_hand(
            "UPDATE tokens SET expires_at = expires_at + 1 \
                  WHERE person_id = (SELECT id FROM persons WHERE name = 'auditor')",
        )
        .await;
    assert_eq!(house.ask("auditor", "GET", ME, Value::Null).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn p5_a_token_already_proven_is_not_believed_when_its_row_is_edited() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    house.give(newcomer, "auditor").await;
    let (_, token) = house.issue(newcomer).await;
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::OK);
    house.by_hand("CREATE TABLE kept_aside AS SELECT * FROM tokens WHERE issued_by IS NOT NULL").await;
    // What is edited stands beside a confirmation, so that the proof kept in memory is not taken as it is.
    macro_rules! edit {
        ($edit:literal) => {
            concat!(
                "UPDATE tokens SET confirmed_by = (SELECT id FROM persons WHERE name = 'administrator-2'), ",
                $edit,
                " WHERE id IN (SELECT id FROM kept_aside)"
            )
        };
    }
    for edit in [
        edit!(
            "person_id = (SELECT id FROM persons WHERE name = 'administrator'), issued_by = NULL, roles = NULL, \
             expires_at = expires_at + 1"
        ),
        edit!("person_id = (SELECT id FROM persons WHERE name = 'administrator')"),
        edit!("issued_by = NULL"),
        edit!("roles = 'auditor'"),
        edit!("expires_at = expires_at + 1"),
    ] {
        house.by_hand(edit).await;
        assert_eq!(get(&house, Some(&token), ME).await.0, StatusCode::UNAUTHORIZED, "{edit}");
        house.by_hand("DELETE FROM tokens WHERE id IN (SELECT id FROM kept_aside)").await;
        house.by_hand("INSERT INTO tokens SELECT * FROM kept_aside").await;
        assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::OK, "put back after {edit}");
    }
}

#[tokio::test]
async fn p6_what_was_revoked_stays_revoked_when_rows_are_put_back() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let binding = house.give(newcomer, "auditor").await;
    let (id, token) = house.issue(newcomer).await;
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::OK);
    let path = format!("/v1/role-bindings/{}", binding["id"].as_str().unwrap());
    let (status, answer) = house.ask("administrator", "DELETE", &path, Value::Null).await;
    assert_eq!((status, &answer["journalled"]), (StatusCode::OK, &Value::Bool(true)));
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::FORBIDDEN);

    house.by_hand("UPDATE role_bindings SET state = 'active', revoked_at = NULL").await;
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::FORBIDDEN);
    // The log says so too: without the restriction, and with nothing in memory.
    house.by_hand("DELETE FROM restrictions").await;
    let house = house.restarted().await;
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::FORBIDDEN);

    let path = format!("/v1/tokens/{id}");
    assert_eq!(house.ask("administrator", "DELETE", &path, Value::Null).await.0, StatusCode::OK);
    house.by_hand("UPDATE tokens SET revoked_at = NULL").await;
    house.by_hand("DELETE FROM restrictions").await;
    let house = house.restarted().await;
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn p6_what_was_revoked_stays_revoked_when_every_row_about_it_is_cleared() {
    let house = House::new().await;
    let (first, second) = (house.enter("First", "human").await, house.enter("Second", "human").await);
    let third = house.enter("Third", "human").await;
    let binding = house.give(first, "auditor").await;
    for person in [second, third] {
        house.give(person, "auditor").await;
    }
    let (_, of_first) = house.issue(first).await;
    let (id, of_second) = house.issue(second).await;
    let (_, of_third) = house.issue(third).await;
    for path in [format!("/v1/role-bindings/{}", binding["id"].as_str().unwrap()), format!("/v1/tokens/{id}")] {
        assert_eq!(house.ask("administrator", "DELETE", &path, Value::Null).await.0, StatusCode::OK, "{path}");
    }
    let (path, body) = (format!("/v1/people/{third}/disable"), serde_json::json!({"reason": "left"}));
    assert_eq!(house.ask("administrator", "POST", &path, body).await.0, StatusCode::OK);
    // Restarted once, so that what was left in the outbox is in the log.
    let house = house.restarted().await;
    for _ in 0..200 {
        if house.vault.store.number("SELECT COUNT(*) FROM log_outbox").await == 0 {
            break;
        }
        tokio::time::sleep(core::time::Duration::from_millis(10)).await;
    }
    for statement in [
        "UPDATE role_bindings SET state = 'active', revoked_at = NULL",
        "UPDATE tokens SET revoked_at = NULL",
        "UPDATE persons SET disabled_at = NULL",
        "DELETE FROM restrictions",
        "UPDATE log_entries SET reference = NULL WHERE reference LIKE '%revoked%' OR reference LIKE '%disabled%'",
    ] {
        house.by_hand(statement).await;
    }
    let left = "SELECT COUNT(*) FROM log_entries WHERE reference IS NULL";
    assert!(house.vault.store.number(left).await >= 3);
    std::fs::remove_dir_all(house.vault.config.objects_path().join("journal")).unwrap();
    let house = house.restarted().await;
    assert_eq!(get(&house, Some(&of_first), PEOPLE).await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&house, Some(&of_second), PEOPLE).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&house, Some(&of_third), PEOPLE).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn p5_absent_for_who_may_not_see_forbidden_for_who_may() {
    let house = House::new().await;
    let person = format!("/v1/people/{}", house.id("analyst"));
    let nobody = "/v1/people/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    for path in [person.as_str(), nobody, "/v1/people/analyst"] {
        assert_eq!(house.ask("uploader", "GET", path, Value::Null).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(house.ask("auditor", "GET", &person, Value::Null).await.0, StatusCode::OK);
    assert_eq!(house.ask("auditor", "GET", nobody, Value::Null).await.0, StatusCode::NOT_FOUND);
    let disable = format!("{person}/disable");
    let reason = serde_json::json!({"reason": "because"});
    assert_eq!(house.ask("auditor", "POST", &disable, reason.clone()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("uploader", "POST", &disable, reason).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_narrowed_token_does_less_than_its_person() {
    let house = House::new().await;
    let ends = house.clock.now().plus(core::time::Duration::from_hours(1)).to_string();
    let mut body = serde_json::json!({"person_id": house.id("administrator-2").to_string(), "label": "narrow",
        "roles": ["auditor"], "expires_at": ends});
    let (_, issued) = house.ask("administrator", "POST", "/v1/tokens", body.clone()).await;
    assert_eq!(get(&house, issued["secret"].as_str(), PEOPLE).await.0, StatusCode::FORBIDDEN);
    body["roles"] = serde_json::json!(["administrator"]);
    let (_, issued) = house.ask("administrator", "POST", "/v1/tokens", body).await;
    let path = format!("/v1/tokens/{}/confirm", issued["token"]["id"].as_str().unwrap());
    assert_eq!(house.ask("administrator-2", "POST", &path, Value::Null).await.0, StatusCode::OK);
    assert_eq!(get(&house, issued["secret"].as_str(), PEOPLE).await.0, StatusCode::OK);
    house.by_hand("UPDATE tokens SET roles = NULL").await;
    assert_eq!(get(&house, issued["secret"].as_str(), PEOPLE).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn p4_a_token_s_use_is_noted_once_an_hour_and_not_for_reading_the_log() {
    let house = House::new().await;
    let caller = authenticate(&house.vault, house.token("auditor")).await.unwrap();
    let size = || house.vault.ledger().unwrap().checkpoint().unwrap().size();
    let before = size();
    note_use(&house.vault, &caller, Trace::None).await.unwrap();
    assert_eq!(size(), before);
    for _ in 0..3 {
        assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    }
    assert_eq!(size(), before + 1);
    let hour = house.clock.now().as_millis() / 3_600_000;
    let noted = house.vault.ledger().unwrap().find::<TokenUsed>(&reference::token_used(caller.token(), hour)).await;
    assert_eq!(noted.unwrap().unwrap().index(), before);
    // Another node, or this one after a restart, knows that it is noted.
    let house = house.restarted().await;
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    assert_eq!(house.vault.ledger().unwrap().checkpoint().unwrap().size(), before + 1);
    house.clock.advance(core::time::Duration::from_hours(1));
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    assert_eq!(house.vault.ledger().unwrap().checkpoint().unwrap().size(), before + 2);
}

#[tokio::test]
async fn p4_p6_while_the_log_cannot_be_written_what_takes_away_is_done_and_nothing_else() {
    let house = House::new().await;
    let newcomer = house.enter("Newcomer", "human").await;
    let binding = house.give(newcomer, "auditor").await;
    let (_, token) = house.issue(newcomer).await;
    let auditor = authenticate(&house.vault, house.token("auditor")).await.unwrap();
    // A file where the log's directory was: nothing can be published.
    let log = house.vault.config.objects_path().join("log");
    let aside = house.vault.config.objects_path().join("log-aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, b"").unwrap();
    house.clock.advance(core::time::Duration::from_hours(1));

    let (status, problem) = get(&house, Some(&token), PEOPLE).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("log_unavailable")));
    let (status, problem) = get(&house, Some(&token), PEOPLE).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("log_unavailable")));
    note_use(&house.vault, &auditor, Trace::None).await.unwrap();

    let path = format!("/v1/role-bindings/{}", binding["id"].as_str().unwrap());
    let (status, answer) = house.ask("administrator", "DELETE", &path, Value::Null).await;
    assert_eq!((status, &answer["journalled"]), (StatusCode::OK, &Value::Bool(true)));
    assert_eq!(get(&house, Some(&token), PEOPLE).await.0, StatusCode::FORBIDDEN);

    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    let house = house.restarted().await;
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    let id = binding["id"].as_str().unwrap().parse().unwrap();
    let found = house.vault.ledger().unwrap();
    let found = found.find::<RoleRevoked>(&reference::role_revoked(id)).await;
    assert!(found.unwrap().is_some(), "what was done while the log could not be written is in it now");
}

#[tokio::test]
async fn a_refusal_by_role_is_in_the_log_once() {
    let house = House::new().await;
    assert_eq!(house.ask("analyst", "GET", ME, Value::Null).await.0, StatusCode::OK);
    let entries = "SELECT (SELECT COUNT(*) FROM log_entries) + (SELECT COUNT(*) FROM log_outbox)";
    let before = house.vault.store.number(entries).await;
    for _ in 0..3 {
        assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(house.vault.store.number(entries).await, before + 1);
}

#[tokio::test]
async fn p5_a_token_that_one_administrator_handed_out_does_nothing_that_takes_two() {
    let house = House::new().await;
    let roles = async |house: &House, token: &str| {
        let me = get(house, Some(token), ME).await.1;
        me["roles"].as_array().unwrap().iter().map(|r| r["role"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // For who holds the role already, and for who gets it later.
    let (id, of_approver) = house.issue(house.id("approver")).await;
    assert_eq!(roles(&house, &of_approver).await, Vec::<String>::new());
    let newcomer = house.enter("Newcomer", "human").await;
    let (_, early) = house.issue(newcomer).await;
    house.give(newcomer, "analyst").await;
    assert_eq!(
        house
            .ask(
                "administrator",
                "POST",
                "/v1/role-bindings",
                serde_json::json!({
        "person_id": newcomer.to_string(), "role": "auditor", "reason": "needed"})
            )
            .await
            .0,
        StatusCode::CREATED
    );
    assert_eq!(roles(&house, &early).await, ["auditor"]);

    let path = format!("/v1/tokens/{id}/confirm");
    assert_eq!(house.ask("administrator", "POST", &path, Value::Null).await.1["code"], "self_approval");
    assert_eq!(house.ask("auditor", "POST", &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("approver", "POST", &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    // A confirmation written by hand confirms nothing.
    house
        .by_hand(
            "UPDATE tokens SET confirmed_by = (SELECT id FROM persons WHERE name = 'administrator-2') \
                  WHERE issued_by IS NOT NULL",
        )
        .await;
    assert_eq!(roles(&house, &of_approver).await, Vec::<String>::new());
    house.by_hand("UPDATE tokens SET confirmed_by = NULL").await;
    let (status, token) = house.ask("administrator-2", "POST", &path, Value::Null).await;
    assert_eq!((status, token["confirmed_by"]["name"].as_str()), (StatusCode::OK, Some("administrator-2")));
    assert_eq!(roles(&house, &of_approver).await, ["approver"]);
    assert_eq!(house.ask("administrator-2", "POST", &path, Value::Null).await.1["code"], "request_decided");
    // Another issuer written into the row by hand: the log knows who it was.
    house.by_hand("UPDATE tokens SET issued_by = NULL").await;
    let house = house.restarted().await;
    assert_eq!(get(&house, Some(&of_approver), ME).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&house, Some(&early), ME).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn p4_a_clock_that_was_ahead_for_a_while_stops_nobody() {
    let house = House::new().await;
    assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    // What a node whose clock was hours ahead left behind.
    house.by_hand("UPDATE tokens SET used_hour = used_hour + 7 WHERE used_hour > 0").await;
    let house = house.restarted().await;
    let size = || house.vault.ledger().unwrap().checkpoint().unwrap().size();
    let before = size();
    house.clock.advance(core::time::Duration::from_hours(1));
    for _ in 0..2 {
        assert_eq!(house.ask("auditor", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    }
    assert_eq!(size(), before + 1);
}

const ENTRIES: &str = "SELECT (SELECT COUNT(*) FROM log_entries) + (SELECT COUNT(*) FROM log_outbox)";

#[tokio::test]
async fn p5_who_tries_to_be_the_second_person_to_their_own_act_is_in_the_log() {
    let house = House::new().await;
    let administrator = house.id("administrator");
    let newcomer = house.enter("Newcomer", "human").await;
    let proposal = |person: vault_core::ids::PersonId| serde_json::json!({"person_id": person.to_string(), "role": "analyst", "reason": "needed"});
    let (status, binding) = house.ask("administrator", "POST", "/v1/role-bindings", proposal(newcomer)).await;
    assert_eq!((status, binding["state"].as_str()), (StatusCode::CREATED, Some("proposed")));
    let role = format!("/v1/role-bindings/{}/confirm", binding["id"].as_str().unwrap());
    let (id, _) = house.issue(newcomer).await;
    let token = format!("/v1/tokens/{id}/confirm");

    // Twice each: the second is the first over again. An hour between, as role and token are one action.
    let before = house.vault.store.number(ENTRIES).await;
    for path in [&role, &role] {
        assert_eq!(house.ask("administrator", "POST", path, Value::Null).await.1["code"], "self_approval");
    }
    assert_eq!(house.vault.store.number(ENTRIES).await, before + 1);
    house.clock.advance(core::time::Duration::from_hours(1));
    assert_eq!(house.ask("administrator", "GET", PEOPLE, Value::Null).await.0, StatusCode::OK);
    let before = house.vault.store.number(ENTRIES).await;
    for path in [&token, &token] {
        assert_eq!(house.ask("administrator", "POST", path, Value::Null).await.1["code"], "self_approval");
    }
    assert_eq!(house.vault.store.number(ENTRIES).await, before + 1);
    // A role for oneself.
    let (_, answer) = house.ask("administrator", "POST", "/v1/role-bindings", proposal(administrator)).await;
    assert_eq!(answer["code"], "self_approval");
    assert_eq!(house.vault.store.number(ENTRIES).await, before + 2);
}

#[tokio::test]
async fn a_refusal_that_could_not_be_noted_is_noted_the_next_time() {
    let house = House::new().await;
    assert_eq!(house.ask("analyst", "GET", ME, Value::Null).await.0, StatusCode::OK);
    let before = house.vault.store.number(ENTRIES).await;
    house.by_hand("ALTER TABLE log_outbox RENAME TO elsewhere").await;
    assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    house.by_hand("ALTER TABLE elsewhere RENAME TO log_outbox").await;
    assert_eq!(house.vault.store.number(ENTRIES).await, before);
    assert_eq!(house.ask("analyst", "GET", PEOPLE, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(house.vault.store.number(ENTRIES).await, before + 1);
}
