//! `cargo xtask bench`: benchmarks by name.
//!
//! A benchmark is a release-built program of its own that measures both sides in one run and prints, for
//! each name it was given, one line of JSON: `{"name", "ours", "peer", "unit", "at_least" | "at_most"}`, medians of at
//! least five rounds. This module knows the names, runs the programs and holds the figures against their bounds.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::run;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Which benchmarks; all that are available when none is named
    names: Vec<String>,
    /// Print one JSON array on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

/// What measures a benchmark: an example of a package.
struct Program {
    package: &'static str,
    example: &'static str,
}

const CORE: Program = Program { package: "vault-core", example: "bench" };

/// Every name there is, and what measures it; `None` while nothing does.
const NAMES: &[(&str, Option<&Program>)] = &[
    ("core.seal", Some(&CORE)),
    ("core.open", Some(&CORE)),
    ("file.seal", None),
    ("upload", None),
    ("playback", None),
    ("range.64k", None),
    ("range.256k", None),
    ("audit.append", None),
    ("audit.verify.merkle", None),
    ("audit.verify", None),
    ("memory", None),
];

/// Runs what was asked for and prints it.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let wanted = select(&options.names)?;
    let mut figures = Vec::new();
    for (name, program) in wanted {
        let program = match program {
            Some(program) if exists(program) => program,
            _ if options.names.is_empty() => {
                eprintln!("{name}: not available in this version");
                continue;
            }
            _ => return Err(format!("{name} is not available in this version")),
        };
        let mut cargo = run::cargo();
        cargo.args(["run", "--quiet", "--release", "--locked", "--package", program.package]);
        cargo.args(["--example", program.example, "--", name]);
        eprintln!("{name}: {}", run::spelled(&cargo));
        figures.push(judged(&run::output(cargo)?)?);
    }
    if figures.is_empty() {
        return Err("nothing was measured".to_owned());
    }
    if options.json {
        println!("{}", Value::Array(figures.clone()));
    } else {
        print_table(&figures);
    }
    Ok(if figures.iter().all(holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn select(names: &[String]) -> Result<Vec<(&'static str, Option<&'static Program>)>, String> {
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

fn exists(program: &Program) -> bool {
    run::root().join("crates").join(program.package).join("examples").join(format!("{}.rs", program.example)).is_file()
}

/// The program's last line, with the ratio worked out.
fn judged(said: &str) -> Result<Value, String> {
    let line = said.lines().last().unwrap_or_default();
    let mut figure: Value = serde_json::from_str(line).map_err(|_| format!("not a figure: {line}"))?;
    match (figure["ours"].as_f64(), figure["peer"].as_f64()) {
        (Some(ours), Some(peer)) if peer > 0.0 => figure["ratio"] = json!((ours / peer * 1000.0).round() / 1000.0),
        _ => return Err(format!("a figure needs `ours` and `peer`: {line}")),
    }
    Ok(figure)
}

fn holds(figure: &Value) -> bool {
    let ratio = figure["ratio"].as_f64().unwrap_or(f64::NAN);
    let least = figure["at_least"].as_f64().is_none_or(|least| ratio >= least);
    let most = figure["at_most"].as_f64().is_none_or(|most| ratio <= most);
    least && most && ratio.is_finite()
}

fn print_table(figures: &[Value]) {
    println!("{:<20} {:>12} {:>12} {:<8} {:>7}  bound", "name", "ours", "peer", "unit", "ratio");
    for figure in figures {
        let word = |member: &str| figure[member].as_str().unwrap_or_default().to_owned();
        let number = |member: &str| figure[member].as_f64().unwrap_or(f64::NAN);
        let bound = match (figure["at_least"].as_f64(), figure["at_most"].as_f64()) {
            (Some(least), _) => format!("at least {least}"),
            (_, Some(most)) => format!("at most {most}"),
            _ => "none".to_owned(),
        };
        let verdict = if holds(figure) { "" } else { "  MISSED" };
        println!(
            "{:<20} {:>12.2} {:>12.2} {:<8} {:>7.3}  {bound}{verdict}",
            word("name"),
            number("ours"),
            number("peer"),
            word("unit"),
            number("ratio"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_held_against_their_bounds() {
        let good = judged("noise\n{\"name\":\"x\",\"ours\":8,\"peer\":10,\"unit\":\"GB/s\",\"at_least\":0.75}")
            .expect("a figure");
        assert!(good["ratio"] == 0.8 && holds(&good));
        let slow =
            judged("{\"name\":\"x\",\"ours\":6,\"peer\":10,\"unit\":\"GB/s\",\"at_least\":0.75}").expect("a figure");
        assert!(!holds(&slow));
        assert!(judged("{\"name\":\"x\",\"ours\":6,\"peer\":0}").is_err());
        assert!(judged("").is_err());
    }

    #[test]
    fn unknown_names_are_refused_with_those_there_are() {
        let error = select(&["core.sael".to_owned()]).err().expect("refused");
        assert!(error.contains("core.sael") && error.contains("core.seal"));
    }
}
