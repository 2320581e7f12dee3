//! Uploads that end without a record: refused for their content, or terminated by the client.
//!
//! Keys go first: the wrap, the tail and the sealed fields leave the row in the update that ends the upload. The
//! parts are unreadable from then on, and are deleted by the collector.

use std::sync::Arc;

use vault_api::code::Code;
use vault_core::audit::entry::{Decision, Draft, UploadRejected};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::keys::upload::UploadSecret;
use vault_core::media::container::Refusal;

use super::find;
use crate::app::error::Failure;
use crate::clock::Set;
use crate::objects::DEADLINE;
use crate::state::Vault;
use crate::store::uploads::{self, UploadRow, UploadState};

/// The failure that an upload which cannot be written any more answers with; `Ok` while it is open.
pub(super) fn refused_state(vault: &Vault, row: &UploadRow) -> Result<(), Failure> {
    match row.state {
        UploadState::Open if row.expires_at < vault.clock.now() => {
            // A client that is told so begins again, and what it sent is lost.
            match vault.agreement.set(vault.clock.as_ref()) {
                Some(Set::Forward) => Err(Failure::new(Code::Unavailable).detail("the clock of this node was set")),
                _ => Err(Code::UploadExpired.into()),
            }
        }
        UploadState::Open => Ok(()),
        UploadState::Complete => Err(Code::UploadComplete.into()),
        UploadState::Rejected => Err(Code::UploadRejected.into()),
        UploadState::Expired => Err(Code::UploadExpired.into()),
        UploadState::Terminated => Err(Code::UploadNotFound.into()),
    }
}

/// The code that a client is told, and the word that row and audit entry keep.
const fn kind(refusal: Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::NotTheClaimedType => (Code::ContentMismatch, "not-the-claimed-type"),
        Refusal::VideoInAudio => (Code::ContentMismatch, "video-in-audio"),
        Refusal::Empty => (Code::ContentRefused, "empty"),
        Refusal::Malformed(_) => (Code::ContentRefused, "malformed"),
        Refusal::Truncated => (Code::ContentRefused, "truncated"),
        Refusal::TrailingBytes => (Code::ContentRefused, "trailing-bytes"),
        Refusal::NoMedia => (Code::ContentRefused, "no-media"),
        Refusal::ActiveContent(_) => (Code::ContentRefused, "active-content"),
        Refusal::Forbidden(_) => (Code::ContentRefused, "forbidden-element"),
    }
}

/// Ends an upload whose content is refused: audited, its keys destroyed, its parts handed to the collector. Answers
/// the failure to tell the client, which is the refusal unless ending it failed.
pub(super) async fn refuse(vault: &Arc<Vault>, row: &UploadRow, refusal: Refusal) -> Failure {
    match reject(vault, row, refusal).await {
        Ok(()) => Failure::new(kind(refusal).0).detail(refusal.to_string()),
        Err(failure) => failure,
    }
}

async fn reject(vault: &Arc<Vault>, row: &UploadRow, refusal: Refusal) -> Result<(), Failure> {
    let at = Some((row.received, row.fence));
    if end(vault, row, UploadState::Rejected, at, kind(refusal).1).await? {
        Ok(())
    } else {
        Err(Code::UploadBusy.into())
    }
}

/// Ends an upload at its client's wish.
pub async fn terminate(vault: &Arc<Vault>, secret: &UploadSecret) -> Result<(), Failure> {
    let row = find(vault, secret).await?;
    refused_state(vault, &row)?;
    let _place = vault.uploads.enter(row.id).await;
    if end(vault, &row, UploadState::Terminated, None, "terminated").await? {
        return Ok(());
    }
    // Completed or ended while the request before this one settled.
    refused_state(vault, &find(vault, secret).await?)
}

/// Ends an upload in one transaction with its audit entry; `false` when it was not open any more, or not at `at`.
async fn end(
    vault: &Arc<Vault>,
    row: &UploadRow,
    to: UploadState,
    at: Option<(u64, u64)>,
    reason: &'static str,
) -> Result<bool, Failure> {
    let now = vault.clock.now();
    let ledger = vault.ledger()?;
    let staff = vault.keys()?.staff_audit_key(row.collection).await?;
    let entry = Draft::<UploadRejected>::new(now)
        .collection(row.collection)
        .decision(Decision::Denied)
        .data("reason", reason)
        .slot(SlotName::Upload, row.id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, row.person.to_string(), OpeningUnder::Staff)
        .prepare(&OpeningKeys { staff: &staff, record: None })
        .map_err(|e| Failure::new(Code::Internal).because(e))?;
    let mut tx = vault.store.begin("end_upload").await?;
    if !uploads::end(&mut tx, row.id, to, at, None, Some(reason)).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    uploads::discard_parts(&mut tx, row.object, now.plus(DEADLINE)).await?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(format!("upload:{}", row.id))).await?;
    tx.commit().await?;
    ledger.settle_later(ticket);
    // The wrap is gone from the row; its older page goes soon.
    vault.store.scrub_soon();
    Ok(true)
}
