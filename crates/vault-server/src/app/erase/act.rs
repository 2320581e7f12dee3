//! The transaction that erases.
//!
//! Nothing that can be edited or damaged holds it up: it needs neither the record's key nor its policy, and where the
//! collection's staff audit key cannot be had the entry is written under the vault's.

use vault_core::audit::entry::{Draft, EntryKind, OpeningsErased, RecordErased};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::audit::verify::{ERASED, erased_portions};
use vault_core::ids::{CollectionId, PersonId, RecordId};
use vault_core::privacy::certificate::{RESUME_KEY, ROOT_EPOCH};
use vault_core::time::Timestamp;

use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::ledger::Ticket;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::objects::DEADLINE;
use crate::state::Vault;
use crate::store::erasures::{self, ErasureRow};

/// Why a record is erased.
pub(super) enum Why {
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: PersonId,
        /// What they said.
        reason: Option<String>,
    },
    /// It was erased before, and its key is there again: from an older copy, or by hand.
    FoundAgain,
}

/// Erases a record: in force on this node when it returns, and on every other within a second. `None`: it is erased.
pub(super) async fn carry_out(
    vault: &Vault,
    record: RecordId,
    collection: CollectionId,
    why: Why,
) -> Result<Option<Ticket<RecordErased>>, Failure> {
    let now = vault.clock.now();
    let ledger = vault.ledger()?;
    let pen = pen(vault, collection).await?;
    let in_custody = vault.keys()?.epochs()?.last().map_or(0, |epoch| epoch.epoch);

    let mut tx = vault.store.begin("erase_record").await?;
    let Some(resume_key) = erasures::take_key(&mut tx, record).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    let (kek_version, root_epoch) = erasures::highest(&mut tx, collection).await?;
    let mut row = ErasureRow {
        record,
        collection,
        at: now,
        kek_version,
        root_epoch: root_epoch.max(in_custody),
        resume_key,
        restriction: 0,
        completed_at: None,
    };
    erasures::empty_texts(&mut tx, record).await?;
    erasures::discard_media(&mut tx, record, now.plus(DEADLINE)).await?;
    let mut portions = erased_portions(&ledger.erase_openings(&mut tx, record).await?);
    // The entry that everybody looks for comes last: what it does not list, those before it do.
    let mine = portions.pop().unwrap_or_default();
    for listed in portions {
        let draft = drafted::<OpeningsErased>(&pen, &row, &why, now).data(ERASED, listed);
        let ticket = ledger.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
        ledger.settle_later(ticket);
    }
    let entry = pen.prepare(erased(&pen, &row, why, mine, now))?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::record_erased(record))).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::record_erased(record), now).await?;
    row.restriction = imposed.number();
    erasures::insert(&mut tx, &row).await?;
    vault.restrictions.commit(tx, imposed).await?;
    // The wrap is overwritten in its page; the write-ahead log has older ones.
    vault.store.scrub_soon();
    Ok(Some(ticket))
}

/// What writes the entries: for the collection, or for the vault where that key is damaged.
async fn pen(vault: &Vault, collection: CollectionId) -> Result<StaffPen, Failure> {
    match StaffPen::of(vault, Some(collection)).await {
        Ok(pen) => Ok(pen),
        Err(e) => {
            tracing::error!(%collection, error = %e, "an erasure is logged under the vault's key");
            StaffPen::of(vault, None).await
        }
    }
}

fn drafted<E: EntryKind>(pen: &StaffPen, row: &ErasureRow, why: &Why, now: Timestamp) -> Draft<E> {
    let staff = match why {
        Why::Asked { by, .. } => Some(*by),
        Why::FoundAgain => None,
    };
    pen.draft::<E>(now, staff).slot(SlotName::Record, row.record.to_string(), OpeningUnder::Staff)
}

/// The entry of the erasure. What the record's key hung on is in the clear and for ever: it says when no backup opens it.
fn erased(pen: &StaffPen, row: &ErasureRow, why: Why, listed: Vec<String>, now: Timestamp) -> Draft<RecordErased> {
    let mut draft =
        drafted::<RecordErased>(pen, row, &why, now).kek_version(row.kek_version).data(ROOT_EPOCH, row.root_epoch);
    if let Some(key) = row.resume_key {
        draft = draft.data(RESUME_KEY, key.to_string());
    }
    if !listed.is_empty() {
        draft = draft.data(ERASED, listed);
    }
    match why {
        Why::Asked { reason: Some(reason), .. } => draft.slot(SlotName::Reason, reason, OpeningUnder::Staff),
        Why::Asked { reason: None, .. } => draft,
        Why::FoundAgain => draft.data("because", "found-again"),
    }
}
