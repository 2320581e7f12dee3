//! Files that are not the recording they claim to be.

use vault_tests::cli;
use vault_tests::fixtures::{Chance, media, wav};
use vault_tests::http::Answer;
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;

use super::{entries, has_entries, records};

/// Begins an upload and sends everything; the upload and the last answer.
fn send(vault: &Vault, filetype: &str, bytes: &[u8]) -> (Upload, Answer) {
    let upload = tus::create(vault, "clip", filetype, bytes.len());
    let answer = upload.patch(vault, 0, bytes);
    (upload, answer)
}

fn refused(vault: &Vault, what: &str, filetype: &str, bytes: &[u8]) {
    let before = (records(vault), entries(vault, "upload.rejected"));
    let (upload, answer) = send(vault, filetype, bytes);
    // Never 5xx: clients read that, on the request that completes an upload, as success.
    assert!((400..500).contains(&answer.status), "{what}: {answer}");
    let code = answer.code();
    assert!(code.starts_with("content_"), "{what}: {answer}");
    assert_eq!(upload.head(vault).status, 410, "{what}: HEAD on a refused upload");
    // One byte: the server does not read a body that it refuses, and hangs up under a long one.
    let again = upload.patch(vault, 0, &bytes[..1]);
    assert_eq!(again.status, 410, "{what}: {again}");
    assert_eq!(records(vault), before.0, "{what} became a record");
    has_entries(vault, "upload.rejected", before.1 + 1);
}

#[test]
fn what_is_no_recording_is_refused_audited_and_removed() {
    let vault = Vault::start();
    let video = media("chromium-video.webm");
    let voice = media("chromium-voice.webm");
    let mp4 = media("chromium-video.mp4");
    let mut chance = Chance::new(7);
    let noise = chance.bytes(100_000);
    let html = b"<!doctype html><script>fetch('https://evil.example/')</script>".repeat(50);
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec();
    let pdf = [b"%PDF-1.7\n".as_slice(), &noise].concat();
    let zip = [b"PK\x03\x04".as_slice(), &noise].concat();
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &noise].concat();
    let program = [b"\x7fELF\x02\x01\x01".as_slice(), &noise].concat();
    for (what, filetype, bytes) in [
        ("a web page", "video/webm", html.as_slice()),
        ("a drawing with a script", "video/mp4", &svg),
        ("a PDF", "audio/mpeg", &pdf),
        ("an archive", "audio/ogg", &zip),
        ("a picture", "video/webm", &png),
        ("a program", "audio/wav", &program),
        ("noise", "video/webm", &noise),
        ("MP4 as WebM", "video/webm", &mp4),
        ("WebM as MP4", "video/mp4", &video),
        ("WebM as WAV", "audio/wav", &voice),
        ("half a header", "video/webm", &video[..20]),
    ] {
        refused(&vault, what, filetype, bytes);
    }
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_recording_that_carries_something_else_is_refused() {
    let vault = Vault::start();
    let html = b"<html><script>alert(1)</script></html>".repeat(30);
    let mut tail = media("chromium-video.mp4");
    tail.extend_from_slice(&html);
    refused(&vault, "a page behind an MP4", "video/mp4", &tail);

    let mut sound = wav(40_000, &mut Chance::new(9));
    sound.extend_from_slice(b"PK\x03\x04");
    sound.extend_from_slice(&Chance::new(10).bytes(5000));
    refused(&vault, "an archive behind a WAV", "audio/wav", &sound);

    let mut page = html.clone();
    page.extend_from_slice(&media("chromium-video.webm"));
    refused(&vault, "a page before a WebM", "video/webm", &page);
}

#[test]
fn an_upload_is_refused_at_its_first_bytes_not_after_a_gigabyte() {
    let vault = Vault::start();
    let upload = tus::create(&vault, "clip", "video/webm", 1_000_000_000);
    let answer = upload.patch(&vault, 0, &b"<!doctype html>".repeat(20_000));
    assert!((400..500).contains(&answer.status) && answer.code().starts_with("content_"), "{answer}");
    assert_eq!(upload.head(&vault).status, 410);
}

#[test]
fn a_type_that_the_vault_does_not_take_begins_nothing() {
    let vault = Vault::start();
    let consent = tus::consent(&vault).to_string();
    for filetype in ["text/html", "image/png", "application/pdf", "video/x-msvideo", "", "video"] {
        let pairs = [("filetype", filetype), ("consent", consent.as_str())];
        let answer = tus::creation(&vault.person("uploader"), &vault.dev.collection, 1000, &pairs);
        assert!((400..500).contains(&answer.status), "{filetype:?}: {answer}");
    }
    let answer =
        tus::creation(&vault.person("uploader"), &vault.dev.collection, 1000, &[("consent", consent.as_str())]);
    assert!((400..500).contains(&answer.status), "no filetype: {answer}");
}

#[test]
fn nothing_half_written_is_ever_playable() {
    let vault = Vault::start();
    let recording = media("chromium-video.webm");
    let upload = tus::create(&vault, "clip.webm", "video/webm", recording.len());
    let _most = upload.patch(&vault, 0, &recording[..recording.len() - 1]).expect(204);
    assert_eq!(upload.record(&vault), None);
    assert_eq!(records(&vault), 0);
    let _last = upload.patch(&vault, recording.len() as u64 - 1, &recording[recording.len() - 1..]).expect(204);
    assert_eq!(records(&vault), 1);
}
