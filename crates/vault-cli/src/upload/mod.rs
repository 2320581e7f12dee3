//! `upload FILE`.

mod filetype;
mod tus;

use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vault_api::consent::Consent;

use crate::client::segment;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;

/// Arguments of `upload`.
#[derive(Args, Debug)]
pub struct UploadArgs {
    /// The recording: WebM, MP4, Ogg, WAV (PCM, G.711) or MP3
    file: PathBuf,
    /// The collection's name
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// The consent as JSON: notice_sha256, purposes, given_at, perhaps expires_at
    #[arg(long, value_name = "FILE")]
    consent: Option<PathBuf>,
    /// File that holds the data subject's identifier; a file, so that no process list shows it
    #[arg(long, value_name = "FILE")]
    subject_file: Option<PathBuf>,
    /// The recording's content type [default: recognised from the file]
    #[arg(long, value_name = "TYPE")]
    filetype: Option<String>,
    /// Send at most this many MiB in one request
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    request_mib: u64,
}

/// Uploads a recording, going on where it stopped when the connection drops.
pub fn run(context: &Context<'_>, args: &UploadArgs) -> Result<Report, Failure> {
    let collection = segment(&args.collection)?;
    let mut file = File::open(&args.file).map_err(Failure::file(&args.file))?;
    let size = file.metadata().map_err(Failure::file(&args.file))?.len();
    if size == 0 {
        return Err(Failure::Usage(format!("{} is empty", args.file.display())));
    }
    let kind =
        match &args.filetype {
            Some(kind) => kind.clone(),
            None => filetype::recognise(&mut file).map_err(Failure::file(&args.file))?.map(str::to_owned).ok_or_else(
                || Failure::Usage(format!("{}: not a kind of recording I know; give --filetype", args.file.display())),
            )?,
        };
    let mut metadata = tus::Metadata::default();
    if let Some(name) = args.file.file_name() {
        metadata.add("filename", &name.to_string_lossy());
    }
    metadata.add("filetype", &kind);
    if let Some(path) = &args.consent {
        metadata.add("consent", &read_consent(path)?);
    }
    if let Some(path) = &args.subject_file {
        let subject = std::fs::read_to_string(path).map_err(Failure::file(path))?;
        metadata.add("subject", subject.trim_end_matches(['\n', '\r']));
    }
    let client = context.client()?;
    let plan = tus::Plan { collection, metadata: &metadata, size, request: args.request_mib * 1024 * 1024 };
    let record = tus::upload(&client, &plan, &mut file, &args.file)?;
    let document = json!({
        "record_id": record, "collection": collection, "content_type": kind, "size_bytes": size,
    });
    Ok(Report::new(&document, format!("record {record}: {size} bytes of {kind} in {collection}")))
}

/// The consent, read here first so that a slip shows before the upload begins.
fn read_consent(path: &PathBuf) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    let slip = |error: serde_json::Error| Failure::Usage(format!("{}: {error}", path.display()));
    let consent: Consent = serde_json::from_str(&text).map_err(slip)?;
    serde_json::to_string(&consent).map_err(slip)
}
