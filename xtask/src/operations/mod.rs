//! What operators take from `deploy/`, held by the tools that will read it: alert rules, dashboard, unit, image, services.
//!
//! Each part counts its checks. A tool that is not to be had here leaves the step unfinished, and it says so.

mod containers;
mod rules;
mod unit;

use std::process::Command;

use crate::run::{self, Outcome};

/// The step.
pub fn check() -> Outcome {
    let mut account = Account::default();
    rules::check(&mut account);
    unit::check(&mut account);
    containers::check(&mut account);
    account.close()
}

/// What was checked, what was found, what could not run.
#[derive(Default)]
struct Account {
    passed: u64,
    findings: Vec<String>,
    not_run: Vec<String>,
}

impl Account {
    /// One check with its findings.
    fn enter(&mut self, findings: Vec<String>) {
        if findings.is_empty() {
            self.passed += 1;
        }
        self.findings.extend(findings);
    }

    /// One check that is a command: it exits 0.
    fn run(&mut self, command: Command) -> Option<String> {
        println!("    {}", run::spelled(&command));
        match run::output(command) {
            Ok(said) => {
                self.passed += 1;
                Some(said)
            }
            Err(error) => {
                self.findings.push(error);
                None
            }
        }
    }

    fn not_run(&mut self, what: &str, reason: &str) {
        println!("    NOT RUN {what}: {reason}");
        self.not_run.push(format!("{what}: {reason}"));
    }

    fn close(self) -> Outcome {
        for finding in &self.findings {
            println!("  {finding}");
        }
        let failed = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        if failed > 0 {
            return Outcome::Failed { passed: self.passed, failed, note: format!("{failed} findings; see above") };
        }
        if self.not_run.is_empty() { Outcome::Passed(self.passed) } else { Outcome::Skipped(self.not_run.join("; ")) }
    }
}

/// A file of the source.
fn file(path: &str) -> Result<String, Vec<String>> {
    std::fs::read_to_string(run::root().join(path)).map_err(|error| vec![format!("{path}: {error}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_run_is_never_passed_and_what_was_found_never_skipped() {
        let mut account = Account::default();
        account.enter(Vec::new());
        account.enter(Vec::new());
        assert!(matches!(account.close(), Outcome::Passed(2)));
        let mut account = Account::default();
        account.enter(Vec::new());
        account.not_run("a tool", "not here");
        assert!(matches!(account.close(), Outcome::Skipped(_)));
        let mut account = Account::default();
        account.not_run("a tool", "not here");
        account.enter(vec!["wrong".to_owned()]);
        assert!(matches!(account.close(), Outcome::Failed { failed: 1, .. }));
    }
}
