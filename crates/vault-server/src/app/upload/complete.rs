//! Adoption: a whole recording becomes a record, in one transaction.
//!
//! The transaction ends the upload at its last offset, removes the wrap in progress, wraps the record key under
//! the collection's KEK (which counts the use and fails if the version was retired meanwhile), enters record, object
//! and last parts, and leaves the audit entry in the outbox. Before it there is an upload one commit short of its length;
//! after it there is a record: no crash leaves a full offset without one. Sealed intake will come through the
//! same [`Offer`], made on a node that has no key access.

use std::sync::Arc;

use vault_api::code::Code;
use vault_core::audit::entry::{Decision, Draft, UploadCompleted};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::field::FieldSealer as _;
use vault_core::keys::hierarchy::RecordKey;
use vault_core::media::container::{Kind, Recognised};
use vault_core::media::seal::Sealed;
use vault_core::privacy::retention::retain_until;

use super::create::{Details, details_place};
use crate::app::collections;
use crate::app::error::Failure;
use crate::state::Vault;
use crate::store::collections::CollectionState;
use crate::store::erasures;
use crate::store::records::{self, ObjectRow, RecordRow, RecordState};
use crate::store::uploads::{self, NewPart, UploadRow, UploadState};

/// A whole recording, offered for adoption.
pub struct Offer<'a> {
    /// The upload, held under its fence.
    pub row: &'a UploadRow,
    /// The last committed offset.
    pub from: u64,
    /// The record's key.
    pub record_key: &'a RecordKey,
    /// What the content is.
    pub recognised: Recognised,
    /// The sealed whole.
    pub sealed: Sealed,
    /// The parts that end it, in order.
    pub parts: Vec<NewPart>,
}

/// Adopts a recording. Once this returns the record is durable.
pub async fn adopt(vault: &Arc<Vault>, offer: Offer<'_>) -> Result<RecordId, Failure> {
    let row = offer.row;
    let now = vault.clock.now();
    let collection = collections::get(vault, row.collection).await?;
    if collection.state != CollectionState::Open {
        return Err(Code::CollectionNotOpen.into());
    }
    let keys = vault.keys()?;
    let staff = keys.staff_audit_key(row.collection).await?;
    let pseudonym = pseudonym(vault, row, offer.record_key).await?;
    let field_key = offer.record_key.field_key();
    let kind = match offer.recognised.kind() {
        Kind::Video => "video",
        Kind::Audio => "audio",
    };
    let mut draft = Draft::<UploadCompleted>::new(now)
        .collection(row.collection)
        .decision(Decision::Allowed)
        .policy(collection.policy_hash)
        .data("kind", kind)
        .data("size", offer.sealed.plaintext())
        .slot(SlotName::Record, row.record.to_string(), OpeningUnder::Record)
        .slot(SlotName::Object, row.object.to_string(), OpeningUnder::Record)
        .slot(SlotName::Staff, row.person.to_string(), OpeningUnder::Staff);
    if let Some(pseudonym) = pseudonym {
        draft = draft.slot(SlotName::Subject, hex::encode(pseudonym), OpeningUnder::Record);
    }
    let entry = draft
        .prepare(&OpeningKeys { staff: &staff, record: Some((row.record, &field_key)) })
        .map_err(|e| Failure::new(Code::Internal).because(e))?;

    let mut tx = vault.store.begin("adopt_upload").await?;
    let at = Some((offer.from, row.fence));
    let received = Some(offer.sealed.plaintext());
    if !uploads::end(&mut tx, row.id, UploadState::Complete, at, received, None).await? {
        tx.rollback().await?;
        return Err(Code::UploadBusy.into());
    }
    let policy = collection.policy.key_policy();
    let (kek_version, wrap) =
        keys.wrap_record_key(&mut tx, row.collection, &policy, row.record, offer.record_key).await?;
    let record = RecordRow {
        id: row.record,
        collection: row.collection,
        state: RecordState::Available,
        kek_version,
        wrap: Some(wrap),
        pseudonym,
        details: row.details.clone(),
        consent: row.consent.clone(),
        terms: row.terms.clone(),
        media: kind.to_owned(),
        content_type: offer.recognised.content_type().to_owned(),
        size: offer.sealed.plaintext(),
        received_at: now,
        retain_until: Some(retain_until(now, collection.policy.retention_days)),
        key_tag: Some(field_key.tag()),
    };
    let object = ObjectRow {
        id: row.object,
        content_type: offer.recognised.content_type().to_owned(),
        header: row.header.clone(),
        segment_length: row.segment_length,
        plaintext_length: offer.sealed.plaintext(),
    };
    records::insert(&mut tx, &record, &object).await?;
    if let Some(key) = row.resume_key {
        // A copy from while the upload was under way opens with it.
        erasures::note_resume_key(&mut tx, row.record, key).await?;
    }
    for part in &offer.parts {
        uploads::register(&mut tx, row.object, part).await?;
    }
    let ledger = vault.ledger()?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(format!("upload:{}", row.id))).await?;
    tx.commit().await?;
    // The entry is durable with the record. A log that is blocked delays its publication, not the upload: clients
    // take a 5xx on the last request for success.
    ledger.settle_later(ticket);
    // The wrap in progress is gone from the row; its older page goes soon.
    vault.store.scrub_soon();
    Ok(row.record)
}

/// The data subject's pseudonym, from the external id sealed at creation.
async fn pseudonym(vault: &Vault, row: &UploadRow, key: &RecordKey) -> Result<Option<[u8; 32]>, Failure> {
    let Some(sealed) = &row.details else { return Ok(None) };
    let damaged = |e: &dyn std::error::Error| Failure::new(Code::IntegrityFailure).because(e.to_string());
    let details = key.field_key().open(details_place(&row.record), sealed).map_err(|e| damaged(&e))?;
    let details: Details = serde_json::from_slice(&details).map_err(|e| damaged(&e))?;
    let Some(subject) = &details.subject else { return Ok(None) };
    let key = vault.keys()?.subject_key(row.collection).await?;
    Ok(Some(key.pseudonym(subject)))
}
