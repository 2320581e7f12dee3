//! Proving that every wrap opens, page by page.

use serde::Serialize;
use vault_api::collections::Collection;
use vault_api::keys::{CollectionKeys, VerifiedKeys, VerifyQuery, WrapFinding};
use vault_api::page::PageQuery;

use super::path;
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};
use crate::progress;

/// Wraps asked for at once: some ten milliseconds of the server.
const PAGE: u32 = 5_000;
/// Collections looked at when none is named.
const MOST: usize = 10_000;

/// What was verified, of all collections together.
#[derive(Serialize)]
struct Verified {
    /// Wraps looked at.
    checked: u64,
    /// Wraps under compromised versions.
    skipped: u64,
    /// Those that do not open.
    findings: Vec<Found>,
}

/// A finding with its collection.
#[derive(Serialize)]
struct Found {
    /// The collection's name.
    collection: String,
    /// What the server found.
    #[serde(flatten)]
    finding: WrapFinding,
}

/// Verifies these collections, or all that can be seen.
pub fn run(client: &Client, collections: &[String]) -> Result<Report, Failure> {
    let names = if collections.is_empty() {
        let all = client.list::<Collection>("/v1/collections", &PageQuery::default(), MOST)?;
        all.items.into_iter().map(|collection| collection.name).collect()
    } else {
        collections.to_vec()
    };
    let mut verified = Verified { checked: 0, skipped: 0, findings: Vec::new() };
    for name in &names {
        one(client, name, &mut verified)?;
    }
    let mut text = format!("{} wraps of {} collections: ", verified.checked, names.len());
    if verified.skipped > 0 {
        text.push_str(&format!("{} under compromised versions were not opened, ", verified.skipped));
    }
    match verified.findings.len() {
        0 => text.push_str("every one opens under the version it names\n"),
        n => text.push_str(&format!("{n} DO NOT OPEN\n{}", table(&verified.findings))),
    }
    let exit = if verified.findings.is_empty() { 0 } else { 3 };
    Ok(Report { exit, ..Report::new(&verified, text) })
}

fn one(client: &Client, name: &str, verified: &mut Verified) -> Result<(), Failure> {
    let keys: CollectionKeys = client.get(&path(name, "")?, &())?;
    // Its records, its versions and its two own keys; what is uploaded or erased meanwhile moves the bar's end.
    let records: u64 = keys.versions.iter().map(|version| version.records).sum();
    let bar = progress::count(records + keys.versions.len() as u64 + 2, "wraps verified");
    let mut query = VerifyQuery { cursor: None, limit: Some(PAGE) };
    loop {
        let page: VerifiedKeys = client.get(&path(name, "/verify")?, &query)?;
        verified.checked += page.checked;
        verified.skipped += page.skipped;
        bar.inc(page.checked + page.skipped);
        let found = page.findings.into_iter().map(|finding| Found { collection: name.to_owned(), finding });
        verified.findings.extend(found);
        match page.next_cursor {
            // A page that ends where it began would never end.
            Some(cursor) if query.cursor.as_ref() != Some(&cursor) => query.cursor = Some(cursor),
            Some(_) => return Err(Failure::Protocol("the same page was answered twice".to_owned())),
            None => break,
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn table(findings: &[Found]) -> String {
    let mut table = Table::new(["collection", "what", "record", "version", "problem"]);
    for Found { collection, finding } in findings {
        table.row([
            clean(collection),
            wire_name(&finding.scope),
            finding.record_id.clone().unwrap_or_else(|| "-".to_owned()),
            finding.kek_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            wire_name(&finding.problem),
        ]);
    }
    table.render()
}
