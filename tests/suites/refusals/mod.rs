//! What bad input gets, line by line.

mod approval;
mod consent;
mod content;
mod range;
mod sessions;
mod tokens;
mod tus;

use vault_tests::vault::Vault;

/// How many records the vault shows.
fn records(vault: &Vault) -> usize {
    let page = vault.person("analyst").get("/v1/records?limit=500").expect(200).json();
    page["items"].as_array().expect("items").len()
}

/// How many entries of a type the log has.
fn entries(vault: &Vault, kind: &str) -> usize {
    let page = vault.person("auditor").get(&format!("/v1/audit/entries?type={kind}&limit=500")).expect(200).json();
    page["items"].as_array().expect("items").len()
}
