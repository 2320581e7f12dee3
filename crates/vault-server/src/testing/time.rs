//! A clock that somebody has set a day forward or back under a running vault.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{House, collection, oracle};

const DAY: Duration = Duration::from_hours(24);

/// Limits on pace may answer 429 for so long after a clock was set back, and no longer.
const PACE: Duration = Duration::from_secs(61);

async fn ground() -> House {
    let house = House::new().await;
    let new = collection("calls", "2030-01-01T00:00:00Z");
    assert_eq!(house.ask("administrator", "POST", "/v1/collections", new).await.0, StatusCode::CREATED);
    let (status, answer) = house.ask("administrator", "POST", "/v1/collections/calls/open", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    house
}

/// A person and a token for a day, revoked at once.
async fn revoked(house: &House) -> String {
    let person = house.enter("Vera", "human").await;
    house.give(person, "auditor").await;
    let (id, secret) = house.issue_confirmed(person).await;
    assert_eq!(house.ask_with(Some(&secret), "GET", "/v1/audit/entries", Value::Null).await.0, StatusCode::OK);
    let (status, answer) = house.ask("administrator", "DELETE", &format!("/v1/tokens/{id}"), Value::Null).await;
    assert!(status.is_success(), "{status} {answer}");
    secret
}

#[tokio::test]
async fn p6_a_clock_set_back_or_forward_lifts_no_restriction_and_the_log_goes_on() {
    let mut house = ground().await;
    let secret = revoked(&house).await;
    let (first, entries) = oracle::sound(&house.vault, &[]).await;
    let mut known = vec![first];
    for (forward, restart) in [(false, false), (false, true), (true, false), (true, true), (true, false)] {
        if forward {
            house.clock.advance(DAY);
        } else {
            house.clock.set_back(DAY);
        }
        if restart {
            house = house.restarted().await;
        }
        let at_once = house.ask_with(Some(&secret), "GET", "/v1/audit/entries", Value::Null).await.0;
        assert!([StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&at_once), "{at_once}");
        house.clock.advance(PACE);
        let gone = house.ask_with(Some(&secret), "GET", "/v1/audit/entries", Value::Null).await;
        assert_eq!(gone.0, StatusCode::UNAUTHORIZED, "{}", gone.1);
        // Acts go on, and so does the log, whatever time its entries tell.
        let named = json!({"name": format!("Somebody {}", known.len()), "kind": "human"});
        let (status, answer) = house.ask("administrator", "POST", "/v1/people", named).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let (note, now) = oracle::sound(&house.vault, &known).await;
        assert!(now > entries);
        known.push(note);
    }
}

#[tokio::test]
async fn tokens_end_by_the_clock_and_nothing_that_ended_by_it_is_lost_for_good() {
    let house = ground().await;
    let person = house.enter("Vera", "human").await;
    house.give(person, "auditor").await;
    let (_, secret) = house.issue_confirmed(person).await;
    let ask = async || house.ask_with(Some(&secret), "GET", "/v1/audit/entries", Value::Null).await.0;
    assert_eq!(ask().await, StatusCode::OK);
    house.clock.advance(DAY + DAY);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED, "a token of a day, two days later");
    house.clock.set_back(DAY + DAY);
    house.clock.advance(PACE);
    assert_eq!(ask().await, StatusCode::OK, "the clock was wrong, and is right again");
    oracle::sound(&house.vault, &[]).await;
}
