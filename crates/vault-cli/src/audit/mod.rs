//! `audit …`: reading, exporting and verifying the log. Verification trusts neither the server nor the file.

mod certificate;
mod export;
mod file;
mod presented;
mod prove;
mod server;
mod tail;
mod verify;

use clap::Subcommand;

use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the log, from a server or from an export; exit code 3 when something is found
    Verify(verify::VerifyArgs),
    /// Verify the certificate of an erasure, offline; exit code 3 when something is found
    VerifyCertificate(certificate::CertificateArgs),
    /// Show the newest entries
    Tail(tail::TailArgs),
    /// Write the log to one file that can be verified offline
    Export(export::ExportArgs),
    /// Prove that one entry is in the log
    Prove(prove::ProveArgs),
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &AuditCommand) -> Result<Report, Failure> {
    match command {
        AuditCommand::Verify(args) => verify::run(context, args),
        AuditCommand::VerifyCertificate(args) => certificate::run(args),
        AuditCommand::Tail(args) => tail::run(context, args),
        AuditCommand::Export(args) => export::run(context, args),
        AuditCommand::Prove(args) => prove::run(context, args),
    }
}
