//! What is due rotates by itself, by each collection's policy; clocks that are wrong harm nothing.

use super::super::upkeep;
use super::*;

const DAY: Duration = Duration::from_hours(24);

async fn rotation(house: &House) -> Value {
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    shown["rotation"].clone()
}

#[tokio::test]
async fn p7_a_key_whose_cryptoperiod_is_over_rotates_by_itself_and_says_why() {
    let (house, id) = house_with(json!({"cryptoperiod_days": 10})).await;
    put(&house.vault, id, record(1)).await;
    upkeep(&house.vault).await.unwrap();
    assert_eq!(rotation(&house).await, Value::Null, "nothing is due yet");
    house.clock.advance(9 * DAY);
    upkeep(&house.vault).await.unwrap();
    assert_eq!(rotation(&house).await, Value::Null);
    house.clock.advance(DAY);
    upkeep(&house.vault).await.unwrap();
    // Asked again before the record keys have moved, it waits.
    upkeep(&house.vault).await.unwrap();
    rewrap_all(&house.vault).await.unwrap();
    upkeep(&house.vault).await.unwrap();
    let shown = rotation(&house).await;
    assert_eq!(
        (&shown["because"], &shown["state"], &shown["to_version"]),
        (&json!("cryptoperiod-over"), &json!("done"), &json!(2))
    );
    assert_eq!(opens(&house.vault, record(1)).await, Some(2));
    let house = house.restarted().await;
    assert_eq!(versions(&house).await.len(), 2);
    let said = house.vault.store.number("SELECT COUNT(*) FROM keks WHERE state = 'active'").await;
    assert_eq!(said, 2, "one of the collection, one of the vault itself");
    // Half a year later the vault's own key is due too, and nobody has to ask for it.
    house.clock.advance(180 * DAY);
    upkeep(&house.vault).await.unwrap();
    rewrap_all(&house.vault).await.unwrap();
    assert_eq!(house.vault.store.number("SELECT COUNT(*) FROM keks WHERE state = 'active' AND version > 1").await, 2);
    let house = house.restarted().await;
    assert_eq!(opens(&house.vault, record(1)).await, Some(3));
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_a_soft_ceiling_rotates_and_a_hard_one_refuses_and_says_what_to_do() {
    let (house, id) = house_with(json!({"soft_ceiling": 10, "hard_ceiling": 20})).await;
    // The two children were the first uses.
    for n in 0..18 {
        put(&house.vault, id, record(n)).await;
    }
    let refused = try_put(&house.vault, id, record(18)).await.unwrap_err();
    assert!(matches!(refused, KeyError::Ceiling(c) if c == id), "{refused}");
    let failure = crate::app::error::Failure::from(refused);
    assert_eq!((failure.code().status(), failure.code().as_str()), (503, "key_ceiling"));
    assert!(failure.code().help().contains("rotate"), "{}", failure.code().help());
    // Whoever waits for that was told, by the uses themselves.
    tokio::time::timeout(Duration::from_secs(5), house.vault.keys.due_key()).await.expect("told");

    upkeep(&house.vault).await.unwrap();
    assert_eq!(rotation(&house).await["because"], "soft-ceiling");
    put(&house.vault, id, record(18)).await;
    rewrap_all(&house.vault).await.unwrap();
    // Moved keys are no new ones: the rotation is no reason for the next.
    upkeep(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await.len(), 2);
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!((&shown["versions"][0]["wraps"], &shown["versions"][0]["new_keys"]), (&json!(21), &json!(1)));
    for n in 0..19 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused() {
    let house = House::new().await;
    for (keys, member) in [
        (json!({"cryptoperiod_days": 0}), "keys.cryptoperiod_days"),
        (json!({"soft_ceiling": 100, "hard_ceiling": 100}), "keys.hard_ceiling"),
    ] {
        let mut body = collection("calls", "2030-01-01T00:00:00Z");
        body["keys"] = keys;
        let (status, refused) = house.ask("administrator", "POST", "/v1/collections", body).await;
        assert_eq!((status, refused["code"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("invalid_value")));
        assert!(refused["detail"].as_str().unwrap().contains(member), "{refused}");
    }
}

#[tokio::test]
async fn p7_what_is_due_begins_where_somebody_has_paused_and_stays_paused() {
    let (house, id) = house_with(json!({"soft_ceiling": 10, "hard_ceiling": 20})).await;
    put(&house.vault, id, record(1)).await;
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    let path = "/v1/collections/calls/keys/rotation/pause";
    assert_eq!(house.ask("key-officer", "POST", path, Value::Null).await.0, StatusCode::OK);
    for n in 2..14 {
        put(&house.vault, id, record(n)).await;
    }
    upkeep(&house.vault).await.unwrap();
    let shown = rotation(&house).await;
    assert_eq!((&shown["state"], &shown["to_version"]), (&json!("paused"), &json!(3)), "{shown}");
    put(&house.vault, id, record(14)).await;
    let path = "/v1/collections/calls/keys/rotation/resume";
    assert_eq!(house.ask("key-officer", "POST", path, Value::Null).await.0, StatusCode::OK);
    rewrap_all(&house.vault).await.unwrap();
    for n in 1..15 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(3), "record {n}");
    }
}

/// A clock that is set a day forward or back in the middle of a rotation, with and without a restart.
#[tokio::test]
async fn p7_a_clock_a_day_wrong_either_way_harms_no_rotation() {
    let (mut house, id) = house_with(json!({"cryptoperiod_days": 2})).await;
    for n in 0..80 {
        put(&house.vault, id, record(n)).await;
    }
    for (round, forward) in [true, false, false, true].into_iter().enumerate() {
        let to = u32::try_from(round).unwrap() + 2;
        assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED, "round {round}");
        let cut = tokio::time::timeout(Duration::from_millis(20), rewrap_all(&house.vault)).await;
        if forward {
            house.clock.advance(DAY)
        } else {
            house.clock.set_back(DAY)
        }
        // Whoever calls waits for a pace that the clock counts.
        house.clock.advance(Duration::from_secs(61));
        if round % 2 == 0 || cut.is_err() {
            house = house.restarted().await;
        }
        upkeep(&house.vault).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), rewrap_all(&house.vault))
            .await
            .expect("no clock is waited for")
            .unwrap();
        for n in 0..80 {
            assert_eq!(opens(&house.vault, record(n)).await, Some(to), "round {round}, record {n}");
        }
        assert!(verify::findings(&house).await.is_empty());
    }
    oracle::sound(&house.vault, &[]).await;
}
