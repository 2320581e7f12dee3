//! `root rotate|destroy|status`.

use clap::{Args, Subcommand};
use vault_api::destruction::{DestroyEpoch, Destruction, Worth};
use vault_api::keys::{RootStatus, RotateRoot};

use crate::client::Client;
use crate::commands::Context;
use crate::commands::erase::waits;
use crate::commands::keys::told;
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
    /// Destroy an epoch that wraps nothing: one key officer asks, another confirms, and it waits out its time
    Destroy(DestroyArgs),
    /// Show custody and root epochs
    Status,
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &RootCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    let status: RootStatus = match command {
        RootCommand::Rotate { reason } => client.post("/v1/root/rotate", &RotateRoot { reason: reason.clone() })?,
        RootCommand::Destroy(args) => return destroy(&client, args),
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
    let worth = match status.destruction {
        Worth::Destroyed => "a destroyed epoch is gone, and no copy of it can exist",
        Worth::Scheduled => "a destroyed epoch is gone after a time of the custody's own",
        Worth::Attested => {
            "a destroyed epoch is gone from the keyring; a copy of the file with its passphrase still opens it"
        }
    };
    let mut text = format!("custody: {}; {worth}\n{}", clean(&status.custody), table.render());
    text.push_str(&format!(
        "\nthe log {} is signed by a key of {}, {} {}",
        clean(&status.log_key.name),
        clean(&status.log_key.since),
        if status.log_key.due { "due since" } else { "due at" },
        clean(&status.log_key.due_at)
    ));
    if status.log_key.due {
        text.push_str(
            ": two key officers declare a successor (`vault-server log succeed --because cryptoperiod-over`)",
        );
    }
    for one in &status.destructions {
        text.push_str(&format!("\n{}", told(&format!("epoch {}", one.number), one)));
    }
    match &status.oldest_restorable_backup {
        Some(oldest) => text.push_str(&format!(
            "\nthe oldest backup that can be restored, of those that were noted here, is of {} ({} known in all)",
            clean(&oldest.created_at),
            status.backups.len()
        )),
        None if status.backups.is_empty() => text.push_str("\nno backup was noted here"),
        None => text.push_str("\nof no backup that was noted here do all keys live"),
    }
    if status.restore_unconfirmed {
        text.push_str("\na restore is not confirmed: nothing is deleted and no key is destroyed (`restore status`)");
    }
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

/// Which epoch, and what to do about its destruction.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The epoch
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    epoch: u32,
    /// Ask for its destruction; why, kept in the audit log
    #[arg(long, requires = "known_copies", required_unless_present_any = ["confirm", "cancel"], conflicts_with_all = ["confirm", "cancel"])]
    reason: Option<String>,
    /// Copies of the keyring file, backups included, that hold the epoch's key, as far as you know: it takes 0
    #[arg(long, value_name = "N", requires = "reason")]
    known_copies: Option<u32>,
    /// Confirm what another key officer asked for
    #[arg(long, conflicts_with = "cancel")]
    confirm: bool,
    /// Cancel what is asked for or confirmed
    #[arg(long)]
    cancel: bool,
}

fn destroy(client: &Client, args: &DestroyArgs) -> Result<Report, Failure> {
    let path = format!("/v1/root/{}/destroy", args.epoch);
    let destruction: Destruction = match (&args.reason, args.known_copies) {
        (Some(reason), Some(known_copies)) => {
            client.post(&path, &DestroyEpoch { reason: reason.clone(), known_copies })?
        }
        _ if args.confirm => client.post(&format!("{path}/confirm"), &serde_json::json!({}))?,
        _ => client.delete_with(&path, &serde_json::json!({}))?,
    };
    Ok(Report::new(&destruction, told(&format!("epoch {}", args.epoch), &destruction)))
}
