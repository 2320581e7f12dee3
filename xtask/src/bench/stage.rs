//! Where a figure is measured: a vault of its own with its people, in a folder of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Connection, Head};
use super::recording::Kind;
use crate::demo::http::Answer;
use crate::demo::vault::Vault;

const PURPOSE: &str = "service-improvement";

/// A folder in memory where the platform has such a place, so that no disk is measured. Deleted when dropped.
pub fn in_memory() -> Result<tempfile::TempDir, String> {
    let shm = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("feedback-vault-bench-");
    let made = if shm.is_dir() { builder.tempdir_in(shm) } else { builder.tempdir() };
    made.map_err(|error| error.to_string())
}

/// What a folder lies on, as readings say it.
pub fn storage(folder: &Path) -> &'static str {
    if folder.starts_with("/dev/shm") { "tmpfs" } else { "disk" }
}

/// A release-built `vault-server dev` at work.
pub struct Stage {
    /// The server.
    pub vault: Vault,
    /// Deleted with everything in it when this is dropped.
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// Starts a vault from the programs in `programs`.
    pub fn start(programs: &Path) -> Result<Self, String> {
        let folder = in_memory()?;
        Ok(Self { vault: Vault::start(programs, folder.path())?, folder })
    }

    /// The same in a folder that holds a stopped vault's `data` already.
    pub fn start_in(programs: &Path, folder: tempfile::TempDir) -> Result<Self, String> {
        Ok(Self { vault: Vault::start(programs, folder.path())?, folder })
    }

    /// The same, with variables of the server's that say where rows and objects are.
    pub fn start_where(programs: &Path, variables: Vec<(String, String)>) -> Result<Self, String> {
        let folder = in_memory()?;
        Ok(Self { vault: Vault::start_where(programs, folder.path(), variables)?, folder })
    }

    /// A second node of the same vault. To be dropped first.
    pub fn beside(&self) -> Result<Self, String> {
        let folder = in_memory()?;
        Ok(Self { vault: self.vault.beside(folder.path())?, folder })
    }

    /// `host:port` of the public listener.
    pub fn host(&self) -> String {
        self.vault.told("url").trim_start_matches("http://").to_owned()
    }

    /// Somebody's token.
    pub fn token(&self, person: &str) -> &str {
        self.vault.dev["tokens"][person].as_str().unwrap_or_default()
    }

    /// Room for other files, outside the data directory.
    pub fn room(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn ask(&self, method: &str, path: &str, person: &str, body: &Value, status: u16) -> Result<Answer, String> {
        let answer = self.vault.request(method, path, Some(person), &[], Some(body))?;
        if answer.status == status { Ok(answer) } else { Err(format!("{method} {path}: {}", answer.spelled())) }
    }

    /// Begins an upload of `length` bytes; the path to send them to.
    pub fn create(&self, kind: Kind, length: u64) -> Result<String, String> {
        let consent = json!({"notice_sha256": self.vault.told("notice_sha256"), "purposes": [PURPOSE],
            "given_at": "2026-01-15T10:00:00Z"});
        let metadata = metadata(&[("filetype", kind.filetype()), ("consent", &consent.to_string())]);
        let path = format!("/v1/collections/{}/uploads", self.vault.told("collection"));
        let length = length.to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length), ("upload-metadata", &metadata)];
        let answer = self.vault.request("POST", &path, Some("uploader"), &headers, None)?;
        match answer.header("location") {
            Some(location) if answer.status == 201 => Ok(location.to_owned()),
            _ => Err(format!("no upload was begun: {}", answer.spelled())),
        }
    }

    /// Uploads a whole recording; the record it became.
    pub fn upload(&self, kind: Kind, bytes: &[u8]) -> Result<String, String> {
        let location = self.create(kind, bytes.len() as u64)?;
        let head = patch(&mut Connection::open(&self.host())?, &location, bytes)?;
        head.header("vault-record-id").map(str::to_owned).ok_or_else(|| "an upload became no record".to_owned())
    }

    /// Asks for a record, has it approved and opens a session; the path to play it from.
    pub fn session(&self, record: &str) -> Result<String, String> {
        let request = self.granted(record)?;
        self.open(&request)
    }

    /// Asks for a record and has it approved; the request.
    pub fn granted(&self, record: &str) -> Result<String, String> {
        self.approved(record).map(|(request, _)| request)
    }

    /// Asks for a record and has it approved; request and grant.
    pub fn approved(&self, record: &str) -> Result<(String, String), String> {
        let asked = json!({"record_id": record, "purpose": PURPOSE, "reason": "Measured", "case_number": "B-1",
            "rights": ["view", "export"]});
        let answer = self.ask("POST", "/v1/access-requests", "analyst", &asked, 201)?.json()?;
        let request = answer["id"].as_str().unwrap_or_default().to_owned();
        let path = format!("/v1/access-requests/{request}/approve");
        let approved = self.ask("POST", &path, "approver", &json!({"comment": "Measured"}), 200)?.json()?;
        Ok((request, approved["grant_id"].as_str().unwrap_or_default().to_owned()))
    }

    /// Takes a grant back; answered once that is in force.
    pub fn revoke(&self, grant: &str) -> Result<(), String> {
        let path = format!("/v1/grants/{grant}");
        let answer = self.vault.request("DELETE", &path, Some("approver"), &[], None)?;
        // 202: in force, and not in the journal yet.
        if [200, 202].contains(&answer.status) { Ok(()) } else { Err(format!("DELETE {path}: {}", answer.spelled())) }
    }

    /// Opens a session under an approved request; the path to play it from.
    pub fn open(&self, request: &str) -> Result<String, String> {
        let path = format!("/v1/access-requests/{request}/sessions");
        let answer = self.ask("POST", &path, "analyst", &json!({"representation": "original"}), 201)?.json()?;
        answer["playback_url"].as_str().map(str::to_owned).ok_or_else(|| "a session without an address".to_owned())
    }

    /// A status line of the server's process, such as `VmRSS`, in bytes.
    pub fn resident(&self, member: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.vault.process_id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(member)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("{path} has no {member}"))
    }
}

/// Sends `bytes` as one PATCH from offset 0 and waits for the answer, which must be 204.
pub fn patch(connection: &mut Connection, path: &str, bytes: &[u8]) -> Result<Head, String> {
    begin_patch(connection, path, bytes.len() as u64)?;
    connection.send(bytes)?;
    let head = connection.head()?;
    if head.status == 204 { Ok(head) } else { Err(format!("a PATCH was answered with {}", head.status)) }
}

/// Sends the head of a PATCH of `length` bytes from offset 0.
pub fn begin_patch(connection: &mut Connection, path: &str, length: u64) -> Result<(), String> {
    let headers =
        [("tus-resumable", "1.0.0"), ("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
    connection.begin("PATCH", path, &headers, length)
}

/// `Upload-Metadata` of these pairs.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} {}", base64(value.as_bytes()))).collect::<Vec<_>>().join(",")
}

/// Padded standard base64 (RFC 4648 §4); a dependency for one header would be too much.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let sextet = bits >> (18 - 6 * at) & 63;
            text.push(if at <= three.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 §10.
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn metadata_is_keys_with_encoded_values() {
        assert_eq!(metadata(&[("a", "foo"), ("b", "f")]), "a Zm9v,b Zg==");
    }
}
