//! Re-encryptions as they are shown.

use vault_api::reencryption::{Reencryption, ReencryptionState as Wire, ReencryptionStatus};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;

use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::reencryptions::{self as rows, ReencryptionRow, ReencryptionState, What};

/// The re-encryption under way in a collection, or the last one.
pub async fn status(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<ReencryptionStatus, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(collection.id))?;
    let row = {
        let mut reader = vault.store.read().await?;
        rows::find(reader.conn(), collection.id).await?
    };
    Ok(ReencryptionStatus { collection: collection.name.to_string(), reencryption: row.as_ref().map(shown) })
}

pub(super) fn shown(row: &ReencryptionRow) -> Reencryption {
    let (exposed_by, record_id) = match row.what {
        What::ExposedBy(version) => (Some(version), None),
        What::Record(record) => (None, Some(record.to_string())),
    };
    let worked = row.worked.as_millis().max(1);
    Reencryption {
        id: row.id.to_string(),
        exposed_by,
        record_id,
        state: match row.state {
            ReencryptionState::Running => Wire::Running,
            ReencryptionState::Paused => Wire::Paused,
            ReencryptionState::Done => Wire::Done,
            ReencryptionState::Cancelled => Wire::Cancelled,
        },
        records: row.total.records,
        bytes: row.total.bytes,
        done: row.done.records,
        done_bytes: row.done.bytes,
        skipped: row.skipped,
        damaged: row.damaged,
        bytes_per_second: row.throttle,
        rate: u64::try_from(u128::from(row.done.bytes) * 1000 / worked).unwrap_or(u64::MAX),
        started_at: row.started_at.to_string(),
        updated_at: row.updated_at.to_string(),
        finished_at: row.finished_at.map(|at| at.to_string()),
    }
}
