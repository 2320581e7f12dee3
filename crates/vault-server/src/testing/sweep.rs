//! Faults in pairs, systematically: every named transaction and every call of the object store that a recording's life
//! makes fails once, as "failed, not persisted" and as "failed, yet persisted"; calls of a bucket and of the local disk,
//! which is written to piece by piece. Whoever asked is told 503, or success, and goes on as a client does. Afterwards what was acknowledged is there, the log verifies, nothing is left over once
//! the collector has been by, and no restriction is undone.
//!
//! One vault lives through all of it, a run for each fault, restarted now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{House, oracle};
use crate::app::erase;
use crate::jobs::collector::Collector;
use crate::objects::faulty::Faulty;
use crate::store::faults::Fault;

const PAIR: [Fault; 2] = [Fault::NotPersisted, Fault::Persisted];
/// Lives in which a fault has to be met: one that comes to few calls of a kind leaves it to the next.
const LIVES: usize = 5;
/// How often a client tries again. A fault is met once; what a restart or a slow log adds is little.
const TRIES: usize = 12;

/// µ-law WAV, three segments long: with PUTs of two, that makes several parts.
fn recording(seed: usize) -> Vec<u8> {
    let data = 210_000 + seed;
    let mut wav = b"RIFF".to_vec();
    wav.extend(u32::try_from(36 + data).unwrap().to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(u32::try_from(data).unwrap().to_le_bytes());
    wav.extend((0..data).map(|i| ((i + seed) ^ (i >> 8)) as u8));
    wav
}

struct Stage {
    house: House,
    objects: Arc<Faulty>,
    /// Where the objects lie, if that is a directory.
    local: Option<tempfile::TempDir>,
    notice: Value,
    /// Records that were acknowledged, by the run that made them.
    records: Vec<(String, usize)>,
    /// Playback addresses of grants that were revoked.
    revoked: Vec<String>,
    /// Records that were erased.
    erased: Vec<String>,
    known: Vec<String>,
}

impl Stage {
    async fn set() -> Self {
        let objects = Arc::new(Faulty::default());
        let house = House::over(objects.objects()).await;
        Self::furnished(house, objects, None).await
    }

    async fn on_the_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (objects, directory) = Faulty::local(folder.path());
        Self::furnished(House::over(directory).await, objects, Some(folder)).await
    }

    async fn furnished(house: House, objects: Arc<Faulty>, local: Option<tempfile::TempDir>) -> Self {
        let new = super::collection("calls", "2030-01-01T00:00:00Z");
        assert_eq!(house.ask("administrator", "POST", "/v1/collections", new).await.0, StatusCode::CREATED);
        let opened = house.ask("administrator", "POST", "/v1/collections/calls/open", Value::Null).await;
        assert_eq!(opened.0, StatusCode::OK, "{}", opened.1);
        let (_, notice) = house.ask("uploader", "GET", "/v1/collections/calls/notice", Value::Null).await;
        let (records, revoked, erased, known) = Default::default();
        Self { house, objects, local, notice, records, revoked, erased, known }
    }

    /// Asks until the answer is none of those that say "not now". Says what the last one was, and whether an answer
    /// before it was lost.
    async fn insist(&self, who: &str, method: &str, path: &str, body: Value) -> (StatusCode, Value, bool) {
        for again in 0..TRIES {
            let (status, answer) = self.house.ask(who, method, path, body.clone()).await;
            match status.as_u16() {
                503 => assert!(answer["code"].is_string(), "{answer}"),
                // A limit on open sessions, which end with their time.
                429 => self.house.clock.advance(Duration::from_mins(16)),
                500.. => panic!("{method} {path}: {status} {answer}"),
                _ => return (status, answer, again > 0),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("{method} {path} is refused for good");
    }

    /// All of a recording's life.
    async fn run(&mut self, seed: usize) {
        let record = self.upload(seed).await;
        self.records.push((record.clone(), seed));
        let grant = self.granted(&record).await;
        let url = self.session(&grant.0).await;
        assert!(self.play(&url).await == recording(seed), "another recording");
        if self.local.is_some() {
            // What is asked of the disk for the rest of it is asked of a bucket too.
            self.erase_one_before(seed).await;
            self.collect().await;
            return;
        }
        let (status, answer, lost) = self.insist("analyst", "DELETE", &url, Value::Null).await;
        assert!(status.is_success() || lost && status.is_client_error(), "{status} {answer}");
        let playing = self.session(&grant.0).await;

        let reason = json!({"reason": "Yearly"});
        let path = "/v1/collections/calls/keys/rotate";
        let (status, answer, lost) = self.insist("key-officer", "POST", path, reason).await;
        assert!(status.is_success() || lost && status == StatusCode::CONFLICT, "{status} {answer}");
        for _ in 0..TRIES {
            if crate::app::keys::rewrap_all(&self.house.vault).await.is_ok() {
                break;
            }
        }

        let path = format!("/v1/grants/{}", grant.1);
        let (status, answer, lost) = self.insist("approver", "DELETE", &path, Value::Null).await;
        assert!(status.is_success() || lost && status.is_client_error(), "{status} {answer}");
        // An answer that was lost may be one whose act this node learns of from the database alone.
        for _ in 0..200 {
            if lost && self.try_play(&playing).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert!(self.try_play(&playing).await.is_err(), "a revoked grant plays");
        self.revoked.push(playing);
        self.erase_one_before(seed).await;
        self.collect().await;
    }

    async fn collect(&self) {
        self.house.clock.advance(Duration::from_secs(40));
        for _ in 0..TRIES {
            // A round may meet the fault as well: the next one goes on.
            if Collector::of(&self.house.vault).round().await.is_ok() {
                break;
            }
        }
    }

    /// Erases the record of the run before; one in four stays.
    async fn erase_one_before(&mut self, seed: usize) {
        let Some(at) = self.records.iter().position(|(_, made)| !seed.is_multiple_of(4) && made + 1 == seed) else {
            return;
        };
        let (record, _) = self.records.swap_remove(at);
        let (status, erased, _) =
            self.insist("approver", "DELETE", &format!("/v1/records/{record}"), Value::Null).await;
        assert!(status.is_success(), "{status} {erased}");
        self.erased.push(record);
        for _ in 0..TRIES {
            if erase::finish(&self.house.vault).await.is_ok() {
                break;
            }
        }
    }

    async fn upload(&self, seed: usize) -> String {
        let whole = recording(seed);
        let consent = json!({"notice_sha256": self.notice["sha256"], "purposes": ["service-improvement"],
            "given_at": super::NOW.to_string()});
        let metadata = [("filetype", "audio/wav".to_owned()), ("consent", consent.to_string())]
            .map(|(k, v)| format!("{k} {}", STANDARD.encode(v)))
            .join(",");
        let request =
            |method: &str, path: &str| Request::builder().method(method).uri(path).header("tus-resumable", "1.0.0");
        let (mut location, mut damaged, mut acknowledged) = (None, false, 0);
        for _ in 0..3 * TRIES {
            let Some(location) = &location else {
                let created = request("POST", "/v1/collections/calls/uploads")
                    .header("authorization", format!("Bearer {}", self.house.token("uploader")))
                    .header("upload-length", whole.len())
                    .header("upload-metadata", &metadata);
                let created = self.house.send(created.body(Body::empty()).unwrap()).await;
                match created.status() {
                    StatusCode::CREATED => location = Some(created.headers()["location"].to_str().unwrap().to_owned()),
                    StatusCode::TOO_MANY_REQUESTS => self.house.clock.advance(Duration::from_secs(60)),
                    status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
                }
                continue;
            };
            let head = self.house.send(request("HEAD", location).body(Body::empty()).unwrap()).await;
            if head.status() == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            assert_eq!(head.status(), StatusCode::OK);
            let stands: usize = head.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
            assert!(stands >= acknowledged, "{acknowledged} was acknowledged, {stands} is there");
            if let Some(record) = head.headers().get("vault-record-id") {
                assert_eq!(stands, whole.len());
                return record.to_str().unwrap().to_owned();
            }
            assert!(stands < whole.len(), "whole, and no record");
            // A short piece first, then the rest; on the disk one before that comes damaged, and is given up.
            let end = if stands == 0 { 70_000 } else { whole.len() };
            let mut patch = request("PATCH", location)
                .header("content-type", "application/offset+octet-stream")
                .header("upload-offset", stands);
            let damage = self.local.is_some() && !damaged && stands == 0;
            if damage {
                patch = patch.header("upload-checksum", format!("sha1 {}", STANDARD.encode([0; 20])));
            }
            let patched = self.house.send(patch.body(Body::from(whole[stands..end].to_vec())).unwrap()).await;
            match patched.status() {
                StatusCode::NO_CONTENT => {
                    acknowledged = patched.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
                }
                StatusCode::TOO_MANY_REQUESTS => self.house.clock.advance(Duration::from_secs(60)),
                status if damage && status.as_u16() == 460 => damaged = true,
                status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "at {stands}"),
            }
        }
        panic!("the upload does not end");
    }

    /// An approved request for a record, and its grant.
    async fn granted(&self, record: &str) -> (String, String) {
        let body = json!({"record_id": record, "purpose": "service-improvement", "reason": "Hear it"});
        let (status, filed, _) = self.insist("analyst", "POST", "/v1/access-requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{filed}");
        let request = filed["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/access-requests/{request}");
        let (status, answer, lost) = self.insist("approver", "POST", &format!("{path}/approve"), json!({})).await;
        assert!(status.is_success() || lost && status == StatusCode::CONFLICT, "{status} {answer}");
        let (_, shown, _) = self.insist("approver", "GET", &path, Value::Null).await;
        assert_eq!(shown["state"], "approved", "{shown}");
        (request, shown["grant_id"].as_str().unwrap().to_owned())
    }

    async fn session(&self, request: &str) -> String {
        let path = format!("/v1/access-requests/{request}/sessions");
        let (status, opened, _) = self.insist("analyst", "POST", &path, json!({"representation": "playable"})).await;
        assert_eq!(status, StatusCode::CREATED, "{opened}");
        opened["playback_url"].as_str().unwrap().to_owned()
    }

    /// What is played, whole; or that it was refused or cut.
    async fn try_play(&self, url: &str) -> Result<Vec<u8>, StatusCode> {
        let token = self.house.token("analyst");
        let request = Request::get(url).header("authorization", format!("Bearer {token}"));
        let response = self.house.send(request.body(Body::empty()).unwrap()).await;
        let status = response.status();
        match response.into_body().collect().await {
            Ok(body) if status == StatusCode::OK => Ok(body.to_bytes().to_vec()),
            _ => Err(status),
        }
    }

    async fn play(&self, url: &str) -> Vec<u8> {
        for _ in 0..TRIES {
            if let Ok(played) = self.try_play(url).await {
                return played;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("it does not play");
    }

    /// Which transactions and calls a run without faults makes, and how often.
    async fn count(&mut self) -> (BTreeMap<&'static str, u64>, BTreeMap<String, u64>) {
        self.run(0).await;
        let _ = (self.objects.made(), self.house.vault.store.faults.made());
        self.run(1).await;
        (self.house.vault.store.faults.made(), self.objects.made())
    }

    async fn restart(mut self) -> Self {
        self.house = self.house.restarted().await;
        self
    }

    /// What has to hold at the end of everything.
    async fn settle(mut self) -> Self {
        self = self.restart().await;
        for _ in 0..3 {
            // Uploads whose first answer was lost expire; a deleted name is looked at again after its PUT's time.
            self.house.clock.advance(Duration::from_hours(25));
            Collector::of(&self.house.vault).round().await.unwrap();
            self.house.clock.advance(Duration::from_secs(120));
            Collector::of(&self.house.vault).round().await.unwrap();
        }
        let store = &self.house.vault.store;
        assert_eq!(store.number("SELECT COUNT(*) FROM intents").await, 0);
        assert_eq!(store.number("SELECT COUNT(*) FROM garbage").await, 0);
        let parts = store.number("SELECT COUNT(*) FROM parts").await;
        let media = self.objects.media().await;
        assert_eq!(i64::try_from(media.len()).unwrap(), parts, "orphans, or parts that are missing");
        if let Some(folder) = &self.local {
            assert_eq!(half_written(&folder.path().join("media")), Vec::<String>::new(), "staged, and left");
        }
        for url in &self.revoked {
            assert!(self.try_play(url).await.is_err(), "a revoked grant plays again");
        }
        let _last = erase::finish(&self.house.vault).await.unwrap();
        assert_eq!(store.number("SELECT COUNT(*) FROM erasures WHERE completed_at IS NULL").await, 0);
        let keys = "SELECT COUNT(*) FROM records WHERE (state = 'erased') = (wrap IS NOT NULL)";
        assert_eq!(store.number(keys).await, 0, "half erased");
        for record in &self.erased {
            let path = format!("/v1/records/{record}/erasure");
            let (_, erasure, _) = self.insist("auditor", "GET", &path, Value::Null).await;
            assert!(erasure["proof"].is_string(), "{erasure}");
        }
        // Each record by a grant of its own; the last fault was long ago.
        for (record, seed) in &self.records {
            let (request, _) = self.granted(record).await;
            let url = self.session(&request).await;
            assert!(self.play(&url).await == recording(*seed), "{record} is not what was acknowledged");
        }
        let (note, _) = oracle::sound(&self.house.vault, &self.known).await;
        self.known.push(note);
        self
    }
}

fn sweep<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// Files that the local back end has staged, below a folder.
fn half_written(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(half_written(&path));
        } else if path.to_string_lossy().contains('#') {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn p3_every_transaction_of_a_recordings_life_fails_once_in_both_ways() {
    sweep(async {
        let mut stage = Stage::set().await;
        let (transactions, _) = stage.count().await;
        for needed in
            ["take_upload", "adopt_upload", "rotate_kek", "append_to_log", "bury_intents", "drop_ended_uploads"]
        {
            assert!(transactions.contains_key(needed), "{transactions:?}");
        }
        let (mut run, mut faults) = (2, 0);
        for (name, times) in &transactions {
            // Each act by itself fails at each of its commits (`acts`); here it is what comes after them in a life. The log is
            // appended to by every act.
            let times = if *name == "append_to_log" { *times } else { 1 };
            for before in 0..times {
                for fault in PAIR {
                    let waiting = Arc::clone(&stage.house.vault.store.faults);
                    waiting.add_after(name, before, fault);
                    for _ in 0..LIVES {
                        stage.run(run).await;
                        run += 1;
                        if !waiting.waits() {
                            break;
                        }
                    }
                    assert!(!waiting.clear(), "{name} {before} {fault:?} is not met");
                    faults += 1;
                    if faults % 12 == 0 {
                        stage = stage.restart().await;
                    }
                }
            }
        }
        println!("{faults} faults in {run} lives");
        stage.settle().await;
    });
}

/// All calls of `stage`'s object store fail, each in a life.
async fn calls(mut stage: Stage, needed: &[&str], of: impl Fn(&str) -> bool) {
    let (_, mut calls) = stage.count().await;
    calls.retain(|call, _| of(call));
    for needed in needed {
        assert!(calls.contains_key(*needed), "{calls:?}");
    }
    let (mut run, mut faults) = (2, 0);
    for (name, times) in &calls {
        for before in 0..*times {
            for persisted in [false, true] {
                stage.objects.fail(name, before, persisted);
                for _ in 0..LIVES {
                    stage.run(run).await;
                    run += 1;
                    if !stage.objects.waits() {
                        break;
                    }
                }
                assert!(!stage.objects.heal(), "{name} {before} {persisted} is not met");
                faults += 1;
                if faults % 12 == 0 {
                    stage = stage.restart().await;
                }
            }
        }
    }
    println!("{faults} faults in {run} lives");
    stage.settle().await;
}

#[test]
fn p3_every_call_of_the_object_store_fails_once_in_both_ways() {
    sweep(async {
        calls(Stage::set().await, &["put media", "get media", "delete media", "put log", "put journal"], |_| true)
            .await;
    });
}

#[test]
fn p3_every_call_of_a_local_disk_that_is_written_piece_by_piece_fails_once_in_both_ways() {
    sweep(async {
        let needed = ["begin media", "piece media", "finish media", "abort media", "get media", "delete media"];
        calls(Stage::on_the_disk().await, &needed, |call| call.ends_with(" media")).await;
    });
}
