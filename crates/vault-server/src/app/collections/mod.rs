//! Collections: set up, opened when their tier's countermeasures stand, suspended at once.
//!
//! What a collection is comes from its row, and its name and policy count only as the log's `collection.created`
//! quotes them: a policy edited by hand (another notice, no second person) or names swapped are damage, and nothing is
//! done under them.

mod change;
mod proof;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use vault_api::code::Code;
use vault_core::access::person::Place;
use vault_core::access::role::{Action, Role};
use vault_core::ids::{CollectionId, CollectionName};
use vault_core::privacy::readiness::{Facts, Missing, may_open};
use vault_core::time::Timestamp;

pub use crate::store::collections::{CollectionRow, CollectionState};
pub use change::{Suspension, create, open, suspend};
pub use proof::Policies;

use super::callers::{self, Caller};
use super::error::Failure;
use super::restrict::{Refusal, Subject};
use crate::state::Vault;
use crate::store::keys;

/// Most collections that [`all`] answers; a deployment has tens.
const MOST: u32 = 10_000;

/// The collection of that name.
pub async fn find(vault: &Vault, name: &CollectionName) -> Result<CollectionRow, Failure> {
    let mut reader = vault.store.read().await?;
    let row = CollectionRow::by_name(reader.conn(), name).await?.ok_or(Code::NotFound)?;
    drop(reader);
    proof::held_against_log(vault, row).await?.proven()
}

/// The collection with that identifier.
pub async fn get(vault: &Vault, id: CollectionId) -> Result<CollectionRow, Failure> {
    let mut reader = vault.store.read().await?;
    let row = CollectionRow::get(reader.conn(), id).await?.ok_or(Code::NotFound)?;
    drop(reader);
    proof::held_against_log(vault, row).await?.proven()
}

/// Every collection, in the order in which they were set up. One whose policy is damaged is left out and told, and one
/// that is just being made is left out.
pub async fn all(vault: &Vault) -> Result<Vec<CollectionRow>, Failure> {
    let mut reader = vault.store.read().await?;
    let rows = CollectionRow::page(reader.conn(), "", MOST).await?;
    drop(reader);
    let mut proven = Vec::with_capacity(rows.len());
    for row in rows {
        if let proof::Held::Proven(row) = proof::held_against_log(vault, row).await? {
            proven.push(*row);
        }
    }
    Ok(proven)
}

/// A collection with what is missing before it may take recordings.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The collection.
    pub row: CollectionRow,
    /// What is missing; empty when nothing is.
    pub missing: Vec<Missing>,
}

/// The collection of that name, for whoever may see it.
pub async fn show(vault: &Vault, caller: &Caller, name: &CollectionName) -> Result<Shown, Failure> {
    let row = find(vault, name).await?;
    caller.permit_on(Action::CollectionRead, Place::Collection(row.id))?;
    shown(vault, row).await
}

/// At most `limit` of the collections that the caller may see, behind `after`.
pub async fn list(vault: &Vault, caller: &Caller, after: &str, limit: u32) -> Result<Vec<Shown>, Failure> {
    caller.permit(Action::CollectionRead, Place::Anywhere)?;
    let mut visible = all(vault).await?;
    if let Some(only) = caller.held().collections(Action::CollectionRead) {
        visible.retain(|row| only.contains(&row.id));
    }
    visible.retain(|row| row.id.to_string().as_str() > after);
    let mut page = Vec::new();
    for row in visible.into_iter().take(limit as usize) {
        page.push(shown(vault, row).await?);
    }
    Ok(page)
}

/// The collection whose notice is asked for, without a token. A draft is nobody's to see.
pub async fn of_notice(vault: &Vault, name: &CollectionName) -> Result<CollectionRow, Failure> {
    let row = find(vault, name).await?;
    if row.state == CollectionState::Draft { Err(Code::NotFound.into()) } else { Ok(row) }
}

/// Whether the collection takes a recording now: open, not suspended, and every countermeasure of its tier stands. One
/// that has lapsed closes it to new recordings by itself (promise 10).
pub async fn takes_uploads(vault: &Vault, row: &CollectionRow, now: Timestamp) -> Result<(), Failure> {
    if row.state != CollectionState::Open {
        return Err(Code::CollectionNotOpen.into());
    }
    match vault.restrictions.check(&Subject::new().collection(row.id)) {
        Ok(()) => {}
        Err(Refusal::Restricted(_)) => return Err(Code::CollectionNotOpen.into()),
        Err(Refusal::Stale) => return Err(Refusal::Stale.into()),
    }
    stands(missing(vault, row, now).await?)
}

fn stands(missing: Vec<Missing>) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.into_iter().map(Missing::name).collect();
    Err(Failure::new(Code::CountermeasuresMissing).detail(names.join(", ")).member("missing", names))
}

async fn shown(vault: &Vault, row: CollectionRow) -> Result<Shown, Failure> {
    let missing = missing(vault, &row, vault.clock.now()).await?;
    Ok(Shown { row, missing })
}

async fn missing(vault: &Vault, row: &CollectionRow, now: Timestamp) -> Result<Vec<Missing>, Failure> {
    let holders = callers::proven_holders(vault, Role::Approver, Some(row.id)).await?;
    let approvers: HashSet<_> = holders.iter().map(|held| held.person()).collect();
    let mut reader = vault.store.read().await?;
    let active_key = keys::active(reader.conn(), row.id).await?.is_some();
    drop(reader);
    let log_works = vault.ledger().is_ok();
    Ok(may_open(&row.policy, Facts { approvers: approvers.len(), active_key, log_works }, now))
}
