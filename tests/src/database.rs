//! The metadata database, opened behind the server's back: what somebody with the disk, or the server's password, can do.
//!
//! `VAULT_TEST_POSTGRES` holds the address of a throw-away cluster's superuser when a run is for PostgreSQL; each vault
//! then has a database of its own there. `VAULT_TEST_POOLER` names a pooler that vaults reach it through.

use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::vault::Vault;

/// Executes SQL, several statements if need be, and answers how many rows it changed. Beside a running server
/// it waits for the server's transactions.
#[track_caller]
pub fn execute(vault: &Vault, sql: &str) -> u64 {
    execute_at(&vault.database_url(), sql)
}

/// The same on any database.
#[track_caller]
pub fn execute_at(url: &str, sql: &str) -> u64 {
    let sql = AssertSqlSafe(sql.to_owned());
    with(url, async |connection| connection.execute(sql).await.expect("the statement works").rows_affected())
}

/// The first column of every row, as text.
#[must_use]
#[track_caller]
pub fn texts(vault: &Vault, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    with(&vault.database_url(), async |connection| {
        let rows = connection.fetch_all(sql).await.expect("the query works");
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    })
}

/// The first column of every row, as bytes; NULLs left out.
#[must_use]
#[track_caller]
pub fn blobs(vault: &Vault, sql: &str) -> Vec<Vec<u8>> {
    let sql = AssertSqlSafe(sql.to_owned());
    with(&vault.database_url(), async |connection| {
        let rows = connection.fetch_all(sql).await.expect("the query works");
        rows.iter().filter_map(|row| row.get::<Option<Vec<u8>>, _>(0)).collect()
    })
}

/// The first column of the one row, as a number.
#[must_use]
#[track_caller]
pub fn number(vault: &Vault, sql: &str) -> i64 {
    number_at(&vault.database_url(), sql)
}

/// The same on any database.
#[must_use]
#[track_caller]
pub fn number_at(url: &str, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    with(url, async |connection| connection.fetch_one(sql).await.expect("the query works").get(0))
}

/// Whether a server answers at this address.
#[must_use]
pub fn answers(url: &str) -> bool {
    install_default_drivers();
    runtime().block_on(async { AnyConnection::connect(url).await.is_ok() })
}

/// Bytes as this vault's engine reads them in a statement.
#[must_use]
pub fn bytes(vault: &Vault, bytes: &[u8]) -> String {
    let hex = hex::encode(bytes);
    if vault.database_url().starts_with("sqlite:") { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") }
}

/// Makes a database, where it is missing, with a superuser's address.
#[track_caller]
pub fn create(superuser: &str, name: &str) {
    if number_at(superuser, &format!("SELECT COUNT(*) FROM pg_database WHERE datname = '{name}'")) == 0 {
        execute_at(superuser, &format!("CREATE DATABASE {name}"));
    }
}

/// Drops the database of this address on PostgreSQL, whoever is connected, and makes it again, empty.
#[track_caller]
pub fn make_anew(url: &str) {
    let (cluster, name) = (at(url, "postgres"), url.rsplit_once('/').expect("a database's name").1);
    execute_at(&cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    create(&cluster, name);
}

/// Whether this run of the suites is for PostgreSQL.
#[must_use]
pub fn on_postgres() -> bool {
    variable("VAULT_TEST_POSTGRES").is_some()
}

/// The variables of a vault with a database of its own, when the run is for PostgreSQL.
#[must_use]
pub fn of_the_run() -> Vec<(String, String)> {
    let Some(cluster) = variable("VAULT_TEST_POSTGRES") else { return Vec::new() };
    let name = format!("vault_{}", hex::encode(vault_core::random::array::<8>()));
    create(&cluster, &name);
    let near = variable("VAULT_TEST_POOLER").unwrap_or(cluster);
    let set = |name: &str, value: String| (format!("FEEDBACK_VAULT_DATABASE_{name}"), value);
    vec![set("URL", at(&near, &name)), set("CONNECTIONS", "8".to_owned())]
}

/// Past a pooler: what is done by hand is one statement on one connection.
#[must_use]
pub fn without_pooler(url: &str) -> String {
    match (variable("VAULT_TEST_POSTGRES"), variable("VAULT_TEST_POOLER"), url.rsplit_once('/')) {
        (Some(cluster), Some(pooler), Some((_, name))) if url == at(&pooler, name) => at(&cluster, name),
        _ => url.to_owned(),
    }
}

/// Removes the database of a vault that is gone: a cluster in memory holds few.
pub fn remove_of_the_run(url: &str) {
    let (Some(cluster), Some((_, name))) = (variable("VAULT_TEST_POSTGRES"), url.rsplit_once('/')) else { return };
    if name.starts_with("vault_") {
        install_default_drivers();
        let sql = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        runtime().block_on(async {
            // What is left is gone with the cluster.
            if let Ok(mut connection) = AnyConnection::connect(&cluster).await {
                let _ = connection.execute(sql).await;
            }
        });
    }
}

fn at(cluster: &str, name: &str) -> String {
    format!("{}/{name}", cluster.rsplit_once('/').map_or(cluster, |(address, _)| address))
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[track_caller]
fn with<T>(url: &str, act: impl AsyncFnOnce(&mut AnyConnection) -> T) -> T {
    install_default_drivers();
    runtime().block_on(async {
        let mut connection = AnyConnection::connect(url).await.expect("the database opens");
        if url.starts_with("sqlite:") {
            connection.execute("PRAGMA busy_timeout = 20000").await.expect("the pragma works");
        }
        let outcome = act(&mut connection).await;
        connection.close().await.expect("the database closes");
        outcome
    })
}
