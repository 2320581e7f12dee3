//! What bad input gets, line by line.

mod approval;
mod consent;
mod content;
mod range;
mod sessions;
mod tokens;
mod tus;

use std::time::{Duration, Instant};

use vault_tests::vault::Vault;

/// How long after its answer a refusal may take to be in the log.
const NOTED: Duration = Duration::from_secs(10);

/// How many records the vault shows.
fn records(vault: &Vault) -> usize {
    let page = vault.person("analyst").get("/v1/records?limit=500").expect(200).json();
    page["items"].as_array().expect("items").len()
}

/// Waits until the log has this many entries of a type: refusals are noted after they are answered.
#[track_caller]
fn has_entries(vault: &Vault, kind: &str, count: usize) {
    let start = Instant::now();
    while entries(vault, kind) < count {
        assert!(start.elapsed() < NOTED, "the log has {} entries {kind}, not {count}", entries(vault, kind));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(entries(vault, kind), count, "{kind}");
}

/// How many entries of a type the log has.
fn entries(vault: &Vault, kind: &str) -> usize {
    let page = vault.person("auditor").get(&format!("/v1/audit/entries?type={kind}&limit=500")).expect(200).json();
    page["items"].as_array().expect("items").len()
}
