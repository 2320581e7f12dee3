//! Erasing a record: its key first, then everything that opened with it, then the media; and the proof of it.
//!
//! ```text
//! erase    one transaction: key, sealed columns, texts of requests, openings (those that still wait for the log too),
//!          names of parts to the collector, the entries that say so, the restriction. It bites at that commit.
//! finish   parts deleted and found absent by the collector, the database's own log emptied: nothing is left
//! again    a database from an older copy, or a key put back by hand: what the journal or the log says is erased is
//! show     the certificate: entry, proof, opening, and how far the erasure reaches into backups today
//! ```
//!
//! None of it waits for the audit log or the object store. Whatever is left half-way by a crash is what the jobs do anyway.

mod act;
mod finish;
mod horizon;
mod show;

#[cfg(test)]
pub(super) mod tests;

use vault_api::code::Code;
use vault_api::erasure::{EraseRecord as Asked, Erasure};
use vault_core::access::decision::{EraseRecord, authorise_on};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::RecordErased;
use vault_core::ids::RecordId;

pub use finish::{again, finish};
pub use horizon::open;

use crate::app::callers::Caller;
use crate::app::error::Failure;
use crate::app::people::text;
use crate::app::reference;
use crate::state::Vault;
use crate::store::erasures::{self, Erasable};

/// Longest reason.
const REASON: usize = 2000;

/// Erases a record. One that is erased answers its certificate again.
pub async fn erase(vault: &Vault, caller: &Caller, id: RecordId, asked: Asked) -> Result<Erasure, Failure> {
    let found = find(vault, id).await?;
    let authorised = authorise_on::<EraseRecord>(caller.held(), Place::Collection(found.collection))?;
    let reason = match asked.reason.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(reason) => Some(text("reason", reason, REASON)?),
    };
    let mine = if found.erased {
        None
    } else {
        let why = act::Why::Asked { by: authorised.person(), reason };
        act::carry_out(vault, id, found.collection, why).await?
    };
    // Somebody else's erasure may be a moment old. A log that stands still does not change the answer.
    let published = match mine {
        Some(ticket) => vault.ledger()?.settle(ticket).await,
        None => vault.ledger()?.find_soon::<RecordErased>(&reference::record_erased(id)).await,
    };
    if let Err(e) = published {
        tracing::warn!(error = %e, "a record is erased while its entry waits for the log");
    }
    show::certificate(vault, id, found.collection).await
}

/// The certificate of an erasure; absent while the record is not erased.
pub async fn show(vault: &Vault, caller: &Caller, id: RecordId) -> Result<Erasure, Failure> {
    let found = find(vault, id).await?;
    caller.permit_on(Action::RecordRead, Place::Collection(found.collection))?;
    if !found.erased {
        return Err(Code::NotFound.into());
    }
    show::certificate(vault, id, found.collection).await
}

async fn find(vault: &Vault, id: RecordId) -> Result<Erasable, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(erasures::erasable(&mut reader, id).await?.ok_or(Code::NotFound)?)
}
