//! `play RECORD`: from the question to the file.

mod download;
mod request;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use vault_api::playback::{NewSession, Representation, Session};

use crate::client::{Client, segment};
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, note};

/// Arguments of `play`.
#[derive(Args, Debug)]
pub struct PlayArgs {
    /// The record
    record: String,
    /// A purpose of the collection that the consent covers
    #[arg(long)]
    purpose: String,
    /// Why, in your words
    #[arg(long)]
    reason: String,
    /// The case it belongs to
    #[arg(long, value_name = "NUMBER")]
    case_number: Option<String>,
    /// Where the recording goes; the file must not exist, unless --force
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file
    #[arg(long)]
    force: bool,
    /// What to fetch: `original` needs the right `export` [default: original where it is given]
    #[arg(long, value_enum)]
    representation: Option<RepresentationArg>,
    /// Use this request: a standing one, for instance
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// Wait for the approval, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600")]
    wait: Option<u64>,
}

/// What to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RepresentationArg {
    /// What was uploaded, byte for byte
    Original,
    /// The same recording, for a player
    Playable,
}

/// Finds or files the request, waits if told to, opens a session, downloads, closes the session.
pub fn run(context: &Context<'_>, args: &PlayArgs) -> Result<Report, Failure> {
    segment(&args.record)?;
    if args.out.exists() && !args.force {
        return Err(Failure::Usage(format!("{} exists already; --force replaces it", args.out.display())));
    }
    let target = download::Target::beside(&args.out)?;
    let client = context.client()?;
    let wish = request::Wish {
        record: &args.record,
        purpose: &args.purpose,
        reason: &args.reason,
        case_number: args.case_number.as_deref(),
        export: args.representation.map(|wanted| wanted == RepresentationArg::Original),
        request: args.request.as_deref(),
    };
    let request::Found { id: request_id, export } = request::approved(&client, &wish, args.wait)?;
    let session = open(&client, &request_id, &args.record, wish.export.unwrap_or(export))?;
    let fetched = download::fetch(&client, &session.playback_url, target);
    // Closed in either case: `playback.closed` then names what was really served. When it cannot be
    // closed the server does so itself, presuming everything was seen.
    if let Err(failure) = client.delete(&session.playback_url) {
        note(&format!("the session could not be closed, the server will do it: {failure}"));
    }
    let fetched = fetched?;
    let size = fetched.size;
    fetched.keep(&args.out)?;
    let document = json!({
        "record_id": args.record, "request_id": request_id, "session_id": session.session_id,
        "representation": session.representation, "size_bytes": size, "file": args.out,
    });
    Ok(Report::new(&document, format!("{size} bytes written to {}", args.out.display())))
}

fn open(client: &Client, request_id: &str, record: &str, original: bool) -> Result<Session, Failure> {
    let body = NewSession {
        record_id: Some(record.to_owned()),
        representation: Some(if original { Representation::Original } else { Representation::Playable }),
    };
    client.post(&format!("/v1/access-requests/{}/sessions", segment(request_id)?), &body)
}
