//! Promise 5: every route × nobody and each role, against the table written by hand.

mod golden;
mod stage;

use std::collections::BTreeSet;

use serde_json::Value;
use vault_tests::vault::Vault;

use golden::{Row, rows};
use stage::Stage;

/// Methods that OpenAPI knows and the vault uses.
const METHODS: [&str; 7] = ["get", "head", "options", "post", "put", "patch", "delete"];

#[test]
fn p5_every_route_answers_each_role_as_the_golden_matrix_says() {
    let vault = Vault::start();
    let stage = Stage::set(&vault);
    let mut wrong = Vec::new();
    for row in rows() {
        for (role, expected) in golden::COLUMNS.iter().zip(row.expected) {
            let answer = stage.ask(&row, role);
            if answer.status != expected {
                wrong.push(format!("{} {} as {role}: expected {expected}, got {answer}", row.method, row.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn p5_the_golden_matrix_names_the_routes_of_the_openapi_document_and_no_others() {
    let vault = Vault::start();
    let document = vault.nobody().get("/v1/openapi.json").expect(200).json();
    let served = operations(&document);
    let written: BTreeSet<(String, String)> = rows().into_iter().map(|row| (row.method, row.path)).collect();
    let missing: Vec<_> = served.difference(&written).collect();
    let gone: Vec<_> = written.difference(&served).collect();
    assert!(missing.is_empty(), "routes without a row in tests/golden/matrix.txt: {missing:?}");
    assert!(gone.is_empty(), "rows of tests/golden/matrix.txt without a route: {gone:?}");
}

#[test]
fn p5_a_token_that_is_none_is_like_no_token() {
    let vault = Vault::start();
    let good = vault.dev.tokens["analyst"].clone();
    let mut spoiled = vec![
        String::new(),
        "fv_".to_owned(),
        "fv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        good.trim_start_matches("fv_").to_owned(),
        format!("{good}A"),
        good.to_uppercase(),
    ];
    // One character changed, somewhere in the middle.
    let mut bytes = good.clone().into_bytes();
    bytes[20] = if bytes[20] == b'x' { b'y' } else { b'x' };
    spoiled.push(String::from_utf8(bytes).expect("ASCII"));
    for token in spoiled {
        let header = format!("Bearer {token}");
        let answer = vault.nobody().send("GET", "/v1/records", &[("authorization", &header)], &[]);
        answer.refused(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for header in [good.clone(), format!("Basic {good}"), format!("Token {good}")] {
        vault.nobody().send("GET", "/v1/records", &[("authorization", &header)], &[]).refused(401, "unauthenticated");
    }
    // A token in the query is not read: addresses end up in logs.
    let in_query = format!("/v1/records?access_token={good}");
    let answer = vault.nobody().get(&in_query);
    assert_eq!(answer.status, 401, "{answer}");
    assert!(!vault.log().contains(&good), "a token reached the log");
}

/// Method and path of every operation, parameters without their names. Pages are listed by the server as one
/// wildcard, if at all: they are static and public.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if item.get(method).is_some() {
                found.insert((method.to_uppercase(), golden::nameless(path)));
            }
        }
    }
    found
}

/// A row's probe is asked as each role: what the stage must be able to answer.
impl Stage<'_> {
    fn ask(&self, row: &Row, role: &str) -> vault_tests::http::Answer {
        let caller = if role == "nobody" { self.vault.nobody() } else { self.vault.person(role) };
        let probe = self.probe(&row.method, &row.path);
        let headers: Vec<(&str, &str)> = probe.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        caller.send(&row.method, &probe.path, &headers, &probe.body)
    }
}
