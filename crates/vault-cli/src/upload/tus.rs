//! tus 1.0 (tus.io/protocols/resumable-upload): creation and core, with HEAD after every break.
//!
//! The upload's address is a capability: it is never printed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use ureq::http::Response;
use ureq::{Body, SendBody};
use vault_api::names::{TUS_CONTENT_TYPE, TUS_VERSION, VAULT_RECORD_ID};

use crate::client::{Client, connection, header, problem_of};
use crate::error::Failure;
use crate::output::note;
use crate::progress::{self, Watched};

/// How often in a row the upload may break without getting further.
const MAX_BREAKS: u32 = 8;

/// The first pause after a break; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause after a break.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// `Upload-Metadata`.
#[derive(Debug, Default)]
pub struct Metadata(Vec<String>);

impl Metadata {
    /// Adds a key with its value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.0.push(format!("{key} {}", STANDARD.encode(value)));
    }

    fn header(&self) -> String {
        self.0.join(",")
    }
}

/// What is to be uploaded.
pub struct Plan<'a> {
    /// Into which collection.
    pub collection: &'a str,
    /// With which metadata.
    pub metadata: &'a Metadata,
    /// Length in bytes.
    pub size: u64,
    /// Bytes in one request at most.
    pub request: u64,
}

/// Where an upload stands.
enum Standing {
    /// Bytes up to here are durable.
    At(u64),
    /// Complete: the record it became.
    Record(String),
}

/// Uploads a file and returns the identifier of the record it became.
pub fn upload(client: &Client, plan: &Plan<'_>, file: &mut File, path: &Path) -> Result<String, Failure> {
    let location = create(client, plan)?;
    let bar = progress::bytes(plan.size, "uploading");
    let mut standing = Standing::At(0);
    let mut breaks = 0;
    loop {
        let offset = match standing {
            Standing::Record(record) => {
                bar.finish_and_clear();
                return Ok(record);
            }
            Standing::At(offset) => offset,
        };
        bar.set_position(offset);
        let reason = match send(client, plan, &location, offset, file, path, &bar)? {
            Step::Now(now) => {
                breaks = 0;
                standing = now;
                continue;
            }
            Step::Broke(reason) => reason,
        };
        // HEAD tells what arrived; it may itself fail a few times before the line is back.
        standing = loop {
            breaks += 1;
            if breaks > MAX_BREAKS {
                bar.abandon();
                return Err(Failure::Connection(format!("gave up after {MAX_BREAKS} breaks; the last: {reason}")));
            }
            let pause = pause(breaks);
            bar.suspend(|| note(&format!("{reason}; going on in {:.1} s", pause.as_secs_f32())));
            std::thread::sleep(pause);
            match head(client, &location)? {
                Step::Now(now) => break now,
                Step::Broke(_) => {}
            }
        };
        if matches!(standing, Standing::At(now) if now > offset) {
            breaks = 0;
        }
    }
}

/// What a request led to.
enum Step {
    /// The upload stands here now.
    Now(Standing),
    /// Nothing certain; ask again. Why.
    Broke(String),
}

fn create(client: &Client, plan: &Plan<'_>) -> Result<String, Failure> {
    let response = client
        .agent()
        .post(client.address(&format!("/v1/collections/{}/uploads", plan.collection))?)
        .header("Authorization", client.bearer()?)
        .header("Tus-Resumable", TUS_VERSION)
        .header("Upload-Length", plan.size.to_string())
        .header("Upload-Metadata", plan.metadata.header())
        .send_empty();
    let mut response = response.map_err(|error| connection(&error))?;
    if response.status() != 201 {
        return Err(problem_of(&mut response));
    }
    let location = header(&response, "location").ok_or_else(|| Failure::Protocol("no Location".to_owned()))?;
    client.address(location)
}

fn send(
    client: &Client,
    plan: &Plan<'_>,
    location: &str,
    offset: u64,
    file: &mut File,
    path: &Path,
    bar: &ProgressBar,
) -> Result<Step, Failure> {
    let length = plan.request.min(plan.size.saturating_sub(offset));
    file.seek(SeekFrom::Start(offset)).map_err(Failure::file(path))?;
    let mut body = Watched::new(file.take(length), bar);
    let answer = client
        .agent()
        .patch(location)
        .header("Tus-Resumable", TUS_VERSION)
        .header("Content-Type", TUS_CONTENT_TYPE)
        .header("Content-Length", length.to_string())
        .header("Upload-Offset", offset.to_string())
        .send(SendBody::from_reader(&mut body));
    match answer {
        Ok(mut response) if response.status() == 204 => standing(&mut response),
        // 409: the offset is elsewhere. 423: the broken request still holds the upload. 460: damaged on
        // the way. 5xx: unknown. In all of them HEAD knows more; any other refusal is final.
        Ok(response)
            if matches!(response.status().as_u16(), 409 | 423 | 429 | 460) || response.status().is_server_error() =>
        {
            Ok(Step::Broke(format!("HTTP {}", response.status())))
        }
        Ok(mut response) => Err(problem_of(&mut response)),
        Err(error) => Ok(Step::Broke(error.to_string())),
    }
}

fn head(client: &Client, location: &str) -> Result<Step, Failure> {
    match client.agent().head(location).header("Tus-Resumable", TUS_VERSION).call() {
        Ok(mut response) if response.status().is_success() => standing(&mut response),
        Ok(response) if response.status().is_server_error() || response.status() == 423 || response.status() == 429 => {
            Ok(Step::Broke(format!("HTTP {}", response.status())))
        }
        // An answer to HEAD has no body, so no problem document: say what the status means here.
        Ok(response) => Err(Failure::Protocol(match response.status().as_u16() {
            404 => "the upload is gone".to_owned(),
            410 => "the upload was refused, or not completed in time".to_owned(),
            other => format!("HTTP {other} to HEAD"),
        })),
        Err(error) => Ok(Step::Broke(error.to_string())),
    }
}

fn standing(response: &mut Response<Body>) -> Result<Step, Failure> {
    if let Some(record) = header(response, VAULT_RECORD_ID) {
        return Ok(Step::Now(Standing::Record(record.to_owned())));
    }
    let offset = header(response, "upload-offset").and_then(|offset| offset.parse().ok());
    offset.map(|offset| Step::Now(Standing::At(offset))).ok_or_else(|| Failure::Protocol("no Upload-Offset".to_owned()))
}

/// The pause before the `nth` try, from 1.
fn pause(nth: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << nth.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_what_tus_wants() {
        let mut metadata = Metadata::default();
        metadata.add("filename", "ä.webm");
        metadata.add("filetype", "video/webm");
        assert_eq!(metadata.header(), "filename w6Qud2VibQ==,filetype dmlkZW8vd2VibQ==");
    }

    #[test]
    fn pauses_grow_and_stop_growing() {
        let pauses: Vec<u128> = (1..=7).map(|nth| pause(nth).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
    }
}
