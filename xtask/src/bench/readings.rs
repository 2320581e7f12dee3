//! Raw readings: one file for each figure in `docs/benchmarks`, with the class of machine they were taken on.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::figure::{Figure, rounded};
use crate::run;

/// Where they are written.
pub fn folder() -> PathBuf {
    run::root().join("docs/benchmarks")
}

/// Writes the readings of one figure; an older file of that name is replaced.
pub fn write(figure: &Figure) -> Result<PathBuf, String> {
    let mut record = figure.told();
    record["readings"] = json!({"ours": figure.ours.iter().copied().map(rounded).collect::<Vec<_>>(),
        "peer": figure.peer.iter().copied().map(rounded).collect::<Vec<_>>()});
    record["about"] = figure.about.clone();
    record["machine"] = machine();
    record["date"] = json!(today());
    record["command"] = json!(format!("cargo xtask bench {}", figure.name));
    let path = folder().join(format!("{}.json", figure.name));
    let text = serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(folder())
        .and_then(|()| std::fs::write(&path, text + "\n"))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// What kind of machine this is, by nothing that names it.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let load = read("/proc/loadavg");
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": member(&processors, "model name").unwrap_or("unknown"),
        "family": member(&processors, "cpu family").unwrap_or("unknown"),
        "memory_gib": member(&read("/proc/meminfo"), "MemTotal").and_then(gibibytes),
        "kernel": series(&read("/proc/sys/kernel/osrelease")),
        "load_after": load.split_whitespace().next(),
    })
}

fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim()))
}

fn gibibytes(kilobytes: &str) -> Option<u64> {
    let kilobytes: u64 = kilobytes.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.div_ceil(1 << 20))
}

/// `6.1` of `6.1.0-17-amd64`: what comes after may name a provider.
fn series(release: &str) -> String {
    release.trim().splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn today() -> String {
    let mut date = run::command("date");
    date.args(["-u", "+%F"]);
    run::output(date).map(|said| said.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_proc_files_are_found() {
        let text = "processor\t: 0\nmodel name\t: Example 9\ncpu family\t: 26\nMemTotal:       25165824 kB\n";
        assert_eq!(member(text, "model name"), Some("Example 9"));
        assert_eq!(member(text, "MemTotal").and_then(gibibytes), Some(24));
        assert_eq!(member(text, "flags"), None);
    }

    #[test]
    fn a_kernel_is_named_by_its_series() {
        assert_eq!(series("6.18.44-provider-7\n"), "6.18");
        assert_eq!(series("6"), "6");
    }
}
