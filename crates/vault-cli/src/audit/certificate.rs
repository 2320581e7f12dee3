//! `audit verify-certificate`: the certificate of an erasure, verified with nothing but the log's public key.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vault_api::erasure::{Erasure, ResumeKeyState};
use vault_core::privacy::certificate::{CertificateFault, Proven, verify};

use super::presented::{self, NotPresented};
use super::verify::public_key;
use crate::error::Failure;
use crate::output::{Report, clean};

/// The exit code of a verification that found something.
const FOUND: u8 = 3;

/// A certificate is a few entries with their proofs.
const LONGEST: u64 = 16 << 20;

/// Arguments of `audit verify-certificate`.
#[derive(Args, Debug)]
pub struct CertificateArgs {
    /// The certificate, as `erase` and `records erasure` write it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's public key, `name+id+base64`: get it from the vault's operator once, and keep it
    #[arg(long, value_name = "KEY")]
    public_key: String,
    /// The record that it should be about
    #[arg(long, value_name = "RECORD")]
    record: Option<String>,
}

/// What is wrong with a file, in a name for programs and in words.
struct Found {
    code: &'static str,
    detail: String,
}

impl From<&CertificateFault> for Found {
    fn from(fault: &CertificateFault) -> Self {
        Self { code: fault.code(), detail: fault.to_string() }
    }
}

impl From<NotPresented> for Found {
    fn from(fault: NotPresented) -> Self {
        Self { code: fault.code(), detail: fault.detail().to_owned() }
    }
}

/// Runs the command.
pub fn run(args: &CertificateArgs) -> Result<Report, Failure> {
    let key = public_key(&args.public_key)?;
    let length = fs::metadata(&args.file).map_err(Failure::file(&args.file))?.len();
    let bytes = if length > LONGEST { Vec::new() } else { fs::read(&args.file).map_err(Failure::file(&args.file))? };
    let erased = match presented::read(&bytes) {
        Ok(erased) => erased,
        Err(fault) => return Ok(told(None, Err(vec![fault.into()]))),
    };
    let verdict = match presented::presented(&erased) {
        Ok(shown) => verify(&shown, &key).map_err(|faults| faults.iter().map(Found::from).collect()),
        Err(fault) => Err(vec![fault.into()]),
    };
    let verdict = match &args.record {
        Some(record) if *record != erased.record_id => {
            let detail = format!("the certificate is about record {}", clean(&erased.record_id));
            let mut faults = verdict.err().unwrap_or_default();
            faults.push(Found { code: "another_record", detail });
            Err(faults)
        }
        _ => verdict,
    };
    Ok(told(Some(&erased), verdict))
}

fn told(erased: Option<&Erasure>, verdict: Result<Proven, Vec<Found>>) -> Report {
    let findings = verdict.as_ref().err().map(Vec::as_slice).unwrap_or_default();
    let listed: Vec<Value> = findings.iter().map(|f| json!({"code": f.code, "detail": f.detail})).collect();
    let proven = verdict.as_ref().ok();
    let is_final =
        proven.is_some_and(|proven| proven.unproven.is_empty()) && erased.is_some_and(|e| e.horizon.is_final);
    let json = json!({
        "verified": proven.is_some(),
        "record_id": erased.map(|erased| &erased.record_id),
        "erased_at": proven.map(|proven| proven.erased_at.to_string()),
        "index": proven.map(|proven| proven.index),
        "collection_id": proven.and_then(|proven| proven.collection).map(|id| id.to_string()),
        "final": is_final,
        "findings": listed,
    });
    let mut text = String::new();
    match (proven, erased) {
        (Some(proven), Some(erased)) => {
            text.push_str(&format!(
                "Verified: record {} was erased at {}, by entry {} of the log.\n",
                clean(&erased.record_id),
                proven.erased_at,
                proven.index
            ));
            text.push_str(&reach(proven, erased, is_final));
        }
        _ => text.push_str("NOT verified.\n"),
    }
    for found in findings {
        text.push_str(&format!("finding: {}\n", found.detail));
    }
    Report { exit: if proven.is_some() { 0 } else { FOUND }, ..Report::new(&json, text) }
}

/// What is proven of backups, and what is only said.
fn reach(proven: &Proven, erased: &Erasure, is_final: bool) -> String {
    let resume_key = match erased.horizon.resume_key {
        ResumeKeyState::None => "",
        ResumeKeyState::Standing => " The vault says that the upload's resume key stands.",
        ResumeKeyState::Destroyed => " That the upload's resume key is destroyed is the vault's word.",
    };
    if is_final {
        return format!("Final: every key that a backup would need is proven to be destroyed.{resume_key}\n");
    }
    let left = proven.unproven.len();
    format!(
        "Not final: of the keys that a backup would need, {left} are not proven to be destroyed (key versions up to {}, \
         root epochs).{resume_key}\n",
        proven.hung.kek_version
    )
}
