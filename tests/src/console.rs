//! `vault-server` at the console of a vault's machine: backups, restores, declarations.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::vault::Vault;

/// A configuration that finds this vault's files, with further lines of its own; its listeners are of no matter.
#[must_use]
pub fn configuration(vault: &Vault, more: &str) -> PathBuf {
    let path = vault.room().join("console.toml");
    let (name, _) = vault.dev.log_public_key.split_once('+').expect("a verifier key");
    // A successor's log is configured by the name of the first.
    let name = name.split_once("/successor/").map_or(name, |(first, _)| first);
    let text = format!(
        "data_dir = {:?}\nlog_name = {name:?}\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n{more}",
        vault.data()
    );
    std::fs::write(&path, text).expect("the configuration");
    path
}

/// `vault-server` with these arguments and such a configuration, on this vault's rows and objects.
#[must_use]
pub fn server(vault: &Vault, arguments: &[&str], configuration: &Path) -> Command {
    let mut command = vault.command(arguments);
    command.arg("--config").arg(configuration);
    command
}

/// Has a backup made, into a folder of the vault's room.
#[must_use]
#[track_caller]
pub fn backup(vault: &Vault, name: &str) -> PathBuf {
    let folder = vault.room().join(name);
    let mut command = server(vault, &["backup", "create"], &configuration(vault, ""));
    let done = command.arg("--out").arg(&folder).output().expect("it runs");
    assert!(done.status.success(), "{}", said(&done));
    folder
}

/// What it said, on both outputs.
#[must_use]
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
