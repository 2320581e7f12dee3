//! Promise 1: nothing in the clear at rest.
//!
//! A vault is led through everything that handles something secret or personal, with distinctive values; then every
//! file below its data directory (database, its WAL and free pages, objects, published log, resume keys),
//! its log output, a backup of it, PostgreSQL's own files where the rows are there, and the disk of the S3 server where its
//! objects are in a bucket are searched for them, in every encoding. The search has to find what is planted in each of these
//! places.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use vault_tests::canary::{Canary, search};
use vault_tests::database;
use vault_tests::fixtures::{Chance, media, wav};
use vault_tests::objects::{self, Store};
use vault_tests::rows_at_rest::RowsAtRest;
use vault_tests::vault::{Vault, room};
use vault_tests::{access, console, tus};

const FILENAME: &str = "Hildegard-Zwetschgenmus-Beschwerde.wav";
const SUBJECT: &str = "customer-77410-zwetschgenmus";
const REASON: &str = "Quittengelee was spilled over the xylophone";
const CASE: &str = "CASE-QZ-90871-WOMBAT";
const COMMENT: &str = "Approved under the marsupial procedure";
const REVOKED: &str = "Revoked, for the platypus objected";
const DENIED: &str = "Echidna curiosity is no purpose";

/// `dev` keeps its own passphrase and tokens in files: the one exception of promise 1, by name.
const DEV_FILES: [&str; 2] = ["dev.json", "passphrase"];

#[test]
fn p1_nothing_in_the_clear_at_rest() {
    let mut chance = Chance::new(0x5eed_0001);
    let rows = RowsAtRest::of_the_run();
    let mut vault = start(rows.as_ref());
    let recording = wav(400_000, &mut chance);
    let mut canaries = words();
    canaries.extend(pieces("the recording", &recording, 0));

    // A finished recording with identifiers, played; a grant denied, one revoked.
    let consent = tus::consent(&vault).to_string();
    let pairs =
        [("filename", FILENAME), ("filetype", "audio/wav"), ("subject", SUBJECT), ("consent", consent.as_str())];
    let uploader = vault.person("uploader");
    let created = tus::creation(&uploader, &vault.dev.collection, recording.len() as u64, &pairs).expect(201);
    let upload = tus::Upload { location: created.header("location").expect("a Location").to_owned() };
    canaries.push(secret_of_location("the finished upload's secret", &upload.location));
    let _ = upload.patch(&vault, 0, &recording[..150_000]).expect(204);
    // Not plaintext, but what an erasure is made of: it has to be gone from the database's free pages, too.
    let mut erased = in_progress(&vault, "the finished upload");
    let done = upload.patch(&vault, 150_000, &recording[150_000..]).expect(204);
    let record = done.header("vault-record-id").expect("a record").to_owned();
    let denied = access::request(&vault, "analyst", &record, REASON, CASE);
    let _ = vault
        .person("approver")
        .post(&format!("/v1/access-requests/{denied}/deny"), &json!({"comment": DENIED}))
        .expect(200);
    let request = access::request(&vault, "analyst", &record, REASON, CASE);
    let approved = vault
        .person("approver")
        .post(&format!("/v1/access-requests/{request}/approve"), &json!({"comment": COMMENT}))
        .expect(200);
    let session = access::open(&vault, "analyst", &request);
    assert!(access::play(&vault, &session) == recording);
    access::close(&vault, &session);
    let revocation = json!({"reason": REVOKED}).to_string();
    let revoked = vault.person("approver").send(
        "DELETE",
        &format!("/v1/grants/{}", approved.text("grant_id")),
        &[("content-type", "application/json")],
        revocation.as_bytes(),
    );
    assert!([200, 202, 204].contains(&revoked.status), "{revoked}");

    // One cut in the middle, one given up, one refused for what it is: their tails and wraps come and go.
    let unfinished = wav(300_000, &mut chance);
    canaries.extend(pieces("the unfinished recording", &unfinished, 0));
    let cut = tus::create(&vault, FILENAME, "audio/wav", unfinished.len());
    canaries.push(secret_of_location("the unfinished upload's secret", &cut.location));
    let _ = cut.patch(&vault, 0, &unfinished[..100_000]).expect(204);
    cut.patch_cut(&vault, 100_000, &unfinished[100_000..], 90_000);
    let given_up = wav(250_000, &mut chance);
    canaries.extend(pieces("the abandoned recording", &given_up, 0));
    let abandoned = tus::create(&vault, FILENAME, "audio/wav", given_up.len());
    let _ = abandoned.patch(&vault, 0, &given_up[..180_000]).expect(204);
    erased.extend(in_progress(&vault, "the abandoned upload"));
    let _ = vault.nobody().send("DELETE", &abandoned.location, &[("tus-resumable", "1.0.0")], &[]).expect(204);
    let mut html = b"<!doctype html><script>/* Papageientaucher */</script>".to_vec();
    html.extend(chance.bytes(90_000));
    canaries.push(Canary::new("the refused file", &html[..48]));
    let refused = tus::create(&vault, FILENAME, "audio/wav", html.len());
    assert!(refused.patch(&vault, 0, &html).status >= 400, "HTML was taken for a recording");

    // Tokens, right and wrong, in the places where clients put them.
    for (person, token) in &vault.dev.tokens {
        canaries.push(Canary::new(format!("the token of {person}"), token.trim_start_matches("fv_").as_bytes()));
        let _ = vault.person(person).get("/v1/records");
        let _ = vault.nobody().get(&format!("/v1/records?access_token={token}"));
    }
    let dev_passphrase =
        std::fs::read(vault.data().join(DEV_FILES[1])).expect("dev keeps its passphrase beside its data");
    canaries.push(Canary::new("the custody passphrase", dev_passphrase.trim_ascii()));

    // What a backup has of a live record is in it, so the search that finds nothing else there does see into it.
    let wrap = database::blobs(&vault, &format!("SELECT wrap FROM records WHERE id = '{record}'")).remove(0);
    let backup = console::backup(&vault, "backup");
    let kept = [Canary::new("the record key's wrap", &wrap)];
    assert!(!search(&kept, &[&backup], &[]).is_empty(), "the search does not see into a backup");

    // While it runs, after a crash (the WAL stays), and after an orderly end.
    let look = |canaries: &[Canary], vault: &Vault, when: &str| {
        let found = search(canaries, &[&vault.data(), &vault.log_path()], &DEV_FILES);
        assert!(found.is_empty(), "{when}: {found:#?}");
        let found = [on_its_disk(canaries), as_objects(vault, canaries)].concat();
        assert!(found.is_empty(), "{when}, in the bucket: {found:#?}");
    };
    let found = search(&canaries, &[&backup], &[]);
    assert!(found.is_empty(), "in a backup: {found:#?}");
    look(&canaries, &vault, "while it runs");
    vault.kill();
    look(&canaries, &vault, "after kill -9");
    vault.launch();
    assert!(vault.stop().success());
    if let Some(rows) = &rows {
        in_no_row(rows, &canaries);
        rows.finds_what_is_planted(&canaries);
    }
    // Erased wraps may lie in the write-ahead log until it is emptied; the database's own pages are overwritten at once.
    canaries.extend(erased);
    look(&canaries, &vault, "after an orderly end");

    // The positive control: each canary, planted in one encoding or another, is found by the same search.
    let planted: Vec<u8> = canaries.iter().enumerate().flat_map(|(at, canary)| canary.planted(at)).collect();
    std::fs::write(vault.data().join("planted"), &planted).expect("planted");
    all_found(&canaries, &search(&canaries, &[&vault.data(), &vault.log_path()], &DEV_FILES));
    std::fs::write(backup.join("planted"), &planted).expect("planted");
    all_found(&canaries, &search(&canaries, &[&backup], &[]));
    if vault.keeps_objects_elsewhere() {
        // Fresh ones: what is planted on the server's disk stays there for the next vault's search.
        let fresh = |at| Canary::new(format!("control {at}"), &vault_core::random::array::<24>());
        let control: Vec<Canary> = (0..9).map(fresh).collect();
        let pieces = control.iter().enumerate().map(|(at, canary)| [chance.bytes(1_000), canary.planted(at)].concat());
        // Between bytes that no server can compress it lies on the disk as it was sent.
        let noise: Vec<u8> = pieces.flatten().collect();
        Store::of(&vault).write("media/00/planted", &noise);
        all_found(&control, &as_objects(&vault, &control));
        all_found(&control, &on_its_disk(&control));
    }
}

/// What lies on the disk of the S3 server, if the run is for one: what it deleted is there still, what can be compressed is
/// compressed.
fn on_its_disk(canaries: &[Canary]) -> Vec<String> {
    let files = objects::files_to_be_searched();
    let places: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    if places.is_empty() { Vec::new() } else { search(canaries, &places, &[]) }
}

/// What lies in the bucket as it is read from there, names and bytes, if the run is for one.
fn as_objects(vault: &Vault, canaries: &[Canary]) -> Vec<String> {
    if !vault.keeps_objects_elsewhere() {
        return Vec::new();
    }
    let bucket = room();
    Store::of(vault).copy_to(bucket.path());
    search(canaries, &[bucket.path()], &[])
}

#[track_caller]
fn all_found(canaries: &[Canary], found: &[String]) {
    for canary in canaries {
        let it = format!("{} ", canary.name);
        assert!(found.iter().any(|f| f.starts_with(&it)), "the search is blind to {}", canary.name);
    }
}

/// The wrap and the sealed tail of the upload that was begun last, as the database keeps them now.
fn in_progress(vault: &Vault, name: &str) -> Vec<Canary> {
    let newest = |column: &str| {
        let found = database::blobs(
            vault,
            &format!(
                "SELECT {column} FROM uploads WHERE state = 'open' AND {column} IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1"
            ),
        );
        assert_eq!(found.len(), 1, "no open upload with a {column}");
        Canary::new(format!("the erased {column} of {name}"), &found[0][..found[0].len().min(64)])
    };
    vec![newest("wrap"), newest("tail")]
}

/// A vault with its rows in these files, and with its objects where the S3 server's own files can be searched, if the run is for one.
fn start(rows: Option<&RowsAtRest>) -> Vault {
    let rows = rows.map_or_else(database::of_the_run, RowsAtRest::variables);
    Vault::start_where(&[], |_| [objects::of_the_run_to_be_searched(), rows].concat())
}

/// None of it is in PostgreSQL's files, dead rows and write-ahead log included, where they hold the rows. What is erased stays there for a
/// while, sealed (`docs/threat-model.md`): it is not looked for.
#[track_caller]
fn in_no_row(rows: &RowsAtRest, canaries: &[Canary]) {
    let found = rows.search(canaries);
    assert!(found.is_empty(), "in PostgreSQL's files: {found:#?}");
}

/// What people wrote.
fn words() -> Vec<Canary> {
    let words = [
        ("a filename", FILENAME),
        ("a subject", SUBJECT),
        ("a reason", REASON),
        ("a case number", CASE),
        ("a comment", COMMENT),
        ("a denial's comment", DENIED),
        ("a revocation's reason", REVOKED),
    ];
    words.iter().map(|(name, text)| Canary::new(*name, text.as_bytes())).collect()
}

/// Pieces from all over a recording: the first bytes there, the last, around segment boundaries, and in between.
fn pieces(name: &str, recording: &[u8], from: usize) -> Vec<Canary> {
    let length = recording.len();
    let places = [0, 44, 65_520, 65_536, 99_990, 131_060, 179_000, 200_000, length / 2, length - 32];
    let places = places.iter().filter(|at| **at >= from);
    let pieces = places.filter_map(|at| recording.get(*at..*at + 32).map(|piece| (at, piece)));
    // Thirty zeros in a row are of no recording.
    let telling = pieces.filter(|(_, piece)| piece.iter().collect::<BTreeSet<_>>().len() > 8);
    telling.map(|(at, piece)| Canary::new(format!("{name} at {at}"), piece)).collect()
}

/// The last part of a tus `Location`: 43 characters that open the upload.
fn secret_of_location(name: &str, location: &str) -> Canary {
    let secret = location.rsplit('/').next().unwrap_or_default();
    assert_eq!(secret.len(), 43, "an upload's address ends in a secret of 256 bits");
    Canary::new(name, secret.as_bytes())
}

/// The recordings of browsers, too, leave nothing behind.
#[test]
fn p1_browser_recordings_leave_nothing_in_the_clear() {
    let rows = RowsAtRest::of_the_run();
    let vault = start(rows.as_ref());
    let mut canaries = Vec::new();
    for (name, kind) in vault_tests::fixtures::MEDIA {
        let recording = media(name);
        let _record = tus::upload(&vault, name, kind, &recording);
        // Headers are the same in every recording of a browser; what follows is this one's.
        let pieces = pieces(name, &recording, 1_000);
        assert!(!pieces.is_empty(), "there is nothing of {name} to look for");
        canaries.extend(pieces);
    }
    if let Some(rows) = &rows {
        in_no_row(rows, &canaries);
    }
    let found = search(&canaries, &[&vault.data(), &vault.log_path()], &DEV_FILES);
    assert!(found.is_empty(), "{found:#?}");
    let found = [on_its_disk(&canaries), as_objects(&vault, &canaries)].concat();
    assert!(found.is_empty(), "in the bucket: {found:#?}");
}
