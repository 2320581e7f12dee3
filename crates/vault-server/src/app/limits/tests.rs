//! Limits, asked from outside: one who goes too fast is told when to come back, and nobody else notices.

use core::net::SocketAddr;
use core::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::testing::{House, Recordings};

struct Answer {
    status: StatusCode,
    retry_after: Option<u64>,
    body: Value,
}

async fn get(house: &House, path: &str, token: Option<&str>, from: &str, forwarded: Option<&str>) -> Answer {
    let peer: SocketAddr = from.parse().unwrap();
    let mut request = Request::builder().uri(path).extension(ConnectInfo(peer));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let response = house.send(request.body(Body::empty()).unwrap()).await;
    let retry_after = response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap().parse().unwrap());
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, retry_after, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

/// How many of 100 requests pass before one is refused by `limit`; the refusal says when to come back.
async fn until_refused(limit: &str, ask: impl AsyncFn() -> Answer) -> (usize, u64) {
    for passed in 0..100 {
        let answer = ask().await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.body["limit"], limit, "{}", answer.body);
            return (passed, answer.retry_after.expect("Retry-After"));
        }
    }
    panic!("nothing is refused by {limit}");
}

const RECORDS: &str = "/v1/records";

#[tokio::test]
async fn one_address_that_goes_too_fast_is_told_when_to_come_back_and_others_go_on() {
    let house = House::with("[limits]\naddress_per_minute = 30\n").await;
    let notice = "/v1/openapi.json";
    let ask = async || get(&house, notice, None, "192.0.2.1:1000", None).await;
    assert_eq!(until_refused("address_per_minute", ask).await, (30, 2));
    // Another port is the same address, another address is not; what watches the node is never refused.
    let status = async |path: &str, from: &str| get(&house, path, None, from, None).await.status;
    assert_eq!(status(notice, "192.0.2.1:2000").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(notice, "192.0.2.2:1000").await, StatusCode::OK);
    assert_ne!(status("/healthz", "192.0.2.1:1000").await, StatusCode::TOO_MANY_REQUESTS);
    house.clock.advance(Duration::from_secs(2));
    assert_eq!(status(notice, "192.0.2.1:1000").await, StatusCode::OK);
    // Of IPv6 a network of 64 bits counts as one.
    for n in 1..=30 {
        assert_eq!(status(notice, &format!("[2001:db8::{n}]:1")).await, StatusCode::OK);
    }
    assert_eq!(status(notice, "[2001:db8::ffff]:1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(notice, "[2001:db8:0:1::1]:1").await, StatusCode::OK);
    assert!(house.vault.metrics.encode().contains("feedback_vault_limited_total{limit=\"address_per_minute\"} 3"));
}

#[tokio::test]
async fn only_a_named_proxy_is_believed_about_an_address() {
    let house =
        House::with("[limits]\naddress_per_minute = 2\n[proxy]\ntrusted = [\"10.0.0.7\", \"10.0.0.8\"]\n").await;
    let path = "/v1/openapi.json";
    let status = async |from: &str, forwarded: &str| get(&house, path, None, from, Some(forwarded)).await.status;
    // Whoever is no proxy cannot hide behind made-up addresses.
    for n in 0..2 {
        assert_eq!(status("192.0.2.9:1", &format!("198.51.100.{n}")).await, StatusCode::OK);
    }
    assert_eq!(status("192.0.2.9:1", "198.51.100.77").await, StatusCode::TOO_MANY_REQUESTS);
    // Behind proxies the last address that is none of theirs counts, whatever the client wrote before it.
    for n in 0..2 {
        assert_eq!(status("10.0.0.7:1", &format!("203.0.113.{n}, 198.51.100.1, 10.0.0.8")).await, StatusCode::OK);
    }
    assert_eq!(status("10.0.0.7:1", "203.0.113.99, 198.51.100.1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status("10.0.0.8:1", "198.51.100.2:4711").await, StatusCode::OK);
    // What is no address is the proxy's own matter.
    assert_eq!(status("10.0.0.7:1", "unknown").await, StatusCode::OK);
}

#[tokio::test]
async fn p5_guessing_tokens_and_upload_addresses_is_slowed_down_by_address() {
    let house = House::with("[limits]\nfailures_per_minute = 10\n").await;
    let guess = format!("fv_{}", "A".repeat(43));
    let ask = async || get(&house, RECORDS, Some(&guess), "192.0.2.1:1", None).await;
    assert_eq!(until_refused("failures_per_minute", ask).await, (10, 6));
    // Somebody elsewhere is not disturbed; nor is a caller whom this node has just let in.
    let good = house.token("auditor").to_owned();
    let status = async |token: &str, from: &str| get(&house, RECORDS, Some(token), from, None).await.status;
    assert_eq!(status(&guess, "192.0.2.2:1").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&good, "192.0.2.2:1").await, StatusCode::OK);
    assert_eq!(status(&good, "192.0.2.1:1").await, StatusCode::OK);
    // No token at all is no guess.
    for _ in 0..20 {
        assert_eq!(get(&house, RECORDS, None, "192.0.2.3:1", None).await.status, StatusCode::UNAUTHORIZED);
    }
    let upload = format!("/v1/uploads/{}", "A".repeat(43));
    let ask = async || {
        let peer: SocketAddr = "192.0.2.4:1".parse().unwrap();
        let request = Request::builder().method("DELETE").uri(&upload).header("Tus-Resumable", "1.0.0");
        let response = house.send(request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()).await;
        let retry_after = response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap().parse().unwrap());
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, retry_after, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    };
    assert_eq!(until_refused("failures_per_minute", ask).await.0, 10);
}

#[tokio::test]
async fn one_person_who_goes_too_fast_slows_nobody_else_down() {
    let house = House::with("[limits]\nperson_per_minute = 20\n").await;
    let token = house.token("auditor").to_owned();
    let ask = async || get(&house, RECORDS, Some(&token), "192.0.2.1:1", None).await;
    assert_eq!(until_refused("person_per_minute", ask).await, (20, 3));
    let other = house.token("analyst").to_owned();
    assert_eq!(get(&house, RECORDS, Some(&other), "192.0.2.1:1", None).await.status, StatusCode::OK);
    house.clock.advance(Duration::from_secs(3));
    assert_eq!(get(&house, RECORDS, Some(&token), "192.0.2.1:1", None).await.status, StatusCode::OK);
}

fn limited(answer: &(StatusCode, Value)) -> (u16, &str, &str) {
    let text = |name: &str| answer.1[name].as_str().unwrap_or_default();
    (answer.0.as_u16(), text("code"), text("limit"))
}

#[tokio::test]
async fn quotas_of_a_collection_hold_against_uploads_begun_at_once() {
    let limits = "[limits]\ncollection_bytes_per_day = 10000\ncollection_records = 9\n";
    let house = House::with(limits).await;
    let into = Recordings::open(&house).await;
    // Twenty at once, of 2,000 bytes each: five fit.
    let all = futures_util::future::join_all((0..20).map(|_| into.begin(&house, Some(2_000)))).await;
    let begun = all.iter().filter(|answer| answer.0 == StatusCode::CREATED).count();
    assert_eq!(begun, 5);
    for answer in all.iter().filter(|answer| answer.0 != StatusCode::CREATED) {
        assert_eq!(limited(answer), (429, "quota_exceeded", "collection_bytes_per_day"));
    }
    // Nothing is left for one of unknown length either, until the next day.
    let refused = into.begin(&house, None).await;
    assert_eq!(limited(&refused), (429, "quota_exceeded", "collection_bytes_per_day"));
    house.clock.advance(Duration::from_secs(24 * 3600 - 10));
    let all = futures_util::future::join_all((0..20).map(|_| into.begin(&house, Some(100)))).await;
    assert_eq!(all.iter().filter(|answer| answer.0 == StatusCode::CREATED).count(), 4, "nine in all");
    for answer in all.iter().filter(|answer| answer.0 != StatusCode::CREATED) {
        assert_eq!(limited(answer), (429, "quota_exceeded", "collection_records"));
    }
}

#[tokio::test]
async fn an_upload_of_unknown_length_stops_at_the_days_quota() {
    let house = House::with("[limits]\ncollection_bytes_per_day = 10000\n").await;
    let into = Recordings::open(&house).await;
    let (status, begun) = into.begin(&house, None).await;
    assert_eq!(status, StatusCode::CREATED);
    let address = begun["location"].as_str().unwrap().to_owned();
    let mut head = b"RIFF".to_vec();
    head.extend(19_992_u32.to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    head.extend(19_956_u32.to_le_bytes());
    head.resize(9_000, 1);
    assert_eq!(into.send(&house, &address, 0, head).await.0, StatusCode::NO_CONTENT);
    assert_eq!(into.send(&house, &address, 9_000, vec![1; 1_000]).await.0, StatusCode::NO_CONTENT);
    let refused = into.send(&house, &address, 10_000, vec![1; 1_000]).await;
    assert_eq!(limited(&refused), (429, "quota_exceeded", "collection_bytes_per_day"));
}

#[tokio::test]
async fn open_uploads_are_counted_where_they_are_entered() {
    let house = House::with("[limits]\nopen_uploads = 7\n").await;
    let into = Recordings::open(&house).await;
    let all = futures_util::future::join_all((0..20).map(|_| into.begin(&house, Some(1_000)))).await;
    assert_eq!(all.iter().filter(|answer| answer.0 == StatusCode::CREATED).count(), 7);
    for answer in all.iter().filter(|answer| answer.0 != StatusCode::CREATED) {
        assert_eq!(limited(answer), (429, "rate_limited", "open_uploads"));
    }
}

#[tokio::test]
async fn uploads_begun_too_fast_in_one_collection_wait() {
    let house = House::with("[limits]\ncollection_per_minute = 6\n").await;
    let into = Recordings::open(&house).await;
    for _ in 0..6 {
        assert_eq!(into.begin(&house, Some(1_000)).await.0, StatusCode::CREATED);
    }
    assert_eq!(limited(&into.begin(&house, Some(1_000)).await), (429, "rate_limited", "collection_per_minute"));
    house.clock.advance(Duration::from_secs(10));
    assert_eq!(into.begin(&house, Some(1_000)).await.0, StatusCode::CREATED);
}
