//! Two nodes and one rotation: one works, the other takes over when that one is gone.

use super::*;

/// Longer than any takeover.
const PATIENCE: Duration = Duration::from_secs(60);

async fn moved(house: &House) -> (u64, String) {
    let (_, shown) = house.ask("key-officer", "GET", "/v1/collections/calls/keys/rotation", Value::Null).await;
    (shown["rotation"]["moved"].as_u64().unwrap(), shown["rotation"]["state"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn p7_another_node_takes_over_a_rotation_whose_node_is_gone() {
    let (house, id) = house().await;
    for n in 0..300 {
        put(&house.vault, id, record(n)).await;
    }
    let second = house.beside().await.vault;
    let slow = json!({"reason": "Yearly", "throttle": 100});
    assert_eq!(house.ask("key-officer", "POST", ROTATE, slow).await.0, StatusCode::ACCEPTED);
    // Both are at it; the lease lets one.
    let first = tokio::spawn({
        let vault = Arc::clone(&house.vault);
        async move { rewrap_all(&vault).await }
    });
    while moved(&house).await.0 == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let holders = house.vault.store.number("SELECT COUNT(*) FROM leases WHERE name LIKE 'rotation:%'").await;
    let fence = house.vault.store.number("SELECT MAX(fence) FROM leases WHERE name LIKE 'rotation:%'").await;
    assert_eq!((holders, fence), (1, 1));
    let other = tokio::spawn(async move { rewrap_all(&second).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fence = house.vault.store.number("SELECT MAX(fence) FROM leases WHERE name LIKE 'rotation:%'").await;
    assert_eq!(fence, 1, "a lease that is renewed is left alone");

    // The first is gone without a word.
    first.abort();
    let _ = first.await;
    let body = json!({"records_per_second": null});
    let path = "/v1/collections/calls/keys/rotation/throttle";
    assert_eq!(house.ask("key-officer", "POST", path, body).await.0, StatusCode::OK);
    tokio::time::timeout(PATIENCE, other).await.expect("somebody takes over").unwrap().unwrap();
    assert_eq!(moved(&house).await, (300, "done".to_owned()));
    let fence = house.vault.store.number("SELECT MAX(fence) FROM leases WHERE name LIKE 'rotation:%'").await;
    assert_eq!(fence, 2);
    for n in 0..300 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
    assert!(verify::findings(&house).await.is_empty());
    oracle::sound(&house.vault, &[]).await;
}

/// A node that slept past its lease wakes up with a batch in its hands: the fence is another's, and the batch comes to nothing.
#[tokio::test]
async fn p7_a_node_that_was_fenced_off_moves_nothing_more() {
    let (house, id) = house().await;
    for n in 0..60 {
        put(&house.vault, id, record(n)).await;
    }
    let slow = json!({"reason": "Yearly", "throttle": 40});
    assert_eq!(house.ask("key-officer", "POST", ROTATE, slow).await.0, StatusCode::ACCEPTED);
    let vault = Arc::clone(&house.vault);
    let first = tokio::spawn(async move { rewrap_all(&vault).await });
    while moved(&house).await.0 == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.by_hand("UPDATE leases SET fence = fence + 1, holder = 'somebody@' WHERE name LIKE 'rotation:%'").await;
    let at = moved(&house).await.0;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(moved(&house).await.0 <= at + 8, "at most the batch that was being written");
    // Somebody never renews it, so the first comes to stand again.
    tokio::time::timeout(PATIENCE, first).await.expect("it goes on").unwrap().unwrap();
    assert_eq!(moved(&house).await, (60, "done".to_owned()));
    assert!(verify::findings(&house).await.is_empty());
}
