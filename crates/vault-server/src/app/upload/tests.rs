//! Uploads over HTTP against a model: random cuts, stalls, checksums right and wrong, late lengths, restarts.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::merkle::Hash;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::{LogSeed, StaffAuditKey};
use vault_core::media::disclosure::Disclosure;
use vault_core::media::layout::{SegmentLength, Tags};
use vault_core::media::object::ObjectContext;
use vault_core::media::open::{ObjectReader, StoredObject};

use crate::objects::Objects;
use crate::store::records;
use crate::testing::{House, Recordings};

/// A WAV of µ-law whose every byte tells its place.
fn recording(length: usize) -> Vec<u8> {
    let data = length.max(60) - 44;
    let mut wav = b"RIFF".to_vec();
    wav.extend(u32::try_from(36 + data).unwrap().to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(u32::try_from(data).unwrap().to_le_bytes());
    wav.extend((0..data).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8));
    wav
}

/// One request of a client that does everything wrong now and then.
#[derive(Clone, Debug)]
struct Act {
    /// Bytes to send; more than there are left means all of them.
    length: usize,
    /// In pieces of this size.
    piece: usize,
    /// How far off the offset is.
    off: i64,
    /// The connection breaks after this share of the bytes.
    cut: Option<f64>,
    checksum: Sum,
    /// The server is restarted before it.
    restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    None,
    Right,
    Wrong,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let lengths = prop_oneof![1usize..2_000, 1usize..200_000, Just(65_536), Just(65_492), Just(1_000_000)];
    let sums = prop_oneof![4 => Just(Sum::None), 1 => Just(Sum::Right), 1 => Just(Sum::Wrong)];
    let cuts = prop_oneof![3 => Just(None), 1 => (0.0..1.0f64).prop_map(Some)];
    let offs = prop_oneof![6 => Just(0i64), 1 => -3i64..3];
    let restarts = prop_oneof![9 => Just(false), 1 => Just(true)];
    let act = (lengths, 1usize..100_000, offs, cuts, sums, restarts)
        .prop_map(|(length, piece, off, cut, checksum, restart)| Act { length, piece, off, cut, checksum, restart });
    proptest::collection::vec(act, 1..12)
}

struct Client {
    house: House,
    location: String,
}

impl Client {
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        crate::http::public(&self.house.vault).oneshot(request).await.unwrap()
    }

    async fn begin(house: House, filetype: &str, length: Option<usize>) -> Self {
        let mut client = Self { house, location: String::new() };
        let (_, notice) = client.house.ask("uploader", "GET", "/v1/collections/calls/notice", Value::Null).await;
        let given = json!({"notice_sha256": notice["sha256"], "purposes": ["service-improvement"],
            "given_at": crate::testing::NOW.to_string()});
        let consent = given.to_string();
        let metadata = [("filetype", filetype), ("consent", &consent), ("filename", "call.wav")]
            .map(|(k, v)| format!("{k} {}", STANDARD.encode(v)))
            .join(",");
        let request = Request::post("/v1/collections/calls/uploads")
            .header("authorization", format!("Bearer {}", client.house.token("uploader")))
            .header("tus-resumable", "1.0.0")
            .header("upload-metadata", metadata);
        let request = match length {
            Some(length) => request.header("upload-length", length),
            None => request.header("upload-defer-length", 1),
        };
        let created = client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        client.location = created.headers()["location"].to_str().unwrap().to_owned();
        client
    }

    async fn head(&self) -> (StatusCode, BTreeMap<String, String>) {
        let request = Request::head(&self.location).header("tus-resumable", "1.0.0").body(Body::empty()).unwrap();
        let response = self.send(request).await;
        let text = |v: &http::HeaderValue| v.to_str().unwrap().to_owned();
        let headers = response.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        (response.status(), headers)
    }

    async fn offset(&self) -> usize {
        let (status, headers) = self.head().await;
        assert_eq!(status, StatusCode::OK);
        headers["upload-offset"].parse().unwrap()
    }

    async fn patch(&self, offset: i64, bytes: &[u8], act: &Act, length: Option<usize>) -> (StatusCode, Option<String>) {
        let sent = act.cut.map_or(bytes.len(), |share| (share * bytes.len() as f64) as usize);
        let mut pieces: Vec<Result<Bytes, std::io::Error>> =
            bytes[..sent].chunks(act.piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if act.cut.is_some() {
            pieces.push(Err(std::io::Error::other("the connection broke")));
        }
        let mut request = Request::patch(&self.location)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset);
        if let Some(length) = length {
            request = request.header("upload-length", length);
        }
        let mut sum = Sha256::digest(bytes);
        match act.checksum {
            Sum::None => {}
            Sum::Wrong => sum[7] ^= 1,
            Sum::Right => {}
        }
        if act.checksum != Sum::None {
            request = request.header("upload-checksum", format!("sha256 {}", STANDARD.encode(sum)));
        }
        let body = Body::from_stream(futures_util::stream::iter(pieces).boxed());
        let response = self.send(request.body(body).unwrap()).await;
        let record = response.headers().get("vault-record-id").map(|v| v.to_str().unwrap().to_owned());
        (response.status(), record)
    }

    /// What the record holds, opened on evidence from a log of one entry.
    async fn recorded(&self, record: &str) -> Vec<u8> {
        let vault = &self.house.vault;
        let record: RecordId = record.parse().unwrap();
        let row = records::find(&vault.store, record).await.unwrap().unwrap();
        let wrap = row.wrap.unwrap();
        let key =
            vault.keys().unwrap().unwrap_record_key(row.collection, record, row.kek_version, &wrap).await.unwrap();
        let (object, parts) = records::original(&vault.store, record).await.unwrap().unwrap();
        let (mut sealed, mut tags) = (Vec::new(), Vec::new());
        for part in parts {
            assert_eq!(part.start, sealed.len() as u64);
            sealed.extend_from_slice(&vault.objects.get(&part.name).await.unwrap());
            assert_eq!(sealed.len() as u64, part.start + part.length);
            tags.push(Tags::from_row(part.first_segment, part.tags).unwrap());
        }
        let tag = |index| tags.iter().find_map(|t| t.get(index)).unwrap();
        let segment = SegmentLength::from_plaintext(object.segment_length).unwrap();
        let mut segments = sealed[74..].chunks(segment.encrypted() as usize).enumerate().peekable();
        let count = segments.len() as u64;
        let (staff, field) = (StaffAuditKey::generate(), key.field_key());
        let entry = Draft::<PlaybackOpened>::new(crate::testing::NOW)
            .slot(SlotName::Record, record.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, object.id.to_string(), OpeningUnder::Record)
            .prepare(&OpeningKeys { staff: &staff, record: Some((record, &field)) })
            .unwrap();
        let (entry, _, openings) = entry.into_parts();
        let checkpoint = CheckpointSigner::new("log.test", &LogSeed::generate()).unwrap().sign(1, Hash::leaf(&entry));
        let evidence = Recorded::prove(&entry, 0, &[], &checkpoint, openings).unwrap();
        let last = sealed[74..].chunks(segment.encrypted() as usize).next_back().unwrap();
        let stored = StoredObject {
            header: &object.header,
            ciphertext: sealed.len() as u64,
            final_segment: last,
            final_tag: tag(count - 1),
        };
        let context = ObjectContext { collection: row.collection, record, object: object.id, segment };
        let disclosure = Disclosure::of_playback(&evidence).unwrap();
        let reader =
            ObjectReader::new(&key.object_key(object.id), context, stored, &disclosure, &mut Vec::new()).unwrap();
        let mut plain = Vec::new();
        for (index, bytes) in segments.by_ref() {
            let mut buffer = bytes.to_vec();
            plain
                .extend_from_slice(reader.read_segment_in_place(index as u64, tag(index as u64), &mut buffer).unwrap());
        }
        plain
    }
}

/// What the server must answer to an act, and where the upload stands then: `None` where the client cannot know.
fn expected(stands: usize, all: usize, act: &Act, sent: usize) -> (u16, Option<usize>) {
    let arrived = act.cut.map_or(sent, |share| (share * sent as f64) as usize);
    if act.off != 0 {
        return (409, Some(stands));
    }
    match (act.checksum, act.cut) {
        (Sum::None, None) => (204, Some(stands + sent)),
        // All of it may have come before the connection broke.
        (Sum::None, Some(_)) if stands + arrived == all => (204, Some(all)),
        (Sum::None, Some(_)) => (0, Some(stands + arrived)),
        (_, Some(_)) => (0, Some(stands)),
        (Sum::Wrong, None) => (460, Some(stands)),
        (Sum::Right, None) => (204, Some(stands + sent)),
    }
}

async fn run(house: House, length: usize, deferred: bool, acts: &[Act]) -> House {
    let whole = recording(length);
    let all = whole.len();
    let mut client = Client::begin(house, "audio/wav", (!deferred).then_some(all)).await;
    let mut stands = 0;
    let mut record = None;
    for act in acts {
        if act.restart {
            client.house = client.house.restarted().await;
        }
        let sent = act.length.min(all - stands);
        let bytes = &whole[stands..stands + sent];
        let offset = i64::try_from(stands).unwrap() + act.off;
        if offset < 0 {
            continue;
        }
        // The length is told with the request that reaches it.
        let late = (deferred && stands + sent == all).then_some(all);
        let (status, became) = client.patch(offset, bytes, act, late).await;
        let (code, next) = expected(stands, all, act, sent);
        if code != 0 {
            assert_eq!(status.as_u16(), code, "{act:?} at {stands} of {all}");
        }
        stands = next.unwrap();
        assert_eq!(client.offset().await, stands, "{act:?}");
        if stands == all {
            record = became;
            break;
        }
    }
    if record.is_none() {
        let rest = Act { length: all, piece: 9_999, off: 0, cut: None, checksum: Sum::Right, restart: false };
        let (status, became) = client.patch(stands as i64, &whole[stands..], &rest, deferred.then_some(all)).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        record = became;
    }
    let record = record.expect("a whole recording became a record");
    let (status, headers) = client.head().await;
    assert_eq!((status, headers.get("vault-record-id")), (StatusCode::OK, Some(&record)));
    assert!(client.recorded(&record).await == whole, "the record holds what was sent");
    // A completed upload takes nothing any more.
    let nothing = Act { length: 0, piece: 1, off: 0, cut: None, checksum: Sum::None, restart: false };
    assert!(client.patch(all as i64, b"", &nothing, None).await.0.is_client_error());
    let stop = Request::delete(&client.location).header("tus-resumable", "1.0.0").body(Body::empty()).unwrap();
    assert!(client.send(stop).await.status().is_client_error());
    client.house
}

#[test]
fn p3_offsets_follow_the_model_through_cuts_checksums_and_restarts() {
    hold_to_the_model(async || House::new().await);
}

#[test]
fn p3_offsets_follow_the_model_where_every_segment_or_two_is_a_put() {
    hold_to_the_model(async || House::over(Objects::memory().collecting(140_000)).await);
}

fn hold_to_the_model(build: impl AsyncFn() -> House) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut house = Some(runtime.block_on(async {
        let house = build().await;
        let new = crate::testing::collection("calls", "2030-01-01T00:00:00Z");
        let (status, answer) = house.ask("administrator", "POST", "/v1/collections", new).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let (status, answer) = house.ask("administrator", "POST", "/v1/collections/calls/open", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        house
    }));
    // The house goes from case to case, so a failure cannot be shrunk: it names the act instead.
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, max_shrink_iters: 0, ..Config::default() });
    let house = std::cell::RefCell::new(house.take());
    runner
        .run(&(60usize..300_000, any::<bool>(), acts()), |(length, deferred, acts)| {
            let taken = house.borrow_mut().take().expect("a house");
            house.replace(Some(runtime.block_on(run(taken, length, deferred, &acts))));
            Ok(())
        })
        .unwrap();
}

/// The least room that there can be, all of it held by requests that say nothing: whoever wants to upload waits a few seconds,
/// and not the minute that a silent request has otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_who_is_silent_gives_way_to_those_who_wait_for_room() {
    let house = House::with("[limits]\nbuffer_bytes = 4194304\n").await;
    let recordings = Recordings::open(&house).await;
    let whole = recording(100_000);
    let begin = async || {
        let (status, begun) = recordings.begin(&house, Some(whole.len())).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        begun["location"].as_str().unwrap().to_owned()
    };
    let mut silent = tokio::task::JoinSet::new();
    // Two segments of voice for each: thirty-one leave no room for another.
    for _ in 0..31 {
        let location = begin().await;
        let request = Request::patch(&location)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0);
        let some = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(&whole[..1_000]))]);
        let body = Body::from_stream(some.chain(futures_util::stream::pending()));
        let (app, request) = (crate::http::public(&house.vault), request.body(body).unwrap());
        silent.spawn(async move { (app.oneshot(request).await.unwrap().status(), location) });
    }
    while house.vault.uploads.active() < 31 || house.vault.uploads.free_bytes() > 129 * 1024 {
        tokio::time::sleep(core::time::Duration::from_millis(10)).await;
    }
    let location = begin().await;
    let (status, answer) = recordings.send(&house, &location, 0, whole.clone()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    // Whoever gave way was told, and lost nothing.
    let (status, location) = silent.join_next().await.unwrap().unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, answer) = recordings.send(&house, &location, 1_000, whole[1_000..].to_vec()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
}
