//! `cargo xtask test`: every check there is.
//!
//! One feature set and one set of flags throughout (`--workspace`, warnings as errors passed
//! behind `--`), so that no dependency is built twice. Cheap steps come first.

use std::process::{Command, ExitCode};

use crate::run::{self, Outcome, Report};
use crate::{audits, demo, layering, licences, operations, postgres, promises, s3, sbom, tidy, tools};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Run only these steps
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(STEPS.iter().map(|(name, _)| *name)))]
    steps: Vec<String>,
}

type Step = fn() -> Outcome;

const STEPS: &[(&str, Step)] = &[
    ("formatting", formatting),
    ("layering", layering::check),
    ("tidy", tidy::check),
    ("promises", promises::check),
    ("licences", licences::check),
    ("cargo-deny", cargo_deny),
    ("audits", audits::check),
    ("sbom", sbom::check),
    ("operations", operations::check),
    ("clippy", clippy),
    ("programs", programs),
    ("tests", tests),
    ("mounts", mounts),
    ("full-cluster", full_cluster),
    ("power-loss", power_loss),
    ("s3", on_s3),
    ("postgres", on_postgres),
    ("pooler", behind_a_pooler),
    ("grown-up", grown_up),
    ("doc-tests", doc_tests),
    ("rustdoc", rustdoc),
    ("tus-client", tus_client),
    ("browser", browser),
    ("demo", demonstration),
];

/// Runs the steps and prints the table.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let mut report = Report::default();
    for (name, step) in STEPS {
        if options.steps.is_empty() || options.steps.iter().any(|wanted| wanted == name) {
            report.step(name, step);
        }
    }
    Ok(if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn formatting() -> Outcome {
    let mut cargo = run::cargo();
    cargo.args(["fmt", "--all", "--check"]);
    run::check(cargo)
}

fn cargo_deny() -> Outcome {
    match tools::cargo_deny() {
        Ok(mut deny) => {
            deny.args(["--all-features", "check", "bans", "licenses", "sources"]);
            run::check(deny)
        }
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn clippy() -> Outcome {
    let mut cargo = run::cargo();
    // Behind `--` the flag reaches our own crates alone; RUSTFLAGS would rebuild every dependency.
    cargo.args(["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    run::check(cargo)
}

/// The programs that suites and node clients start as child processes, and the tests beside them: what is built
/// together has one set of features, and no dependency is built twice.
fn programs() -> Outcome {
    let mut cargo = run::cargo();
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bins", "--tests"]);
    run::check(cargo)
}

fn tests() -> Outcome {
    let mut cargo = killing(run::in_memory(run::cargo()), WHOLE);
    if tools::nextest() {
        cargo.args(["nextest", "run", "--locked", "--workspace", "--profile", "full", "--status-level", "slow"]);
        counted(cargo, nextest_counts)
    } else {
        cargo.args(["test", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
        counted(cargo, libtest_counts)
    }
}

/// How often servers are killed in the whole runs, the embedded database's and PostgreSQL's: in whatever they do, two hundred times
/// in both; in each act on keys, restores and successions; in rotations. At the desk and on S3 the suites kill as often as they do by
/// themselves. Whoever sets one of these is heard.
const WHOLE: [(&str, &str); 3] =
    [("VAULT_TESTS_KILLS", "100"), ("VAULT_TESTS_KEY_KILLS", "25"), ("VAULT_TESTS_ROTATION_KILLS", "12")];

/// Behind a pooler, in whatever they do: the two hundred are held without it.
const POOLED: [(&str, &str); 3] = [("VAULT_TESTS_KILLS", "25"), WHOLE[1], WHOLE[2]];

fn killing(mut cargo: Command, how_often: [(&str, &str); 3]) -> Command {
    for (name, times) in how_often {
        if std::env::var_os(name).is_none() {
            cargo.env(name, times);
        }
    }
    cargo
}

/// Suites that fill a file system of their own, or make it read-only; where none can be mounted, that is said.
fn mounts() -> Outcome {
    match tools::mount() {
        Ok(()) => apart("trouble::mounted::"),
        Err(reason) => Outcome::Skipped(reason),
    }
}

/// A PostgreSQL on a file system of its own that is full.
fn full_cluster() -> Outcome {
    match tools::mount().and_then(|()| tools::postgres()) {
        Ok(_) => apart("trouble::cluster::"),
        Err(reason) => Outcome::Skipped(reason),
    }
}

/// Suites that record a server's system calls; where nothing can be recorded, that is said.
fn power_loss() -> Outcome {
    match tools::strace() {
        Ok(()) => apart("power_loss::"),
        Err(reason) => Outcome::Skipped(reason),
    }
}

/// Tests that are ignored by themselves, because they need what not every machine gives.
fn apart(module: &str) -> Outcome {
    let mut cargo = run::in_memory(run::cargo());
    if tools::nextest() {
        cargo.args(["nextest", "run", "--locked", "--workspace", "--profile", "full", "--status-level", "slow"]);
        cargo.args(["--run-ignored", "only", "--filterset", &format!("test(/^{module}/)")]);
        counted(cargo, nextest_counts)
    } else {
        cargo.args(["test", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--tests", "--"]);
        cargo.args(["--ignored", module]);
        counted(cargo, libtest_counts)
    }
}

/// The object store's conformance, and every suite in which objects matter, on a real S3 server.
fn on_s3() -> Outcome {
    if !tools::nextest() {
        return Outcome::Skipped("cargo-nextest is not installed, and chooses the tests".to_owned());
    }
    let server = match s3::Server::start() {
        Ok(server) => server,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut cargo = run::in_memory(run::cargo());
    cargo.env("VAULT_TESTS_S3", server.variables()).env("VAULT_TESTS_S3_FOLDER", server.folder());
    cargo.args(["nextest", "run", "--locked", "--workspace", "--profile", "full", "--run-ignored", "all"]);
    cargo.args(["--status-level", "slow", "-E", ON_S3]);
    counted(cargo, nextest_counts)
}

/// Not among them: what puts faults between vault and objects itself (`object_store` has a bucket that misbehaves; `trouble`
/// and `power_loss` have disks), what stops and cuts a database (`postgres`, `nodes::database`), what starts servers whose
/// configuration names no bucket (`production`), and what stores nothing (`command_line`, `openapi`, an attacker's floods of
/// requests).
const ON_S3: &str = "test(objects::conformance::s3_) + (package(vault-tests) \
     & test(/^(story|crash|restrict|nodes|audit_log|memory|gate|scopes|rotation|key_crash|erasure|destroy|canary|tampering|exposure|restore|succession|operations|matrix|refusals)::/) \
     - test(/^nodes::database::/)) \
     + (package(vault-tests) & test(/^attack::(p12_an_object_store|p5_a_stolen)/))";

/// What has to hold on PostgreSQL too: the server's own tests, and every suite but what no engine matters to, and the one that records what
/// a server syncs to its own disk, which the rows are not on then. Of full disks and read-only directories, PostgreSQL's own has a
/// step of its own.
const ON_POSTGRES: &str = "(package(vault-server) - test(/config::|http::openapi|objects::/)) \
     + (package(vault-tests) & binary(suites) - test(/^(openapi|power_loss|trouble::(mounted|cluster)|object_store::a_|attack::p11_half_)/))";

/// Behind a pooler: what a connection's state could break. A test that cuts a wire to a cluster of its own has no pooler.
const BEHIND_A_POOLER: &str = "(package(vault-server) & test(/store::|ledger::|keys::|restrict::|upload::|people::/)) \
     + (package(vault-tests) & test(/^(story|gate|rotation|nodes|restrict|crash|key_crash)::/) - test(/^nodes::database::/))";

/// The grown-up shape: rows on PostgreSQL, objects in a bucket, two nodes before both, and each request of a suite to the node whose
/// turn it is. `nodes` is about nodes: it starts its own. Not among them: what is about one process (`memory`, `power_loss`, `trouble`,
/// `operations`, `production`, an attacker's floods, `refusals::http2`: only the node that has a connection knows what it took in from
/// it), kills that are aimed at one (`crash`, `key_crash`), what starts servers on folders of its own (`restore`, `succession`),
/// what edits behind a server's back and reads what that one found (`canary`, `tampering`), and what takes the better part of a
/// minute (`rotation::p7_kill_9`, `erasure::p8`; both hold on two nodes).
const GROWN_UP: &str = "package(vault-tests) \
     & test(/^((nodes|story|gate|restrict|audit_log|scopes|matrix|rotation|destroy|exposure|refusals)::|erasure::p6_|attack::p5_)/) \
     - test(/^(nodes::database::|refusals::http2::|rotation::p7_kill_9)/)";

fn on_postgres() -> Outcome {
    match postgres::cluster() {
        Ok(cluster) => on_a_server(&cluster, None, None, ON_POSTGRES),
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn behind_a_pooler() -> Outcome {
    let services = postgres::cluster().and_then(|cluster| Ok((postgres::pooler(&cluster)?, cluster)));
    match services {
        // Dropped in this order: the pooler first.
        Ok((pooler, cluster)) => on_a_server(&cluster, Some(&pooler), None, BEHIND_A_POOLER),
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn grown_up() -> Outcome {
    match postgres::cluster().and_then(|cluster| Ok((s3::Server::start()?, cluster))) {
        Ok((bucket, cluster)) => on_a_server(&cluster, None, Some(&bucket), GROWN_UP),
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn on_a_server(
    cluster: &postgres::Service,
    pooler: Option<&postgres::Service>,
    bucket: Option<&s3::Server>,
    which: &str,
) -> Outcome {
    if !tools::nextest() {
        return Outcome::Skipped("cargo-nextest is not installed; it picks the tests".to_owned());
    }
    let mut cargo = run::in_memory(run::cargo());
    cargo.args([
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--profile",
        "full",
        "--status-level",
        "slow",
        "--run-ignored",
        "all",
        "-E",
        which,
    ]);
    cargo.env("VAULT_TEST_POSTGRES", cluster.url());
    cargo = killing(cargo, if pooler.is_some() { POOLED } else { WHOLE });
    if let Some(pooler) = pooler {
        cargo.env("VAULT_TEST_POOLER", pooler.url());
    }
    if let Some(bucket) = bucket {
        cargo.env("VAULT_TESTS_S3", bucket.variables()).env("VAULT_TESTS_NODES", "2");
    }
    counted(cargo, nextest_counts)
}

fn doc_tests() -> Outcome {
    let mut cargo = run::cargo();
    cargo.args(["test", "--quiet", "--locked", "--workspace", "--doc"]);
    counted(cargo, libtest_counts)
}

fn rustdoc() -> Outcome {
    let mut cargo = run::cargo();
    cargo.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    cargo.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
    run::check(cargo)
}

/// tus-js-client, as upload widgets use it. Like the browser's tests it starts the debug-built server itself.
fn tus_client() -> Outcome {
    match tools::npm_packages(&node_folder()) {
        Ok(()) => counted(node_test("tus.test.js"), tap_counts),
        Err(reason) => Outcome::Skipped(reason),
    }
}

/// Chromium plays a recording and seeks in it.
fn browser() -> Outcome {
    let found = tools::npm_packages(&node_folder()).and_then(|()| tools::chromium());
    match found {
        Ok(program) => {
            let mut node = node_test("browser.test.js");
            node.env("VAULT_TESTS_CHROMIUM", program);
            counted(node, tap_counts)
        }
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn node_folder() -> std::path::PathBuf {
    run::root().join("tests/node")
}

fn node_test(file: &str) -> Command {
    let mut node = run::in_memory(run::command("node"));
    node.current_dir(node_folder()).args(["--test", "--test-reporter=tap", file]);
    node
}

/// The demonstration checks every sentence that it prints; here on the debug-built programs.
fn demonstration() -> Outcome {
    match demo::main(&demo::Options { keep: false, debug: true }) {
        Ok(_) => Outcome::Passed(1),
        Err(error) => Outcome::failed(error),
    }
}

/// Runs a test runner and adds up what it says about itself. A runner that ran nothing has failed.
fn counted(command: Command, counts: fn(&[String]) -> (u64, u64)) -> Outcome {
    let (succeeded, lines) = match run::tee(command) {
        Ok(done) => done,
        Err(error) => return Outcome::failed(error),
    };
    match counts(&lines) {
        (0, 0) if succeeded => Outcome::failed("it ran no test"),
        (passed, 0) if succeeded => Outcome::Passed(passed),
        (passed, failed) => Outcome::Failed { passed, failed, note: format!("{} failed; see above", failed.max(1)) },
    }
}

/// `Summary [ 1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 1 timed out, 0 skipped`
fn nextest_counts(lines: &[String]) -> (u64, u64) {
    let Some(summary) = lines.iter().rev().find(|line| line.trim_start().starts_with("Summary [")) else {
        return (0, 0);
    };
    let plain = summary.replace(['(', ')', ','], " ");
    (before(&plain, "passed"), ["failed", "timed", "exec"].iter().map(|word| before(&plain, word)).sum())
}

/// `test result: ok. 12 passed; 0 failed; …`, once for each binary.
fn libtest_counts(lines: &[String]) -> (u64, u64) {
    let results = lines.iter().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        let plain = line.replace(';', " ");
        (passed + before(&plain, "passed"), failed + before(&plain, "failed"))
    })
}

/// `# pass 3` and `# fail 0` at the end of node's TAP.
fn tap_counts(lines: &[String]) -> (u64, u64) {
    let after = |start: &str| {
        lines.iter().rev().find_map(|line| line.strip_prefix(start)).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    };
    (after("# pass "), after("# fail ") + after("# cancelled "))
}

/// The number that stands before a word.
fn before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[1] == word).find_map(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_runners_are_read() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let nextest = "     Summary [   1.204s] 14 tests run: 11 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(nextest_counts(&lines(nextest)), (11, 3));
        assert_eq!(nextest_counts(&lines("error: no tests")), (0, 0));
        let libtest =
            "test result: ok. 12 passed; 0 failed; 1 ignored\ntest result: FAILED. 3 passed; 2 failed; 0 ignored";
        assert_eq!(libtest_counts(&lines(libtest)), (15, 2));
        assert_eq!(tap_counts(&lines("ok 1 - x\n# tests 4\n# pass 3\n# fail 1\n# cancelled 0")), (3, 1));
    }
}
