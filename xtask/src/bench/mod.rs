//! `cargo xtask bench`: every figure beside its peer's, measured in the same run.
//!
//! A figure is measured here, with a vault and its peer as processes, or by a release-built example of a crate, which
//! prints a line of JSON. Rounds of both sides take turns, so that a noisy machine disturbs both; a figure is the
//! median of at least five. Raw readings go to `docs/benchmarks`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`figure`] | readings, medians, bounds |
//! | [`readings`] | the files below `docs/benchmarks` |
//! | [`stage`], [`recording`] | a vault of its own, its people, recordings of any length |
//! | [`client`], [`peers`] | one timed connection; nginx, a tus server of another make, OpenBao |
//! | [`mod@file`], [`transfer`], [`ranges`], [`memory`], [`scale`], [`audit`], [`nodes`], [`rotate`] | the figures measured from outside |

mod audit;
mod client;
mod figure;
mod file;
mod memory;
mod nodes;
mod peers;
mod ranges;
mod readings;
mod recording;
mod rotate;
mod scale;
mod stage;
mod transfer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::Value;

use crate::run;
use figure::{Bound, Figure};
use recording::Kind;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Which benchmarks; all of them when none is named
    names: Vec<String>,
    /// Print one JSON array on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

/// What measures a benchmark.
#[derive(Clone, Copy)]
enum Way {
    /// An example of a crate, which is given the name.
    Example(&'static str),
    /// A function that is given the folder of the release-built programs.
    Here(fn(&Path) -> Result<Figure, String>),
}

/// Every name there is, and what measures it.
const NAMES: &[(&str, Way)] = &[
    ("core.seal", Way::Example("bench_core")),
    ("core.open", Way::Example("bench_core")),
    ("file.seal", Way::Here(file::seal)),
    ("upload", Way::Here(transfer::upload)),
    ("playback", Way::Here(transfer::playback)),
    ("range.64k", Way::Here(|programs| ranges::measure(programs, "range.64k", Kind::Voice, 0.45))),
    ("range.256k", Way::Here(|programs| ranges::measure(programs, "range.256k", Kind::Video, 0.3))),
    ("audit.append", Way::Here(audit::append)),
    ("audit.append.postgres", Way::Here(audit::append_postgres)),
    ("audit.verify.merkle", Way::Here(audit::merkle)),
    ("audit.verify", Way::Here(audit::verify)),
    ("memory", Way::Here(memory::measure)),
    ("scale", Way::Here(scale::measure)),
    ("nodes.revocation", Way::Here(nodes::revocation)),
    ("rotate.sqlite", Way::Here(rotate::sqlite)),
    ("rotate.postgres", Way::Here(rotate::postgres)),
    ("rotate.openbao", Way::Here(rotate::openbao_rewrap)),
    ("rotate.playback", Way::Here(rotate::playback)),
    ("rotate.memory", Way::Here(rotate::memory)),
];

/// Runs what was asked for and prints it.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let wanted = select(&options.names)?;
    let programs = build()?;
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    for (name, way) in wanted {
        let started = Instant::now();
        // One that cannot be measured does not keep the others from it.
        match measure(name, way, &programs).and_then(|figure| Ok((readings::write(&figure)?, figure))) {
            Ok((path, figure)) => {
                let shown = path.strip_prefix(run::root()).unwrap_or(&path).display();
                eprintln!("{name}: {:.3} after {:.0} s, in {shown}", figure.ratio(), started.elapsed().as_secs_f64());
                figures.push(figure);
            }
            Err(error) => {
                eprintln!("{name}: NOT MEASURED: {error}");
                failures.push(name);
            }
        }
    }
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    readings::write_table(&names)?;
    if options.json {
        println!("{}", Value::Array(figures.iter().map(Figure::told).collect()));
    } else {
        print_table(&figures);
    }
    if !failures.is_empty() {
        return Err(format!("not measured: {}", failures.join(", ")));
    }
    Ok(if figures.iter().all(Figure::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(name: &str, way: Way, programs: &Path) -> Result<Figure, String> {
    match way {
        Way::Here(measure) => measure(programs),
        Way::Example(program) => {
            let mut command = run::command(programs.join("examples").join(program));
            command.arg(name);
            let said = run::output(command)?;
            Figure::parse(said.lines().last().unwrap_or_default())
        }
    }
}

/// Builds what is measured, once for all; the folder it lies in.
fn build() -> Result<PathBuf, String> {
    let mut cargo = run::cargo();
    cargo.args(["build", "--release", "--locked", "--workspace", "--exclude", "xtask", "--bins", "--examples"]);
    cargo.args(["--message-format=json-render-diagnostics"]).stderr(std::process::Stdio::inherit());
    eprintln!("building: {} (some minutes the first time)", run::spelled(&cargo));
    let server = run::output(cargo)?.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "vault-server").then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    let programs = server.and_then(|path| path.parent().map(PathBuf::from));
    programs.ok_or_else(|| "cargo did not say where vault-server is".to_owned())
}

fn select(names: &[String]) -> Result<Vec<(&'static str, Way)>, String> {
    if names.is_empty() {
        return Ok(NAMES.to_vec());
    }
    let known = || NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|wanted| {
            let found = NAMES.iter().find(|(name, _)| name == wanted);
            found.copied().ok_or_else(|| format!("no benchmark is called {wanted}; there are {}", known()))
        })
        .collect()
}

fn print_table(figures: &[Figure]) {
    println!("{:<20} {:>12} {:>12} {:<12} {:>7}  bound", "name", "ours", "peer", "unit", "ratio");
    for figure in figures {
        let bound = match figure.bound {
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::AtMost(most) => format!("at most {most}"),
        };
        let verdict = if figure.holds() { "" } else { "  MISSED" };
        println!(
            "{:<20} {:>12.2} {:>12.2} {:<12} {:>7.3}  {bound}{verdict}",
            figure.name,
            figure.ours(),
            figure.peer(),
            figure.unit,
            figure.ratio(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_refused_with_those_there_are() {
        let error = select(&["core.sael".to_owned()]).err().expect("refused");
        assert!(error.contains("core.sael") && error.contains("core.seal"));
        assert_eq!(select(&["scale".to_owned(), "memory".to_owned()]).map(|found| found.len()), Ok(2));
    }
}
