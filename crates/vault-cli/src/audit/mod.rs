//! `audit …`: reading, exporting and verifying the log.

use clap::Subcommand;

use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {}

/// Runs a command.
pub fn run(_context: &Context<'_>, command: &AuditCommand) -> Result<Report, Failure> {
    match *command {}
}
