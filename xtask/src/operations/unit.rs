//! The systemd unit: every line understood, and as closed as the guide says.

use std::path::Path;

use super::{Account, file};
use crate::{run, tools};

const UNIT: &str = "deploy/vault-server.service";
const GUIDE: &str = "docs/operations/install.md";
/// The version whose points the guide quotes; others weigh a setting differently.
const MEASURED_BY: u32 = 252;

pub(super) fn check(account: &mut Account) {
    if let Err(reason) = tools::program("systemd-analyze", "systemd") {
        return account.not_run("systemd unit", &reason);
    }
    account.enter(understood().unwrap_or_else(|findings| findings));
    account.enter(closed().unwrap_or_else(|findings| findings));
}

/// `systemd-analyze verify` has nothing to say. It exits 0 on a setting that it does not know, so its words count; and it
/// wants the program to be there, which is replaced by one that is.
fn understood() -> Result<Vec<String>, Vec<String>> {
    let unit = file(UNIT)?;
    let here = unit.replace("ExecStart=/usr/bin/vault-server ", "ExecStart=/usr/bin/env ");
    if here == unit {
        return Err(vec![format!("{UNIT} does not start /usr/bin/vault-server")]);
    }
    let mut found = said_of(&here)?;
    // The check is shown to see: a setting misspelt.
    let misspelt = here.replace("ProtectHome=", "ProtectHom=");
    if said_of(&misspelt)?.is_empty() {
        found.push("systemd-analyze verify does not see a misspelt setting".to_owned());
    }
    Ok(found)
}

fn said_of(unit: &str) -> Result<Vec<String>, Vec<String>> {
    let folder = laid(unit)?;
    let mut verify = run::command("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(folder.path().join("vault-server.service"));
    let done = verify.output().map_err(|error| vec![error.to_string()])?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    let mut lines: Vec<String> = said.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if !done.status.success() && lines.is_empty() {
        lines.push(format!("systemd-analyze verify ended with {}", done.status));
    }
    Ok(lines)
}

/// The exposure is what the guide quotes, no more; and the measure is shown to move.
fn closed() -> Result<Vec<String>, Vec<String>> {
    let unit = file(UNIT)?;
    let quoted = file(GUIDE)?;
    let quoted = quoted.split_once("says **").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
    let quoted = quoted.ok_or_else(|| vec![format!("{GUIDE} quotes no exposure")])?;
    let measured = exposure(&laid(&unit)?.path().join("vault-server.service"))?;
    let opened = exposure(&laid(&unit.replace("SystemCallFilter=", "# "))?.path().join("vault-server.service"))?;
    println!(
        "    systemd-analyze security: {measured:.1}, quoted {quoted:.1}; {opened:.1} without its list of system calls"
    );
    Ok(judged(measured, quoted, opened, version() == Some(MEASURED_BY)))
}

fn judged(measured: f64, quoted: f64, opened: f64, same_version: bool) -> Vec<String> {
    // Points have one decimal.
    let mut found = Vec::new();
    if measured > quoted + 0.05 {
        found.push(format!("{UNIT} leaves {measured:.1} open, {GUIDE} says {quoted:.1}"));
    }
    if same_version && measured < quoted - 0.05 {
        found.push(format!("{UNIT} leaves {measured:.1} open, and {GUIDE} still says {quoted:.1}"));
    }
    if opened <= quoted + 0.05 {
        found.push("systemd-analyze security does not see a missing list of system calls".to_owned());
    }
    found
}

fn laid(unit: &str) -> Result<tempfile::TempDir, Vec<String>> {
    let folder = tempfile::tempdir().map_err(|error| vec![error.to_string()])?;
    std::fs::write(folder.path().join("vault-server.service"), unit).map_err(|error| vec![error.to_string()])?;
    Ok(folder)
}

/// The overall level, 0 (closed) to 10.
fn exposure(unit: &Path) -> Result<f64, Vec<String>> {
    let mut security = run::command("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let said = run::output(security).map_err(|error| vec![error])?;
    level(&said).ok_or_else(|| vec![format!("systemd-analyze security states no level: {said}")])
}

/// `→ Overall exposure level for vault-server.service: 1.1 OK 🙂`
fn level(said: &str) -> Option<f64> {
    let line = said.lines().rev().find(|line| line.contains("Overall exposure level"))?;
    line.rsplit_once(": ")?.1.split(' ').next()?.parse().ok()
}

fn version() -> Option<u32> {
    let mut version = run::command("systemd-analyze");
    version.arg("--version");
    run::output(version).ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_read_and_held() {
        let line = "x\n→ Overall exposure level for vault-server.service: 1.1 OK 🙂\n";
        assert_eq!(level(line), Some(1.1));
        assert_eq!(level("nothing"), None);
        assert!(judged(1.1, 1.1, 2.6, true).is_empty());
        assert_eq!(judged(1.2, 1.1, 2.6, true).len(), 1, "more open than quoted");
        assert_eq!(judged(0.9, 1.1, 2.6, true).len(), 1, "an old figure");
        assert!(judged(0.9, 1.1, 2.6, false).is_empty(), "another version's points");
        assert_eq!(judged(1.1, 1.1, 1.1, true).len(), 1, "a blind measure");
    }
}
