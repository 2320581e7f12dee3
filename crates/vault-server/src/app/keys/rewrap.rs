//! Moving record keys to the active version, in short batches, so that uploads and playback go first.
//!
//! Each batch is one transaction that counts its wraps and moves each record by compare-and-set: it may be repeated, cut
//! short or run beside itself on another node, and a crash loses nothing but the batch. What is left to do is asked of
//! the records themselves, not of a counter.

use std::time::Duration;

use vault_core::audit::entry::FindingReported;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::lifecycle::{KeyState, Operation, Planned, Reason};
use vault_core::keys::wrap::{KekRef, UnwrapError};

use super::drafted;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::keys::{self, RotationRow};

/// Record keys moved in one transaction: some ten milliseconds of the writer.
const BATCH: u32 = 200;
/// Between two batches the writer belongs to others.
const PAUSE: Duration = Duration::from_millis(5);

/// Goes on with every rotation under way until each is done or the vault stops.
pub async fn rewrap_all(vault: &Vault) -> Result<(), Failure> {
    let running = {
        let mut reader = vault.store.read().await?;
        keys::rotations_running(reader.conn()).await?
    };
    for rotation in running {
        rewrap(vault, rotation).await?;
    }
    Ok(())
}

/// Moves everything to the version of `rotation`. Records whose wrap does not open stay where they are, are told of in
/// the log, and stop nobody else.
async fn rewrap(vault: &Vault, rotation: RotationRow) -> Result<(), Failure> {
    let to = KekRef { collection: rotation.collection, version: rotation.to };
    let sources = {
        let mut reader = vault.store.read().await?;
        keys::keks(reader.conn(), rotation.collection).await?
    };
    let mut damaged = 0u64;
    let sources = sources.into_iter().filter(|row| row.version != to.version && row.state != KeyState::Destroyed);
    for version in sources.map(|row| row.version) {
        let from = KekRef { version, ..to };
        // The cursor only saves looking twice at what does not open; a restart begins at the first record left.
        let mut cursor = String::new();
        while !vault.stopping.is_cancelled() {
            let batch = {
                let mut reader = vault.store.read().await?;
                keys::record_wraps(reader.conn(), from, &cursor, BATCH).await?
            };
            let Some((last, _)) = batch.last() else { break };
            cursor = last.to_string();
            let (moved, refused) = move_batch(vault, &rotation, from, to, &batch).await?;
            damaged += u64::try_from(refused.len()).unwrap_or(u64::MAX);
            for (record, why) in refused {
                report(vault, from, record, why).await?;
            }
            tracing::debug!(collection = %to.collection, from = version, to = to.version, moved, "record keys moved");
            tokio::time::sleep(PAUSE).await;
        }
    }
    if vault.stopping.is_cancelled() {
        return Ok(());
    }
    finish(vault, rotation, damaged).await
}

async fn move_batch(
    vault: &Vault,
    rotation: &RotationRow,
    from: KekRef,
    to: KekRef,
    batch: &[(RecordId, Vec<u8>)],
) -> Result<(u64, Vec<(RecordId, UnwrapError)>), Failure> {
    let rewrapped = vault.keys()?.rewrap_records(from, to, batch).await?;
    let (mut ready, mut refused) = (Vec::with_capacity(batch.len()), Vec::new());
    for ((record, _), outcome) in batch.iter().zip(rewrapped) {
        match outcome {
            Ok(wrap) => ready.push((*record, wrap)),
            Err(why) => refused.push((*record, why)),
        }
    }
    if ready.is_empty() {
        return Ok((0, refused));
    }
    let mut tx = vault.store.begin("rewrap_record_keys").await?;
    // Counted as every wrap is; it also makes sure that the version moved to is still the active one.
    let uses = u64::try_from(ready.len()).unwrap_or(u64::MAX);
    let (active, _) = vault.keys()?.count(&mut tx, to.collection, uses).await?;
    if active != to {
        // Rotated again meanwhile: that rotation moves everything.
        return Ok((0, refused));
    }
    let mut moved = 0;
    for (record, wrap) in &ready {
        if keys::move_record(tx.conn(), *record, from, to.version, wrap).await? {
            moved += 1;
        }
    }
    let cursor = batch.last().map(|(id, _)| id.to_string()).unwrap_or_default();
    keys::advance_rotation(tx.conn(), rotation, moved, &cursor).await?;
    tx.commit().await?;
    Ok((moved, refused))
}

async fn finish(vault: &Vault, rotation: RotationRow, damaged: u64) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(rotation.collection)).await?;
    let mut tx = vault.store.begin("finish_rotation").await?;
    let Some(moved) = keys::finish_rotation(tx.conn(), &rotation, now).await? else {
        // Another node has ended it, and said so in the log.
        return Ok(tx.rollback().await?);
    };
    let operation = Operation::Rewrap { from: rotation.from, to: rotation.to };
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let draft = drafted(&pen, now, None, Planned { operation, reason: Reason::HoldsWraps })
        .data("moved", count(moved))
        .data("damaged", count(damaged));
    let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
    tx.commit().await?;
    vault.ledger()?.settle_later(ticket);
    // Old wraps have been overwritten in place; the write-ahead log still has pages with them.
    vault.store.scrub().await?;
    tracing::info!(collection = %rotation.collection, to = rotation.to, moved, damaged, "rotation done");
    Ok(())
}

/// A wrap that does not open under the key it should: altered, or moved from another record.
async fn report(vault: &Vault, kek: KekRef, record: RecordId, why: UnwrapError) -> Result<(), Failure> {
    tracing::error!(%record, %kek, %why, "a record key does not open");
    let pen = StaffPen::of(vault, Some(kek.collection)).await?;
    let draft = pen
        .draft::<FindingReported>(vault.clock.now(), None)
        .kek_version(kek.version)
        .data("finding", "record-key-does-not-open")
        .data("because", why.to_string())
        // Its own key is what is damaged, so the record is named under the staff audit key.
        .slot(SlotName::Record, record.to_string(), OpeningUnder::Staff);
    let mut tx = vault.store.begin("report_finding").await?;
    let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
    tx.commit().await?;
    vault.ledger()?.settle_later(ticket);
    Ok(())
}
