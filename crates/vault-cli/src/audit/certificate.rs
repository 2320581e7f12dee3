//! `audit verify-certificate`: the certificate of an erasure, verified with nothing but the log's public key.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vault_api::erasure::{Erasure, FORMAT, KeyKind, ResumeKeyState, WaitsFor as Wire};
use vault_core::privacy::certificate::{CertificateFault, Presented, Proven, Witness, verify};
use vault_core::privacy::erasure::WaitsFor;

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

/// Runs the command.
pub fn run(args: &CertificateArgs) -> Result<Report, Failure> {
    let key = public_key(&args.public_key)?;
    let length = fs::metadata(&args.file).map_err(Failure::file(&args.file))?.len();
    let bytes = if length > LONGEST { Vec::new() } else { fs::read(&args.file).map_err(Failure::file(&args.file))? };
    let read: Option<Erasure> = serde_json::from_slice(&bytes).ok();
    let Some(erased) = read.filter(|erased| erased.format == FORMAT) else {
        let found = Found { code: "not_a_certificate", detail: "the file is no certificate of an erasure".to_owned() };
        return Ok(told(None, Err(vec![found])));
    };
    let verdict = match presented(&erased) {
        Ok(shown) => verify(&shown, &key).map_err(|faults| faults.iter().map(Found::from).collect()),
        Err(found) => Err(vec![found]),
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

/// The certificate in the form in which it is verified.
fn presented(erased: &Erasure) -> Result<Presented<'_>, Found> {
    let pending = || Found {
        code: "incomplete",
        detail: "there is no proof in it: the entry waited for the audit log when it was written".to_owned(),
    };
    let (Some(entry), Some(proof)) = (&erased.entry, &erased.proof) else { return Err(pending()) };
    let opening = erased.opening.as_ref().and_then(|opening| Some((salt(&opening.salt)?, opening.value.as_str())));
    let Some(opening) = opening else {
        let detail = "there is nothing in it that opens the entry: it is not shown which record was erased".to_owned();
        return Err(Found { code: "opening_missing", detail });
    };
    let horizon = &erased.horizon;
    Ok(Presented {
        record: &erased.record_id,
        erased_at: &erased.erased_at,
        erased: Witness { entry, proof },
        opening,
        destroyed: erased.destroyed.iter().map(|w| Witness { entry: &w.entry, proof: &w.proof }).collect(),
        waits_for: horizon.waits_for.iter().filter_map(waits_for).collect(),
        claims_final: horizon.is_final,
    })
}

fn salt(text: &str) -> Option<[u8; 32]> {
    let bytes: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect::<Option<_>>()?;
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

fn waits_for(key: &Wire) -> Option<WaitsFor> {
    match (key.kind, key.number) {
        (KeyKind::KekVersion, Some(number)) => Some(WaitsFor::KekVersion(number)),
        (KeyKind::RootEpoch, Some(number)) => Some(WaitsFor::RootEpoch(number)),
        (KeyKind::ResumeKey, None) => Some(WaitsFor::ResumeKey),
        _ => None,
    }
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
