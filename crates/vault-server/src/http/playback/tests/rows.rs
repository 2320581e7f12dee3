//! Rows of sessions: what a restart, their time and a hand in the database make of them.

use super::*;

#[tokio::test]
async fn rows_of_sessions_closed_long_ago_are_deleted_once_their_grant_is_over() {
    let stage = Stage::set().await;
    let (_, url) = stage.opened().await;
    assert_eq!(stage.status(Some("analyst"), "DELETE", &url).await, StatusCode::NO_CONTENT);
    let vault = &stage.house.vault;
    // The grant lasts seven days, and a closed session is remembered for as long after that.
    stage.house.clock.advance(Duration::from_hours(24 * 8));
    assert_eq!(play::forget_closed(vault).await.unwrap(), 0, "it still counts, or is remembered");
    assert_eq!(stage.status(Some("analyst"), "GET", &url).await, StatusCode::GONE);
    stage.house.clock.advance(Duration::from_hours(24 * 7));
    assert_eq!(play::forget_closed(vault).await.unwrap(), 1);
    assert_eq!(stage.status(Some("analyst"), "GET", &url).await, StatusCode::NOT_FOUND);
    assert_eq!(vault.store.number("SELECT COUNT(*) FROM sessions").await, 0);
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_is_then_closed_as_presumed_whole() {
    let mut stage = Stage::set().await;
    let (id, url) = stage.opened().await;
    let _first = bytes(stage.send(Some("analyst"), "GET", &url, Some("bytes=0-9")).await).await;
    stage.house = stage.house.restarted().await;
    let response = stage.send(Some("analyst"), "GET", &url, Some("bytes=100-199")).await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert!(bytes(response).await == stage.recording[100..200]);
    assert_eq!(stage.status(Some("analyst"), "DELETE", &url).await, StatusCode::NO_CONTENT);
    assert_eq!(stage.closed(id).await.data("disclosed").unwrap().as_str(), Some("presumed-whole"));
}

#[tokio::test]
async fn the_reaper_closes_what_has_expired_with_what_was_served() {
    let stage = Stage::set().await;
    let (id, url) = stage.opened().await;
    let _first = bytes(stage.send(Some("analyst"), "GET", &url, Some("bytes=0-9")).await).await;
    let vault = &stage.house.vault;
    assert_eq!(play::reap(vault).await.unwrap(), 0, "its time is not over");
    stage.house.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(stage.status(Some("analyst"), "GET", &url).await, StatusCode::GONE);
    assert_eq!(play::reap(vault).await.unwrap(), 1);
    assert_eq!(play::reap(vault).await.unwrap(), 0);
    let closed = stage.closed(id).await;
    assert_eq!(closed.data("why").unwrap().as_str(), Some("expired"));
    assert_eq!(closed.data("bytes").unwrap().as_number(), Some(10));
    assert!(vault.sessions.is_empty());
}

#[tokio::test]
async fn the_reaper_closes_the_sessions_of_a_process_that_died_as_presumed_whole() {
    let mut stage = Stage::set().await;
    let (id, _) = stage.opened().await;
    stage.house = stage.house.restarted().await;
    stage.house.clock.advance(Duration::from_secs(15 * 60 + 5));
    assert_eq!(play::reap(&stage.house.vault).await.unwrap(), 0, "its own process has time to tell more");
    stage.house.clock.advance(Duration::from_secs(30));
    assert_eq!(play::reap(&stage.house.vault).await.unwrap(), 1);
    assert_eq!(stage.closed(id).await.data("disclosed").unwrap().as_str(), Some("presumed-whole"));
}

#[tokio::test]
async fn p4_a_session_row_written_or_changed_by_hand_plays_nothing() {
    for change in [
        "UPDATE sessions SET expires_at = expires_at + 86400000",
        "UPDATE sessions SET grant_id = (SELECT id FROM grants WHERE id <> sessions.grant_id)",
        "UPDATE sessions SET id = '019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55'",
    ] {
        let mut stage = Stage::set().await;
        let _other = stage.granted().await;
        let (_, url) = stage.opened().await;
        stage.house = stage.house.restarted().await;
        stage.house.by_hand(change).await;
        let url = if change.contains("SET id") { "/v1/playback/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55" } else { &url };
        assert_eq!(stage.status(Some("analyst"), "GET", url).await, StatusCode::FORBIDDEN, "{change}");
    }
}
