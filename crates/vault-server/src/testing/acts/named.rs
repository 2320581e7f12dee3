//! Every transaction that the source names is made to fail in both ways, or cannot be, for a reason that stands here.
//!
//! The names are read out of the source itself, so that whoever adds a transaction is told here that no test makes it fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Act, access, collections, keys, people, root, sessions, starts, uploads};

/// Those of the log itself: `app::ledger::tests::pairs` makes them fail, and runs over this very list.
pub(crate) const OF_THE_LOG: &[&str] = &[
    "append_to_log",
    "beat",
    "fence_log",
    "leave_in_outbox",
    "release_lease",
    "renew_lease",
    "replay_log",
    "seize_lease",
];

/// Those that a test elsewhere makes fail, and its file: it has the name and both faults.
const ELSEWHERE: &[(&str, &str)] = &[
    ("begin_cycle_root", "app/keys/cycle/tests/trouble.rs"),
    ("bury_intents", "testing/sweep.rs"),
    ("destroy_key", "app/keys/destroy/tests/mod.rs"),
    ("destroy_root", "app/keys/destroy/tests/root.rs"),
    ("drop_ended_uploads", "testing/sweep.rs"),
    ("finish_cycle", "app/keys/cycle/tests/trouble.rs"),
    ("put_destruction_down", "app/keys/cycle/tests/trouble.rs"),
];

/// Those whose commit cannot fail in two ways.
const LEFT_OUT: &[(&str, &str)] = &[
    ("by_hand", "tests alone make it"),
    (
        "settle_head",
        "is always rolled back: it holds the head's row to read what became of a commit, and writes nothing",
    ),
];

/// The names of transactions in the source, each with a file that makes it. A transaction without a name in quotation
/// marks would escape this, so there must be none.
fn named() -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    names
}

fn collect(folder: &Path, names: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["tests", "testing"].contains(&name.as_str()) {
                collect(&path, names);
            }
            continue;
        }
        if !name.ends_with(".rs") || ["tests.rs", "testing.rs", "conformance.rs"].contains(&name.as_str()) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // Comments show how it is done.
        let source: String = source.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
        let mut made: Vec<String> = Vec::new();
        for call in
            source.split("store.begin(").skip(1).chain(source.split("self.begin(\"").skip(1).map(|_| "\"by_hand\""))
        {
            let text = call.trim_start();
            assert!(text.starts_with('"'), "{}: a transaction without a name of its own", path.display());
            made.extend(text[1..].split('"').next().map(str::to_owned));
        }
        names.extend(made.into_iter().map(|made| (made, path.display().to_string())));
    }
}

/// What is made to fail, by whom.
fn failed() -> BTreeSet<&'static str> {
    let acts = [people::ACTS, collections::ACTS, access::ACTS, uploads::ACTS, keys::ACTS, root::ACTS];
    let acts = acts.into_iter().flatten().flat_map(|act: &Act| act.makes.iter().copied());
    let others = [starts::MAKES, sessions::MAKES].concat();
    acts.chain(others.into_iter().flat_map(|makes| makes.iter().copied())).chain(OF_THE_LOG.iter().copied()).collect()
}

#[test]
fn p3_no_transaction_is_named_that_no_test_makes_fail() {
    let (named, mut failed) = (named(), failed());
    for (name, file) in ELSEWHERE {
        let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let test = std::fs::read_to_string(test).unwrap();
        for needed in [&format!("\"{name}\""), "Fault::NotPersisted", "Fault::Persisted"] {
            assert!(test.contains(needed), "{file} does not make {name} fail: {needed} is not in it");
        }
        assert!(failed.insert(name), "{name} fails here already");
    }
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    let forgotten: Vec<_> =
        named.iter().filter(|(name, _)| !failed.contains(name.as_str()) && !left_out.contains(name.as_str())).collect();
    assert!(forgotten.is_empty(), "no test makes these fail: {forgotten:#?}");
    let gone: Vec<_> = failed.iter().chain(&left_out).filter(|name| !named.contains_key(**name)).collect();
    assert!(gone.is_empty(), "no such transactions: {gone:?}");
    assert!(failed.is_disjoint(&left_out));
    println!("{} named, {} made to fail in pairs, {} cannot be", named.len(), failed.len(), left_out.len());
}
