//! What the command line takes. Each group of commands has its arguments beside its code.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::audit::AuditCommand;
use crate::commands::access::AccessCommand;
use crate::commands::collections::CollectionsCommand;
use crate::commands::erase::EraseArgs;
use crate::commands::keys::KeysCommand;
use crate::commands::login::LoginArgs;
use crate::commands::people::PeopleCommand;
use crate::commands::records::RecordsCommand;
use crate::commands::restore::RestoreCommand;
use crate::commands::roles::RolesCommand;
use crate::commands::root::RootCommand;
use crate::commands::tokens::TokensCommand;
use crate::play::PlayArgs;
use crate::upload::UploadArgs;

/// The command line of Feedback Vault.
///
/// Results go to standard output, progress and messages to standard error.
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a verification ended with a finding.
#[derive(Debug, Parser)]
#[command(name = "vault-cli", version, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Address of the vault [default: the one of the last login]
    #[arg(long, global = true, env = "FEEDBACK_VAULT_URL", hide_env_values = true, value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the token; only its owner may be able to read it [default: the last login's]
    #[arg(long, global = true, env = "FEEDBACK_VAULT_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Trust these certificates (PEM) instead of the system's
    #[arg(long, global = true, env = "FEEDBACK_VAULT_CA_FILE", hide_env_values = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine
    #[arg(long, global = true)]
    pub allow_plain_http: bool,
    /// Where configuration is kept [default: ~/.config]
    #[arg(long, global = true, env = "XDG_CONFIG_HOME", hide_env_values = true, value_name = "DIR", hide = true)]
    pub config_home: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Upload a recording
    Upload(UploadArgs),
    /// List and show records: metadata, never media; have them encrypted anew
    #[command(subcommand)]
    Records(RecordsCommand),
    /// Ask for access, decide on requests, revoke grants
    #[command(subcommand)]
    Access(AccessCommand),
    /// Fetch a recording: find or file the request, wait for approval, download
    Play(PlayArgs),
    /// Erase a record for good, and keep the certificate of it
    Erase(EraseArgs),
    /// Keys of a collection
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The root key
    #[command(subcommand)]
    Root(RootCommand),
    /// The last restore of a backup: what came of it, and confirming it
    #[command(subcommand)]
    Restore(RestoreCommand),
    /// Collections
    #[command(subcommand)]
    Collections(CollectionsCommand),
    /// Persons and machines
    #[command(subcommand)]
    People(PeopleCommand),
    /// Roles and who holds them
    #[command(subcommand)]
    Roles(RolesCommand),
    /// Bearer tokens
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Keep a token for this address; it is asked for, or read from standard input
    Login(LoginArgs),
    /// Show whom the token stands for
    Whoami,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
