//! A clock that somebody has set a day forward or back under a running vault.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{House, Recordings, collection, oracle};
use crate::app::play;
use crate::jobs::collector::Collector;

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
            house.clock.set_forward(DAY);
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
    house.clock.set_forward(DAY + DAY);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED, "a token of a day, two days later");
    house.clock.set_back(DAY + DAY);
    house.clock.advance(PACE);
    assert_eq!(ask().await, StatusCode::OK, "the clock was wrong, and is right again");
    oracle::sound(&house.vault, &[]).await;
}

/// PCM, 16 kHz, one channel.
fn wav(length: u32) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((length - 8).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    bytes.extend((length - 44).to_le_bytes());
    bytes.extend((0..length - 44).map(|i| (i ^ (i >> 9)) as u8));
    bytes
}

/// A house with a recording of `demo` in it, and what is done with that.
struct Heard {
    house: House,
    recordings: Recordings,
    record: String,
}

impl Heard {
    async fn set() -> Self {
        let house = House::new().await;
        let recordings = Recordings::open(&house).await;
        let (status, begun) = recordings.begin(&house, Some(20_000)).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        let sent = recordings.send(&house, begun["location"].as_str().unwrap(), 0, wav(20_000)).await;
        assert_eq!(sent.0, StatusCode::NO_CONTENT, "{}", sent.1);
        let (_, list) = house.ask("analyst", "GET", "/v1/records", Value::Null).await;
        let record = list["items"][0]["id"].as_str().unwrap().to_owned();
        Self { house, recordings, record }
    }

    /// An approved request, and its grant.
    async fn granted(&self) -> (String, String) {
        let body = json!({"record_id": self.record, "purpose": "service-improvement", "reason": "Hear it"});
        let (status, filed) = self.house.ask("analyst", "POST", "/v1/access-requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{filed}");
        let id = filed["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/access-requests/{id}/approve");
        let (status, approved) = self.house.ask("approver", "POST", &path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{approved}");
        (id, approved["grant_id"].as_str().unwrap().to_owned())
    }

    async fn open(&self, request: &str) -> (StatusCode, Value) {
        self.house.ask("analyst", "POST", &format!("/v1/access-requests/{request}/sessions"), json!({})).await
    }

    /// The address of a session that is opened.
    async fn opened(&self, request: &str) -> String {
        let (status, session) = self.open(request).await;
        assert_eq!(status, StatusCode::CREATED, "{session}");
        session["playback_url"].as_str().unwrap().to_owned()
    }

    /// What fetching a session answers: never a byte with anything but a 200.
    async fn play(&self, url: &str) -> StatusCode {
        let request =
            Request::get(url).header(header::AUTHORIZATION, format!("Bearer {}", self.house.token("analyst")));
        let response = self.house.send(request.body(Body::empty()).unwrap()).await;
        let status = response.status();
        let later = response.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(status == StatusCode::SERVICE_UNAVAILABLE, later, "{status}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status == StatusCode::OK, body == wav(20_000), "{status}");
        status
    }
}

/// What the collection of [`Recordings`] gives: sessions of 900 seconds under grants of seven days.
const SESSION: Duration = Duration::from_secs(900);
const GRANT: Duration = Duration::from_hours(24 * 7);

#[tokio::test]
async fn p4_a_clock_set_back_opens_nothing_again_that_has_ended_and_plays_nothing_until_it_is_right() {
    let mut heard = Heard::set().await;
    let (old, _) = heard.granted().await;
    heard.house.clock.advance(GRANT - Duration::from_hours(1));
    let (fresh, grant) = heard.granted().await;
    let ended = heard.opened(&old).await;
    heard.house.clock.advance(Duration::from_hours(1));
    let open = heard.opened(&fresh).await;
    assert_eq!(heard.open(&old).await.0, StatusCode::FORBIDDEN, "a grant of seven days, seven days later");
    assert_eq!((heard.play(&ended).await, heard.play(&open).await), (StatusCode::GONE, StatusCode::OK));

    heard.house.clock.set_back(DAY);
    for url in [&ended, &open] {
        assert_eq!(heard.play(url).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    for request in [&old, &fresh] {
        let (status, answer) = heard.open(request).await;
        assert_eq!(
            (status, answer["code"].as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable")),
            "{answer}"
        );
    }
    // Who takes something away is not kept from it, nor who sends a recording.
    let (status, answer) = heard.house.ask("approver", "DELETE", &format!("/v1/grants/{grant}"), Value::Null).await;
    assert!(status.is_success(), "{status} {answer}");

    heard.house.clock.set_forward(DAY);
    assert_eq!(heard.open(&old).await.0, StatusCode::FORBIDDEN, "ended, and so it stays");
    assert_eq!(heard.play(&open).await, StatusCode::FORBIDDEN, "revoked meanwhile");
    let (again, _) = heard.granted().await;
    let open = heard.opened(&again).await;
    assert_eq!(heard.play(&open).await, StatusCode::OK);

    // A process that begins with a wrong clock does not know; what was opened or approved in its future is refused.
    heard.house.clock.set_back(DAY);
    heard = Heard { house: heard.house.restarted().await, ..heard };
    assert_eq!(heard.play(&open).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(heard.open(&again).await.0, StatusCode::FORBIDDEN);
    heard.house.clock.set_forward(DAY);
    assert_eq!(heard.play(&open).await, StatusCode::OK, "the clock is right again");
    let another = heard.opened(&again).await;
    assert_eq!(heard.play(&another).await, StatusCode::OK);
    oracle::sound(&heard.house.vault, &[]).await;
}

#[tokio::test]
async fn p4_no_session_plays_longer_than_its_time_whatever_the_clock_says() {
    let heard = Heard::set().await;
    let (request, _) = heard.granted().await;
    let url = heard.opened(&request).await;
    // As far as clocks may differ, each time: none of these steps is noticed.
    for _ in 0..10 {
        heard.house.clock.set_back(Duration::from_secs(100));
        heard.house.clock.advance(SESSION / 15);
        assert_eq!(heard.play(&url).await, StatusCode::OK);
    }
    heard.house.clock.advance(SESSION / 3);
    assert_eq!(heard.play(&url).await, StatusCode::GONE, "{SESSION:?} have passed");
    // The row says so too: another process has only that.
    assert_eq!(play::reap(&heard.house.vault).await.unwrap(), 1);
    let again = Heard { house: heard.house.restarted().await, ..heard };
    assert_eq!(again.play(&url).await, StatusCode::GONE);
    let url = again.opened(&request).await;
    assert_eq!(again.play(&url).await, StatusCode::OK);
    oracle::sound(&again.house.vault, &[]).await;
}

#[tokio::test]
async fn p3_a_clock_set_a_day_forward_ends_no_upload_and_loses_no_recording() {
    let heard = Heard::set().await;
    let (request, _) = heard.granted().await;
    let url = heard.opened(&request).await;
    let (_, begun) = heard.recordings.begin(&heard.house, Some(20_000)).await;
    let (location, bytes) = (begun["location"].as_str().unwrap(), wav(20_000));
    let sent = heard.recordings.send(&heard.house, location, 0, bytes[..7_000].to_vec()).await;
    assert_eq!(sent.0, StatusCode::NO_CONTENT, "{}", sent.1);
    let collector = Collector::of(&heard.house.vault);

    heard.house.clock.set_forward(DAY + PACE);
    assert_eq!(heard.play(&url).await, StatusCode::GONE, "sessions end by the clock");
    let round = collector.round().await.unwrap();
    assert_eq!((round.expired, round.resume_keys), (0, 0), "{round:?}");
    let (status, answer) = heard.recordings.send(&heard.house, location, 7_000, bytes[7_000..].to_vec()).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable")), "{answer}");

    heard.house.clock.set_back(DAY + PACE);
    assert_eq!(collector.round().await.unwrap().expired, 0);
    let sent = heard.recordings.send(&heard.house, location, 7_000, bytes[7_000..].to_vec()).await;
    assert_eq!(sent.0, StatusCode::NO_CONTENT, "{}", sent.1);
    let (_, list) = heard.house.ask("analyst", "GET", "/v1/records", Value::Null).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(heard.play(&heard.opened(&request).await).await, StatusCode::OK);

    // A day that has passed is another thing.
    let (_, late) = heard.recordings.begin(&heard.house, Some(20_000)).await;
    heard.house.clock.advance(DAY + PACE);
    assert_eq!(collector.round().await.unwrap().expired, 1);
    let (status, answer) = heard.recordings.send(&heard.house, late["location"].as_str().unwrap(), 0, bytes).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::GONE, Some("upload_expired")), "{answer}");
    oracle::sound(&heard.house.vault, &[]).await;
}
