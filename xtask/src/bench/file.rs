//! `file.seal`: a file sealed to a file, against `age`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::figure::{Bound, Figure};
use super::recording::{Kind, recording};
use super::stage::{in_memory, storage};
use crate::{run, tools};

const LENGTH: usize = 512 << 20;
const ROUNDS: usize = 9;

/// Both as one process from start to end, key and all.
pub fn seal(programs: &Path) -> Result<Figure, String> {
    let age = tools::program("age", "age")?;
    let age_keygen = tools::program("age-keygen", "age")?;
    let folder = in_memory()?;
    let at = |name: &str| folder.path().join(name);
    let (plain, sealed, ours_key, key) = (at("plain"), at("sealed"), at("key"), at("age-key"));
    // A key for measuring; what it seals is noise.
    std::fs::write(&ours_key, "5a".repeat(32)).map_err(|error| error.to_string())?;
    std::fs::write(&plain, recording(Kind::Video, LENGTH)?).map_err(|error| error.to_string())?;
    let recipient = {
        let mut keygen = run::command(&age_keygen);
        keygen.arg("-o").arg(&key);
        run::output(keygen)?;
        let mut public = run::command(&age_keygen);
        public.arg("-y").arg(&key);
        run::output(public)?.trim().to_owned()
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut seal = run::command(programs.join("examples/seal_file"));
        seal.arg(&ours_key).arg(&plain).arg(&sealed);
        let mine = timed(seal, &sealed)?;
        let mut encrypt = run::command(&age);
        encrypt.args(["--encrypt", "--recipient", &recipient, "--output"]).arg(&sealed).arg(&plain);
        let other = timed(encrypt, &sealed)?;
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let mut version = run::command(&age);
    version.arg("--version");
    let about = json!({
        "bytes": LENGTH, "segment": Kind::Video.segment(), "threads": 1, "storage": storage(folder.path()),
        "ours": "crates/vault-core/examples/seal_file.rs", "peer": format!("age {}", run::output(version)?.trim()),
    });
    Ok(Figure {
        name: "file.seal".to_owned(),
        unit: "MB/s".to_owned(),
        bound: Bound::AtLeast(1.25),
        ours,
        peer: theirs,
        about,
    })
}

/// Megabytes of the plain file a second.
fn timed(mut command: Command, sealed: &Path) -> Result<f64, String> {
    let started = Instant::now();
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", run::spelled(&command)))?;
    let took = started.elapsed();
    let length = std::fs::metadata(sealed).map_or(0, |meta| meta.len());
    if !status.success() || length <= LENGTH as u64 {
        return Err(format!("{} ended with {status} and {length} bytes", run::spelled(&command)));
    }
    // Neither side is charged with giving back what the other wrote.
    std::fs::remove_file(sealed).map_err(|error| error.to_string())?;
    Ok(LENGTH as f64 / 1e6 / took.as_secs_f64())
}
