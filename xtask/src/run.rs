//! Running commands and keeping account of steps.
//!
//! A step passes, fails, or is skipped with its reason; there is no fourth way, so that a check
//! which could not run never looks like one that passed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a step ended.
pub enum Outcome {
    /// It held, with the number of checks it made (1 when it is a single check).
    Passed(u64),
    /// It did not: how many checks passed and failed, and what to look at.
    Failed { passed: u64, failed: u64, note: String },
    /// It could not run, and why.
    Skipped(String),
}

impl Outcome {
    /// A failed single check.
    pub fn failed(note: impl Into<String>) -> Self {
        Self::Failed { passed: 0, failed: 1, note: note.into() }
    }

    /// Passed when `findings` is empty; otherwise prints them and fails.
    pub fn of_findings(findings: &[String]) -> Self {
        for finding in findings {
            println!("  {finding}");
        }
        match findings.len() {
            0 => Self::Passed(1),
            n => Self::failed(format!("{n} finding{}", if n == 1 { "" } else { "s" })),
        }
    }
}

/// Everything that ran, in order.
#[derive(Default)]
pub struct Report(Vec<(String, Outcome, Duration)>);

impl Report {
    /// Runs one step and notes how it ended and how long it took.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Outcome) {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = work();
        match &outcome {
            Outcome::Passed(_) => {}
            Outcome::Failed { note, .. } => println!("FAILED {name}: {note}"),
            Outcome::Skipped(reason) => println!("NOT RUN {name}: {reason}"),
        }
        self.0.push((name.to_owned(), outcome, start.elapsed()));
    }

    /// Prints the table and the closing line `N passed, N failed, N skipped`; true when nothing failed, and in continuous
    /// integration nothing was left out either: what did not run proves nothing.
    pub fn finish(&self) -> bool {
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        println!("\n{:width$}  {:>8}  result", "step", "seconds");
        for (name, outcome, time) in &self.0 {
            let text = match outcome {
                Outcome::Passed(1) => {
                    passed += 1;
                    "passed".to_owned()
                }
                Outcome::Passed(n) => {
                    passed += n;
                    format!("passed ({n})")
                }
                Outcome::Failed { passed: p, failed: f, note } => {
                    passed += p;
                    failed += (*f).max(1);
                    format!("FAILED: {note}")
                }
                Outcome::Skipped(reason) => {
                    skipped += 1;
                    format!("NOT RUN: {reason}")
                }
            };
            println!("{name:width$}  {:>8.1}  {text}", time.as_secs_f64());
        }
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        if in_ci() && skipped > 0 {
            println!("a step that could not run fails a run of continuous integration");
        }
        failed == 0 && !(in_ci() && skipped > 0)
    }
}

/// The workspace's root, where every command runs.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The `cargo` that runs us.
pub fn cargo() -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if in_ci() {
        // Nothing is built twice there, and the incremental cache costs time and disk.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether this is a run of continuous integration.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value != "false")
}

/// A command at the root of the workspace, without the variables that `cargo run` set for us:
/// build scripts that watch them would run again.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let inherited = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| name.starts_with(p))
        });
        if inherited {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command with its output shown; passes when it exits 0.
pub fn check(mut command: Command) -> Outcome {
    println!("    {}", spelled(&command));
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed(1),
        Ok(status) => Outcome::failed(format!("{status}")),
        Err(error) => Outcome::failed(format!("cannot start: {error}")),
    }
}

/// Runs a command, shows its output as it comes, and gives back whether it exited 0 and every line it wrote.
pub fn tee(mut command: Command) -> Result<(bool, Vec<String>), String> {
    println!("    {}", spelled(&command));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", spelled(&command)))?;
    let (sender, lines) = std::sync::mpsc::channel();
    let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
        [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            // Test output need not be UTF-8; a lossy line is better than a lost one.
            while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
    drop(sender);
    let mut all = Vec::new();
    for line in lines {
        println!("{line}");
        all.push(line);
    }
    let _ = std::io::stdout().flush();
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((status.success(), all))
}

/// Runs a command quietly; its standard output when it exited 0, else the end of what it said.
pub fn output(mut command: Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("cannot start {}: {error}", spelled(&command)))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let tail: Vec<&str> = said.lines().rev().take(12).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(format!("{} ended with {}\n{}", spelled(&command), done.status, tail.join("\n")))
}

/// Whether a program answers to `--version`.
pub fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = command(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A command as one would type it.
pub fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
/// Lets a command's temporary files lie in memory where the platform has such a place: no test of ours asks the disk
/// to be slow, and several hundred databases that sync each commit wait for nothing else.
pub fn in_memory(mut command: Command) -> Command {
    let shm = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && shm.is_dir() && !shm.metadata().is_ok_and(|m| m.permissions().readonly())
    {
        command.env("TMPDIR", shm);
    }
    command
}
