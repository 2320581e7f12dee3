//! What a leaked version exposes: by what wraps a key now, by what may have wrapped it, and whatever rows say.

use super::*;

/// A day and a little: more than the margin for clocks.
const LATER: &str = "UPDATE records SET received_at = received_at + 90000000 WHERE id LIKE '0500%'";

/// `(record, how)` of all pages of this size, how many records were looked at, and the last page.
async fn exposed(house: &House, version: u32, limit: u32) -> (Vec<(String, String)>, u64, Value) {
    let (mut found, mut looked_at, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("{KEYS}/{version}/exposure?limit={limit}{cursor}");
        let (status, page) = house.ask("key-officer", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        looked_at += page["looked_at"].as_u64().unwrap();
        found.extend(page["records"].as_array().unwrap().iter().map(|record| {
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            (text("record_id"), text("how"))
        }));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (found, looked_at, page),
        }
    }
}

fn all(range: core::ops::Range<u16>, how: &str) -> Vec<(String, String)> {
    range.map(|n| (record(n).to_string(), how.to_owned())).collect()
}

#[tokio::test]
async fn p7_a_version_exposes_what_it_wraps_and_what_was_made_before_it_was_retired() {
    let (house, id) = house().await;
    for n in 0..5 {
        put(&house.vault, id, record(n)).await;
    }
    let (found, looked_at, page) = exposed(&house, 1, 2).await;
    assert_eq!((found, looked_at), (all(0..5, "held"), 5), "across pages");
    assert_eq!((&page["state"], &page["active_until"]), (&json!("active"), &Value::Null));
    let (status, absent) = house.ask("key-officer", "GET", &format!("{KEYS}/2/exposure"), Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{absent}");

    // It is retired a while after they came. What comes after that by more than clocks differ was never under it.
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    put(&house.vault, id, record(0x0500)).await;
    house.by_hand(LATER).await;
    assert_eq!(exposed(&house, 1, 100).await.0, all(0..5, "held"), "not moved yet");
    rewrap_all(&house.vault).await.unwrap();
    let (found, looked_at, page) = exposed(&house, 1, 3).await;
    assert_eq!((found, looked_at), (all(0..5, "passed"), 6), "moving a key does not take back what was under it");
    assert_eq!((&page["state"], page["active_until"].is_string()), (&json!("deactivated"), true));
    assert_eq!(exposed(&house, 2, 100).await.0.len(), 6, "the later version wraps all of them");

    // A third one: the first still exposes the same, and the marking changes nothing about that.
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    let body = json!({"incident": "INC-7", "reason": "A dump left the house"});
    let marked = house.ask("key-officer", "POST", &format!("{KEYS}/1/mark-compromised"), body).await;
    assert_eq!(marked.0, StatusCode::ACCEPTED, "{}", marked.1);
    let (found, _, page) = exposed(&house, 1, 100).await;
    assert_eq!((found, &page["state"]), (all(0..5, "passed"), &json!("compromised")));
    assert_eq!(exposed(&house, 3, 100).await.0.len(), 6);
}

#[tokio::test]
async fn p7_what_was_received_within_the_margin_is_told_apart_and_not_left_out() {
    let (house, id) = house().await;
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    put(&house.vault, id, record(1)).await;
    // By a clock that is an hour ahead of the node's that rotated.
    house.by_hand("UPDATE records SET received_at = received_at + 3600000").await;
    assert_eq!(exposed(&house, 1, 100).await.0, all(1..2, "close"));
}

#[tokio::test]
async fn p12_neither_an_edited_row_nor_one_that_cannot_be_read_hides_a_record() {
    let (house, id) = house().await;
    for n in 0..4 {
        put(&house.vault, id, record(n)).await;
    }
    // Called another collection's.
    let other = collection("other", "2030-01-01T00:00:00Z");
    let (status, made) = house.ask("administrator", "POST", "/v1/collections", other).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    house
        .by_hand("UPDATE records SET collection_id = (SELECT id FROM collections WHERE name = 'other') WHERE id LIKE '0003%'")
        .await;
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    // Called one of the new version's and of next week's, while the wrap still names the old one.
    house
        .by_hand("UPDATE records SET kek_version = 2, received_at = received_at + 900000000 WHERE id LIKE '0001%'")
        .await;
    house.by_hand("UPDATE records SET kek_version = 2, wrap = substr(wrap, 1, 4) WHERE id LIKE '0002%'").await;
    let expected = [all(0..2, "held"), all(2..3, "unreadable"), all(3..4, "held")].concat();
    assert_eq!(exposed(&house, 1, 1).await.0, expected);
}

#[tokio::test]
async fn what_is_erased_has_no_key_and_a_page_has_its_bounds() {
    let (house, id) = house().await;
    for n in 0..2 {
        put(&house.vault, id, record(n)).await;
    }
    let gone = house.ask("approver", "DELETE", &format!("/v1/records/{}", record(0)), Value::Null).await;
    assert!(gone.0.is_success(), "{}", gone.1);
    let (found, looked_at, _) = exposed(&house, 1, 100).await;
    assert_eq!((found, looked_at), (all(1..2, "held"), 1));
    for query in ["limit=0", "limit=10001"] {
        let (status, refused) =
            house.ask("key-officer", "GET", &format!("{KEYS}/1/exposure?{query}"), Value::Null).await;
        assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_value")), "{query}");
    }
    let (status, refused) =
        house.ask("key-officer", "GET", &format!("{KEYS}/1/exposure?cursor=%21"), Value::Null).await;
    assert_eq!((status.is_client_error(), &refused["code"]), (true, &json!("invalid_cursor")));
}
