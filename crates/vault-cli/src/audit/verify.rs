//! `audit verify`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use vault_core::audit::note::VerifierKey;
use vault_core::audit::verify::{self, Checked, Job, Source};

use super::file::Export;
use super::server::Server;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;
use crate::progress;

/// The exit code of a verification that found something.
const FOUND: u8 = 3;

/// Bundles for each thread at once: 256 entries each, some four mebibytes with all their openings.
const AT_ONCE: usize = 16;

/// Findings told one by one to a person; `--json` tells more.
const TOLD: usize = 20;

/// Arguments of `audit verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The log's public key, `name+id+base64`: get it from the vault's operator once, and keep it
    #[arg(long, value_name = "KEY")]
    public_key: String,
    /// Verify this export, offline, instead of a server's log; an address is then not used
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// A checkpoint seen before, which the log must extend; may be given more than once
    #[arg(long, value_name = "FILE")]
    known_checkpoint: Vec<PathBuf>,
    /// The key of a log that this one succeeds, as it was known before: one that the log does not name is a finding; may be
    /// given more than once
    #[arg(long, value_name = "KEY")]
    predecessor_key: Vec<String>,
    /// Keep the verified checkpoint here when nothing was found, for --known-checkpoint next time
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
}

/// Reads a verifier key.
pub fn public_key(text: &str) -> Result<VerifierKey, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("--public-key: {error}")))
}

/// Runs the command.
pub fn run(context: &Context<'_>, args: &VerifyArgs) -> Result<Report, Failure> {
    let key = public_key(&args.public_key)?;
    let known = args.known_checkpoint.iter().map(|path| read_note(path)).collect::<Result<Vec<_>, _>>()?;
    let predecessors = args.predecessor_key.iter().map(|key| public_key(key)).collect::<Result<Vec<_>, _>>()?;
    let mut report = match &args.bundle {
        Some(path) => verified(&mut Export::open(path)?, &key, &known)?,
        None => verified(&mut Server::new(&context.client()?), &key, &known)?,
    };
    if report.checkpoint.is_some() {
        predecessors.iter().for_each(|key| report.expect_predecessor(key));
    }
    if let (Some(path), true, Some(checkpoint)) = (&args.save_checkpoint, report.is_clean(), &report.checkpoint) {
        save(path, checkpoint.note())?;
    }
    Ok(told(&key, &report))
}

fn verified<S: Source<Error = Failure>>(
    source: &mut S,
    key: &VerifierKey,
    known: &[String],
) -> Result<verify::Report, Failure> {
    let bar = progress::count(0, "verifying");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let told = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let report = verify::verify_with(source, key, known, told, AT_ONCE * threads, |jobs| side_by_side(jobs, threads));
    bar.finish_and_clear();
    report
}

/// Begins to look into bundles on `threads` threads; what is returned waits for them.
fn side_by_side(jobs: Vec<Job>, threads: usize) -> impl FnOnce() -> Vec<Checked> {
    let share = jobs.len().div_ceil(threads).max(1);
    let mut jobs = jobs.into_iter();
    let mut crew = Vec::with_capacity(threads);
    loop {
        let mine: Vec<Job> = jobs.by_ref().take(share).collect();
        if mine.is_empty() {
            break;
        }
        crew.push(std::thread::spawn(move || mine.into_iter().map(Job::run).collect::<Vec<_>>()));
    }
    // A panic there goes on here: what was not looked into must not pass.
    move || {
        let done = crew.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.flatten().collect()
    }
}

fn read_note(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(Failure::file(path))?;
    // What is not text is no note: the verifier says so.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a checkpoint beside its place and moves it there: a crash must not leave half of the one thing that tells a
/// fork.
fn save(path: &Path, note: &str) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    fs::write(&fresh, note).map_err(Failure::file(&fresh))?;
    fs::rename(&fresh, path).map_err(Failure::file(path))
}

fn told(key: &VerifierKey, report: &verify::Report) -> Report {
    let checkpoint = report.checkpoint.as_ref();
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| json!({"code": finding.code(), "index": finding.index(), "detail": finding.to_string()}))
        .collect();
    let warnings: Vec<Value> =
        report.warnings.iter().map(|warning| json!({"code": warning.code(), "detail": warning.to_string()})).collect();
    let predecessors: Vec<Value> = report
        .predecessors
        .iter()
        .map(|one| {
            json!({"public_key": one.key.to_string(), "because": one.because.as_str(), "carried": one.carried,
                "lost": one.lost})
        })
        .collect();
    let slots = report.slots;
    let json = json!({
        "verified": report.is_clean(),
        "origin": key.name(),
        "tree_size": checkpoint.map(|c| c.size()),
        "root": checkpoint.map(|c| c.root().to_string()),
        "entries": report.entries,
        "known_checkpoints_extended": report.known_extended,
        "slots": {"opened": slots.opened, "withheld": slots.withheld, "erased": slots.erased, "missing": slots.missing},
        "predecessors": predecessors,
        "findings": findings,
        "findings_total": report.findings_total,
        "warnings": warnings,
    });
    let mut text = String::new();
    match checkpoint {
        Some(c) if report.is_clean() => {
            text.push_str(&format!("Verified: the log {} with {} entries.\nRoot {}\n", key.name(), c.size(), c.root()));
        }
        _ => text.push_str(&format!("NOT verified: {} findings in the log {}.\n", report.findings_total, key.name())),
    }
    text.push_str(&format!(
        "Slots: {} opened and matching, {} withheld, {} erased, {} missing.\n",
        slots.opened, slots.withheld, slots.erased, slots.missing
    ));
    if report.known_extended > 0 {
        text.push_str(&format!("It extends {} checkpoint(s) seen before.\n", report.known_extended));
    }
    for one in &report.predecessors {
        text.push_str(&format!(
            "It succeeds {} ({}): {} entries carried, {} lost.\n",
            one.key,
            one.because.as_str(),
            one.carried,
            one.lost
        ));
    }
    for finding in report.findings.iter().take(TOLD) {
        text.push_str(&format!("finding: {finding}\n"));
    }
    let untold = report.findings_total.saturating_sub(u64::try_from(TOLD).unwrap_or(u64::MAX));
    if untold > 0 {
        text.push_str(&format!("and {untold} more\n"));
    }
    for warning in report.warnings.iter().take(TOLD) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    Report { exit: if report.is_clean() { 0 } else { FOUND }, ..Report::new(&json, text) }
}
