//! `completions SHELL`.

use clap::CommandFactory;
use serde_json::json;

use crate::args::Cli;
use crate::output::Report;

/// The completion script of a shell.
pub fn run(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vault-cli", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Report::new(&json!({ "shell": shell.to_string(), "script": script }), script.clone())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in clap_complete::Shell::value_variants() {
            let script = run(*shell).text;
            assert!(script.contains("upload") && script.contains("access"), "{shell}");
        }
    }
}
