//! `vault-cli`, as a person or offline.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::programs::program;
use crate::vault::Vault;

/// How a run of the CLI ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// The one JSON document on standard output.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("standard output is not one JSON document: {self:?}"))
    }

    /// Panics unless it exited with this code.
    #[must_use]
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A command without login, address or configuration: what it does, it does offline.
#[must_use]
pub fn offline(vault: &Vault) -> Command {
    let mut command = Command::new(program("vault-cli"));
    for name in ["FEEDBACK_VAULT_URL", "FEEDBACK_VAULT_TOKEN_FILE", "FEEDBACK_VAULT_CA_FILE"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", vault.room().join("config")).arg("--json").current_dir(vault.room());
    command
}

/// Runs it with a person's login, at the node whose turn it is.
#[must_use]
pub fn run(vault: &Vault, person: &str, arguments: &[&str]) -> Ended {
    run_at(vault, vault.turn("GET"), person, arguments)
}

/// Runs it with a person's login at another address of the vault's: a line, a proxy.
#[must_use]
pub fn run_at(vault: &Vault, url: &str, person: &str, arguments: &[&str]) -> Ended {
    let token = token_file(vault, person);
    let mut command = offline(vault);
    command.args(arguments).args(["--url", url, "--token-file"]).arg(token);
    ended(command)
}

/// Runs a prepared command.
#[must_use]
pub fn ended(mut command: Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().expect("vault-cli starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Exports the log as the auditor, verifies it offline with nothing but the public key, and answers what it said.
#[must_use]
#[track_caller]
pub fn verify_log(vault: &Vault) -> Ended {
    let bundle = vault.room().join(format!("log-{}.bundle", vault.log().len()));
    let _ = std::fs::remove_file(&bundle);
    let shown = bundle.to_string_lossy().into_owned();
    let _exported = run(vault, "auditor", &["audit", "export", "--out", &shown]).expect(0);
    verify_bundle(vault, &bundle)
}

/// Verifies an exported log offline.
#[must_use]
pub fn verify_bundle(vault: &Vault, bundle: &Path) -> Ended {
    let mut command = offline(vault);
    command.args(["audit", "verify", "--public-key", &vault.dev.log_public_key, "--bundle"]).arg(bundle);
    ended(command)
}

/// A person's token in a file that only its owner can read, outside the data directory.
#[must_use]
#[track_caller]
pub fn token_file(vault: &Vault, person: &str) -> PathBuf {
    let path = vault.room().join(format!("{person}.token"));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).expect("a token file");
    let token = vault.dev.tokens.get(person).unwrap_or_else(|| panic!("no token for {person}"));
    file.write_all(token.as_bytes()).expect("written");
    path
}
