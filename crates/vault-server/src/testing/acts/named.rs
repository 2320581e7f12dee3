//! Every transaction that the source names is made to fail in both ways, or is left out for a reason that stands here.
//!
//! The names are read out of the source itself, so that whoever adds a transaction is told here that no test makes it fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Act, access, collections, people, sessions, starts};

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

/// Those that no table here makes fail: because of what they are, because a test of their own does, or not yet.
const LEFT_OUT: &[(&str, &str)] = &[
    ("by_hand", "tests alone make it"),
    (
        "settle_head",
        "is always rolled back: it holds the head's row to read what became of a commit, and writes nothing",
    ),
    ("adopt_upload", "fails in a life: `testing::sweep`"),
    ("advance_reencryption", "not yet: no test makes it fail"),
    ("advance_upload", "fails in a life: `testing::sweep`"),
    ("announce_rewrite", "fails in `app::reencrypt::tests`"),
    ("begin_cycle", "fails in `app::keys::cycle::tests::trouble`"),
    ("begin_cycle_root", "not yet: no test makes it fail"),
    ("begin_reencryption", "not yet: no test makes it fail"),
    ("begin_rewrap", "fails in a life: `testing::sweep`"),
    ("bury_intents", "fails in a life: `testing::sweep`"),
    ("cancel_cycle", "not yet: no test makes it fail"),
    ("cancel_destruction", "not yet: no test makes it fail"),
    ("confirm_cycle", "fails in `app::keys::cycle::tests::trouble`"),
    ("confirm_destruction", "not yet: no test makes it fail"),
    ("control_reencryption", "not yet: no test makes it fail"),
    ("control_rotation", "not yet: no test makes it fail"),
    ("count_collection", "not yet: no test makes it fail"),
    ("create_upload", "fails in a life: `testing::sweep`"),
    ("destroy_key", "fails in `app::keys::destroy::tests`"),
    ("destroy_root", "fails in `app::keys::destroy::tests::root`"),
    ("drop_ended_uploads", "fails in a life: `testing::sweep`"),
    ("end_cycle", "not yet: no test makes it fail"),
    ("end_rewrite", "not yet: no test makes it fail"),
    ("end_upload", "not yet: no test makes it fail"),
    ("expire_upload", "not yet: no test makes it fail"),
    ("finish_cycle", "fails in `app::keys::cycle::tests::trouble`"),
    ("finish_reencryption", "fails in `app::reencrypt::tests`"),
    ("finish_rotation", "fails in a life: `testing::sweep`"),
    ("intend_part", "fails in a life: `testing::sweep`"),
    ("mark_compromised", "fails in `app::keys::tests::compromise`"),
    ("prune_restrictions", "not yet: no test makes it fail"),
    ("put_destruction_down", "fails in `app::keys::cycle::tests::trouble`"),
    ("reencrypt_record", "fails in `app::reencrypt::tests`"),
    ("renew_intent", "fails in a life: `testing::sweep`"),
    ("request_destruction", "not yet: no test makes it fail"),
    ("rewrap_record_keys", "fails in a life: `testing::sweep`"),
    ("rotate_root", "fails in `app::keys::cycle::tests::trouble`"),
    ("take_lease", "not yet: no test makes it fail"),
    ("take_upload", "fails in a life: `testing::sweep`"),
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
    let acts = [people::ACTS, collections::ACTS, access::ACTS];
    let acts = acts.into_iter().flatten().flat_map(|act: &Act| act.makes.iter().copied());
    let others = [starts::MAKES, sessions::MAKES].concat();
    acts.chain(others.into_iter().flat_map(|makes| makes.iter().copied())).chain(OF_THE_LOG.iter().copied()).collect()
}

#[test]
fn p3_no_transaction_is_named_that_no_test_makes_fail() {
    let (named, failed) = (named(), failed());
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    let forgotten: Vec<_> =
        named.iter().filter(|(name, _)| !failed.contains(name.as_str()) && !left_out.contains(name.as_str())).collect();
    assert!(forgotten.is_empty(), "no test makes these fail: {forgotten:#?}");
    let gone: Vec<_> = failed.iter().chain(&left_out).filter(|name| !named.contains_key(**name)).collect();
    assert!(gone.is_empty(), "no such transactions: {gone:?}");
    assert!(failed.is_disjoint(&left_out));
    println!("{} named, {} made to fail, {} left out", named.len(), failed.len(), left_out.len());
}
