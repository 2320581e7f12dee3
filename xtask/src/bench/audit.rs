//! `audit.append`: entries made durable from sixty-four sessions, on the disk, with memory beside it.
//! `audit.verify.merkle` and `audit.verify`: a log of a million entries, offline.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::figure::{Bound, Figure, median, rounded};
use super::stage::{in_memory, storage};
use crate::{postgres, run, tools};

const ENTRIES: u64 = 1_000_000;
const ROUNDS: usize = 5;

/// By the example that holds both sides (`crates/vault-server/examples/bench_server/append.rs`), on SQLite on a disk;
/// beside it in memory, and on PostgreSQL.
pub fn append(programs: &Path) -> Result<Figure, String> {
    // Where the programs lie is a disk; temporary files may be in memory.
    let on_disk = tempfile::Builder::new().prefix("bench-").tempdir_in(programs).map_err(|error| error.to_string())?;
    let (ours, peer, mut about) = one(programs, on_disk.path(), None)?;
    let memory = in_memory()?;
    let mut beside = vec![beside("SQLite", one(programs, memory.path(), None)?)];
    match on_postgres(programs) {
        Ok(read) => beside.push(read),
        Err(error) => beside.push(json!({"engine": "PostgreSQL", "not_measured": error})),
    }
    about["engine"] = json!("SQLite, WAL, synchronous=FULL");
    about["storage"] = json!(storage(on_disk.path()));
    about["peer"] = json!("the same rows, bound and committed in as many groups");
    about["beside"] = json!(beside);
    Ok(Figure {
        name: "audit.append".to_owned(),
        unit: "entries/s".to_owned(),
        bound: Bound::AtLeast(0.7),
        ours,
        peer,
        about,
    })
}

/// A throw-away cluster, whose files lie in memory where there is room.
fn on_postgres(programs: &Path) -> Result<Value, String> {
    let (cluster, folder) = (postgres::cluster()?, in_memory()?);
    let url = cluster.url();
    for name in ["ours", "peer"] {
        let mut create = run::command(tools::postgres()?.join("createdb"));
        create.args(["--maintenance-db", &url, name]);
        run::output(create)?;
    }
    let server = url.trim_end_matches("/postgres");
    Ok(beside("PostgreSQL", one(programs, folder.path(), Some(server))?))
}

fn beside(engine: &str, (ours, peer, about): (Vec<f64>, Vec<f64>, Value)) -> Value {
    json!({
        "engine": engine, "storage": "tmpfs", "ours": rounded(median(&ours)), "peer": rounded(median(&peer)),
        "ratio": rounded(median(&ours) / median(&peer)), "groups_a_round": about["groups_a_round"],
    })
}

fn one(programs: &Path, folder: &Path, database: Option<&str>) -> Result<(Vec<f64>, Vec<f64>, Value), String> {
    let mut program = run::command(programs.join("examples/bench_server"));
    program.arg("append").arg(folder).args(database);
    let said = run::output(program)?;
    let wrong = || format!("not readings: {said}");
    let value: Value = serde_json::from_str(said.trim()).map_err(|_| wrong())?;
    let readings = |side: &str| -> Option<Vec<f64>> { value[side].as_array()?.iter().map(Value::as_f64).collect() };
    match (readings("ours"), readings("peer")) {
        (Some(ours), Some(peer)) => Ok((ours, peer, value["about"].clone())),
        _ => Err(wrong()),
    }
}

/// Hashing alone: the tree over the entries (`crates/vault-core/examples/bench_verify.rs`).
pub fn merkle(programs: &Path) -> Result<Figure, String> {
    let folder = in_memory()?;
    let (export, _) = export(programs, folder.path())?;
    let mut program = run::command(programs.join("examples/bench_verify"));
    program.arg("merkle").arg(&export);
    Figure::parse(run::output(program)?.trim())
}

/// Everything that `vault-cli audit verify` does with an export: reading, parsing, the tree, the signature, every opening.
pub fn verify(programs: &Path) -> Result<Figure, String> {
    let folder = in_memory()?;
    let (export, key) = export(programs, folder.path())?;
    let length = std::fs::metadata(&export).map_err(|error| error.to_string())?.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut cli = run::command(programs.join("vault-cli"));
        cli.args(["--json", "audit", "verify", "--public-key", &key, "--bundle"]).arg(&export);
        let (mine, said) = timed(cli, length)?;
        let report: Value = serde_json::from_str(&said).unwrap_or_default();
        if report["verified"] != true || report["entries"] != ENTRIES {
            return Err(format!("the log was not verified: {said}"));
        }
        let mut hash = run::command(programs.join("examples/bench_verify"));
        hash.arg("hash").arg(&export).arg(threads.to_string());
        let (other, _) = timed(hash, length)?;
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let about = json!({
        "entries": ENTRIES, "bytes": length, "openings_an_entry": 4, "threads": threads,
        "storage": storage(folder.path()), "ours": "vault-cli audit verify --bundle, as a process",
        "peer": "SHA-256 (crate sha2) over the same file, a piece for each thread, as a process",
    });
    Ok(Figure {
        name: "audit.verify".to_owned(),
        unit: "MB/s".to_owned(),
        bound: Bound::AtLeast(0.15),
        ours,
        peer: theirs,
        about,
    })
}

/// An export of a million entries, and the key that verifies it.
fn export(programs: &Path, folder: &Path) -> Result<(std::path::PathBuf, String), String> {
    let path = folder.join("export.jsonl");
    let mut make = run::command(programs.join("examples/bench_verify"));
    make.arg("make").arg(&path).arg(ENTRIES.to_string());
    let key = run::output(make)?.trim().to_owned();
    Ok((path, key))
}

/// Megabytes of the export a second, and what the program said.
fn timed(command: Command, length: u64) -> Result<(f64, String), String> {
    let started = Instant::now();
    let said = run::output(command)?;
    Ok((length as f64 / 1e6 / started.elapsed().as_secs_f64(), said))
}
