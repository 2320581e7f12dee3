//! Rows on their way into a backup, and out of one (`docs/backup.md`).
//!
//! The queries are made of the names in [`TABLES`]; nothing of a backup gets into their text.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use vault_core::backup::manifest::{NeededKey, Needs};
use vault_core::backup::{Cell, Kind, TABLES, Table};

use super::row::Columns;
use super::{Conn, StoreError, Tx, schema, values};

/// Rows read at once: of the longest ones a few MiB.
const PAGE: i64 = 200;

/// Rows written in one statement; few shapes, and far below any engine's bound on parameters.
const CHUNK: usize = 32;

/// The schema's version.
#[must_use]
pub fn schema_version() -> u32 {
    u32::try_from(schema::VERSION).unwrap_or(u32::MAX)
}

/// The rows of a table as a backup has them, where they differ from those of the database.
fn source(table: &Table) -> &'static str {
    match table.name {
        "meta" => "(SELECT name, value FROM meta WHERE name <> 'schema_version')",
        "counters" => "(SELECT name, value FROM counters WHERE name = 'restrictions')",
        "destructions" => {
            "(SELECT id, kind, collection_id, version,
                CASE WHEN state IN ('requested', 'confirmed') THEN 'cancelled' ELSE state END AS state,
                requested_by, requested_at, confirmed_by, confirmed_at, not_before, ended_at, inventory FROM destructions)"
        }
        "cycles" => {
            "(SELECT number, CASE WHEN state = 'running' THEN 'cancelled' ELSE state END AS state, scope, throttle,
                requested_by, confirmed_by, started_at, ended_at FROM cycles)"
        }
        "reencryptions" => {
            "(SELECT collection_id, id, kek_version, record_id,
                CASE WHEN state IN ('running', 'paused') THEN 'cancelled' ELSE state END AS state, throttle, total, total_bytes,
                done, done_bytes, skipped, damaged, cursor, worked_ms, started_at, updated_at, finished_at FROM reencryptions)"
        }
        "parts" => {
            "(SELECT object_id, start, length, name, first_segment, tags FROM parts
              WHERE EXISTS (SELECT 1 FROM objects WHERE objects.id = parts.object_id))"
        }
        "garbage" => {
            "(SELECT name, MAX(verify_after) AS verify_after, MAX(record_id) AS record_id FROM
               (SELECT name, verify_after, record_id FROM garbage
                UNION ALL SELECT name, deadline, record_id FROM intents
                UNION ALL SELECT name, 0, NULL FROM parts
                  WHERE NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = parts.object_id)) AS every
              GROUP BY name)"
        }
        "sessions" => {
            "(SELECT id, request_id, grant_id, binding_id, collection_id, record_id, object_id, person_id,
                representation, instance, created_at, expires_at, COALESCE(closed_at, created_at) AS closed_at
              FROM sessions)"
        }
        _ => table.name,
    }
}

fn names(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

/// The rows behind the one whose key is `after`, a page of them in the order of the key.
pub async fn page(conn: &mut Conn, table: &Table, after: Option<&[Cell]>) -> Result<Vec<Vec<Cell>>, StoreError> {
    let key: Vec<&str> = table.columns.iter().take(table.key).map(|column| column.name).collect();
    let key = key.join(", ");
    let (from, columns) = (source(table), names(table));
    let (condition, limit) = match after {
        Some(_) => (format!("WHERE ({key}) > {}", values::list(table.key)), table.key + 1),
        None => (String::new(), 1),
    };
    let text = format!("SELECT {columns} FROM {from} AS rows_of {condition} ORDER BY {key} LIMIT ${limit}");
    let mut query = sqlx::query(AssertSqlSafe(text));
    for cell in after.into_iter().flatten().take(table.key) {
        query = match cell {
            Cell::Number(number) => query.bind(*number),
            Cell::Text(text) => query.bind(text.clone()),
            Cell::Bytes(_) | Cell::Null => return Err(StoreError::Corrupt { table: table.name, what: "a key" }),
        };
    }
    let rows = query.bind(PAGE).fetch_all(conn).await?;
    rows.iter().map(|row| cells(table, row)).collect()
}

fn cells(table: &Table, row: &AnyRow) -> Result<Vec<Cell>, StoreError> {
    let read = |(at, column): (usize, &vault_core::backup::Column)| {
        let cell = match column.kind {
            Kind::Number => row.try_get::<Option<i64>, _>(at).map(|n| n.map(Cell::Number)),
            Kind::Text => row.try_get::<Option<String>, _>(at).map(|t| t.map(Cell::Text)),
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at).map(|b| b.map(Cell::Bytes)),
        };
        let damaged = |_| StoreError::Corrupt { table: table.name, what: column.name };
        Ok(cell.map_err(damaged)?.unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(read).collect()
}

/// The key versions that something is wrapped under, and the root epoch of the log's seed.
pub async fn needs(conn: &mut Conn) -> Result<Needs, StoreError> {
    let rows = sqlx::query(
        "SELECT k.collection_id, k.version, k.root_epoch,
           (SELECT COUNT(*) FROM records r
             WHERE r.collection_id = k.collection_id AND r.kek_version = k.version AND r.wrap IS NOT NULL) AS records,
           (SELECT COUNT(*) FROM kek_children c
             WHERE c.collection_id = k.collection_id AND c.kek_version = k.version) AS own
         FROM keks k WHERE k.state <> 'destroyed' ORDER BY k.collection_id, k.version",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut keys = Vec::new();
    for row in &rows {
        let columns = Columns::of("keks", row);
        let (records, own) = (columns.unsigned("records")?, columns.unsigned("own")?);
        if records + own > 0 {
            keys.push(NeededKey {
                collection: columns.parsed("collection_id")?,
                version: columns.version("version")?,
                root_epoch: columns.version("root_epoch")?,
                records,
            });
        }
    }
    let row = sqlx::query("SELECT MAX(root_epoch) AS root_epoch FROM log_keys").fetch_one(conn).await?;
    Ok(Needs { log_seed: Columns::of("log_keys", &row).version("root_epoch")?, keys })
}

/// Destructions that are asked for or confirmed: kind, collection, version, and when they may be carried out.
pub async fn destructions_under_way(conn: &mut Conn) -> Result<Vec<(String, String, i64, Option<i64>)>, StoreError> {
    let text = "SELECT kind, collection_id, version, not_before FROM destructions
                WHERE state IN ('requested', 'confirmed') ORDER BY id";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("destructions", row);
            let what = (columns.text("kind")?, columns.text("collection_id")?);
            Ok((what.0, what.1, columns.number("version")?, columns.maybe_number("not_before")?))
        })
        .collect()
}

/// Whether a table has no row that a backup would hold.
pub async fn is_empty(conn: &mut Conn, table: &Table) -> Result<bool, StoreError> {
    // A fresh database has its counter, at zero.
    let text = match table.name {
        "counters" => "SELECT 1 FROM counters WHERE name = 'restrictions' AND value <> 0 LIMIT 1".to_owned(),
        _ => format!("SELECT 1 FROM {} AS rows_of LIMIT 1", source(table)),
    };
    Ok(sqlx::query(AssertSqlSafe(text)).fetch_optional(conn).await?.is_none())
}

/// Takes every row out of the database, tables that refer to others first.
pub async fn clear(tx: &mut Tx) -> Result<(), StoreError> {
    // What no backup holds means nothing beside other rows, and refers to them.
    for text in [
        "DELETE FROM session_shares",
        "DELETE FROM intents",
        "DELETE FROM rewrites",
        "DELETE FROM uploads",
        "DELETE FROM leases",
    ] {
        sqlx::query(text).execute(tx.conn()).await?;
    }
    for table in TABLES.iter().rev() {
        let text = match table.name {
            "meta" => "DELETE FROM meta WHERE name <> 'schema_version'".to_owned(),
            name => format!("DELETE FROM {name}"),
        };
        sqlx::query(AssertSqlSafe(text)).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Enters rows.
pub async fn enter(tx: &mut Tx, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
    let into = format!("INSERT INTO {} ({}) VALUES", table.name, names(table));
    for chunk in rows.chunks(CHUNK) {
        let text = format!("{into} {}", values::rows(chunk.len(), table.columns.len()));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (cell, column) in chunk.iter().flat_map(|row| row.iter().zip(table.columns)) {
            query = match (cell, column.kind) {
                (Cell::Number(number), _) => query.bind(*number),
                (Cell::Text(text), _) => query.bind(text.clone()),
                (Cell::Bytes(bytes), _) => query.bind(bytes.clone()),
                // PostgreSQL wants a NULL of the column's type.
                (Cell::Null, Kind::Number) => query.bind(None::<i64>),
                (Cell::Null, Kind::Text) => query.bind(None::<String>),
                (Cell::Null, Kind::Bytes) => query.bind(None::<Vec<u8>>),
            };
        }
        query.execute(tx.conn()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Engine;

    /// What means nothing in another database.
    const LEFT_OUT: [&str; 7] =
        ["leases", "uploads", "intents", "rewrites", "session_shares", "restores", "log_successions"];

    /// A column that is added and forgotten here would be lost to every backup.
    #[test]
    fn every_column_of_the_schema_is_in_a_backup_or_left_out_by_name() {
        let mut found = Vec::new();
        for text in Engine::Sqlite.schema() {
            for table in text.split("CREATE TABLE ").skip(1) {
                let (name, rest) = table.split_once(" (").unwrap();
                if LEFT_OUT.contains(&name) {
                    continue;
                }
                let columns = rest.split_once("\n);").unwrap().0.lines().map(str::trim).filter(|l| !l.is_empty());
                let columns = columns.filter(|l| !l.starts_with("PRIMARY KEY") && !l.starts_with("--"));
                let columns = columns.map(|line| {
                    let mut words = line.trim_end_matches(',').split_whitespace();
                    let (column, kind) = (words.next().unwrap(), words.next().unwrap());
                    format!("{column} {kind} {}", line.contains("NOT NULL"))
                });
                found.push((name.to_owned(), columns.collect::<Vec<_>>()));
            }
        }
        let kind = |kind| match kind {
            Kind::Number => "BIGINT",
            Kind::Text => "TEXT",
            Kind::Bytes => "BLOB",
        };
        let mut expected: Vec<(String, Vec<String>)> = TABLES
            .iter()
            .map(|t| {
                let columns = t.columns.iter().map(|c| format!("{} {} {}", c.name, kind(c.kind), !c.nullable));
                (t.name.to_owned(), columns.collect())
            })
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}
