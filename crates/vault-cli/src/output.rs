//! Standard output: the result for a person, or one JSON document.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::error::Failure;

/// What a command has to say once it is done.
#[derive(Debug)]
pub struct Report {
    /// For `--json`.
    pub json: Value,
    /// For a person; lines.
    pub text: String,
    /// 0, or 3 when a verification ended with a finding.
    pub exit: u8,
}

impl Report {
    /// A report of success. A value that cannot be serialised cannot come from `vault_api`.
    pub fn new(json: &impl Serialize, text: impl Into<String>) -> Self {
        Self { json: serde_json::to_value(json).unwrap_or(Value::Null), text: text.into(), exit: 0 }
    }
}

/// Writes the report to standard output.
pub fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &report.json)?;
        writeln!(out)?;
    } else if !report.text.is_empty() {
        writeln!(out, "{}", report.text.trim_end())?;
    }
    out.flush()
}

/// Says what went wrong on standard error; with `--json` also as one document on standard output.
pub fn print_failure(failure: &Failure, json: bool) {
    let mut err = io::stderr().lock();
    // Nobody is left to tell when these fail.
    let _ = writeln!(err, "error: {}", clean(&failure.to_string()));
    if let Some(help) = failure.help() {
        let _ = writeln!(err, "  {}", clean(&help));
    }
    if json {
        let mut out = io::stdout().lock();
        let _ = serde_json::to_writer_pretty(&mut out, &failure.json());
        let _ = writeln!(out);
    }
}

/// A message on standard error while a command works.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", clean(text));
}

/// Text of others (names, reasons, comments) without what could drive a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Columns of text, two spaces apart, with a head.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these heads.
    pub fn new<const N: usize>(heads: [&str; N]) -> Self {
        Self { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell).replace('\n', " ")).collect());
    }

    /// The table as text; a sentence when it has no rows.
    pub fn render(&self) -> String {
        if self.rows.len() == 1 {
            return "(none)".to_owned();
        }
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let line: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))))
                .collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// The name a value has on the wire: `key-officer` for `Role::KeyOfficer`.
pub fn wire_name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_does_not_pass() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
    }

    #[test]
    fn a_table_lines_up() {
        let mut table = Table::new(["id", "state"]);
        assert_eq!(table.render(), "(none)");
        table.row(["long-one".into(), "x".into()]);
        assert_eq!(table.render(), "id        state\nlong-one  x\n");
    }
}
