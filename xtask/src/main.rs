//! Development tasks of Feedback Vault.
//!
//! | command | does |
//! | --- | --- |
//! | `cargo xtask test` | every check there is, with a table of what ran, what failed and what could not run |

// A command-line tool for developers: standard output is where it answers.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod layering;
mod licences;
mod run;
mod source;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of Feedback Vault", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check, or only the named steps
    Test(test::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test(options) => test::main(&options),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
