//! `records list|show|reencrypt|erasure`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use vault_api::records::{MediaKind, Record, RecordQuery, RecordState};

use crate::client::segment;
use crate::commands::reencrypt::{self, ReencryptArgs};
use crate::commands::{Context, Most, erase};
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do with records.
#[derive(Debug, Subcommand)]
pub enum RecordsCommand {
    /// List records, newest first
    List(ListArgs),
    /// Show one record
    Show {
        /// The record
        record: String,
    },
    /// Write recordings again under fresh keys: what a compromised key version exposes, or single records
    Reencrypt(ReencryptArgs),
    /// Show the certificate of a record's erasure, with today's horizon
    Erasure {
        /// The record
        record: String,
        /// Write the certificate here, for `audit verify-certificate`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Arguments of `records list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Only in this state
    #[arg(long)]
    state: Option<StateArg>,
    /// Only audio or only video
    #[arg(long)]
    kind: Option<KindArg>,
    /// Only received at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only received before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    most: Most,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    /// Voice
    Audio,
    /// Pictures, with or without voice
    Video,
}

impl From<KindArg> for MediaKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Audio => Self::Audio,
            KindArg::Video => Self::Video,
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    Receiving,
    Received,
    Available,
    Restricted,
    Erased,
    Rejected,
}

impl From<StateArg> for RecordState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Receiving => Self::Receiving,
            StateArg::Received => Self::Received,
            StateArg::Available => Self::Available,
            StateArg::Restricted => Self::Restricted,
            StateArg::Erased => Self::Erased,
            StateArg::Rejected => Self::Rejected,
        }
    }
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &RecordsCommand) -> Result<Report, Failure> {
    match command {
        RecordsCommand::List(args) => list(context, args),
        RecordsCommand::Show { record } => show(context, record),
        RecordsCommand::Reencrypt(args) => reencrypt::run(context, args),
        RecordsCommand::Erasure { record, out } => erase::certificate(context, record, out.as_deref()),
    }
}

fn list(context: &Context<'_>, args: &ListArgs) -> Result<Report, Failure> {
    let query = RecordQuery {
        collection: args.collection.clone(),
        state: args.state.map(Into::into),
        kind: args.kind.map(Into::into),
        received_from: args.from.clone(),
        received_until: args.until.clone(),
        ..Default::default()
    };
    let page = context.client()?.list::<Record>("/v1/records", &query, args.most.items())?;
    let mut table = Table::new(["record", "collection", "state", "type", "bytes", "received"]);
    for record in &page.items {
        table.row([
            record.id.clone(),
            record.collection.clone(),
            wire_name(&record.state),
            record.content_type.clone().unwrap_or_default(),
            record.size_bytes.map(|size| size.to_string()).unwrap_or_default(),
            record.received_at.clone(),
        ]);
    }
    Ok(Report::new(&page, table.render()))
}

fn show(context: &Context<'_>, record: &str) -> Result<Report, Failure> {
    let record: Record = context.client()?.get(&format!("/v1/records/{}", segment(record)?), &())?;
    let mut text = format!("{} in {}: {}\n", record.id, clean(&record.collection), wire_name(&record.state));
    if let (Some(kind), Some(size)) = (&record.content_type, record.size_bytes) {
        text.push_str(&format!("{}, {size} bytes, received {}\n", clean(kind), record.received_at));
    }
    if record.state == RecordState::Erased {
        text.push_str("`vault-cli records erasure` shows the certificate");
        return Ok(Report::new(&record, text));
    }
    text.push_str(&format!("consent for: {}", clean(&record.purposes.join(", "))));
    if let Some(until) = &record.consent_expires_at {
        text.push_str(&format!(", until {until}"));
    }
    if let Some(until) = &record.retain_until {
        text.push_str(&format!("\nkept until {until}"));
    }
    if let Some(version) = record.key_version {
        text.push_str(&format!("\nkey version {version}"));
    }
    Ok(Report::new(&record, text))
}
