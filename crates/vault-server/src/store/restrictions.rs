//! Acts that take something away, numbered by the restriction counter (`docs/format.md` §9).
//!
//! Whoever takes a number holds the counter's row until the commit, so numbers are dense and become visible in their
//! order on any engine: a node that has seen number n has seen all before it. It is the last lock a transaction takes.

use sqlx::Row as _;
use vault_core::time::Timestamp;

pub use vault_core::restriction::{Act, Kind, Numbered, Restriction, Target};

use super::row::Columns;
use super::{Conn, Reader, StoreError, Tx};

/// Most rows read at once.
const PAGE: i64 = 1000;

/// Writes `restriction` under the next number.
pub async fn add(tx: &mut Tx, restriction: Restriction, at: Timestamp) -> Result<Numbered, StoreError> {
    let raised = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'restrictions' RETURNING value")
        .fetch_optional(tx.conn())
        .await?;
    let missing = StoreError::Corrupt { table: "counters", what: "no counter of restrictions" };
    let counter: i64 = raised.ok_or(missing)?.try_get(0)?;
    let numbered = Numbered { counter, restriction, at };
    const TEXT: &str = "INSERT INTO restrictions (counter, act, kind, target, at, until, journalled)
                        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    insert(tx, TEXT, numbered, false).await?;
    Ok(numbered)
}

/// Writes what the journal holds and the database does not: it came from an older copy.
pub async fn restore(tx: &mut Tx, numbered: Numbered) -> Result<(), StoreError> {
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'restrictions' AND value < $1")
        .bind(numbered.counter)
        .execute(tx.conn())
        .await?;
    // Nodes that start together enter the same.
    const TEXT: &str = "INSERT INTO restrictions (counter, act, kind, target, at, until, journalled)
                        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (counter) DO NOTHING";
    insert(tx, TEXT, numbered, true).await
}

async fn insert(tx: &mut Tx, text: &'static str, numbered: Numbered, journalled: bool) -> Result<(), StoreError> {
    let Numbered { counter, restriction, at } = numbered;
    sqlx::query(text)
        .bind(counter)
        .bind(restriction.act.name())
        .bind(restriction.kind.name())
        .bind(restriction.target.to_string())
        .bind(at.as_millis())
        .bind(restriction.until.map(Timestamp::as_millis))
        .bind(i64::from(journalled))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The counter's present value.
pub async fn counter(conn: &mut Conn) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = 'restrictions'").fetch_one(conn).await?;
    Ok(row.try_get(0)?)
}

/// The acts after number `counter`, a page of them.
pub async fn after(reader: &mut Reader, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    page(reader.conn(), "SELECT * FROM restrictions WHERE counter > $1 ORDER BY counter LIMIT $2", counter).await
}

/// The acts after number `counter` that the journal does not hold yet, a page of them.
pub async fn unjournalled(reader: &mut Reader, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    let text = "SELECT * FROM restrictions WHERE journalled = 0 AND counter > $1 ORDER BY counter LIMIT $2";
    page(reader.conn(), text, counter).await
}

async fn page(conn: &mut Conn, text: &'static str, counter: i64) -> Result<Vec<Numbered>, StoreError> {
    let rows = sqlx::query(text).bind(counter).bind(PAGE).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let row = Columns::of("restrictions", row);
            Ok(Numbered {
                counter: row.number("counter")?,
                restriction: Restriction {
                    act: row.parsed("act")?,
                    kind: row.parsed("kind")?,
                    target: row.parsed("target")?,
                    until: row.maybe_time("until")?,
                },
                at: row.time("at")?,
            })
        })
        .collect()
}

/// Notes that the journal holds these.
pub async fn mark_journalled(tx: &mut Tx, numbered: &[Numbered]) -> Result<(), StoreError> {
    for one in numbered {
        sqlx::query("UPDATE restrictions SET journalled = 1 WHERE counter = $1")
            .bind(one.counter)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Removes journalled rows whose target ended before `then`.
pub async fn prune(tx: &mut Tx, then: Timestamp) -> Result<u64, StoreError> {
    let pruned = sqlx::query("DELETE FROM restrictions WHERE journalled = 1 AND until < $1")
        .bind(then.as_millis())
        .execute(tx.conn())
        .await?;
    Ok(pruned.rows_affected())
}
