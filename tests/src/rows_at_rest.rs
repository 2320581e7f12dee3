//! What PostgreSQL itself keeps of a vault's rows: tables and indexes with the dead rows in them, the write-ahead log, and its
//! log file, which is told to note every statement with its values.
//!
//! The cluster is the vault's alone: in one that many share, everybody's write-ahead log would be searched for one's canaries.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::canary::{Canary, search};
use crate::cluster::Cluster;
use crate::database;

const NAME: &str = "vault";

/// A page of the write-ahead log, the header of each, and that of a segment's first (`access/xlog_internal.h`).
const PAGE: usize = 8192;
const HEADER: usize = 24;
const FIRST_HEADER: usize = 40;

/// A cluster for one vault, to be searched.
pub struct RowsAtRest(Cluster);

impl RowsAtRest {
    /// A fresh one, when the run of the suites is for PostgreSQL.
    #[must_use]
    pub fn of_the_run() -> Option<Self> {
        if !database::on_postgres() {
            return None;
        }
        let cluster = Cluster::start();
        // A long value is compressed in its table, where a search would miss it; here it stands as it was sent.
        cluster.sql("ALTER SYSTEM SET log_statement = 'all'");
        cluster.sql("SELECT pg_reload_conf()");
        let _made = cluster.database(NAME);
        Some(Self(cluster))
    }

    /// The variables of a vault with its rows in it.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), self.0.url(NAME))]
    }

    /// Every place in its files where a canary lies, once all pages are written.
    #[must_use]
    pub fn search(&self, canaries: &[Canary]) -> Vec<String> {
        self.0.sql("CHECKPOINT");
        let log = self.write_ahead_log();
        let files = self.0.files_of(NAME).into_iter().filter(|path| *path != self.0.write_ahead_log());
        search_below(canaries, &files.chain([log.path().to_owned()]).collect::<Vec<_>>())
    }

    /// The positive control: each canary, put into a row in one encoding or another and deleted again, is found in the table's file and in
    /// the write-ahead log.
    #[track_caller]
    pub fn finds_what_is_planted(&self, canaries: &[Canary]) {
        let url = self.0.url(NAME);
        let planted = canaries.iter().enumerate().map(|(at, canary)| hex::encode(canary.planted(at)));
        let rows: Vec<String> = planted.map(|hex| format!("('\\x{hex}'::bytea)")).collect();
        for sql in [
            "CREATE TABLE planted (value BYTEA NOT NULL)",
            &format!("INSERT INTO planted VALUES {}", rows.join(", ")),
            "DELETE FROM planted",
        ] {
            database::execute_at(&url, sql);
        }
        // A checkpoint may call a segment by another name, behind the one that goes on where it ends.
        let log = self.write_ahead_log();
        self.0.sql("CHECKPOINT");
        for (what, place) in [("the tables", self.0.tables_of(NAME)), ("the write-ahead log", log.path().to_owned())] {
            let found = search_below(canaries, &[place]);
            for canary in canaries {
                let name = format!("{} ", canary.name);
                assert!(found.iter().any(|f| f.starts_with(&name)), "the search of {what} is blind to {}", canary.name);
            }
        }
    }

    /// The write-ahead log without the headers of its pages, which come in the middle of what is written across them, and without
    /// pages that hold nothing.
    fn write_ahead_log(&self) -> NamedTempFile {
        let entries = std::fs::read_dir(self.0.write_ahead_log()).expect("the write-ahead log").flatten();
        let mut segments: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        segments.sort();
        let mut file = NamedTempFile::new().expect("a file");
        for segment in segments {
            let bytes = std::fs::read(&segment).expect("a segment");
            for (number, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| **page != [0; PAGE]) {
                let header = if number == 0 { FIRST_HEADER } else { HEADER };
                file.write_all(&page[header..]).expect("written");
            }
        }
        file
    }
}

fn search_below(canaries: &[Canary], places: &[PathBuf]) -> Vec<String> {
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    search(canaries, &places, &[])
}
