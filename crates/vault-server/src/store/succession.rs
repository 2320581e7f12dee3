//! The rows of a succession: the proposal, and the log's tables from the first entry on that is not carried as it is.

use vault_core::audit::merkle::Edge;
use vault_core::audit::slot::SlotName;
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::OutboxKey;

use super::log::{self, Head};
use super::row::{Columns, bigint};
use super::{Conn, StoreError, Tx};

/// Openings looked at in one statement.
const PAGE: i64 = 1_024;

/// The proposal that waits, sealed.
pub async fn proposal(conn: &mut Conn) -> Result<Option<Vec<u8>>, StoreError> {
    let row = sqlx::query("SELECT sealed FROM log_successions WHERE id = 1").fetch_optional(conn).await?;
    row.map(|row| Columns::of("log_successions", &row).bytes("sealed")).transpose()
}

/// Enters a proposal in the place of any other.
pub async fn propose(tx: &mut Tx, sealed: &[u8]) -> Result<(), StoreError> {
    let text = "INSERT INTO log_successions (id, sealed) VALUES (1, $1)
                ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed";
    sqlx::query(text).bind(sealed.to_vec()).execute(tx.conn()).await?;
    Ok(())
}

/// Takes the proposal out.
pub async fn settle(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM log_successions").execute(tx.conn()).await?;
    Ok(())
}

/// Takes out every entry from `first` on, with its openings.
pub async fn cut(tx: &mut Tx, first: u64) -> Result<(), StoreError> {
    for text in ["DELETE FROM log_openings WHERE idx >= $1", "DELETE FROM log_entries WHERE idx >= $1"] {
        sqlx::query(text).bind(bigint(first)?).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Holds the head until the transaction ends, and reads it; none where there is none, or none that can be read.
pub async fn held_head(tx: &mut Tx) -> Result<Option<Head>, StoreError> {
    match log::settled_head(tx).await {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        head => head,
    }
}

/// Sets the head to `edge`, whatever it was, under a higher fence: nobody who knew the former one appends any more.
pub async fn set_head(tx: &mut Tx, edge: &Edge) -> Result<(), StoreError> {
    let text = "INSERT INTO log_head (id, size, edge, fence) VALUES (1, $1, $2, 1)
                ON CONFLICT (id) DO UPDATE SET size = excluded.size, edge = excluded.edge, fence = log_head.fence + 1";
    sqlx::query(text).bind(bigint(edge.size())?).bind(edge.to_bytes()).execute(tx.conn()).await?;
    Ok(())
}

/// Openings that were erased with a record, as their rows say, of entries before `end` in the order of the log.
pub async fn erased_openings(conn: &mut Conn, end: u64) -> Result<Vec<(u64, SlotName, RecordId)>, StoreError> {
    let mut found = Vec::new();
    let (mut index, mut slot) = (-1_i64, String::new());
    loop {
        let rows = sqlx::query(
            "SELECT idx, slot, owner FROM log_openings
             WHERE sealed IS NULL AND under = 'record' AND idx < $1 AND (idx, slot) > ($2, $3) ORDER BY idx, slot LIMIT $4",
        )
        .bind(bigint(end)?)
        .bind(index)
        .bind(slot.clone())
        .bind(PAGE)
        .fetch_all(&mut *conn)
        .await?;
        for row in &rows {
            let columns = Columns::of("log_openings", row);
            index = columns.number("idx")?;
            slot = columns.text("slot")?;
            let name = SlotName::parse(&slot).ok_or_else(|| columns.damaged("slot"))?;
            found.push((columns.unsigned("idx")?, name, columns.parsed("owner")?));
        }
        if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(found);
        }
    }
}

/// What waits in the outbox waits on under another key; answers how many entries do. A row that the vault did not write
/// stays as it is: the sequencer tells of it.
pub async fn requeue(tx: &mut Tx, from: &OutboxKey, to: &OutboxKey) -> Result<u64, StoreError> {
    let mut moved = 0;
    for waiting in log::waiting(tx.conn(), from, usize::MAX).await?.into_iter().filter(|waiting| waiting.genuine) {
        log::unqueue(tx, &[waiting.id.as_str()]).await?;
        log::queue(tx, to, &waiting.id, &waiting.new).await?;
        moved += 1;
    }
    Ok(moved)
}
