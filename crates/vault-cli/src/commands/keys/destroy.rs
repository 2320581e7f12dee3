//! `keys destroy`: ask, confirm, cancel.

use clap::Args;
use vault_api::destruction::{Destroy, Destruction, DestructionState};

use crate::client::{Client, segment};
use crate::error::Failure;
use crate::output::{Report, clean};

/// Which version, and what to do about its destruction.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The collection's name
    collection: String,
    /// The version
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
    /// Ask for its destruction; why, kept in the audit log
    #[arg(long, required_unless_present_any = ["confirm", "cancel"], conflicts_with_all = ["confirm", "cancel"])]
    reason: Option<String>,
    /// Confirm what another key officer asked for
    #[arg(long, conflicts_with = "cancel")]
    confirm: bool,
    /// Cancel what is asked for or confirmed
    #[arg(long)]
    cancel: bool,
}

/// Runs the command.
pub fn run(client: &Client, args: &DestroyArgs) -> Result<Report, Failure> {
    let path = format!("/v1/collections/{}/keys/{}/destroy", segment(&args.collection)?, args.version);
    let destruction: Destruction = match &args.reason {
        Some(reason) => client.post(&path, &Destroy { reason: reason.clone() })?,
        None if args.confirm => client.post(&format!("{path}/confirm"), &serde_json::json!({}))?,
        None => client.delete_with(&path, &serde_json::json!({}))?,
    };
    let what = format!("version {} of {}", args.version, clean(&args.collection));
    Ok(Report::new(&destruction, told(&what, &destruction)))
}

/// A destruction in a sentence.
pub fn told(what: &str, destruction: &Destruction) -> String {
    match (destruction.state, &destruction.not_before) {
        (DestructionState::Requested, _) => {
            format!(
                "{what}: to be destroyed, asked for at {}; another key officer confirms it",
                destruction.requested_at
            )
        }
        (DestructionState::Confirmed, Some(at)) => format!("{what}: destroyed at {at}, unless somebody cancels it"),
        (DestructionState::Confirmed, None) => format!("{what}: to be destroyed"),
        (DestructionState::Cancelled, _) => format!("{what}: not destroyed"),
        (DestructionState::Done, _) => format!("{what}: destroyed"),
    }
}
