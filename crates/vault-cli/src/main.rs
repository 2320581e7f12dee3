//! The command line of Feedback Vault: a client of its HTTP interface, and an offline verifier.
//!
//! It holds no key of the vault. Standard output carries the result and nothing else (with `--json`
//! one JSON document); progress and messages go to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 3 a verification ended with a finding.

mod args;
mod audit;
mod client;
mod commands;
mod credentials;
mod error;
mod output;
mod play;
mod progress;
mod upload;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let json = cli.global.json;
    match commands::run(&cli) {
        Ok(report) => match output::print(&report, json) {
            Ok(()) => ExitCode::from(report.exit),
            // Whoever read our output has gone (`… | head`): the work is done, nothing to complain to.
            Err(_) => ExitCode::from(1),
        },
        Err(failure) => {
            output::print_failure(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}
