//! The head of the audit log: one row that says how far the log is committed, and the MAC with which the vault vouches for it.

use sqlx::Row as _;
use vault_core::audit::merkle::Edge;
use vault_core::keys::hierarchy::OutboxKey;

use crate::store::row::{Columns, bigint};
use crate::store::{Conn, StoreError, Tx};

/// The head: how far the log is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The right edge of the tree, size included.
    pub edge: Edge,
    /// Rises with every change of the head.
    pub fence: i64,
}

/// The head; none before the log was begun.
pub async fn head(conn: &mut Conn) -> Result<Option<Head>, StoreError> {
    let row = sqlx::query("SELECT size, edge, fence FROM log_head WHERE id = 1").fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns::of("log_head", &row);
    let edge = Edge::from_bytes(&columns.bytes("edge")?).map_err(|_| columns.damaged("edge"))?;
    if columns.unsigned("size")? != edge.size() {
        return Err(columns.damaged("size"));
    }
    Ok(Some(Head { edge, fence: columns.number("fence")? }))
}

/// The head, once no transaction is under way that moved it: of a commit that did not answer this says what became,
/// since its transaction held the head's row from before its entries were written.
pub async fn settled_head(tx: &mut Tx) -> Result<Option<Head>, StoreError> {
    hold(tx).await?;
    head(tx.conn()).await
}

/// Holds the head until the transaction ends: nobody sequences before that. Where one writes at a time, whoever has begun
/// to write holds it already.
pub async fn hold(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.engine().writes_beside() {
        sqlx::query("UPDATE log_head SET fence = fence WHERE id = 1").execute(tx.conn()).await?;
    }
    Ok(())
}

/// Begins a log: an empty head.
pub async fn begin(tx: &mut Tx) -> Result<Head, StoreError> {
    let head = Head { edge: Edge::default(), fence: 0 };
    sqlx::query("INSERT INTO log_head (id, size, edge, fence) VALUES (1, 0, $1, 0)")
        .bind(head.edge.to_bytes())
        .execute(tx.conn())
        .await?;
    Ok(head)
}

/// Moves the head from `from` to `to` and vouches for it there, in one statement; false when it is no longer at `from`.
/// Entries that are not published yet are signed only under this.
pub async fn advance(tx: &mut Tx, key: &OutboxKey, from: &Head, to: &Head) -> Result<bool, StoreError> {
    let edge = to.edge.to_bytes();
    let mac = hex::encode(key.head_mac(&edge));
    let done = sqlx::query(tx.engine().move_head_statement())
        .bind(bigint(to.edge.size())?)
        .bind(edge)
        .bind(to.fence)
        .bind(bigint(from.edge.size())?)
        .bind(from.fence)
        .bind(HEAD_MAC)
        .bind(mac)
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Raises the fence of a head that stays where it is; false when it is no longer at `from`. It is vouched for as it was.
pub async fn raise_fence(tx: &mut Tx, from: &Head) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE log_head SET fence = fence + 1 WHERE id = 1 AND size = $1 AND fence = $2")
        .bind(bigint(from.edge.size())?)
        .bind(from.fence)
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The name of the head's MAC in `meta`.
const HEAD_MAC: &str = "log_head_mac";

/// Vouches for the head where it was set and not moved.
pub async fn vouch(tx: &mut Tx, key: &OutboxKey, edge: &Edge) -> Result<(), StoreError> {
    let text = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let mac = hex::encode(key.head_mac(&edge.to_bytes()));
    sqlx::query(text).bind(HEAD_MAC).bind(mac).execute(tx.conn()).await?;
    Ok(())
}

/// Whether the vault moved the head to this edge.
pub async fn is_vouched(conn: &mut Conn, key: &OutboxKey, edge: &Edge) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1").bind(HEAD_MAC).fetch_optional(conn).await?;
    let mac = row.and_then(|row| hex::decode(row.try_get::<String, _>(0).ok()?).ok());
    Ok(mac.is_some_and(|mac| key.committed(&edge.to_bytes(), &mac)))
}
