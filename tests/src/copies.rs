//! The metadata database as a whole, behind the server's back: copied, put back, lost, and laid open to a search.
//!
//! A copy of the embedded database is its file; of one on PostgreSQL it is a dump as text, which is what its operators keep
//! and what a thief of backups finds. Put back, it takes the place of everything that was there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::vault::Vault;
use crate::{cluster, database};

/// What the embedded database is made of.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Copies the database of this address into a file. The server of an embedded one is stopped.
#[track_caller]
pub fn take(url: &str, to: &Path) {
    match embedded(url) {
        Some(file) => {
            let [_, log, _] = SUFFIXES.map(|suffix| beside(&file, suffix));
            assert!(!log.exists(), "the server is not stopped in order: {} is there", log.display());
            std::fs::copy(file, to).expect("copied");
        }
        None => run(Command::new(cluster::program("pg_dump")).args(["--dbname", url, "--file"]).arg(to)),
    }
}

/// Puts a copy in the place of the database. No server runs on it.
#[track_caller]
pub fn put_back(url: &str, from: &Path) {
    lose(url);
    match embedded(url) {
        Some(file) => {
            std::fs::copy(from, file).expect("put back");
        }
        None => {
            let mut psql = Command::new(cluster::program("psql"));
            psql.args(["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--dbname", url]);
            run(psql.arg("--file").arg(from));
        }
    }
}

/// Takes the database away: the embedded one's files; on PostgreSQL there is an empty one in its place.
#[track_caller]
pub fn lose(url: &str) {
    let Some(file) = embedded(url) else { return database::make_anew(url) };
    for file in SUFFIXES.map(|suffix| beside(&file, suffix)) {
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "{}", file.display()),
        }
    }
}

/// Where to search for what a vault keeps: its data directory, what its servers have said, and its rows on PostgreSQL, as a
/// fresh dump.
#[must_use]
#[track_caller]
pub fn places(vault: &Vault) -> Vec<PathBuf> {
    let mut places = vec![vault.data()];
    places.extend(vault.nodes().map(Vault::log_path));
    let url = vault.database_url();
    if embedded(&url).is_none() {
        let dump = vault.room().join("rows.sql");
        take(&url, &dump);
        places.push(dump);
    }
    places
}

/// The file of an embedded database.
fn embedded(url: &str) -> Option<PathBuf> {
    Some(PathBuf::from(url.strip_prefix("sqlite://")?.split('?').next()?))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().expect("the program starts");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
