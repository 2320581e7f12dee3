//! `erase`, and the certificate as it is told.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use vault_api::erasure::{EraseRecord, Erasure, KeyKind, ResumeKeyState, WaitsFor};

use crate::client::segment;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, clean};

/// Arguments of `erase`.
#[derive(Args, Debug)]
pub struct EraseArgs {
    /// The record
    record: String,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Write the certificate here, for `audit verify-certificate`; the file must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs `erase`.
pub fn run(context: &Context<'_>, args: &EraseArgs) -> Result<Report, Failure> {
    let path = format!("/v1/records/{}", segment(&args.record)?);
    if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
        // Told before the act: afterwards there would be an erasure and no certificate.
        return Err(Failure::Usage(format!("{} exists", out.display())));
    }
    let client = context.client()?;
    if !args.yes {
        confirm(&args.record)?;
    }
    let erased: Erasure = client.delete_with(&path, &EraseRecord { reason: args.reason.clone() })?;
    told(&erased, args.out.as_deref())
}

/// Fetches the certificate of an erasure.
pub fn certificate(context: &Context<'_>, record: &str, out: Option<&Path>) -> Result<Report, Failure> {
    let path = format!("/v1/records/{}/erasure", segment(record)?);
    let erased: Erasure = context.client()?.get(&path, &())?;
    told(&erased, out)
}

/// Asks on the terminal; what cannot be asked is not done.
fn confirm(record: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("erasing cannot be undone: say --yes where nobody can be asked".to_owned()));
    }
    let mut err = io::stderr().lock();
    // Nobody is left to ask when these fail; the answer is then not the record.
    let _ = write!(err, "This erases the record for good. To go on, type its identifier: ");
    let _ = err.flush();
    let mut answer = String::new();
    let _read = io::stdin().lock().read_line(&mut answer);
    if answer.trim() == record { Ok(()) } else { Err(Failure::Usage("nothing was erased".to_owned())) }
}

fn told(erased: &Erasure, out: Option<&Path>) -> Result<Report, Failure> {
    let mut text = format!(
        "record {} of {} was erased at {}\n",
        clean(&erased.record_id),
        clean(&erased.collection),
        clean(&erased.erased_at)
    );
    match (&erased.completed_at, erased.names_left) {
        (Some(at), _) => text.push_str(&format!("nothing of it has been in the live vault since {}\n", clean(at))),
        (None, 0) => text.push_str("its media is gone; the database's own log is emptied soon\n"),
        (None, left) => {
            text.push_str(&format!("{left} pieces of ciphertext, which the vault cannot open, are being deleted\n"))
        }
    }
    if !erased.journalled {
        text.push_str("it is in force, and not journalled yet: the object store cannot be written\n");
    }
    if erased.proof.is_none() {
        text.push_str("its entry waits for the audit log: `vault-cli records erasure` shows the certificate then\n");
    }
    let horizon = &erased.horizon;
    if horizon.is_final {
        text.push_str("final: no backup, however old, opens it\n");
    } else {
        text.push_str(&format!(
            "not final: a backup may open it until these are destroyed: {}\n",
            waits(&horizon.waits_for)
        ));
    }
    if horizon.resume_key == ResumeKeyState::Destroyed {
        text.push_str("the resume key of its upload is destroyed\n");
    }
    if let Some(path) = out {
        write(path, erased)?;
        text.push_str(&format!("certificate: {}\n", path.display()));
    }
    Ok(Report::new(erased, text))
}

/// Keys in words.
pub fn waits(keys: &[WaitsFor]) -> String {
    let one = |key: &WaitsFor| match (key.kind, key.number) {
        (KeyKind::KekVersion, Some(number)) => format!("key version {number}"),
        (KeyKind::RootEpoch, Some(number)) => format!("root epoch {number}"),
        (KeyKind::ResumeKey, _) => "the upload's resume key".to_owned(),
        (_, None) => "a key that nobody knows of".to_owned(),
    };
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The certificate as it came, in a file of its own.
fn write(path: &Path, erased: &Erasure) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(erased).map_err(|error| Failure::Protocol(error.to_string()))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(Failure::file(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(Failure::file(path))?;
    file.sync_all().map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_in_words() {
        let key = |kind, number| WaitsFor { kind, number };
        let keys = [key(KeyKind::KekVersion, Some(2)), key(KeyKind::RootEpoch, Some(1)), key(KeyKind::ResumeKey, None)];
        assert_eq!(waits(&keys), "key version 2, root epoch 1, the upload's resume key");
    }
}
