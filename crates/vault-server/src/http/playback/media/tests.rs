//! Real sealed objects through the answer to GET and HEAD, held against their plaintext.

use core::time::Duration;

use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use vault_core::media::layout::SegmentLength;

use super::*;
use crate::app::play::testing::{NOW, Stored, TestGate, plaintext};
use crate::app::restrict::{EVERY, Restriction};

const HOUR: Duration = Duration::from_secs(3600);

fn ask(range: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
    headers
}

async fn get(live: &Arc<Live>, gate: &TestGate, request: &HeaderMap) -> Result<Response<Body>, Failure> {
    answer(live, &gate.gate, &Method::GET, request).await
}

async fn bytes(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn text(response: &Response<Body>, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn imposed(gate: &TestGate, restriction: Restriction) {
    let mut tx = gate.store.begin("test").await.unwrap();
    let restrictions = &gate.gate.restrictions;
    let imposed = restrictions.impose(&mut tx, restriction, NOW).await.unwrap();
    restrictions.commit(tx, imposed).await.unwrap();
}

#[tokio::test]
async fn the_whole_and_its_headers() {
    let gate = TestGate::new().await;
    let plain = plaintext(150_000);
    let stored = Stored::seal(&plain, SegmentLength::Voice, 1).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let response = get(&live, &gate, &HeaderMap::new()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "video/webm"),
        ("content-length", "150000"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("referrer-policy", "no-referrer"),
        ("content-disposition", "inline"),
    ] {
        assert_eq!(response.headers().get(name).unwrap(), value, "{name}");
    }
    assert_eq!(text(&response, ETAG), format!("\"{}.original\"", stored.object));
    assert!(bytes(response).await == plain);

    let response = answer(&live, &gate.gate, &Method::HEAD, &ask("bytes=0-1")).await.unwrap();
    assert_eq!((response.status(), text(&response, CONTENT_LENGTH)), (StatusCode::OK, "150000"));
    assert!(bytes(response).await.is_empty());
}

#[tokio::test]
async fn an_empty_recording() {
    let gate = TestGate::new().await;
    let live = Arc::new(Stored::seal(&[], SegmentLength::Video, 1).await.live(NOW.plus(HOUR)).await.unwrap());
    let response = get(&live, &gate, &ask("bytes=0-")).await.unwrap();
    assert_eq!((response.status(), text(&response, CONTENT_LENGTH)), (StatusCode::OK, "0"));
    assert!(bytes(response).await.is_empty());
}

#[tokio::test]
async fn if_range_unsatisfiable_and_preconditions() {
    let gate = TestGate::new().await;
    let plain = plaintext(1000);
    let live = Arc::new(Stored::seal(&plain, SegmentLength::Voice, 1).await.live(NOW.plus(HOUR)).await.unwrap());
    let response = get(&live, &gate, &ask("bytes=1000-")).await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(text(&response, CONTENT_RANGE), "bytes */1000");

    let tag = HeaderValue::from_str(&format!("\"{}\"", live.opaque_tag())).unwrap();
    let mut same = ask("bytes=10-19");
    same.insert(IF_RANGE, tag.clone());
    let response = get(&live, &gate, &same).await.unwrap();
    assert_eq!((response.status(), text(&response, CONTENT_RANGE)), (StatusCode::PARTIAL_CONTENT, "bytes 10-19/1000"));
    assert_eq!(bytes(response).await, plain[10..20]);
    same.insert(IF_RANGE, HeaderValue::from_static("\"other\""));
    assert_eq!(get(&live, &gate, &same).await.unwrap().status(), StatusCode::OK);

    let mut known = HeaderMap::new();
    known.insert(header::IF_NONE_MATCH, tag);
    assert_eq!(get(&live, &gate, &known).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    let mut other = HeaderMap::new();
    other.insert(header::IF_MATCH, HeaderValue::from_static("\"other\""));
    assert_eq!(get(&live, &gate, &other).await.unwrap_err().code(), Code::PreconditionFailed);
}

/// Reads a `multipart/byteranges` body back, strictly.
fn parts(kind: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut rest = body;
    let mut found = Vec::new();
    let mut delimiter = format!("--{boundary}\r\n");
    loop {
        rest = rest.strip_prefix(delimiter.as_bytes()).unwrap();
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = core::str::from_utf8(&rest[..end]).unwrap();
        let range = head.strip_prefix("Content-Type: video/webm\r\nContent-Range: bytes ").unwrap();
        let (span, _) = range.split_once('/').unwrap();
        let (first, last) = span.split_once('-').unwrap();
        let length = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        rest = &rest[end + 4..];
        found.push((range.to_owned(), rest[..length].to_vec()));
        rest = &rest[length..];
        if rest == format!("\r\n--{boundary}--\r\n").as_bytes() {
            return found;
        }
        delimiter = format!("\r\n--{boundary}\r\n");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_ranges_are_those_of_the_plaintext(
        length in 0..700_000_usize,
        video: bool,
        segments_each in 1..4_usize,
        asked in proptest::collection::vec((0..750_000_u64, 0..200_000_u64), 1..4),
    ) {
        let plain = plaintext(length);
        let segment = if video { SegmentLength::Video } else { SegmentLength::Voice };
        runtime().block_on(async {
            let gate = TestGate::new().await;
            gate.poll_for_ever();
            let stored = Stored::seal(&plain, segment, segments_each).await;
            let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
            let list: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let response = get(&live, &gate, &ask(&format!("bytes={}", list.join(",")))).await.unwrap();
            let declared = text(&response, CONTENT_LENGTH).to_owned();
            let (status, kind) = (response.status(), text(&response, CONTENT_TYPE).to_owned());
            let range = text(&response, CONTENT_RANGE).to_owned();
            let body = bytes(response).await;
            let slice = |range: &str| {
                let (span, total) = range.split_once('/').unwrap();
                assert_eq!(total, length.to_string());
                let (first, last) = span.split_once('-').unwrap();
                plain[first.parse::<usize>().unwrap()..=last.parse::<usize>().unwrap()].to_vec()
            };
            let any = asked.iter().any(|(first, _)| *first < length as u64);
            match status {
                StatusCode::OK => assert!(length == 0 && body.is_empty()),
                StatusCode::RANGE_NOT_SATISFIABLE => assert!(!any && range == format!("bytes */{length}")),
                StatusCode::PARTIAL_CONTENT => {
                    assert!(any && declared == body.len().to_string());
                    if kind == "video/webm" {
                        assert!(body == slice(range.strip_prefix("bytes ").unwrap()));
                    } else {
                        let found = parts(&kind, &body);
                        assert!(found.len() >= 2 && found.iter().all(|(range, body)| *body == slice(range)));
                    }
                }
                other => panic!("{other}"),
            }
            // What the session accounts for is what was sent, and nothing else.
            let served: u64 = live.end().ranges().map(|r| r.end - r.start).sum();
            let disclosed = if status == StatusCode::PARTIAL_CONTENT {
                let whole: std::collections::BTreeSet<u64> = asked
                    .iter()
                    .flat_map(|(first, more)| *first..(first + more + 1).min(length as u64))
                    .collect();
                whole.len() as u64
            } else { 0 };
            assert!(served >= disclosed && served <= disclosed + 3 * 128);
        });
    }
}

#[tokio::test]
async fn p6_a_restriction_cuts_a_playback_in_its_middle() {
    let gate = TestGate::new().await;
    gate.poll_for_ever();
    let plain = plaintext(700_000);
    let stored = Stored::seal(&plain, SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_ok());
    // A second listener learns of it by a poll; the first node at once.
    imposed(&gate, Restriction::grant_revoked(live.row().grant)).await;
    assert!(body.frame().await.unwrap().is_err(), "cut, not ended");
    assert!(body.frame().await.is_none());
    assert_eq!(get(&live, &gate, &HeaderMap::new()).await.unwrap_err().code(), Code::GrantNotInForce);
    assert_eq!(live.end().to_texts(), ["0-131071"], "what left before the restriction, and no more");
}

#[tokio::test]
async fn p6_a_revoked_token_cuts_a_playback_in_its_middle() {
    let gate = TestGate::new().await;
    gate.poll_for_ever();
    let stored = Stored::seal(&plaintext(700_000), SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_ok());
    imposed(&gate, Restriction::token_revoked(gate.token, NOW.plus(HOUR))).await;
    assert!(body.frame().await.unwrap().is_err(), "cut, not ended");
    assert!(body.frame().await.is_none());
    assert_eq!(live.end().to_texts(), ["0-131071"], "what left before the token was revoked, and no more");
}

#[tokio::test]
async fn p6_an_expired_token_cuts_a_playback_in_its_middle() {
    let gate = TestGate::new().await;
    gate.poll_for_ever();
    let stored = Stored::seal(&plaintext(700_000), SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR * 48)).await.unwrap());
    let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    gate.clock.advance(HOUR * 24);
    assert!(body.frame().await.unwrap().is_err());
    let refused = get(&live, &gate, &HeaderMap::new()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn p6_a_node_that_cannot_learn_of_restrictions_serves_nothing() {
    let gate = TestGate::new().await;
    let stored = Stored::seal(&plaintext(300_000), SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(750) + EVERY).await;
    assert!(body.frame().await.unwrap().is_err());
    let refused = get(&live, &gate, &HeaderMap::new()).await.unwrap_err();
    assert_eq!((refused.code(), refused.code().status()), (Code::RestrictionsStale, 503));
}

#[tokio::test]
async fn an_expired_session_is_cut_and_opens_no_more() {
    let gate = TestGate::new().await;
    let stored = Stored::seal(&plaintext(300_000), SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(Duration::from_secs(60))).await.unwrap());
    let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    gate.clock.advance(Duration::from_secs(60));
    assert!(body.frame().await.unwrap().is_err());
    for method in [Method::GET, Method::HEAD] {
        let refused = answer(&live, &gate.gate, &method, &HeaderMap::new()).await.unwrap_err();
        assert_eq!(refused.code(), Code::SessionEnded);
    }
}

#[tokio::test]
async fn a_closed_session_is_cut_and_accounts_for_nothing_more() {
    let gate = TestGate::new().await;
    let stored = Stored::seal(&plaintext(300_000), SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let mut body = get(&live, &gate, &ask("bytes=65536-")).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let served = live.end();
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!((served.to_texts(), live.end()), (vec!["65536-131071".to_owned()], served));
}

#[tokio::test]
async fn p12_tampered_storage_is_refused_without_a_byte_of_it_and_told_once() {
    let mut gate = TestGate::new().await;
    gate.poll_for_ever();
    let plain = plaintext(500_000);
    let segment = SegmentLength::Voice.encrypted() as usize;
    // Segments 2 and 3 make part 1; the header and segments 0 and 1 make part 0.
    type Change = fn(&mut Vec<u8>, usize);
    let changes: [(&str, Change); 4] = [
        ("a bit flipped", |part, _| part[100] ^= 1),
        ("a byte of the length prefix", |part, _| part[0] ^= 1),
        ("segments reordered", |part, segment| part.rotate_left(segment)),
        ("cut short", |part, segment| part.truncate(segment + 7)),
    ];
    for (what, change) in changes {
        let stored = Stored::seal(&plain, SegmentLength::Voice, 2).await;
        let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
        let (name, _, original) = &stored.parts[1];
        let mut altered = original.clone();
        change(&mut altered, segment);
        stored.objects.put(name, altered).await.unwrap();
        for _ in 0..2 {
            // The cut leaves the first of the part's two segments whole.
            let range = if what == "cut short" { "bytes=196608-262143" } else { "bytes=131072-262143" };
            let refused = get(&live, &gate, &ask(range)).await.unwrap_err();
            assert_eq!(refused.code(), Code::IntegrityFailure, "{what}");
        }
        assert_eq!(gate.damage.try_recv().unwrap().record, stored.record, "{what}");
        assert!(gate.damage.try_recv().is_err(), "{what}: told once");
        // In the middle of an answer: what was authentic before it, then the connection breaks.
        let mut body = get(&live, &gate, &HeaderMap::new()).await.unwrap().into_body();
        let mut got = Vec::new();
        let broke = loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(frame.data_ref().unwrap()),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let authentic = if what == "cut short" { 196_608 } else { 131_072 };
        assert!(broke && got == plain[..authentic], "{what}: {}", got.len());
    }
}

#[tokio::test]
async fn p12_missing_swapped_and_foreign_parts() {
    let mut gate = TestGate::new().await;
    let plain = plaintext(500_000);
    let stored = Stored::seal(&plain, SegmentLength::Voice, 2).await;
    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    let foreign = Stored::seal(&plain, SegmentLength::Voice, 2).await;
    stored.objects.put(&stored.parts[1].0, foreign.parts[1].2.clone()).await.unwrap();
    let refused = get(&live, &gate, &ask("bytes=131072-")).await.unwrap_err();
    assert_eq!(refused.code(), Code::IntegrityFailure);
    assert_eq!(gate.damage.try_recv().unwrap().finding, "object-not-authentic");

    let live = Arc::new(stored.live(NOW.plus(HOUR)).await.unwrap());
    stored.objects.delete(&stored.parts[1].0).await.unwrap();
    let refused = get(&live, &gate, &ask("bytes=131072-")).await.unwrap_err();
    assert_eq!(refused.code(), Code::IntegrityFailure);
    assert_eq!(gate.damage.try_recv().unwrap().finding, "object-part-missing");

    // The part of the final segment: the session does not even open.
    stored.objects.put(&stored.parts[3].0, foreign.parts[3].2.clone()).await.unwrap();
    assert!(stored.live(NOW.plus(HOUR)).await.is_err_and(|e| e.is_damage()));
}
