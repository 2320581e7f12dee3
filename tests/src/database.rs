//! The metadata database, opened behind the server's back: what somebody with the disk can do.

use std::str::FromStr as _;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::vault::Vault;

/// Executes SQL, several statements if need be, and answers how many rows it changed. Beside a running server
/// it waits for the server's transactions.
#[track_caller]
pub fn execute(vault: &Vault, sql: &str) -> u64 {
    let sql = AssertSqlSafe(sql.to_owned());
    with(vault, async |connection| connection.execute(sql).await.expect("the statement works").rows_affected())
}

/// The first column of every row, as text.
#[must_use]
#[track_caller]
pub fn texts(vault: &Vault, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    with(vault, async |connection| {
        let rows = connection.fetch_all(sql).await.expect("the query works");
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    })
}

/// The first column of every row, as bytes; NULLs left out.
#[must_use]
#[track_caller]
pub fn blobs(vault: &Vault, sql: &str) -> Vec<Vec<u8>> {
    let sql = AssertSqlSafe(sql.to_owned());
    with(vault, async |connection| {
        let rows = connection.fetch_all(sql).await.expect("the query works");
        rows.iter().filter_map(|row| row.get::<Option<Vec<u8>>, _>(0)).collect()
    })
}

/// The first column of the one row, as a number.
#[must_use]
#[track_caller]
pub fn number(vault: &Vault, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    with(vault, async |connection| connection.fetch_one(sql).await.expect("the query works").get(0))
}

fn with<T>(vault: &Vault, act: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let path = format!("sqlite://{}", vault.database().display());
        let options = SqliteConnectOptions::from_str(&path).expect("an address").create_if_missing(false);
        let options = options.busy_timeout(std::time::Duration::from_secs(20));
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the database opens");
        let outcome = act(&mut connection).await;
        connection.close().await.expect("the database closes");
        outcome
    })
}
