//! Quotas: counted in the transaction that adds to them, so that requests at once do not pass together.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::ids::{CollectionId, PersonId};
use vault_core::privacy::retention::day_of;
use vault_core::time::Timestamp;

use super::refused;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::Tx;
use crate::store::uploads::{self, UploadRow};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// When it is worth trying again where only somebody's act makes room: an upload that ends, a record that is erased.
const SOME_TIME: Duration = Duration::from_secs(60);

/// Whether `person` may begin an upload of `length` bytes in `collection`, in the transaction that enters it.
pub async fn admit(
    vault: &Vault,
    tx: &mut Tx,
    person: PersonId,
    collection: CollectionId,
    length: Option<u64>,
    now: Timestamp,
) -> Result<(), Failure> {
    let limits = &vault.config.limits;
    if uploads::open_of(tx, person).await? >= limits.open_uploads {
        return Err(refused(&vault.metrics, Code::RateLimited, "open_uploads", SOME_TIME));
    }
    if limits.collection_bytes_per_day.is_none() && limits.collection_records.is_none() {
        return Ok(());
    }
    let held = uploads::held_by(tx, collection, day_of(now)).await?;
    if limits.collection_records.is_some_and(|most| held.records >= most) {
        return Err(refused(&vault.metrics, Code::QuotaExceeded, "collection_records", SOME_TIME));
    }
    // Without a declared length there must be room for a byte at least; `goes_on` asks again.
    let bytes = held.bytes.saturating_add(length.unwrap_or(1));
    if limits.collection_bytes_per_day.is_some_and(|most| bytes > most) {
        return Err(over_the_day(vault, now));
    }
    Ok(())
}

/// Whether an upload whose length is not declared may take in more: what has come of it counts, and no more is known.
/// One of a declared length was counted when it began.
pub async fn goes_on(vault: &Vault, row: &UploadRow, declares: Option<u64>, now: Timestamp) -> Result<(), Failure> {
    let Some(most) = vault.config.limits.collection_bytes_per_day.filter(|_| row.length.is_none()) else {
        return Ok(());
    };
    let mut tx = vault.store.begin("count_collection").await?;
    let held = uploads::held_by(&mut tx, row.collection, day_of(row.created_at)).await?;
    tx.commit().await?;
    let more = declares.map_or(1, |length| length.saturating_sub(row.received));
    if held.bytes.saturating_add(more) > most { Err(over_the_day(vault, now)) } else { Ok(()) }
}

fn over_the_day(vault: &Vault, now: Timestamp) -> Failure {
    let wait = day_of(now).plus(DAY).since(now);
    refused(&vault.metrics, Code::QuotaExceeded, "collection_bytes_per_day", wait)
}
