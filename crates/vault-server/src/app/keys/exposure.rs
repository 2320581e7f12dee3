//! Which records a version exposes, should its bytes and a copy of the wraps under it be in wrong hands. Nothing is opened:
//! rows are read, and the rule of [`vault_core::keys::exposure`] decides.

use vault_api::code::Code;
use vault_api::exposure::{ExposedRecord, ExposurePage, HowExposed};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;
use vault_core::keys::exposure::{Exposure, Held, Leak};
use vault_core::keys::wrap::{self, KekRef};

use super::show::state;
use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::keys::{self, HeldKey};

/// Looks at no more than `limit` records behind `after`. The cursor of the answer is the last of them as its row has it.
pub async fn exposed(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    version: u32,
    after: &str,
    limit: u32,
) -> Result<ExposurePage, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(collection.id))?;
    let kek = KekRef { collection: collection.id, version };
    let (row, mut rows) = {
        let mut reader = vault.store.read().await?;
        let row = keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?;
        (row, keys::all_keys(reader.conn(), collection.id, after, limit.saturating_add(1)).await?)
    };
    let whole = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > whole;
    rows.truncate(whole);
    let leak = Leak { version, active_until: row.deactivated_at };
    Ok(ExposurePage {
        version,
        state: state(row.state),
        active_until: row.deactivated_at.map(|at| at.to_string()),
        looked_at: rows.len() as u64,
        next_cursor: rows.last().filter(|_| more).map(|row| row.id.clone()),
        records: rows.into_iter().filter_map(|row| shown(leak, kek, row)).collect(),
    })
}

/// What is known of a record's key, for the rule.
pub(in crate::app) fn held(kek: KekRef, row: &HeldKey) -> Held {
    let named = row.wrap.as_deref().and_then(|bytes| wrap::names(bytes).ok());
    Held {
        row: row.version,
        // One that names another collection's key says nothing of this one's.
        wrap: named.filter(|named| named.collection == kek.collection).map(|named| named.version),
        received_at: row.received_at,
        born: row.born,
    }
}

fn shown(leak: Leak, kek: KekRef, row: HeldKey) -> Option<ExposedRecord> {
    let how = match leak.exposes(held(kek, &row))? {
        Exposure::Held => HowExposed::Held,
        Exposure::Passed => HowExposed::Passed,
        Exposure::Close => HowExposed::Close,
        Exposure::Unreadable => HowExposed::Unreadable,
    };
    Some(ExposedRecord { record_id: row.id, how, key_version: row.version, size_bytes: row.size })
}
