//! Sessions that two nodes serve: what `playback.closed` says of them, and that it never says less than was served.

use core::time::Duration;

use super::*;
use crate::store::{sessions, shares};

/// Two nodes, and a session that was opened on the first and has been served by both.
struct Pair {
    one: Stage,
    two: Stage,
    id: SessionId,
    url: String,
}

/// What both have served together.
const SERVED: [&str; 2] = ["0-9", "70000-140000"];

impl Pair {
    async fn serving() -> Self {
        let one = Stage::set().await;
        let two = one.beside().await;
        let (id, url) = one.opened().await;
        let pair = Self { one, two, id, url };
        pair.play(&pair.one, "bytes=0-9", 0..10).await;
        pair.play(&pair.two, "bytes=70000-140000", 70_000..140_001).await;
        pair
    }

    async fn play(&self, on: &Stage, range: &str, span: core::ops::Range<usize>) {
        let response = on.send(Some("analyst"), "GET", &self.url, Some(range)).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert!(bytes(response).await == on.recording[span]);
    }

    async fn end(&self, on: &Stage) {
        assert_eq!(on.status(Some("analyst"), "DELETE", &self.url).await, StatusCode::NO_CONTENT);
    }

    /// The ranges that the log names; none where the whole is presumed.
    async fn told(&self) -> Option<Vec<String>> {
        let closed = self.one.closed(self.id).await;
        let ranges = closed
            .data("ranges")
            .map(|ranges| ranges.as_list().unwrap().iter().filter_map(|v| v.as_str()).map(str::to_owned).collect());
        let disclosed = if ranges.is_some() { "ranges" } else { "presumed-whole" };
        assert_eq!(closed.data("disclosed").unwrap().as_str(), Some(disclosed));
        ranges
    }
}

/// The job of a node, until its vault closes.
fn telling(stage: &Stage) {
    let vault = std::sync::Arc::clone(&stage.house.vault);
    tokio::spawn(async move {
        while !vault.closing.is_cancelled() {
            let _ = play::tell_over(&vault).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[tokio::test]
async fn a_session_that_two_nodes_served_is_closed_with_the_ranges_of_both() {
    for by_the_second in [false, true] {
        let pair = Pair::serving().await;
        telling(&pair.one);
        telling(&pair.two);
        pair.end(if by_the_second { &pair.two } else { &pair.one }).await;
        assert_eq!(pair.told().await.as_deref(), Some(SERVED.map(str::to_owned).as_slice()));
        for stage in [&pair.one, &pair.two] {
            assert_eq!(stage.status(Some("analyst"), "GET", &pair.url).await, StatusCode::GONE);
        }
        let store = &pair.one.house.vault.store;
        assert_eq!(store.number("SELECT COUNT(*) FROM session_shares").await, 0, "the log tells from now on");
    }
}

#[tokio::test]
async fn a_node_that_tells_nothing_leaves_the_whole_presumed() {
    let pair = Pair::serving().await;
    pair.end(&pair.one).await;
    assert_eq!(pair.told().await, None);
    // It finds that it comes too late, and nothing wrong with that.
    play::tell_over(&pair.two.house.vault).await.unwrap();
    assert!(pair.two.house.vault.sessions.is_empty());
    assert_eq!(entries(&pair.one.house, "finding.reported", 0).await.len(), 0);
}

#[tokio::test]
async fn a_node_that_leaves_tells_what_it_served() {
    let pair = Pair::serving().await;
    play::leave(&pair.one.house.vault).await;
    pair.end(&pair.two).await;
    assert_eq!(pair.told().await.as_deref(), Some(SERVED.map(str::to_owned).as_slice()));
}

#[tokio::test]
async fn what_a_node_forgot_and_served_again_is_not_known() {
    let pair = Pair::serving().await;
    play::leave(&pair.two.house.vault).await;
    pair.play(&pair.two, "bytes=20-29", 20..30).await;
    pair.end(&pair.one).await;
    assert_eq!(pair.told().await, None);
}

#[tokio::test]
async fn the_reaper_waits_for_what_others_served_and_not_for_ever() {
    for tells in [true, false] {
        let pair = Pair::serving().await;
        pair.one.house.clock.advance(Duration::from_secs(15 * 60));
        let (one, two) = (&pair.one.house.vault, &pair.two.house.vault);
        assert_eq!(play::reap(one).await.unwrap(), 0, "the other has not told");
        if tells {
            assert_eq!(play::tell_over(two).await.unwrap(), 1);
        } else {
            pair.one.house.clock.advance(Duration::from_secs(10));
        }
        assert_eq!(play::reap(one).await.unwrap(), 1);
        assert_eq!(pair.told().await, tells.then(|| SERVED.map(str::to_owned).to_vec()));
    }
}

#[tokio::test]
async fn nobody_joins_a_session_that_is_closed() {
    let pair = Pair::serving().await;
    pair.end(&pair.one).await;
    let store = &pair.one.house.vault.store;
    assert!(!shares::join(store, pair.id, "a third process").await.unwrap(), "its account is closed");
    assert_eq!(store.number("SELECT COUNT(*) FROM session_shares").await, 0);
}

#[tokio::test]
async fn no_share_is_entered_beside_a_closing_that_does_not_see_it() {
    let stage = Stage::set().await;
    let (store, now) = (&stage.house.vault.store, stage.house.vault.clock.now());
    for round in 0..12 {
        let (id, _) = stage.opened().await;
        let processes: Vec<String> = (0..8).map(|i| format!("process {i}")).collect();
        let joining = futures_util::future::join_all(processes.iter().map(|name| shares::join(store, id, name)));
        let closing = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            let mut tx = store.begin("close_by_hand").await.unwrap();
            assert!(sessions::close(&mut tx, id, now).await.unwrap().is_some());
            let taken = shares::take(&mut tx, id).await.unwrap();
            tx.commit().await.unwrap();
            taken
        };
        let (joined, taken) = tokio::join!(joining, closing);
        for (name, joined) in processes.iter().zip(joined) {
            assert_eq!(joined.unwrap(), taken.iter().any(|share| share.instance == *name), "{name}");
        }
        assert_eq!(store.number("SELECT COUNT(*) FROM session_shares").await, 0);
    }
}

#[tokio::test]
async fn shares_that_were_changed_by_hand_leave_the_whole_presumed() {
    for change in [
        "UPDATE session_shares SET served = x'00'",
        // What another process told of the same session.
        "UPDATE session_shares SET served = (SELECT o.served FROM session_shares o WHERE o.instance <> session_shares.instance)",
        "DELETE FROM session_shares WHERE instance = (SELECT instance FROM sessions)",
    ] {
        let pair = Pair::serving().await;
        for stage in [&pair.one, &pair.two] {
            play::leave(&stage.house.vault).await;
        }
        pair.one.house.by_hand(change).await;
        pair.end(&pair.one).await;
        assert_eq!(pair.told().await, None, "{change}");
    }
}

/// The share of whoever did not open the session.
const TAKEN_AWAY: &str = "DELETE FROM session_shares WHERE instance <> (SELECT instance FROM sessions)";

#[tokio::test]
async fn a_share_that_was_taken_away_is_missed_by_the_node_whose_it_is() {
    // In time: the whole is presumed.
    let pair = Pair::serving().await;
    pair.one.house.by_hand(TAKEN_AWAY).await;
    play::leave(&pair.two.house.vault).await;
    pair.end(&pair.one).await;
    assert_eq!(pair.told().await, None);

    // Too late: the log says less than was served, and then that somebody made it so.
    let pair = Pair::serving().await;
    let jobs = crate::jobs::start(&pair.two.house.vault);
    pair.one.house.by_hand(TAKEN_AWAY).await;
    pair.end(&pair.one).await;
    assert_eq!(pair.told().await.as_deref(), Some([SERVED[0].to_owned()].as_slice()));
    let found = entries(&pair.one.house, "finding.reported", 1).await;
    assert_eq!(found[0]["entry"]["data"]["finding"], "session-closed-short");
    drop(jobs);
}
