//! `vault-server`: serve, init, dev.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use vault_server::clock::SystemClock;
use vault_server::config::Config;
use vault_server::state::Vault;
use vault_server::{app, run, telemetry};

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(e.as_ref());
            ExitCode::FAILURE
        }
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

fn start(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    let Command::Serve { config } = command;
    let config = Config::load(&config, std::env::vars())?;
    telemetry::start(&config.logging);
    let policy =
        if config.memory.require_locked { vault_memlock::Policy::Require } else { vault_memlock::Policy::Prefer };
    vault_memlock::init(policy)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let public = TcpListener::bind(config.listen)?;
        let admin = TcpListener::bind(config.admin_listen)?;
        let vault = Vault::open(config, Arc::new(SystemClock)).await?;
        app::seal::at_start(&vault).await?;
        run::serve(vault, public, admin).await?;
        Ok(())
    })
}
