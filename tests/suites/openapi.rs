//! The OpenAPI document that is served, against the one that is checked in.

use std::collections::BTreeSet;

use vault_tests::programs::workspace;
use vault_tests::vault::Vault;

/// Set to write the golden file anew instead of comparing.
const OVERWRITE: &str = "VAULT_TESTS_OVERWRITE";

#[test]
fn the_served_document_is_the_checked_in_one() {
    let vault = Vault::start();
    let mut served = vault.nobody().get("/v1/openapi.json").expect(200).json();
    served.sort_all_objects();
    let served = serde_json::to_string_pretty(&served).expect("JSON") + "\n";
    let path = workspace().join("docs/openapi.json");
    if std::env::var_os(OVERWRITE).is_some() {
        std::fs::write(&path, served).expect("written");
        return;
    }
    let golden = std::fs::read_to_string(&path).expect("docs/openapi.json");
    let differs = golden.lines().zip(served.lines()).position(|(golden, served)| golden != served);
    assert!(
        golden == served,
        "docs/openapi.json is not what the server serves (first at line {:?}); after a change that is meant, run \
         {OVERWRITE}=1 cargo test -p vault-tests the_served_document",
        differs.map(|at| at + 1)
    );
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    let vault = Vault::start();
    let document = vault.nobody().get("/v1/openapi.json").expect(200).json();
    let (mut wanting, mut names) = (Vec::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Some(responses) = operation["responses"].as_object() else { continue };
            let name = format!("{method} {path}");
            if operation["summary"].as_str().is_none_or(str::is_empty) {
                wanting.push(format!("{name}: no summary"));
            }
            if operation["operationId"].as_str().is_none_or(str::is_empty) {
                wanting.push(format!("{name}: no operationId"));
            }
            let id = operation["operationId"].as_str().unwrap_or_default();
            if !names.insert(id.to_owned()) {
                wanting.push(format!("{name}: another operation is called {id}, too"));
            }
            if !responses.keys().any(|status| status.starts_with('2')) {
                wanting.push(format!("{name}: no success"));
            }
        }
    }
    assert!(wanting.is_empty(), "{}", wanting.join("\n"));
}
