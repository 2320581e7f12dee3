//! The schema gate: an empty database gets the schema, one of another version is refused.

use sqlx::{AssertSqlSafe, Row};

use super::{Store, StoreError};

/// The version of the schema this program was built for.
const VERSION: i64 = 1;

pub(super) async fn ensure(store: &Store) -> Result<(), StoreError> {
    match version(store).await? {
        Some(found) if found == VERSION.to_string() => Ok(()),
        Some(found) => Err(StoreError::Schema {
            advice: if found.parse::<i64>().is_ok_and(|v| v > VERSION) {
                "it was made by a newer program; start that one"
            } else {
                "no migration from it is known; restore a backup made with this version"
            },
            found,
            needed: VERSION,
        }),
        None => create(store).await,
    }
}

async fn version(store: &Store) -> Result<Option<String>, StoreError> {
    let mut conn = store.read().await?;
    let found = sqlx::query("SELECT value FROM meta WHERE name = 'schema_version'").fetch_optional(conn.conn()).await;
    match found {
        Ok(Some(row)) => Ok(Some(row.try_get(0)?)),
        Ok(None) => Ok(Some("none".to_owned())),
        // No table: an empty database. Any other trouble shows again, and is told, in `create`.
        Err(sqlx::Error::Database(_)) => Ok(None),
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

    async fn open(dir: &std::path::Path) -> Result<Store, StoreError> {
        let url = format!("sqlite://{}?mode=rwc", dir.join("vault.db").display());
        Store::open(&url, Arc::new(Metrics::new())).await
    }

    #[tokio::test]
    async fn an_empty_database_gets_the_schema_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        store.close().await;
        let store = open(dir.path()).await.unwrap();
        let mut conn = store.read().await.unwrap();
        let row = sqlx::query("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'")
            .fetch_one(conn.conn())
            .await
            .unwrap();
        assert!(row.get::<i64, _>(0) >= 20);
    }

    #[tokio::test]
    async fn a_database_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        let mut tx = store.begin("test").await.unwrap();
        sqlx::query("UPDATE meta SET value = '2' WHERE name = 'schema_version'").execute(tx.conn()).await.unwrap();
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
