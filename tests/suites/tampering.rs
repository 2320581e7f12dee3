//! Storage in the wrong hands: whoever can write the object store and the database changes, swaps, cuts and removes.
//!
//! After each attack the same holds: no byte leaves the vault that is not the recording's own at that place, the
//! answer is an error or a stream that is cut, the log has a finding, and the attack undone, the recording plays again.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use vault_api::audit::{AuditEntry, AuditPage};
use vault_api::names::VAULT_RECORD_ID;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::objects::Store;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, database, tus};

/// Four segments of 64 KiB and a rest, in three parts.
const LENGTH: usize = 300_000;

/// A recording with its rows, its files, and a request that is approved.
struct Stage {
    vault: Vault,
    recording: Vec<u8>,
    record: String,
    request: String,
    /// A second one, to take foreign pieces from.
    other: String,
}

impl Stage {
    fn set() -> Self {
        let vault = Vault::start();
        let (recording, foreign) = (wav(LENGTH, &mut Chance::new(7)), wav(LENGTH, &mut Chance::new(8)));
        let record = upload_in_parts(&vault, &recording);
        let other = upload_in_parts(&vault, &foreign);
        let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
        let _grant = access::approve(&vault, "approver", &request);
        let stage = Self { vault, recording, record, request, other };
        assert!(stage.parts_of(&stage.record).len() >= 3, "the recording is in parts");
        stage.plays();
        stage
    }

    fn parts_of(&self, record: &str) -> Vec<String> {
        let sql = format!(
            "SELECT name FROM parts WHERE object_id = (SELECT id FROM objects WHERE record_id = '{record}') ORDER BY start"
        );
        database::texts(&self.vault, &sql)
    }

    fn object_of(&self, record: &str) -> String {
        database::texts(&self.vault, &format!("SELECT id FROM objects WHERE record_id = '{record}'")).remove(0)
    }

    /// The one value that is asked for.
    #[track_caller]
    fn bytes_of(&self, sql: &str) -> Vec<u8> {
        let mut found = database::blobs(&self.vault, sql);
        assert_eq!(found.len(), 1, "{sql}");
        found.remove(0)
    }

    /// What the server has noticed so far, by name: the log tells a finding about a record once an hour.
    fn noticed(&self) -> Vec<String> {
        let said = self.vault.log();
        let noticed = said.lines().filter(|line| line.contains("what is stored is damaged"));
        let name = |line: &str| line.split("finding=\"").nth(1)?.split('"').next().map(str::to_owned);
        noticed.map(|line| name(line).unwrap_or_else(|| panic!("no finding is named: {line}"))).collect()
    }

    /// Every kind of damage that was noticed is in the log, once (twice where an hour of the clock ended meanwhile).
    #[track_caller]
    fn told(&self) {
        let kinds: BTreeSet<String> = self.noticed().into_iter().collect();
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let page: AuditPage = self
                .vault
                .person("auditor")
                .get("/v1/audit/entries?type=finding.reported&limit=500")
                .expect(200)
                .read();
            let finding = |entry: &AuditEntry| entry.entry["data"]["finding"].as_str().map(str::to_owned);
            let told: Vec<String> = page.items.iter().filter_map(finding).collect();
            if told.iter().collect::<BTreeSet<_>>() == kinds.iter().collect() {
                assert!(told.len() <= 2 * kinds.len(), "the log repeats itself: {told:?}");
                return;
            }
            assert!(Instant::now() < patience, "noticed {kinds:?}, the log has {told:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The recording plays, whole and by range.
    #[track_caller]
    fn plays(&self) {
        let session = access::open(&self.vault, "analyst", &self.request);
        assert!(access::play(&self.vault, &session) == self.recording, "the recording does not play");
        access::close(&self.vault, &session);
    }

    /// The attack, what must hold under it, and its undoing.
    #[track_caller]
    #[allow(clippy::needless_lifetimes)] // Needed: without it the undoing closure has no lifetime to borrow from.
    fn attack<'a>(&'a self, name: &str, act: impl FnOnce() -> Box<dyn FnOnce() + 'a>) {
        let before = self.noticed().len();
        let undo = act();
        let body = json!({"representation": "original"});
        let opened = access::try_open(&self.vault.person("analyst"), &self.request, &body);
        if opened.status == 201 {
            let url = opened.text("playback_url");
            let (status, got) = self.get(&url, None);
            assert!(self.recording.starts_with(&got) || status >= 400, "{name}: bytes that are not the recording's");
            assert!(status >= 400 || got.len() < self.recording.len(), "{name}: nothing was noticed");
            for (from, to) in
                [(0, 99), (65_530, 65_600), (131_072, 200_000), (LENGTH - 50, LENGTH - 1), (70_000, 299_000)]
            {
                let (status, got) = self.get(&url, Some((from, to)));
                assert!(
                    status >= 400 || self.recording[from..=to].starts_with(&got),
                    "{name}: wrong bytes in {from}-{to}"
                );
            }
        } else {
            assert!(
                matches!(opened.code().as_str(), "integrity_failure" | "not_found" | "grant_not_covering"),
                "{name}: {opened}"
            );
        }
        let patience = Instant::now() + Duration::from_secs(20);
        while self.noticed().len() == before {
            assert!(Instant::now() < patience, "{name}: nothing was noticed");
            std::thread::sleep(Duration::from_millis(100));
        }
        undo();
        self.plays();
    }

    /// `GET`, with what arrived of a body that is cut; an error's body is left out.
    fn get(&self, path: &str, range: Option<(usize, usize)>) -> (u16, Vec<u8>) {
        let caller = self.vault.person("analyst");
        let host = caller.base().strip_prefix("http://").expect("plain HTTP on loopback");
        let mut stream = TcpStream::connect(host).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let range = range.map_or(String::new(), |(from, to)| format!("range: bytes={from}-{to}\r\n"));
        let token = caller.token().expect("a token");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n{range}connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the request is sent");
        let mut answer = Vec::new();
        // A connection that is reset in the middle has brought what it has brought.
        let _ = stream.read_to_end(&mut answer);
        // Cut before anything was sent: no byte left the vault.
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return (0, Vec::new()) };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(!head.contains("transfer-encoding"), "media has a length: {head}");
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, if status < 400 { answer.split_off(end + 4) } else { Vec::new() })
    }

    /// SQL, and SQL that undoes it.
    #[track_caller]
    fn edit<'a>(&'a self, name: &str, change: &str, undo: &'a str) {
        self.attack(name, || {
            assert!(database::execute(&self.vault, change) > 0, "{name}: the edit changed nothing");
            Box::new(|| assert!(database::execute(&self.vault, undo) > 0))
        });
    }
}

#[track_caller]
fn upload_in_parts(vault: &Vault, recording: &[u8]) -> String {
    let upload = tus::create(vault, "call.wav", "audio/wav", recording.len());
    let mut offset = 0;
    for chunk in recording.chunks(recording.len() / 3 + 1) {
        let answer = upload.patch(vault, offset as u64, chunk).expect(204);
        offset += chunk.len();
        if offset == recording.len() {
            return answer.header(VAULT_RECORD_ID).expect("a record").to_owned();
        }
    }
    unreachable!("the last chunk completes it")
}

/// Writes `changed` over a part; undone, the part is as it was.
fn replaced<'a>(store: &'a Store, part: &'a str, changed: Option<Vec<u8>>) -> Box<dyn FnOnce() + 'a> {
    let original = store.read(part);
    match changed {
        Some(bytes) => store.write(part, &bytes),
        None => store.delete(part),
    }
    Box::new(move || store.write(part, &original))
}

#[test]
fn p12_parts_flipped_cut_swapped_reordered_foreign_and_missing() {
    let stage = Stage::set();
    let store = Store::of(&stage.vault);
    let parts = stage.parts_of(&stage.record);
    let (first, last) = (&parts[0], parts.last().expect("parts"));
    let read = |part: &str| store.read(part);
    let replaced = |part, changed| replaced(&store, part, changed);

    // The first 74 bytes are a copy of the header; what counts is the header in the object's row (see the edited rows).
    for (which, at) in [(0, 74), (0, 78), (0, 90), (0, 5_000), (1, 0), (1, 70_000), (2, 9)] {
        let mut bytes = read(&parts[which]);
        bytes[at] ^= 0x20;
        stage.attack(&format!("byte {at} of part {which} flipped"), || replaced(&parts[which], Some(bytes)));
    }
    let mut bytes = read(last);
    *bytes.last_mut().expect("bytes") ^= 1;
    stage.attack("the last byte flipped", || replaced(last, Some(bytes)));

    for path in [first, last] {
        let bytes = read(path);
        stage.attack("cut by a byte", || replaced(path, Some(bytes[..bytes.len() - 1].to_vec())));
        stage.attack("emptied", || replaced(path, Some(Vec::new())));
        stage.attack("missing", || replaced(path, None));
    }

    stage.attack("two parts swapped", || {
        let (one, two) = (replaced(&parts[0], Some(read(&parts[1]))), replaced(&parts[1], Some(read(&parts[0]))));
        Box::new(move || {
            two();
            one();
        })
    });
    // Within a part: the second segment before the first.
    let bytes = read(&parts[1]);
    let (first, rest) = bytes.split_at(65_568);
    assert!(rest.len() >= 65_568, "the second part has two whole segments");
    let reordered = [&rest[..65_568], first, &rest[65_568..]].concat();
    stage.attack("two segments reordered", || replaced(&parts[1], Some(reordered)));
    let foreign = stage.parts_of(&stage.other);
    stage.attack("a part of another recording", || replaced(&parts[1], Some(read(&foreign[1]))));
    stage.attack("the first part of another recording", || replaced(&parts[0], Some(read(&foreign[0]))));

    stage.told();
    let other = access::granted(&stage.vault, &stage.other);
    assert!(access::play(&stage.vault, &other) == wav(LENGTH, &mut Chance::new(8)), "damage of one touches no other");
    let _clean = cli::verify_log(&stage.vault).expect(0);
}

#[test]
fn p12_rows_of_parts_and_objects_edited_by_hand() {
    let stage = Stage::set();
    let object = stage.object_of(&stage.record);
    let first = format!("object_id = '{object}' AND start = 0");
    let last =
        format!("object_id = '{object}' AND start = (SELECT MAX(start) FROM parts WHERE object_id = '{object}')");
    let length = format!("UPDATE parts SET length = length - 1 WHERE {last}");
    stage.edit("the last part shorter", &length, &length.replace("- 1", "+ 1"));
    let longer = format!("UPDATE parts SET length = length + 1 WHERE {last}");
    stage.edit("the last part longer", &longer, &longer.replace("+ 1", "- 1"));

    let tags = stage.bytes_of(&format!("SELECT tags FROM parts WHERE {first}"));
    let put = |tags: &[u8]| format!("UPDATE parts SET tags = {} WHERE {first}", database::bytes(&stage.vault, tags));
    stage.edit("the registered tags changed", &put(&vec![0; tags.len()]), &put(&tags));
    stage.edit("the registered tags cut", &put(&tags[..tags.len() - 1]), &put(&tags));

    let header = stage.bytes_of(&format!("SELECT header FROM objects WHERE id = '{object}'"));
    let put = |header: &[u8]| {
        format!("UPDATE objects SET header = {} WHERE id = '{object}'", database::bytes(&stage.vault, header))
    };
    let mut flipped = header.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    stage.edit("the header changed", &put(&flipped), &put(&header));
    let foreign = stage.object_of(&stage.other);
    let foreign_header = stage.bytes_of(&format!("SELECT header FROM objects WHERE id = '{foreign}'"));
    stage.edit("the header of another object", &put(&foreign_header), &put(&header));

    let segment = |length: u32| format!("UPDATE objects SET segment_length = {length} WHERE id = '{object}'");
    stage.edit("cut differently", &segment(262_144), &segment(65_536));
    stage.edit("cut impossibly", &segment(4), &segment(65_536));

    // The last part's row moved away: the recording ends earlier, as if it had never been longer.
    let gone = format!("UPDATE parts SET object_id = '{foreign}', start = start + 100000000 WHERE {last}");
    let back = format!(
        "UPDATE parts SET object_id = '{object}', start = start - 100000000 WHERE object_id = '{foreign}' AND start > 100000000"
    );
    stage.edit("the last part's row gone", &gone, &back);
    stage.told();
}

#[test]
fn p2_wraps_swapped_foreign_and_renamed() {
    let stage = Stage::set();
    let (record, other) = (&stage.record, &stage.other);
    let wrap_of = |id: &str| stage.bytes_of(&format!("SELECT wrap FROM records WHERE id = '{id}'"));
    let (own, foreign) = (wrap_of(record), wrap_of(other));
    let put = |wrap: &[u8]| {
        format!("UPDATE records SET wrap = {} WHERE id = '{record}'", database::bytes(&stage.vault, wrap))
    };
    stage.edit("the wrap of another record", &put(&foreign), &put(&own));
    for at in [0, 10, own.len() / 2, own.len() - 1] {
        let mut flipped = own.clone();
        flipped[at] ^= 1;
        stage.edit(&format!("byte {at} of the wrap changed"), &put(&flipped), &put(&own));
    }
    stage.edit("the wrap cut", &put(&own[..own.len() - 1]), &put(&own));
    let version = |v: u32| format!("UPDATE records SET kek_version = {v} WHERE id = '{record}'");
    stage.edit("another version named", &version(2), &version(1));
    stage.told();
}
