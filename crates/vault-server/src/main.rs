//! `vault-server`: serve, init, dev, unseal, backup.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vault_core::audit::succession::Because;
use vault_server::command::{CommandError, backup, check, dev, init, restore, serve, succeed, unseal};

/// The Feedback Vault server.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a vault.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make a vault: keyring, log, first people.
    Init {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The people it begins with, at least two administrators (TOML; see docs/operations/install.md).
        #[arg(long, value_name = "FILE")]
        people: PathBuf,
        /// Where everybody's first token is written [default: tokens.json in the data directory].
        #[arg(long, value_name = "FILE")]
        tokens: Option<PathBuf>,
    },
    /// Run a vault for trying out, on this machine only.
    Dev {
        /// Where it lives; made where it is missing.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Ask whether the configuration and its object store are fit, and start nothing.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make a backup of the metadata, or verify one.
    #[command(subcommand)]
    Backup(Backup),
    /// Put a backup's rows into an empty database, with the vault stopped; what log and journal know since is brought back when it is opened.
    Restore {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The backup.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The log's public key; by default the one that the backup names.
        #[arg(long, value_name = "KEY")]
        public_key: Option<String>,
        /// The manifest's SHA-256, as `backup create` printed it.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// A checkpoint of the log that was kept outside: refuse when entries that it covers are lost.
        #[arg(long, value_name = "FILE")]
        known_checkpoint: Option<PathBuf>,
        /// The keyring file, to be put where the configuration says if there is none.
        #[arg(long, value_name = "FILE")]
        keyring: Option<PathBuf>,
        /// Take out what is in the database: the same vault, damaged or newer.
        #[arg(long)]
        replace: bool,
        /// As many recordings of the backup may have no media, since they were erased or encrypted anew after it; 1,000 unless set
        #[arg(long, value_name = "N")]
        without_media: Option<u64>,
    },
    /// The audit log, at the console.
    #[command(subcommand)]
    Log(Log),
    /// Hand the passphrase to a sealed server on this machine: typed, or on standard input.
    Unseal {
        /// The configuration file that the server runs under.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Subcommand)]
enum Log {
    /// Declare a successor log, where entries are lost for good or the signing key is to go: a key officer proposes, another
    /// one confirms, with every node stopped.
    Succeed {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A private file with the token of who asks.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// A checkpoint of the log that was seen outside; may be given more than once.
        #[arg(long, value_name = "FILE")]
        known_checkpoint: Vec<PathBuf>,
        /// Declare what another officer has proposed.
        #[arg(long, conflicts_with_all = ["because", "reason"])]
        confirm: bool,
        /// Why: loss, key-compromised or cryptoperiod-over.
        #[arg(long, value_name = "WHY", default_value = "loss", value_parser = because)]
        because: Because,
        /// In words, for the log.
        #[arg(long, value_name = "TEXT", required_unless_present = "confirm")]
        reason: Option<String>,
    },
}

fn because(text: &str) -> Result<Because, &'static str> {
    Because::parse(text).ok_or("loss, key-compromised or cryptoperiod-over")
}

#[derive(Subcommand)]
enum Backup {
    /// Write the metadata of one moment into a directory, without the root key, beside a running vault or a stopped one.
    Create {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The directory: new or empty.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Hold a backup against itself and the log's signature; needs no vault and no key.
    Verify {
        /// The backup.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The log's public key; by default the one that the backup names.
        #[arg(long, value_name = "KEY")]
        public_key: Option<String>,
        /// The manifest's SHA-256, as `create` printed it.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// Ask the vault under this configuration too whether what the backup hangs on still lives.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    vault_memlock::bound_heaps();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&e);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve { config } => serve::serve(&config, std::env::vars()),
        Command::Init { config, people, tokens } => {
            let made = init::init(&config, &people, tokens, std::env::vars())?;
            say(&[
                format!("keyring         {}", made.keyring.display()),
                format!("first tokens    {}: hand them out, then delete the file", made.tokens.display()),
                format!("log public key  {}", made.log_public_key),
            ]);
            Ok(())
        }
        Command::Dev { data_dir, listen } => dev::dev(&data_dir, listen, std::env::vars(), |made, path| {
            say(&[format!("trying out on {}; addresses and tokens in {}", made.url, path.display())]);
        }),
        Command::Check { config } => {
            say(&check::check(&config, std::env::vars())?);
            Ok(())
        }
        Command::Backup(Backup::Create { config, out }) => {
            say(&backup::create(&config, &out, std::env::vars())?);
            Ok(())
        }
        Command::Backup(Backup::Verify { from, public_key, sha256, config }) => {
            let asked = backup::Asked { from, public_key, sha256, config };
            let (lines, outcome) = backup::verify(&asked, std::env::vars())?;
            say(&lines);
            outcome
        }
        Command::Restore { config, from, public_key, sha256, known_checkpoint, keyring, replace, without_media } => {
            let asked =
                restore::Asked { config, from, public_key, sha256, known_checkpoint, keyring, replace, without_media };
            say(&restore::restore(&asked, std::env::vars())?);
            Ok(())
        }
        Command::Log(Log::Succeed { config, token_file, known_checkpoint, because, reason, .. }) => {
            let step = match reason {
                Some(reason) => succeed::Step::Propose { because, reason },
                None => succeed::Step::Confirm,
            };
            let asked = succeed::Asked { config, token: token_file, known: known_checkpoint, step };
            say(&succeed::succeed(&asked, std::env::vars())?);
            Ok(())
        }
        Command::Unseal { config } => unseal::unseal(&config, std::env::vars()),
    }
}

#[allow(clippy::print_stdout)] // What the command made, for the person who ran it.
fn say(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

#[allow(clippy::print_stderr)] // What a person at a terminal reads when the server does not start.
fn complain(e: &dyn std::error::Error) {
    eprintln!("vault-server: {e}");
    let mut next = e.source();
    while let Some(cause) = next {
        eprintln!("  because: {cause}");
        next = cause.source();
    }
}
