//! `audit.append` and `audit.append.postgres`: entries made durable from sixty-four sessions, on the disk, with memory beside it.
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

/// On SQLite, by the example that holds both sides (`crates/vault-server/examples/bench_server/append.rs`).
pub fn append(programs: &Path) -> Result<Figure, String> {
    // Where the programs lie is a disk; temporary files may be in memory.
    let on_disk = disk(programs)?;
    let read = one(programs, on_disk.path(), None)?;
    let memory = in_memory()?;
    let beside = one(programs, memory.path(), None)?;
    Ok(appended("audit.append", "SQLite, WAL, synchronous=FULL", storage(on_disk.path()), read, beside))
}

/// The same on PostgreSQL, whose own files lie on the disk as well; beside it on a cluster in memory.
pub fn append_postgres(programs: &Path) -> Result<Figure, String> {
    let on_disk = disk(programs)?;
    let read = {
        let cluster = postgres::cluster_below(programs)?;
        on_cluster(programs, &cluster, on_disk.path())?
    };
    let memory = in_memory()?;
    let beside = on_cluster(programs, &postgres::cluster()?, memory.path())?;
    let engine = "PostgreSQL, fsync=on, synchronous_commit=on";
    Ok(appended("audit.append.postgres", engine, storage(on_disk.path()), read, beside))
}

fn disk(programs: &Path) -> Result<tempfile::TempDir, String> {
    tempfile::Builder::new().prefix("bench-").tempdir_in(programs).map_err(|error| error.to_string())
}

/// On a database of its own for each side.
fn on_cluster(programs: &Path, cluster: &postgres::Service, folder: &Path) -> Result<Sides, String> {
    let url = cluster.url();
    for name in ["ours", "peer"] {
        let mut create = run::command(tools::postgres()?.join("createdb"));
        create.args(["--maintenance-db", &url, name]);
        run::output(create)?;
    }
    one(programs, folder, Some(url.trim_end_matches("/postgres")))
}

/// Readings of ours, of the peer, and how they were taken.
type Sides = (Vec<f64>, Vec<f64>, Value);

fn appended(name: &str, engine: &str, storage: &str, (ours, peer, mut about): Sides, beside: Sides) -> Figure {
    about["engine"] = json!(engine);
    about["storage"] = json!(storage);
    about["peer"] = json!("the same rows, bound and committed in as many groups");
    let (mine, other, how) = beside;
    about["beside"] = json!({
        "storage": "tmpfs", "ours": rounded(median(&mine)), "peer": rounded(median(&other)),
        "ratio": rounded(median(&mine) / median(&other)), "groups_a_round": how["groups_a_round"],
    });
    Figure { name: name.to_owned(), unit: "entries/s".to_owned(), bound: Bound::AtLeast(0.7), ours, peer, about }
}

fn one(programs: &Path, folder: &Path, database: Option<&str>) -> Result<Sides, String> {
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
