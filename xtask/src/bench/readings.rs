//! Raw readings: one file for each figure in `docs/benchmarks`, with the class of machine they were taken on, and the
//! table of all of them in that folder's README.

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

/// Where the table stands in the README.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];

/// Writes the table of what the files in the folder say into its README, in the order of `names`.
pub fn write_table(names: &[&str]) -> Result<(), String> {
    let path = folder().join("README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rows: Vec<Value> = names
        .iter()
        .filter_map(|name| {
            let read = std::fs::read(folder().join(format!("{name}.json"))).ok()?;
            serde_json::from_slice(&read).ok()
        })
        .collect();
    let text = with_table(&text, &table(&rows)).ok_or("docs/benchmarks/README.md has no marks for the table")?;
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn table(rows: &[Value]) -> String {
    let mut text = "| name | ours | peer | unit | ratio | bound | storage | read on |\n".to_owned();
    text.push_str("| --- | ---: | ---: | --- | ---: | --- | --- | --- |\n");
    for row in rows {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let bound = match (row["at_least"].as_f64(), row["at_most"].as_f64()) {
            (Some(least), _) => format!("at least {least}{}", missed(row["ratio"].as_f64() < Some(least))),
            (_, Some(most)) => format!("at most {most}{}", missed(row["ratio"].as_f64() > Some(most))),
            _ => String::new(),
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {bound} | {} | {} |\n",
            word(&row["name"]),
            row["ours"],
            row["peer"],
            word(&row["unit"]),
            row["ratio"],
            word(&row["about"]["storage"]),
            word(&row["date"]),
        ));
    }
    text
}

const fn missed(missed: bool) -> &'static str {
    if missed { ", **missed**" } else { "" }
}

fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
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
    fn the_table_replaces_what_stands_between_the_marks() {
        let row = json!({"name": "x", "ours": 1.5, "peer": 3, "unit": "s", "ratio": 0.5, "at_most": 1.0,
            "about": {"storage": "disk"}, "date": "2026-01-02"});
        let text = format!("a\n{}old\n{}b\n", MARKS[0], MARKS[1]);
        let text = with_table(&text, &table(&[row])).expect("marks");
        assert!(text.contains("| `x` | 1.5 | 3 | s | 0.5 | at most 1 | disk | 2026-01-02 |\n<!-- end"), "{text}");
        assert!(text.starts_with("a\n") && text.ends_with("b\n") && !text.contains("old"));
        assert_eq!(with_table("no marks", ""), None);
    }

    #[test]
    fn a_kernel_is_named_by_its_series() {
        assert_eq!(series("6.18.44-provider-7\n"), "6.18");
        assert_eq!(series("6"), "6");
    }
}
