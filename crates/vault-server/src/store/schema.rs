//! The schema gate: an empty database gets the schema, one of another version is refused.

use sqlx::{AssertSqlSafe, Row};

use super::{Store, StoreError, engine};

/// The version of the schema this program was built for.
pub(super) const VERSION: i64 = 4;

pub(super) async fn ensure(store: &Store) -> Result<(), StoreError> {
    let found = match version(store).await? {
        Some(found) => found,
        None => match create(store).await {
            Ok(()) => return Ok(()),
            // Another node may have made it meanwhile; if none has, what went wrong here is what is told.
            Err(e) => version(store).await?.ok_or(e)?,
        },
    };
    match found {
        found if found == VERSION.to_string() => Ok(()),
        found => Err(StoreError::Schema {
            advice: if found.parse::<i64>().is_ok_and(|v| v > VERSION) {
                "it was made by a newer program; start that one"
            } else {
                "no migration from it is known; restore a backup made with this version"
            },
            found,
            needed: VERSION,
        }),
    }
}

async fn version(store: &Store) -> Result<Option<String>, StoreError> {
    let mut conn = store.read().await?;
    let found = sqlx::query("SELECT value FROM meta WHERE name = 'schema_version'").fetch_optional(conn.conn()).await;
    match found {
        Ok(Some(row)) => Ok(Some(row.try_get(0)?)),
        Ok(None) => Ok(Some("none".to_owned())),
        // No table: an empty database. Any other trouble shows again, and is told, in `create`.
        Err(sqlx::Error::Database(e)) if engine::is_no_table(e.as_ref()) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// All of the schema in one transaction: a crash leaves an empty database, not half of one.
async fn create(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin("create_schema").await?;
    for text in store.engine().schema() {
        for statement in statements(text) {
            sqlx::query(AssertSqlSafe(statement)).execute(tx.conn()).await?;
        }
    }
    sqlx::query("INSERT INTO meta (name, value) VALUES ('schema_version', $1)")
        .bind(VERSION.to_string())
        .execute(tx.conn())
        .await?;
    sqlx::query("INSERT INTO counters (name, value) VALUES ('restrictions', 0)").execute(tx.conn()).await?;
    tx.commit().await
}

/// The statements of a schema text: comment lines left out, split at semicolons. No string in it holds either.
fn statements(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|l| l.split("--").next().unwrap_or(l)).collect::<Vec<_>>().join("\n");
    code.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::Metrics;
    use crate::store::Engine;

    async fn open(dir: &std::path::Path) -> Result<Store, StoreError> {
        let source = crate::store::testing::source(&dir.join("vault.db")).await;
        Store::open(&source, Arc::new(Metrics::new())).await
    }

    #[tokio::test]
    async fn an_empty_database_gets_the_schema_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        store.close().await;
        let store = open(dir.path()).await.unwrap();
        assert_eq!(store.number("SELECT COUNT(*) FROM meta WHERE name = 'schema_version'").await, 1);
        assert_eq!(store.number("SELECT COUNT(*) FROM log_openings").await, 0);
    }

    #[test]
    fn both_engines_have_the_same_schema() {
        let (embedded, server) = (Engine::Sqlite.schema(), Engine::Postgres.schema());
        assert_eq!(embedded.len(), server.len());
        for (embedded, server) in embedded.iter().zip(server) {
            // Text is compared byte by byte, whatever the database's own order is.
            let translated: Vec<String> = statements(embedded)
                .iter()
                .map(|s| s.replace(" BLOB", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\""))
                .collect();
            assert_eq!(translated, statements(server));
        }
    }

    #[tokio::test]
    async fn nodes_that_start_together_on_an_empty_database_make_one_schema() {
        let dir = tempfile::tempdir().unwrap();
        let source = crate::store::testing::source(&dir.path().join("vault.db")).await;
        let one = || Store::open(&source, Arc::new(Metrics::new()));
        let (a, b, c) = tokio::join!(one(), one(), one());
        for store in [a.unwrap(), b.unwrap(), c.unwrap()] {
            assert_eq!(store.number("SELECT COUNT(*) FROM meta WHERE name = 'schema_version'").await, 1);
        }
    }

    #[tokio::test]
    async fn a_database_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        let mut tx = store.begin("test").await.unwrap();
        sqlx::query("UPDATE meta SET value = '5' WHERE name = 'schema_version'").execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        assert!(matches!(open(dir.path()).await, Err(StoreError::Schema { .. })));
    }

    #[tokio::test]
    async fn a_transaction_dropped_is_rolled_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        let mut tx = store.begin("test").await.unwrap();
        sqlx::query("UPDATE counters SET value = 7").execute(tx.conn()).await.unwrap();
        drop(tx);
        let mut conn = store.read().await.unwrap();
        let row = sqlx::query("SELECT value FROM counters").fetch_one(conn.conn()).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 0);
    }
}
