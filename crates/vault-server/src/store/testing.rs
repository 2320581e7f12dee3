//! For tests: a database of one's own, on the engine that the run is for.
//!
//! Without further ado that is SQLite. `VAULT_TEST_POSTGRES` holds the address of a throw-away cluster's superuser
//! (`cargo xtask test` starts one): then the very same tests run there, each on a database that is called after the file
//! that SQLite would have had. Nobody tells when a test is over, but its temporary directory is gone then: whoever makes
//! a database removes those whose directory no longer exists, so that a cluster in memory holds few at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Engine, Source, Store};
use crate::metrics::Metrics;

/// The variable that says which engine, and the one that names a pooler before it.
const VARIABLE: &str = "VAULT_TEST_POSTGRES";
const POOLER: &str = "VAULT_TEST_POOLER";

#[allow(clippy::disallowed_methods)] // How `cargo xtask test` says what a whole run is for.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where a test's database is, made where it is missing.
pub async fn source(file: &Path) -> Source {
    match variable(VARIABLE) {
        Some(cluster) => Source::at(&database(&cluster, file).await),
        None => Source::at(&format!("sqlite://{}?mode=rwc", file.display())),
    }
}

/// The address as a line of configuration; none for the embedded database.
pub async fn configuration(file: &Path) -> String {
    match variable(VARIABLE) {
        Some(_) => format!("[database]\nurl = {:?}\nconnections = 10\n", source(file).await.url),
        None => String::new(),
    }
}

/// A store in `dir`.
pub async fn store(dir: &Path) -> Store {
    let source = Source { connections: 10, ..source(&dir.join("vault.db")).await };
    Store::open(&source, Arc::new(Metrics::new())).await.unwrap()
}

/// SQL with bytes as literals, `x'00'`, as the engine spells them.
pub fn spelled(engine: Engine, sql: &str) -> String {
    match engine {
        Engine::Sqlite => sql.to_owned(),
        Engine::Postgres => sql.replace(" x'", " '\\x").replace("(x'", "('\\x"),
    }
}

async fn database(cluster: &str, file: &Path) -> String {
    let name = format!("vault_{}", hex::encode(&Sha256::digest(file.display().to_string())[..12]));
    let mut conn = PgConnection::connect(cluster).await.unwrap();
    let known = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(&name);
    if known.fetch_optional(&mut conn).await.unwrap().is_none() {
        remove_left_over(&mut conn).await;
        // The names are ours: letters and digits; a temporary directory's has no quotation mark either.
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await.unwrap();
        let belongs = format!("COMMENT ON DATABASE {name} IS '{}'", directory(file).display());
        sqlx::query(AssertSqlSafe(belongs)).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let before = variable(POOLER).unwrap_or_else(|| cluster.to_owned());
    let (address, _) = before.rsplit_once('/').unwrap();
    format!("{address}/{name}")
}

/// The temporary directory in which `file` would lie, however deep: it lives as long as its test.
fn directory(file: &Path) -> PathBuf {
    let temporary = std::env::temp_dir();
    match file.strip_prefix(&temporary).ok().and_then(|below| below.components().next()) {
        Some(first) => temporary.join(first),
        None => file.parent().unwrap_or(file).to_owned(),
    }
}

/// Removes the databases of tests that are over.
async fn remove_left_over(conn: &mut PgConnection) {
    let text =
        "SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE 'vault\\_%'";
    let databases = sqlx::query_as::<_, (String, Option<String>)>(text).fetch_all(&mut *conn).await.unwrap();
    let over = |directory: &Option<String>| directory.as_ref().is_some_and(|path| !Path::new(path).exists());
    for (name, _) in databases.iter().filter(|(_, directory)| over(directory)) {
        // Another test may remove it at the same time; what stays is gone with the cluster.
        let drop = sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        let _ = drop.execute(&mut *conn).await;
    }
}

#[test]
fn a_database_belongs_to_the_directory_that_its_test_leaves() {
    let temporary = tempfile::tempdir().unwrap();
    assert_eq!(directory(&temporary.path().join("deeper/vault.db")), temporary.path());
    assert_eq!(directory(Path::new("/elsewhere/vault.db")), Path::new("/elsewhere"));
}
