//! `cargo xtask demo`: the main job, told with figures, on a throw-away vault.
//!
//! Every sentence that it prints is checked first; a step that does not hold ends the demonstration with an error.

mod disk;
pub mod http;
mod story;
pub mod vault;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::run;
use vault::Vault;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Leave the vault running, and print addresses and logins
    #[arg(long)]
    pub keep: bool,
    /// Use debug-built programs: faster to build, slower to run
    #[arg(long)]
    pub debug: bool,
}

/// Builds, plays the story, tidies up.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let programs = build(options.debug)?;
    let folder = tempfile::Builder::new().prefix("feedback-vault-demo-").tempdir().map_err(|e| e.to_string())?;
    let start = Instant::now();
    let vault = Vault::start(&programs, folder.path())?;
    println!("An embedded vault is ready after {:.1} s, at {}.", start.elapsed().as_secs_f64(), vault.told("url"));

    story::tell(&vault, folder.path())?;

    if options.keep {
        println!("\nThe vault stays. Its addresses and logins are in {}:", vault.data.join("dev.json").display());
        println!("{}", serde_json::to_string_pretty(&vault.dev).map_err(|e| e.to_string())?);
        println!("Interrupt (Ctrl-C) to end it; {} is yours to delete.", folder.keep().display());
        vault.stay();
        return Ok(ExitCode::SUCCESS);
    }
    vault.stop()?;
    println!("\nThe server drained and ended; its directory is deleted.");
    Ok(ExitCode::SUCCESS)
}

fn build(debug: bool) -> Result<PathBuf, String> {
    let mut cargo = run::cargo();
    cargo.args(["build", "--locked", "--message-format=json-render-diagnostics"]);
    // The debug build takes the features of the whole workspace and its tests, so that it shares what they have built.
    cargo.args(if debug {
        ["--workspace", "--bins", "--tests"].as_slice()
    } else {
        &["--release", "-p", "vault-server", "-p", "vault-cli"]
    });
    println!("Building: {} (some minutes the first time)", run::spelled(&cargo));
    let start = Instant::now();
    cargo.stderr(std::process::Stdio::inherit());
    let built = run::output(cargo)?;
    let server = built.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        // The program's own tests have its name as well, and lie elsewhere.
        let is_program = message["target"]["name"] == "vault-server" && message["profile"]["test"] == false;
        is_program.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    let programs = server.and_then(|path| path.parent().map(PathBuf::from));
    println!("Built in {:.0} s.\n", start.elapsed().as_secs_f64());
    programs.ok_or_else(|| "cargo did not say where vault-server is".to_owned())
}
