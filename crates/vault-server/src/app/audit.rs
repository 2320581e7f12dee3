//! Reading the audit log. It appends nothing: a log that grew by being read could not be read to its end.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use vault_api::audit::{AuditEntry, AuditPage, AuditQuery, OpeningStatus, SlotOpening};
use vault_api::code::Code;
use vault_api::page::{DEFAULT_LIMIT, MAX_LIMIT};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::checkpoint::VerifiedCheckpoint;
use vault_core::audit::entry::{Entry, Kind};
use vault_core::audit::tile::Tile;
use vault_core::ids::CollectionName;

use super::callers::Caller;
use super::collections;
use super::error::Failure;
use super::ledger::{OpeningState, SlotView, View};
use crate::state::Vault;

/// The published checkpoint.
pub async fn checkpoint(vault: &Vault) -> Result<Arc<VerifiedCheckpoint>, Failure> {
    Ok(vault.ledger()?.newest_checkpoint().await?)
}

/// A tile or bundle, by its path under the log's prefix. One that the published tree does not have is absent.
pub async fn tile(vault: &Vault, path: &str) -> Result<Bytes, Failure> {
    let tile: Tile = path.parse().map_err(|_| Code::NotFound)?;
    vault.ledger()?.tile(tile).await?.ok_or_else(|| Code::NotFound.into())
}

/// A page of entries with the openings that the caller may see: those of collections in which they are auditor, and
/// of the vault as a whole for an auditor of the whole vault.
pub async fn entries(vault: &Vault, caller: &Caller, query: AuditQuery) -> Result<AuditPage, Failure> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Failure::new(Code::InvalidValue).detail(format!("limit: 1 to {MAX_LIMIT}")));
    }
    let kind = match &query.entry_type {
        Some(text) => {
            Some(Kind::parse(text).ok_or_else(|| Failure::new(Code::InvalidValue).detail("type: no type of entry"))?)
        }
        None => None,
    };
    let collection = match &query.collection {
        Some(name) => {
            let name: CollectionName = name.parse().map_err(|_| Code::NotFound)?;
            Some(collections::find(vault, &name).await?.id)
        }
        None => None,
    };
    let first = match &query.cursor {
        Some(cursor) => cursor.parse().map_err(|_| Code::InvalidCursor)?,
        None => 0,
    };
    let first = query.from_index.unwrap_or(0).max(first);
    let wanted = |entry: &Entry<'_>| {
        kind.is_none_or(|kind| entry.kind() == kind) && (collection.is_none() || entry.collection() == collection)
    };
    let visible = |entry: &Entry<'_>| {
        let place = entry.collection().map_or(Place::Vault, Place::Collection);
        caller.permit(Action::AuditRead, place).is_ok()
    };
    let page = vault.ledger()?.page(first, limit as usize, query.tree_size, wanted, visible).await?;
    Ok(AuditPage {
        items: page.views.into_iter().map(show).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
        tree_size: page.size,
    })
}

fn show(view: View) -> AuditEntry {
    // Not JSON only when the row is damaged: then there is nothing to show but its place.
    let entry = serde_json::from_slice(&view.entry).unwrap_or(Value::Null);
    AuditEntry { index: view.index, entry, openings: view.slots.into_iter().map(slot).collect() }
}

fn slot(view: SlotView) -> SlotOpening {
    let (status, opening) = match view.state {
        OpeningState::Opened(opening) => (OpeningStatus::Opened, Some(opening)),
        OpeningState::Withheld => (OpeningStatus::Withheld, None),
        OpeningState::Erased => (OpeningStatus::Erased, None),
        OpeningState::Missing => (OpeningStatus::Missing, None),
    };
    SlotOpening {
        slot: view.slot.as_str().to_owned(),
        status,
        value: opening.as_ref().map(|opening| opening.value().to_owned()),
        salt: opening.map(|opening| hex::encode(opening.salt())),
    }
}
