//! Uploads that do not keep to tus, or to what was announced.

use vault_tests::fixtures::media;
use vault_tests::http::Answer;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;
use vault_tests::{cli, database};

use super::records;

const TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

/// A secret of the right form that no upload has.
const FOREIGN: &str = "/v1/uploads/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn begun(vault: &Vault, length: usize) -> Upload {
    tus::create(vault, "voice.webm", "audio/webm", length)
}

fn patch(vault: &Vault, upload: &Upload, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    vault.nobody().send("PATCH", &upload.location, headers, body)
}

#[test]
fn an_upload_is_written_where_it_stands_and_nowhere_else() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let upload = begun(&vault, recording.len());
    let _first = upload.patch(&vault, 0, &recording[..1000]).expect(204);
    for offset in [0, 1, 999, 1001, recording.len() as u64, 1 << 50] {
        upload.patch(&vault, offset, &recording[1000..2000]).refused(409, "upload_offset_conflict");
        assert_eq!(upload.offset(&vault), 1000);
    }
    for offset in ["", "-1", "1e3", "0x3e8", "1000 1000", "18446744073709551615", "18446744073709551616"] {
        let answer = patch(&vault, &upload, &[TUS, TYPE, ("upload-offset", offset)], b"x");
        answer.refused(400, "upload_offset_missing");
    }
    patch(&vault, &upload, &[TUS, TYPE], b"x").refused(400, "upload_offset_missing");
    assert_eq!(upload.offset(&vault), 1000);
    // What was refused has left no trace: the rest still makes the recording whole.
    let _rest = upload.patch(&vault, 1000, &recording[1000..]).expect(204);
    assert!(upload.record(&vault).is_some());
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn unknown_and_foreign_uploads_are_absent() {
    let vault = Vault::start();
    for path in [FOREIGN, "/v1/uploads/x", "/v1/uploads/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55"] {
        assert_eq!(vault.nobody().send("HEAD", path, &[TUS], &[]).status, 404, "{path}");
        let headers = [TUS, TYPE, ("upload-offset", "0")];
        vault.nobody().send("PATCH", path, &headers, b"x").refused(404, "upload_not_found");
        vault.nobody().send("DELETE", path, &[TUS], &[]).refused(404, "upload_not_found");
    }
    // A token opens nobody's upload: the address alone counts.
    vault.person("administrator").send("DELETE", FOREIGN, &[TUS], &[]).refused(404, "upload_not_found");
}

#[test]
fn tus_wants_its_version_its_content_type_and_a_length() {
    let vault = Vault::start();
    let upload = begun(&vault, 1000);
    for (headers, status, code) in [
        (vec![TYPE, ("upload-offset", "0")], 412, "tus_version"),
        (vec![("tus-resumable", "0.2.2"), TYPE, ("upload-offset", "0")], 412, "tus_version"),
        (vec![TUS, ("upload-offset", "0")], 415, "upload_content_type"),
        (vec![TUS, ("content-type", "video/webm"), ("upload-offset", "0")], 415, "upload_content_type"),
    ] {
        patch(&vault, &upload, &headers, b"x").refused(status, code);
    }
    let old = vault.nobody().send("HEAD", &upload.location, &[("tus-resumable", "0.2.2")], &[]);
    assert_eq!((old.status, old.header("tus-version")), (412, Some("1.0.0")), "{old}");

    let path = format!("/v1/collections/{}/uploads", vault.dev.collection);
    let metadata = tus::metadata(&[("filetype", "audio/webm"), ("consent", &tus::consent(&vault).to_string())]);
    let create = |headers: &[(&str, &str)]| {
        let mut all = vec![TUS, ("upload-metadata", metadata.as_str())];
        all.extend(headers);
        vault.person("uploader").send("POST", &path, &all, &[])
    };
    for headers in [
        vec![],
        vec![("upload-length", "")],
        vec![("upload-length", "-5")],
        vec![("upload-length", "ten")],
        vec![("upload-length", "18446744073709551616")],
        vec![("upload-defer-length", "0")],
        vec![("upload-defer-length", "2")],
        vec![("upload-length", "10"), ("upload-defer-length", "1")],
    ] {
        create(&headers).refused(400, "upload_length");
    }
    create(&[("upload-length", "1125899906842624")]).refused(413, "upload_too_large");
    let maximum = vault.nobody().send("OPTIONS", &path, &[], &[]);
    assert!(maximum.header("tus-max-size").is_some_and(|size| size.parse::<u64>().is_ok()), "{maximum:?}");
}

#[test]
fn no_byte_past_the_declared_length() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let upload = begun(&vault, recording.len());
    let mut longer = recording.clone();
    longer.extend_from_slice(b"more");
    upload.patch(&vault, 0, &longer).refused(400, "upload_past_length");
    assert!(upload.offset(&vault) <= recording.len() as u64);
    assert_eq!(upload.record(&vault), None, "an upload with bytes too many became a record");
}

#[test]
fn a_deferred_length_can_be_declared_once() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let path = format!("/v1/collections/{}/uploads", vault.dev.collection);
    let metadata = tus::metadata(&[("filetype", "audio/webm"), ("consent", &tus::consent(&vault).to_string())]);
    let headers = [TUS, ("upload-defer-length", "1"), ("upload-metadata", metadata.as_str())];
    let created = vault.person("uploader").send("POST", &path, &headers, &[]).expect(201);
    let upload = Upload { location: created.header("location").expect("a Location").to_owned() };
    let _some = upload.patch(&vault, 0, &recording[..5000]).expect(204);
    let head = upload.head(&vault).expect(200);
    assert_eq!((head.header("upload-defer-length"), head.header("upload-length")), (Some("1"), None));
    // Shorter than what is there already: nonsense.
    let short = [TUS, TYPE, ("upload-offset", "5000"), ("upload-length", "4000")];
    patch(&vault, &upload, &short, b"").refused(400, "upload_length");
    let (offset, length) = ("5000", recording.len().to_string());
    let last = [TUS, TYPE, ("upload-offset", offset), ("upload-length", length.as_str())];
    let _done = patch(&vault, &upload, &last, &recording[5000..9000]).expect(204);
    let other = [TUS, TYPE, ("upload-offset", "9000"), ("upload-length", "10000")];
    patch(&vault, &upload, &other, b"x").refused(400, "upload_length");
    let _rest = upload.patch(&vault, 9000, &recording[9000..]).expect(204);
    assert!(upload.record(&vault).is_some());
}

#[test]
fn a_checksum_that_does_not_match_keeps_nothing() {
    let vault = Vault::start();
    let upload = begun(&vault, 10_000);
    let headers = |checksum: &'static str| [TUS, TYPE, ("upload-offset", "0"), ("upload-checksum", checksum)];
    // SHA-1 of "hello world", the example of the specification's extension.
    let right = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    patch(&vault, &upload, &headers(right), b"hello w0rld").refused(460, "upload_checksum");
    assert_eq!(upload.offset(&vault), 0);
    for unreadable in ["sha1", "md4 AAAA", "sha1 !!!", "", "sha1 AAAA"] {
        let answer = patch(&vault, &upload, &headers(unreadable), b"hello world");
        assert!(matches!(answer.status, 400 | 460), "{unreadable:?}: {answer}");
        assert_eq!(upload.offset(&vault), 0, "{unreadable:?}");
    }
    let recording = media("chromium-voice.webm");
    let upload = begun(&vault, recording.len());
    // Whole recordings too. (Checksums that fit are held against a model in the server's own tests.)
    patch(&vault, &upload, &headers(right), &recording).refused(460, "upload_checksum");
    assert_eq!(upload.offset(&vault), 0);
}

#[test]
fn a_completed_upload_is_closed_and_names_its_record() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let upload = begun(&vault, recording.len());
    let done = upload.patch(&vault, 0, &recording).expect(204);
    let record = done.header("vault-record-id").expect("a record").to_owned();
    for offset in [0, recording.len() as u64] {
        upload.patch(&vault, offset, b"x").refused(409, "upload_complete");
    }
    vault.nobody().send("DELETE", &upload.location, &[TUS], &[]).refused(409, "upload_complete");
    let head = upload.head(&vault).expect(200);
    assert_eq!(head.header("vault-record-id"), Some(record.as_str()));
    assert_eq!(head.header("upload-offset"), Some(recording.len().to_string().as_str()));
    assert_eq!(records(&vault), 1);
}

#[test]
fn head_tells_the_filetype_and_nothing_about_the_person() {
    let vault = Vault::start();
    let consent = tus::consent(&vault).to_string();
    let pairs = [
        ("filename", "jane-roe.webm"),
        ("filetype", "audio/webm"),
        ("consent", &consent),
        ("subject", "jane@example.com"),
    ];
    let created = tus::creation(&vault.person("uploader"), &vault.dev.collection, 1000, &pairs).expect(201);
    let upload = Upload { location: created.header("location").expect("a Location").to_owned() };
    let head = upload.head(&vault).expect(200);
    assert_eq!(head.header("upload-metadata"), Some(tus::metadata(&[("filetype", "audio/webm")]).as_str()));
    assert_eq!(head.header("cache-control"), Some("no-store"));
}

#[test]
fn a_terminated_upload_is_gone() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let upload = begun(&vault, recording.len());
    let _some = upload.patch(&vault, 0, &recording[..70_000.min(recording.len() / 2)]).expect(204);
    let _gone = vault.nobody().send("DELETE", &upload.location, &[TUS], &[]).expect(204);
    assert!(matches!(upload.head(&vault).status, 404 | 410));
    let after = upload.patch(&vault, 0, &recording);
    assert!(matches!(after.status, 404 | 410), "{after}");
    assert_eq!(records(&vault), 0);
}

#[test]
fn an_expired_upload_is_gone() {
    let vault = Vault::start();
    let upload = begun(&vault, 1000);
    let _some = upload.patch(&vault, 0, &media("chromium-voice.webm")[..100]).expect(204);
    assert!(upload.head(&vault).expect(200).header("upload-expires").is_some());
    assert_eq!(database::execute(&vault, "UPDATE uploads SET expires_at = 1000"), 1);
    assert_eq!(upload.head(&vault).status, 410);
    let after = upload.patch(&vault, 100, b"x");
    after.refused(410, "upload_expired");
}

#[test]
fn metadata_that_cannot_be_read_begins_nothing() {
    let vault = Vault::start();
    let path = format!("/v1/collections/{}/uploads", vault.dev.collection);
    for metadata in ["filetype", "filetype !!!", "filetype YQ==,filetype YQ==", ",,", "filetype /w==", "a b c"] {
        let headers = [TUS, ("upload-length", "10"), ("upload-metadata", metadata)];
        let answer = vault.person("uploader").send("POST", &path, &headers, &[]);
        assert!((400..500).contains(&answer.status), "{metadata:?}: {answer}");
    }
    assert_eq!(database::number(&vault, "SELECT COUNT(*) FROM uploads"), 0);
}

#[test]
fn creation_takes_bytes_along_and_minds_no_content_type_without_them() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let path = format!("/v1/collections/{}/uploads", vault.dev.collection);
    let (length, consent) = (recording.len().to_string(), tus::consent(&vault).to_string());
    let metadata = tus::metadata(&[("filetype", "audio/webm"), ("consent", &consent)]);
    let base = [TUS, ("upload-length", length.as_str()), ("upload-metadata", metadata.as_str())];
    let create = |kind: (&str, &str), body: &[u8]| {
        let headers: Vec<(&str, &str)> = base.iter().copied().chain([kind]).collect();
        vault.person("uploader").send("POST", &path, &headers, body)
    };
    for kind in ["application/json", "text/plain", "application/offset+octet-stream"] {
        let created = create(("content-type", kind), b"").expect(201);
        let location = created.header("location").expect("a Location");
        assert!(location.starts_with("/v1/uploads/"), "{location}");
    }
    create(("content-type", "application/json"), &recording[..10]).refused(415, "upload_content_type");

    let begun = create(TYPE, &recording[..10_000]).expect(201);
    assert_eq!(begun.header("upload-offset"), Some("10000"));
    let upload = Upload { location: begun.header("location").expect("a Location").to_owned() };
    let done = upload.patch(&vault, 10_000, &recording[10_000..]).expect(204);
    assert!(done.header("vault-record-id").is_some());
    // All of it at once: complete, and says so.
    let whole = create(TYPE, &recording).expect(201);
    assert!(whole.header("vault-record-id").is_some(), "{whole:?}");
    assert_eq!(records(&vault), 2);
}
