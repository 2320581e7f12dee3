//! The transaction that puts a fresh key in the place of a record's.
//!
//! It holds the record's row: whoever seals something under the record's key in a transaction of their own comes before, and what they sealed is
//! sealed anew here, or after, and is told that the key is another one ([`LedgerError::RecordKeyChanged`](crate::app::ledger::LedgerError)).
//! An erasure that came before leaves nothing to replace; one that comes after erases what is here now.

use std::time::Instant;

use vault_api::code::Code;
use vault_core::audit::entry::{Draft, RecordReencrypted};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SealedOpening, SlotName};
use vault_core::ids::{ObjectId, RecordId, RewriteId};
use vault_core::keys::field::{FieldContext, FieldSealer as _};
use vault_core::keys::hierarchy::{FieldKey, RecordKey};

use super::rewrite::{Outcome, Trouble};
use super::work::Work;
use crate::app::access::text_place;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::{Imposed, Restriction};
use crate::app::upload::create::{consent_place, details_place};
use crate::objects::DEADLINE;
use crate::store::records::{self, ObjectRow};
use crate::store::reencryptions::{self as rows, Advance, Amount};
use crate::store::rekey::{self, Fresh, Sealed, TEXTS};
use crate::store::uploads::{self, NewPart};
use crate::store::{StoreError, Tx};

/// What is to be swapped.
pub(super) struct Swap<'k> {
    /// Of which record.
    pub(super) record: RecordId,
    /// The key that is there.
    pub(super) former: &'k RecordKey,
    /// The one that takes its place.
    pub(super) fresh: &'k RecordKey,
    /// The object that is there.
    pub(super) from: ObjectId,
    /// The one that takes its place.
    pub(super) object: ObjectRow,
    /// Its parts, in order.
    pub(super) parts: Vec<NewPart>,
    /// Under which they were written.
    pub(super) rewrite: RewriteId,
    /// When this record's turn began.
    pub(super) began: Instant,
}

/// The field keys of both.
struct Fields {
    former: FieldKey,
    fresh: FieldKey,
}

impl Fields {
    /// What was sealed for this place under the former key, under the fresh one. `None`: it does not open.
    fn anew(&self, place: FieldContext<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        Some(self.fresh.seal(place, &self.former.open(place, sealed).ok()?))
    }

    fn opening(&self, sealed: &SealedOpening) -> Option<SealedOpening> {
        Some(SealedOpening::seal(&sealed.open(&self.former).ok()?, sealed.under, &self.fresh))
    }
}

impl Work<'_> {
    /// Puts the fresh key, and what was written under it, in the place of what is there. Once this returns, nothing of before is left but
    /// names for the collector.
    pub(super) async fn swap(&self, swap: Swap<'_>) -> Result<Outcome, Trouble> {
        let (vault, now, record) = (self.vault, self.vault.clock.now(), swap.record);
        let keys = vault.keys()?;
        let collection = collections::get(vault, self.row.collection).await?;
        let staff = keys.staff_audit_key(collection.id).await.map_err(Failure::from)?;
        let fields = Fields { former: swap.former.field_key(), fresh: swap.fresh.field_key() };
        let bytes = swap.object.plaintext_length;

        let mut tx = vault.store.begin("reencrypt_record").await?;
        let by = Advance { done: Amount { records: 1, bytes }, worked: swap.began.elapsed(), ..Advance::default() };
        let mine = self.lease.check_and_renew(&mut tx).await?
            && rows::advance(tx.conn(), &self.row, &record.to_string(), by, now).await?;
        if !mine {
            tx.rollback().await?;
            return Ok(Outcome::Stopped);
        }
        let Some(held) = rekey::hold(&mut tx, record).await? else {
            tx.rollback().await?;
            return Ok(Outcome::Gone);
        };
        let same = held.tag.is_none_or(|tag| tag == fields.former.tag());
        if !same || !rows::end_rewrite(tx.conn(), swap.rewrite).await? {
            tx.rollback().await?;
            return Err(Failure::new(Code::Conflict).because("another attempt at the record has begun").into());
        }
        let Some(sealed) = resealed(&fields, record, held) else {
            tx.rollback().await?;
            return Err(Trouble::Damaged { finding: "record-row-damaged", object: None });
        };
        let policy = collection.policy.key_policy();
        let wrapped = keys.wrap_record_key(&mut tx, collection.id, &policy, record, swap.fresh).await;
        let (version, wrap) = wrapped.map_err(Failure::from)?;
        rekey::put(&mut tx, record, &Fresh { version, wrap, sealed }, now).await?;
        rekey::discard_object(&mut tx, record, swap.from, now.plus(DEADLINE)).await?;
        records::insert_object(&mut tx, record, &swap.object, now).await?;
        for part in &swap.parts {
            uploads::register(&mut tx, swap.object.id, part).await?;
        }
        reseal_texts(&mut tx, &fields, record).await?;
        for (index, sealed) in rekey::openings(&mut tx, record).await? {
            match fields.opening(&sealed) {
                Some(anew) => rekey::put_opening(&mut tx, &(index, anew)).await?,
                None => tracing::error!(%record, index, "an opening does not open under its record's key"),
            }
        }
        let ledger = vault.ledger()?;
        ledger.reseal_waiting(&mut tx, record, |sealed| fields.opening(sealed)).await?;

        let draft = Draft::<RecordReencrypted>::new(now)
            .collection(collection.id)
            .kek_version(version)
            .data("reencryption", self.row.id.to_string())
            .data("bytes", bytes)
            .slot(SlotName::Record, record.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, swap.object.id.to_string(), OpeningUnder::Record)
            .slot(SlotName::Replaced, swap.from.to_string(), OpeningUnder::Record);
        let opening_keys = OpeningKeys { staff: &staff, record: Some((record, &fields.fresh)) };
        let entry = draft.prepare(&opening_keys).map_err(Failure::from)?;
        let ticket = ledger.enqueue(&mut tx, entry, Some(reference::object_replaced(swap.from))).await?;
        // Sessions that play the former object end here: their next request is told to open another.
        let mut imposed = Imposed::default();
        for (session, expires_at) in rekey::open_sessions(&mut tx, record, now).await? {
            let ended = Restriction::session_closed(session, expires_at);
            imposed = imposed.and(vault.restrictions.impose(&mut tx, ended, now).await?);
        }
        tx.commit().await?;
        vault.restrictions.stand_quietly(&imposed);
        ledger.settle_later(ticket);
        // The former wrap has been overwritten in its page; the write-ahead log has older ones.
        vault.store.scrub_soon();
        Ok(Outcome::Anew)
    }
}

/// What is sealed in the record's row, under the fresh key. `None`: it does not open under the former one.
fn resealed(fields: &Fields, record: RecordId, held: Sealed) -> Option<Sealed> {
    let anew = |place, sealed: Option<Vec<u8>>| match sealed {
        Some(sealed) => fields.anew(place, &sealed).map(Some),
        None => Some(None),
    };
    Some(Sealed {
        tag: Some(fields.fresh.tag()),
        details: anew(details_place(&record), held.details)?,
        consent: anew(consent_place(&record), held.consent)?,
    })
}

/// Texts of requests for this one record. One that does not open was not written by the vault: it stays, and is left out as before.
async fn reseal_texts(tx: &mut Tx, fields: &Fields, record: RecordId) -> Result<(), StoreError> {
    for (request, mut texts) in rekey::texts(tx, record).await? {
        for (text, column) in texts.iter_mut().zip(TEXTS) {
            let Some(sealed) = text else { continue };
            match fields.anew(text_place(&request, column), sealed) {
                Some(anew) => *text = Some(anew),
                None => tracing::error!(%request, column, "a sealed text of an access request is damaged"),
            }
        }
        rekey::put_texts(tx, request, texts).await?;
    }
    Ok(())
}
