//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz/`, one process at a time, on the stable toolchain.
//!
//! A nightly compiler is needed for AddressSanitizer alone, and with no `unsafe` in what is fuzzed there is nothing for it
//! to find. The instrumentation itself is a pass of LLVM that the stable compiler runs as well. What grows while fuzzing
//! stays below `target/fuzz`; `--minimise` takes what adds coverage into `fuzz/corpus`, where everyday tests replay it.

mod outcome;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::run;
use outcome::Outcome;

/// Coverage as cargo-fuzz sets it, but for the sanitizer.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
];

/// Longest input where it is not 4 KiB: containers and logs have structure beyond that.
const LONGER: [(&str, u32); 5] =
    [("container", 65_536), ("verifier", 16_384), ("audit_log", 16_384), ("floe", 16_384), ("certificate", 8192)];

/// Longest file that is taken into the committed corpora.
const COMMITTED: u64 = 2048;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Options {
    /// Fuzz only these targets
    targets: Vec<String>,
    /// Minutes for each target
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Do not fuzz: take what adds coverage into `fuzz/corpus`
    #[arg(long)]
    minimise: bool,
}

/// Builds every target and runs those that are asked for, one after another. Fails when one of them found something.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let known = targets()?;
    if let Some(unknown) = options.targets.iter().find(|wanted| !known.contains(wanted)) {
        return Err(format!("no target is called {unknown}; there are {}", known.join(", ")));
    }
    if !(options.minutes > 0.0 && options.minutes <= 24.0 * 60.0) {
        return Err("--minutes: more than 0, at most 1440".to_owned());
    }
    let wanted = known.iter().filter(|name| options.targets.is_empty() || options.targets.contains(name));
    let programs = build()?;
    let mut found = 0;
    for name in wanted {
        let place = Place::of(&programs, name)?;
        if options.minimise {
            place.minimise()?;
            continue;
        }
        let outcome = place.fuzz((options.minutes * 60.0).ceil().to_string())?;
        outcome.record(&place.folder)?;
        println!("{outcome}");
        found += outcome.findings.len();
    }
    if !options.minimise {
        println!("\n{}", outcome::totals(&home())?);
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The targets that `fuzz/Cargo.toml` names.
fn targets() -> Result<Vec<String>, String> {
    let manifest = fs::read_to_string(run::root().join("fuzz/Cargo.toml")).map_err(|e| e.to_string())?;
    let manifest: toml::Table = manifest.parse().map_err(|e| format!("fuzz/Cargo.toml: {e}"))?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    Ok(programs.filter_map(|program| program.get("name")?.as_str().map(str::to_owned)).collect())
}

/// A target directory of its own: other flags would rebuild everything.
fn home() -> PathBuf {
    run::root().join("target/fuzz")
}

/// Compiles, and answers where the programs lie.
fn build() -> Result<PathBuf, String> {
    if !run::answers("c++", &["--version"]) {
        return Err("libFuzzer needs a C++ compiler (Debian: `apt-get install g++`)".to_owned());
    }
    let mut compiler = run::command("rustc");
    compiler.args(["--print", "host-tuple"]);
    let host = run::output(compiler)?.trim().to_owned();
    let mut cargo = run::cargo();
    // With a target named, build scripts and procedural macros are compiled without the flags.
    cargo.args(["build", "--release", "--locked", "--bins", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    cargo.arg("--target-dir").arg(home());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")).env_remove("RUSTFLAGS");
    println!("    {}", run::spelled(&cargo));
    let built = cargo.status().map_err(|e| e.to_string())?;
    if !built.success() {
        return Err("the targets do not build".to_owned());
    }
    Ok(home().join(host).join("release"))
}

/// Where a target's program is and what it works on.
struct Place {
    name: String,
    program: PathBuf,
    /// Holds `corpus`, `artifacts` and `log`.
    folder: PathBuf,
}

impl Place {
    fn of(programs: &Path, name: &str) -> Result<Self, String> {
        let folder = home().join("runs").join(name);
        for part in ["corpus", "artifacts"] {
            fs::create_dir_all(folder.join(part)).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        Ok(Self { name: name.to_owned(), program: programs.join(name), folder })
    }

    fn seeds(&self) -> PathBuf {
        run::root().join("fuzz/corpus").join(&self.name)
    }

    fn longest(&self) -> u32 {
        LONGER.iter().find(|(name, _)| *name == self.name).map_or(4096, |(_, bytes)| *bytes)
    }

    /// The program with bounds on memory, time and length, its words in the file `log`.
    fn program(&self) -> Result<Command, String> {
        let log = File::create(self.folder.join("log")).map_err(|e| e.to_string())?;
        let mut program = run::command(&self.program);
        program.args(["-rss_limit_mb=2048", "-timeout=20", "-detect_leaks=0"]);
        program.stdout(Stdio::null()).stderr(log).current_dir(&self.folder);
        Ok(program)
    }

    /// Runs until the time is over or something is found.
    fn fuzz(&self, seconds: String) -> Result<Outcome, String> {
        let before = self.artifacts()?;
        let mut program = self.program()?;
        program.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={}", self.longest()));
        program.args(["-print_final_stats=1", "-artifact_prefix=artifacts/", "corpus"]).arg(self.seeds());
        let start = std::time::Instant::now();
        let ended = program.status().map_err(|e| format!("{}: {e}", self.name))?;
        let log = fs::read(self.folder.join("log")).map_err(|e| e.to_string())?;
        let mut findings = self.artifacts()?;
        findings.retain(|artifact| !before.contains(artifact));
        if !ended.success() && findings.is_empty() {
            let log = self.folder.join("log");
            return Err(format!("{} ended with {ended} and left no input: see {}", self.name, log.display()));
        }
        Ok(Outcome::read(&self.name, start.elapsed(), &String::from_utf8_lossy(&log), findings))
    }

    fn artifacts(&self) -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(self.folder.join("artifacts")).map_err(|e| e.to_string())?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    }

    /// Adds to the committed corpus what reaches code that it does not: short inputs, as few as cover every edge that was taken.
    fn minimise(&self) -> Result<(), String> {
        let short = self.folder.join("short");
        let _ = fs::remove_dir_all(&short);
        fs::create_dir_all(&short).map_err(|e| e.to_string())?;
        for entry in fs::read_dir(self.folder.join("corpus")).map_err(|e| e.to_string())?.flatten() {
            if entry.metadata().is_ok_and(|about| about.len() <= COMMITTED) {
                fs::copy(entry.path(), short.join(entry.file_name())).map_err(|e| e.to_string())?;
            }
        }
        let count = || fs::read_dir(self.seeds()).map_or(0, Iterator::count);
        let before = count();
        let mut program = self.program()?;
        // How often an edge is taken, and what is compared there, would keep ten times as many.
        program
            .args(["-set_cover_merge=1", "-use_counters=0", "-use_cmp=0", "-max_len=65536"])
            .arg(self.seeds())
            .arg("short");
        let ended = program.status().map_err(|e| format!("{}: {e}", self.name))?;
        if !ended.success() {
            return Err(format!("{}: {ended}: see {}", self.name, self.folder.join("log").display()));
        }
        println!("{:16} {} files, {} of them new", self.name, count(), count() - before);
        Ok(())
    }
}
