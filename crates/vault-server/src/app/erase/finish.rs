//! What an erasure leaves to do: waiting for the media's absence, and erasing again what an older copy brought back.

use vault_core::ids::RecordId;

use super::act::{self, Why};
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::erasures;
use crate::store::log;

/// Erasures looked at in one round.
const ROUND: i64 = 500;

/// Notes which erasures have left nothing: every name in the object store found absent, no entry with something under the
/// record's key waiting for the log, and the database's own log emptied since. Returns how many.
pub async fn finish(vault: &Vault) -> Result<u64, Failure> {
    let mut gone = Vec::new();
    {
        let mut reader = vault.store.read().await?;
        for row in erasures::unfinished(reader.conn(), ROUND).await? {
            let left = erasures::names_left(reader.conn(), row.record).await? > 0
                || log::waits_with(reader.conn(), row.record).await?;
            if !left {
                gone.push(row);
            }
        }
    }
    if gone.is_empty() {
        return Ok(0);
    }
    vault.store.scrub().await?;
    let mut tx = vault.store.begin("finish_erasures").await?;
    let finished = erasures::complete(&mut tx, &gone, vault.clock.now()).await?;
    tx.commit().await?;
    Ok(finished)
}

/// Erases again what is erased by the journal or the log and has a key: the database came from an older copy, or somebody
/// put a wrap back. Until then the restriction keeps it from being played. Returns how many.
pub async fn again(vault: &Vault) -> Result<u64, Failure> {
    let mut found: Vec<RecordId> = Vec::new();
    for records in vault.restrictions.erased_records().chunks(erasures::AT_ONCE) {
        let mut reader = vault.store.read().await?;
        found.extend(erasures::with_a_key(reader.conn(), records).await?);
    }
    let mut erased = 0;
    for record in found {
        let mut reader = vault.store.read().await?;
        let Some(row) = erasures::erasable(&mut reader, record).await? else { continue };
        drop(reader);
        tracing::error!(%record, "a record that was erased has a key again: it is erased again");
        if let Some(ticket) = act::carry_out(vault, record, row.collection, Why::FoundAgain).await? {
            vault.ledger()?.settle_later(ticket);
            erased += 1;
        }
    }
    Ok(erased)
}
