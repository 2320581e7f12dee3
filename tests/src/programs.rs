//! The programs under test, built from this workspace and never older than the suites.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

/// The path of a program of the workspace, in the build of which this test is a part.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = built();
    let path = folder.join(name);
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Builds once for each run of the suites, however many processes it has, and answers where the programs lie.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // The test itself is target/<profile>/deps/suites-<hash>.
        let me = std::env::current_exe().expect("a test knows its own path");
        let folder = me.ancestors().nth(2).expect("a test lies in target/<profile>/deps").to_owned();
        let lock = File::create(folder.join(".vault-tests.lock")).expect("a lock file in the target directory");
        flock(&lock, FlockOperation::LockExclusive).expect("the lock");
        let stamp = folder.join(".vault-tests.built");
        // nextest runs each test in its own process and names the run; without it this is the only process.
        let run = std::env::var_os("NEXTEST_RUN_ID").map(|id| id.to_string_lossy().into_owned());
        if run.is_none() || std::fs::read_to_string(&stamp).ok() != run {
            build();
            std::fs::write(&stamp, run.unwrap_or_default()).expect("the stamp");
        }
        folder
    })
}

fn build() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace and its tests, so that the features, and so the dependencies, are those of the test run.
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--tests"]).current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "building the programs ended with {status}");
}
