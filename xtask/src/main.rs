//! Development tasks of Feedback Vault.
//!
//! | command | does |
//! | --- | --- |
//! | `cargo xtask test` | every check there is, with a table of what ran, what failed and what could not run |
//! | `cargo xtask demo` | the main job, from upload to offline audit verification, on a throw-away vault |
//! | `cargo xtask bench` | the benchmarks by name |
//! | `cargo xtask fuzz` | libFuzzer over the parsers, one target after another; takes as long as it is given |
//! | `cargo xtask reproduce` | two release builds in different folders, compared to the byte; takes long |
//! | `cargo xtask sbom` | what the programs are made of, as CycloneDX |

// A command-line tool for developers: standard output is where it answers.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod audits;
mod bench;
mod demo;
mod fuzz;
mod layering;
mod licences;
mod operations;
mod postgres;
mod promises;
mod reproduce;
mod run;
mod s3;
mod sbom;
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
    /// Take a real recording through upload, access request, approval, playback and audit verification
    Demo(demo::Options),
    /// Run benchmarks, all of them or by name
    Bench(bench::Options),
    /// Fuzz the parsers, all of them or by name, or minimise the corpora
    Fuzz(fuzz::Options),
    /// Build the release programs twice, in different folders, and compare them to the byte
    Reproduce(reproduce::Options),
    /// Write what the programs are made of, as CycloneDX 1.6 JSON
    Sbom(sbom::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test(options) => test::main(&options),
        Task::Demo(options) => demo::main(&options),
        Task::Bench(options) => bench::main(&options),
        Task::Fuzz(options) => fuzz::main(&options),
        Task::Reproduce(options) => reproduce::main(&options),
        Task::Sbom(options) => sbom::main(&options),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
