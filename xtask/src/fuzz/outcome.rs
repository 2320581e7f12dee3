//! What libFuzzer says of a run, and the sum over all runs.

use core::fmt;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// How a run of one target ended.
pub struct Outcome {
    target: String,
    seconds: u64,
    executions: u64,
    /// Edges that were taken, and edges that there are.
    edges: (u64, u64),
    inputs: u64,
    /// Inputs that broke something.
    pub findings: Vec<PathBuf>,
}

impl Outcome {
    /// From what the program wrote to its standard error.
    pub fn read(target: &str, time: Duration, log: &str, findings: Vec<PathBuf>) -> Self {
        let behind = |mark: &str| {
            let (_, rest) = log.rsplit_once(mark)?;
            rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Self {
            target: target.to_owned(),
            seconds: time.as_secs(),
            executions: behind("stat::number_of_executed_units:").unwrap_or(0),
            edges: (behind(" cov: ").unwrap_or(0), behind("INFO: Loaded 1 modules   (").unwrap_or(0)),
            inputs: behind(" corp: ").unwrap_or(0),
            findings,
        }
    }

    /// Adds the run to the target's record.
    pub fn record(&self, folder: &Path) -> Result<(), String> {
        let line = json!({"target": self.target, "seconds": self.seconds, "executions": self.executions,
            "edges": self.edges.0, "edges_there": self.edges.1, "inputs": self.inputs, "findings": self.findings.len()});
        let file = OpenOptions::new().create(true).append(true).open(folder.join("record"));
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, there) = self.edges;
        write!(f, "{:16} {:>6} s {:>12} executions", self.target, self.seconds, self.executions)?;
        write!(f, " {taken:>6} of {there} edges {:>6} inputs", self.inputs)?;
        self.findings.iter().try_for_each(|input| write!(f, "\n  FOUND {}", input.display()))
    }
}

/// The table of all that was ever run below `home`.
pub fn totals(home: &Path) -> Result<String, String> {
    let mut sums: BTreeMap<String, [u64; 5]> = BTreeMap::new();
    for entry in fs::read_dir(home.join("runs")).map_err(|e| e.to_string())?.flatten() {
        let record = fs::read_to_string(entry.path().join("record")).unwrap_or_default();
        for run in record.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let number = |name: &str| run[name].as_u64().unwrap_or(0);
            let sum = sums.entry(entry.file_name().to_string_lossy().into_owned()).or_default();
            sum[0] += number("seconds");
            sum[1] += number("executions");
            // Coverage grows: the last run's is that of all before it, while the target stays as it is.
            sum[2] = number("edges");
            sum[3] = number("inputs");
            sum[4] += number("findings");
        }
    }
    let mut table = String::from(
        "| target | minutes | executions | edges | inputs | findings |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let mut all = [0_u64; 3];
    for (target, [seconds, executions, edges, inputs, findings]) in &sums {
        let minutes = *seconds as f64 / 60.0;
        table.push_str(&format!("| {target} | {minutes:.1} | {executions} | {edges} | {inputs} | {findings} |\n"));
        all[0] += seconds;
        all[1] += executions;
        all[2] += findings;
    }
    table.push_str(&format!("| all | {:.1} | {} | | | {} |", all[0] as f64 / 60.0, all[1], all[2]));
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let log = "INFO: Loaded 1 modules   (20512 inline 8-bit counters): 20512 [0x1, 0x2),\n\
            #2\tINITED cov: 53 ft: 54 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #99\tDONE   cov: 812 ft: 2214 corp: 140/20Kb lim: 4096 exec/s: 33 rss: 60Mb\n\
            stat::number_of_executed_units: 99\nstat::peak_rss_mb: 60\n";
        let outcome = Outcome::read("note", Duration::from_secs(3), log, Vec::new());
        assert_eq!((outcome.executions, outcome.edges, outcome.inputs), (99, (812, 20512), 140));
        let line = outcome.to_string();
        assert!(line.contains("812 of 20512 edges") && !line.contains("FOUND"), "{line}");
        let broken = Outcome::read("note", Duration::from_secs(3), "", vec![PathBuf::from("artifacts/crash-1")]);
        assert!(broken.to_string().contains("FOUND artifacts/crash-1"));
    }

    #[test]
    fn runs_are_added_up() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = home.path().join("runs/note");
        fs::create_dir_all(&folder).expect("a directory");
        for (executions, edges) in [(10, 5), (20, 7)] {
            let log = format!(" cov: {edges} \nstat::number_of_executed_units: {executions}\n");
            Outcome::read("note", Duration::from_secs(60), &log, Vec::new()).record(&folder).expect("recorded");
        }
        let table = totals(home.path()).expect("a table");
        assert!(
            table.contains("| note | 2.0 | 30 | 7 | 0 | 0 |") && table.ends_with("| all | 2.0 | 30 | | | 0 |"),
            "{table}"
        );
    }
}
