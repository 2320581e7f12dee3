//! `root rotate|status`.

use clap::Subcommand;
use vault_api::keys::{RootStatus, RotateRoot};

use crate::commands::Context;
use crate::commands::erase::waits;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do with the root key.
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Begin a new root epoch and move what the root wraps to it
    Rotate {
        /// Why; kept in the audit log
        #[arg(long, default_value = "not stated")]
        reason: String,
    },
    /// Show custody and root epochs
    Status,
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &RootCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    let status: RootStatus = match command {
        RootCommand::Rotate { reason } => client.post("/v1/root/rotate", &RotateRoot { reason: reason.clone() })?,
        RootCommand::Status => client.get("/v1/root", &())?,
    };
    let mut table = Table::new(["epoch", "state", "wraps", "since"]);
    for epoch in &status.epochs {
        table.row([
            epoch.epoch.to_string(),
            wire_name(&epoch.state),
            epoch.wrapped.to_string(),
            epoch.created_at.clone(),
        ]);
    }
    let mut text = format!("custody: {}\n{}", clean(&status.custody), table.render());
    match &status.open_erasures {
        None => text.push_str("\nno erasure waits for a key to be destroyed"),
        Some(open) => text.push_str(&format!(
            "\n{} erasure(s) are not final: a backup may bring the record back. The oldest, of {} in {}, waits for {}",
            open.count,
            open.oldest_at,
            clean(&open.collection),
            waits(&open.waits_for)
        )),
    }
    Ok(Report::new(&status, text))
}
