//! `restore status|confirm`.

use clap::Subcommand;
use vault_api::restore::{ConfirmRestore, RestoreStatus};

use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, clean};

/// What to do about the last restore of a backup.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Show what came of it
    Status,
    /// Confirm it: from then on the vault deletes and destroys again
    Confirm {
        /// Why it may be used like any other vault again; kept in the audit log
        #[arg(long)]
        reason: String,
    },
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &RestoreCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    let status: RestoreStatus = match command {
        RestoreCommand::Status => client.get("/v1/restore", &())?,
        RestoreCommand::Confirm { reason } => {
            client.post("/v1/restore/confirm", &ConfirmRestore { reason: reason.clone() })?
        }
    };
    Ok(Report::new(&status, told(&status)))
}

fn told(status: &RestoreStatus) -> String {
    let mut lines = vec![format!(
        "restored on {} from the backup of {} ({} entries of the log)",
        clean(&status.restored_at),
        clean(&status.backup_at),
        status.log_size
    )];
    if status.reconciled {
        lines.push(format!("{} entries came back from the published log", status.entries_replayed));
    } else {
        lines.push("not held against the log yet: that happens when the vault is opened".to_owned());
    }
    let found = [
        (status.uploads_lost, "recording(s) were taken in after the backup: their keys are lost"),
        (status.collections_lost, "collection(s) were made after the backup"),
        (status.collections_without_keys, "collection(s) can be used no more: their own keys are destroyed"),
        (
            status.versions_lost.len() as u64,
            "key version(s) were made after the backup: lost, unless a newer backup has them",
        ),
        (status.collections_renewed, "collection(s) have a fresh key version, since theirs was rotated away"),
        (status.versions_compromised, "key version(s) are marked as compromised again"),
        (
            status.collections_in_doubt,
            "collection(s) are suspended: the log takes something of theirs away that nobody can name",
        ),
        (
            status.rights_in_doubt,
            "role(s), token(s) or person(s) were taken away that nobody can name: look through them, then confirm",
        ),
        (status.records_without_key, "recording(s) stay restricted: their key version is destroyed"),
        (status.records_without_media, "recording(s) stay restricted: media of theirs is missing"),
    ];
    lines.extend(found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    lines.push(match (&status.confirmed_at, &status.confirmed_by) {
        (Some(at), Some(by)) => format!("confirmed on {} by {}", clean(at), clean(by)),
        _ => "not confirmed: nothing is deleted and no key is destroyed until `restore confirm`".to_owned(),
    });
    lines.join("\n")
}
