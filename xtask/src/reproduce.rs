//! `cargo xtask reproduce`: is the release build a function of the source?
//!
//! The committed source is unpacked twice, into folders whose names differ in length and depth, and built there with
//! nothing shared but the toolchain and the downloaded crates; the second build has another time zone, locale and
//! temporary folder. The programs have to be the same to the byte. Paths are remapped, because a program that names
//! the folder it was built in is another program in another folder.
//!
//! Two release builds take long: this is no step of `cargo xtask test`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::run;

/// What is built and compared.
const PROGRAMS: [&str; 2] = ["vault-server", "vault-cli"];

/// Arguments of `cargo xtask reproduce`.
#[derive(clap::Args)]
pub struct Options {
    /// Where to build; by default below `target`. Some 3 GB each time, removed when the programs are the same
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Build once, as for a release, and print the hashes, for comparison with those of another machine
    #[arg(long)]
    once: bool,
}

/// What differs from one build to the other, and must not show.
struct Surroundings {
    folder: &'static str,
    zone: &'static str,
    locale: &'static str,
}

const BUILDS: [Surroundings; 2] = [
    Surroundings { folder: "first", zone: "UTC", locale: "C" },
    Surroundings { folder: "second/at-another/depth", zone: "Pacific/Chatham", locale: "C.UTF-8" },
];

/// Builds, compares, prints.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let place = options.folder.clone().unwrap_or_else(|| run::root().join("target/reproduce"));
    remove(&place)?;
    std::fs::create_dir_all(&place).map_err(|error| told(&place, &error))?;
    let place = place.canonicalize().map_err(|error| told(&place, &error))?;
    let commit = git(&["rev-parse", "HEAD"])?;
    let committed = git(&["show", "--no-patch", "--format=%ct", "HEAD"])?;
    println!("source: commit {commit}");
    if !git(&["status", "--porcelain"])?.is_empty() {
        println!("        changes that are not committed are left out");
    }
    for line in [["rustc", "--version"], ["cargo", "--version"], ["cc", "--version"]] {
        let mut command = run::command(line[0]);
        command.arg(line[1]);
        println!("        {}", run::output(command)?.lines().next().unwrap_or_default());
    }

    let mut made = Vec::new();
    for build in BUILDS.iter().take(if options.once { 1 } else { 2 }) {
        let start = Instant::now();
        let programs = one(&place, build, &commit, &committed)?;
        println!("{} in {:.0} s", build.folder, start.elapsed().as_secs_f64());
        for (name, bytes) in PROGRAMS.iter().zip(&programs) {
            println!("  {}  {name}  {} B", hex(&Sha256::digest(bytes)), bytes.len());
        }
        made.push(programs);
    }
    let [first, second] = made.as_slice() else { return Ok(ExitCode::SUCCESS) };
    let mut same = true;
    for (name, (one, other)) in PROGRAMS.iter().zip(first.iter().zip(second)) {
        let verdict = compare(one, other);
        println!("{name}: {verdict}");
        same &= verdict == Verdict::Same;
    }
    if !same {
        println!("both trees are left below {}", place.display());
        return Ok(ExitCode::FAILURE);
    }
    remove(&place)?;
    Ok(ExitCode::SUCCESS)
}

/// One build in a folder of its own; the bytes of the programs.
fn one(place: &Path, build: &Surroundings, commit: &str, committed: &str) -> Result<Vec<Vec<u8>>, String> {
    let folder = place.join(build.folder);
    let (source, target, temporary) = (folder.join("source"), folder.join("target"), folder.join("tmp"));
    for made in [&source, &target, &temporary] {
        std::fs::create_dir_all(made).map_err(|error| told(made, &error))?;
    }
    let archive = folder.join("source.tar");
    let mut git = run::command("git");
    git.args(["archive", "--format=tar", "--output"]).arg(&archive).arg(commit);
    run::output(git)?;
    let mut tar = run::command("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(&source);
    run::output(tar)?;

    let mut cargo = run::cargo();
    cargo.current_dir(&source).args(["build", "--quiet", "--release", "--locked"]);
    cargo.args(PROGRAMS.iter().flat_map(|name| ["--package", name])).arg("--target-dir").arg(&target);
    surround(&mut cargo, &folder, build, committed, &temporary)?;
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("{} ended with {status}", run::spelled(&cargo))),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    let read = |name: &&str| {
        let path = target.join("release").join(name);
        std::fs::read(&path).map_err(|error| told(&path, &error))
    };
    PROGRAMS.iter().map(read).collect()
}

/// Remapped paths for Rust and for the C of AWS-LC and SQLite, and an environment that the other build does not have.
fn surround(
    cargo: &mut Command,
    folder: &Path,
    build: &Surroundings,
    committed: &str,
    temporary: &Path,
) -> Result<(), String> {
    let home = cargo_home()?;
    let mappings = [(folder, "/feedback-vault"), (home.as_path(), "/cargo")];
    let mut rust = OsString::new();
    let mut c = OsString::new();
    for (at, (from, to)) in mappings.iter().enumerate() {
        if at > 0 {
            rust.push("\u{1f}");
            c.push(" ");
        }
        rust.push("--remap-path-prefix=");
        c.push("-ffile-prefix-map=");
        for flags in [&mut rust, &mut c] {
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
    }
    // The user's own flags would be part of the result, and are not part of the source.
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", rust).env("CFLAGS", c);
    cargo.env("CARGO_INCREMENTAL", "0").env("SOURCE_DATE_EPOCH", committed);
    cargo.env("TZ", build.zone).env("LC_ALL", build.locale).env("TMPDIR", temporary);
    Ok(())
}

/// Where cargo keeps the sources of crates.
fn cargo_home() -> Result<PathBuf, String> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").ok_or("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// How two programs compare.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Length(usize, usize),
    Bytes { first_at: usize, count: usize },
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Same => write!(f, "the same to the byte"),
            Self::Length(one, other) => write!(f, "DIFFERS: {one} B and {other} B"),
            Self::Bytes { first_at, count } => write!(f, "DIFFERS in {count} bytes, first at {first_at:#x}"),
        }
    }
}

fn compare(one: &[u8], other: &[u8]) -> Verdict {
    if one.len() != other.len() {
        return Verdict::Length(one.len(), other.len());
    }
    let mut differing = one.iter().zip(other).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at);
    match differing.next() {
        None => Verdict::Same,
        Some(first_at) => Verdict::Bytes { first_at, count: 1 + differing.count() },
    }
}

fn git(arguments: &[&str]) -> Result<String, String> {
    let mut git = run::command("git");
    git.args(arguments);
    run::output(git).map(|text| text.trim().to_owned())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remove(place: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(told(place, &error)),
        _ => Ok(()),
    }
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_differing_program_is_told_from_the_same() {
        assert_eq!(compare(b"program", b"program"), Verdict::Same);
        assert_eq!(compare(b"program", b"programs"), Verdict::Length(7, 8));
        assert_eq!(compare(b"program", b"prOgrAm"), Verdict::Bytes { first_at: 2, count: 2 });
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn the_builds_differ_in_what_must_not_show() {
        let [one, other] = &BUILDS;
        assert_ne!(one.folder.len(), other.folder.len());
        assert_ne!(one.zone, other.zone);
        let mut cargo = Command::new("cargo");
        surround(&mut cargo, Path::new("/there"), other, "1", Path::new("/there/tmp")).expect("a home");
        let rust = cargo.get_envs().find(|(name, _)| *name == "CARGO_ENCODED_RUSTFLAGS").and_then(|(_, flags)| flags);
        let rust = rust.expect("set").to_string_lossy().into_owned();
        assert!(rust.starts_with("--remap-path-prefix=/there=/feedback-vault\u{1f}--remap-path-prefix="), "{rust}");
    }
}
