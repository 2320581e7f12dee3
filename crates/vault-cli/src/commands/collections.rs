//! `collections create|list|show|open|suspend`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use vault_api::collections::{Collection, NewCollection, Notice};
use vault_api::page::PageQuery;
use vault_api::people::Reason;

use crate::client::{Client, segment};
use crate::commands::{Context, Most};
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do with collections.
#[derive(Debug, Subcommand)]
pub enum CollectionsCommand {
    /// Set up a collection in state draft
    Create {
        /// Its description as JSON: the body of POST /v1/collections
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List collections
    List {
        #[command(flatten)]
        most: Most,
    },
    /// Show one collection, and what is missing before it may open
    Show {
        /// The collection's name
        collection: String,
    },
    /// Show the notice, whose hash a consent names
    Notice {
        /// The collection's name
        collection: String,
    },
    /// Let it take recordings, once its tier's countermeasures stand
    Open {
        /// The collection's name
        collection: String,
    },
    /// Let it take no recordings, and play none, for now; it bites at once
    Suspend {
        /// The collection's name
        collection: String,
        /// Why; kept in the audit log
        #[arg(long)]
        reason: String,
    },
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &CollectionsCommand) -> Result<Report, Failure> {
    let client = match command {
        CollectionsCommand::Notice { .. } => context.anonymous()?,
        _ => context.client()?,
    };
    let collection: Collection = match command {
        CollectionsCommand::Notice { collection } => return notice(&client, collection),
        CollectionsCommand::List { most } => {
            let page = client.list::<Collection>("/v1/collections", &PageQuery::default(), most.items())?;
            let mut table = Table::new(["name", "state", "tier", "title"]);
            for collection in &page.items {
                table.row([
                    collection.name.clone(),
                    wire_name(&collection.state),
                    wire_name(&collection.tier),
                    collection.title.clone(),
                ]);
            }
            return Ok(Report::new(&page, table.render()));
        }
        CollectionsCommand::Create { file } => {
            let text = std::fs::read_to_string(file).map_err(Failure::file(file))?;
            let new: NewCollection =
                serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            client.post("/v1/collections", &new)?
        }
        CollectionsCommand::Show { collection } => {
            client.get(&format!("/v1/collections/{}", segment(collection)?), &())?
        }
        CollectionsCommand::Open { collection } => {
            client.post(&format!("/v1/collections/{}/open", segment(collection)?), &json!({}))?
        }
        CollectionsCommand::Suspend { collection, reason } => {
            let path = format!("/v1/collections/{}/suspend", segment(collection)?);
            client.post(&path, &Reason { reason: reason.clone() })?
        }
    };
    let text = describe(&collection);
    Ok(Report::new(&collection, text))
}

/// The notice is public: data subjects are shown it before anybody has a token.
fn notice(client: &Client, collection: &str) -> Result<Report, Failure> {
    let notice: Notice = client.get_public(&format!("/v1/collections/{}/notice", segment(collection)?))?;
    let text = format!("sha256 {}\n\n{}", notice.sha256, clean(&notice.text));
    Ok(Report::new(&notice, text))
}

fn describe(collection: &Collection) -> String {
    let purposes: Vec<String> =
        collection.purposes.iter().map(|purpose| format!("{} ({})", purpose.name, wire_name(&purpose.basis))).collect();
    let mut lines = vec![
        format!("{}: {}", clean(&collection.name), clean(&collection.title)),
        format!("state {}, tier {}", wire_name(&collection.state), wire_name(&collection.tier)),
        format!("controller: {}", clean(&collection.controller)),
        format!("purposes: {}", clean(&purposes.join(", "))),
        format!("kept for {} days", collection.retention_days),
        format!("notice sha256 {}", collection.notice_sha256),
    ];
    if !collection.missing.is_empty() {
        lines.push(format!("missing before it may open: {}", clean(&collection.missing.join(", "))));
    }
    lines.join("\n")
}
