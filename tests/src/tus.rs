//! Uploads by tus, as a well-behaved client does them and as a dying one does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vault_api::names::{TUS_CONTENT_TYPE, TUS_VERSION, VAULT_RECORD_ID};

use crate::http::{Answer, Caller};
use crate::vault::Vault;

/// The consent that the sample collection asks for.
#[must_use]
pub fn consent(vault: &Vault) -> Value {
    json!({
        "notice_sha256": vault.dev.notice_sha256,
        "purposes": ["service-improvement", "complaint-handling"],
        "given_at": "2026-01-15T10:00:00Z",
    })
}

/// `Upload-Metadata` of these pairs.
#[must_use]
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

/// An upload under way.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The path that `Location` named: a secret.
    pub location: String,
}

/// `POST …/uploads` with a length and metadata; the raw answer.
#[must_use]
#[track_caller]
pub fn creation(caller: &Caller, collection: &str, length: u64, pairs: &[(&str, &str)]) -> Answer {
    let path = format!("/v1/collections/{collection}/uploads");
    let (length, metadata) = (length.to_string(), metadata(pairs));
    let headers = [("tus-resumable", TUS_VERSION), ("upload-length", &length), ("upload-metadata", &metadata)];
    caller.send("POST", &path, &headers, &[])
}

/// Begins an upload of a recording to the sample collection, with consent.
#[must_use]
#[track_caller]
pub fn create(vault: &Vault, filename: &str, filetype: &str, length: usize) -> Upload {
    let consent = consent(vault).to_string();
    let pairs = [("filename", filename), ("filetype", filetype), ("consent", &consent)];
    let answer = creation(&vault.person("uploader"), &vault.dev.collection, length as u64, &pairs).expect(201);
    let location = answer.header("location").unwrap_or_else(|| panic!("no Location: {answer}")).to_owned();
    assert!(location.starts_with('/'), "Location is an absolute path: {location}");
    Upload { location }
}

impl Upload {
    /// `HEAD`.
    #[must_use]
    #[track_caller]
    pub fn head(&self, vault: &Vault) -> Answer {
        vault.nobody().send("HEAD", &self.location, &[("tus-resumable", TUS_VERSION)], &[])
    }

    /// The offset that the server confirms.
    #[must_use]
    #[track_caller]
    pub fn offset(&self, vault: &Vault) -> u64 {
        let answer = self.head(vault).expect(200);
        answer.header("upload-offset").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no offset: {answer}"))
    }

    /// The record that a completed upload became.
    #[must_use]
    #[track_caller]
    pub fn record(&self, vault: &Vault) -> Option<String> {
        self.head(vault).expect(200).header(VAULT_RECORD_ID).map(str::to_owned)
    }

    /// `PATCH` of one chunk; `None` when the server was gone before it answered.
    #[must_use]
    pub fn try_patch(&self, base: &Caller, offset: u64, chunk: &[u8]) -> Option<Answer> {
        let offset = offset.to_string();
        let headers =
            [("tus-resumable", TUS_VERSION), ("content-type", TUS_CONTENT_TYPE), ("upload-offset", offset.as_str())];
        base.try_send("PATCH", &self.location, &headers, chunk)
    }

    /// `PATCH` of one chunk.
    #[must_use]
    #[track_caller]
    pub fn patch(&self, vault: &Vault, offset: u64, chunk: &[u8]) -> Answer {
        self.try_patch(&vault.nobody(), offset, chunk).expect("an answer")
    }

    /// A `PATCH` that announces all of `chunk`, sends its first `sent` bytes, and hangs up.
    pub fn patch_cut(&self, vault: &Vault, offset: u64, chunk: &[u8], sent: usize) {
        let host = vault.turn("PATCH").strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
        let mut stream = TcpStream::connect(&host).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let head = format!(
            "PATCH {} HTTP/1.1\r\nhost: {host}\r\ntus-resumable: {TUS_VERSION}\r\ncontent-type: {TUS_CONTENT_TYPE}\r\n\
             upload-offset: {offset}\r\ncontent-length: {}\r\n\r\n",
            self.location,
            chunk.len()
        );
        // The server may hang up first; either way the connection is lost.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&chunk[..sent]));
        let _ = stream.read(&mut [0; 1]);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A whole upload in one `PATCH`; the record's id.
#[must_use]
#[track_caller]
pub fn upload(vault: &Vault, filename: &str, filetype: &str, recording: &[u8]) -> String {
    let upload = create(vault, filename, filetype, recording.len());
    let answer = upload.patch(vault, 0, recording).expect(204);
    answer.header(VAULT_RECORD_ID).unwrap_or_else(|| panic!("no {VAULT_RECORD_ID}: {answer}")).to_owned()
}
