//! A version that somebody marks as compromised: of no use to anybody at once, but to the job that empties it.

use vault_api::code::Code;
use vault_core::keys::lifecycle::KeyState;

use super::*;
use crate::app::error::Failure;

async fn mark(house: &House, version: u32) -> (StatusCode, Value) {
    let path = format!("{KEYS}/{version}/mark-compromised");
    let body = json!({"incident": "INC-7", "reason": "A dump left the house"});
    house.ask("key-officer", "POST", &path, body).await
}

fn told(version: u64, state: &str, records: u64) -> (u64, String, u64) {
    (version, state.to_owned(), records)
}

#[tokio::test]
async fn p7_a_compromised_version_opens_for_nobody_but_the_job_that_empties_it() {
    let (house, id) = house().await;
    for n in 0..40 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(opens(&house.vault, record(3)).await, Some(1));
    assert_eq!(mark(&house, 2).await.0, StatusCode::NOT_FOUND);
    let (status, begun) = mark(&house, 1).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    assert_eq!((&begun["to_version"], &begun["because"]), (&json!(2), &json!("compromised")));
    assert_eq!(versions(&house).await, [told(1, "compromised", 40), told(2, "active", 0)]);

    // It lay in memory a moment ago. A record under it is told to be on its way; a new one goes under the successor.
    let row = records::find(&house.vault.store, record(3)).await.unwrap().unwrap();
    let opened = house.vault.keys.unwrap_record_key(id, record(3), 1, &row.wrap.unwrap()).await.map(drop);
    let refused = opened.unwrap_err();
    assert!(matches!(refused, KeyError::State { state: KeyState::Compromised, .. }), "{refused}");
    assert_eq!(Failure::from(refused).code(), Code::KeyCompromised);
    put(&house.vault, id, record(40)).await;
    assert_eq!(opens(&house.vault, record(40)).await, Some(2));
    assert_eq!(verify::findings(&house).await, Vec::<Value>::new(), "what may not be opened is no finding");

    rewrap_all(&house.vault).await.unwrap();
    for n in 0..=40 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
    let (status, again) = mark(&house, 1).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("key_unusable")));
    let said = logged(&house, "key.operation", 5).await;
    let said: Vec<_> =
        said.iter().map(|d| (d["operation"].as_str().unwrap(), d["because"].as_str().unwrap())).collect();
    let expected = ["create", "mark-compromised", "activate", "rewrap", "rewrapped"].map(|one| (one, "compromised"));
    assert_eq!(said, expected);
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_version_that_was_rotated_away_can_be_compromised_too() {
    let (house, id) = house().await;
    for n in 0..40 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    // In the middle of a rotation that somebody has paused: this one waits for nobody.
    let paused = house.ask("key-officer", "POST", &format!("{KEYS}/rotation/pause"), Value::Null).await;
    assert_eq!(paused.0, StatusCode::OK, "{}", paused.1);
    let (status, begun) = mark(&house, 1).await;
    assert_eq!((status, &begun["state"], &begun["to_version"]), (StatusCode::ACCEPTED, &json!("running"), &json!(2)));
    assert_eq!(versions(&house).await, [told(1, "compromised", 40), told(2, "active", 0)]);
    // A restart on the way.
    let house = house.restarted().await;
    assert_eq!(opens(&house.vault, record(7)).await, None);
    rewrap_all(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, [told(1, "compromised", 0), told(2, "active", 40)]);
    assert_eq!(opens(&house.vault, record(7)).await, Some(2));
    oracle::sound(&house.vault, &[]).await;
}

/// Who edits the row of a version makes no incident: without the log's entry nothing under it is opened, or lost.
#[tokio::test]
async fn p7_no_row_alone_opens_a_compromised_version() {
    let (house, id) = house().await;
    for n in 0..5 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    house.by_hand("UPDATE keks SET state = 'compromised' WHERE version = 1 AND state = 'deactivated'").await;
    let failure = rewrap_all(&house.vault).await.unwrap_err();
    assert_eq!(failure.code(), Code::NotInLog, "{failure:?}");
    assert_eq!(versions(&house).await, [told(1, "compromised", 5), told(2, "active", 0)]);
}

#[tokio::test]
async fn p7_an_incident_whose_commit_has_no_answer_happened_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        let (house, id) = house().await;
        put(&house.vault, id, record(1)).await;
        house.vault.store.faults.add("mark_compromised", fault);
        assert_eq!(mark(&house, 1).await.0, StatusCode::SERVICE_UNAVAILABLE);
        let again = mark(&house, 1).await.0;
        let expected = if fault == Fault::Persisted { StatusCode::CONFLICT } else { StatusCode::ACCEPTED };
        assert_eq!(again, expected);
        let house = house.restarted().await;
        rewrap_all(&house.vault).await.unwrap();
        assert_eq!(versions(&house).await, [told(1, "compromised", 0), told(2, "active", 1)]);
        assert_eq!(opens(&house.vault, record(1)).await, Some(2));
        oracle::sound(&house.vault, &[]).await;
    }
}
