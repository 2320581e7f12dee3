//! Putting a fresh key in the place of a record's: rows that hang on the key, read and replaced within one transaction.
//!
//! The record's row is held first ([`hold`]): whoever seals something under its key in a transaction holds it too, before or after.

use vault_core::audit::entry::Entry;
use vault_core::audit::slot::{KeptUnder, SealedOpening, SlotName};
use vault_core::ids::{ObjectId, RecordId, RequestId, SessionId};
use vault_core::keys::hierarchy::OutboxKey;
use vault_core::keys::tag::FieldTag;
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::{StoreError, Tx, log, records};

/// What is sealed in a record's row.
#[derive(Debug)]
pub struct Sealed {
    /// Which field key it was sealed under.
    pub tag: Option<FieldTag>,
    /// Filename, subject, what else the client told.
    pub details: Option<Vec<u8>>,
    /// The consent as given.
    pub consent: Option<Vec<u8>>,
}

/// The tag of the field key of a record, whose row is held until the transaction ends: no other key takes its place before that.
/// `None`: there is no such record, it is erased, or its row does not say.
pub async fn held_tag(tx: &mut Tx, record: RecordId) -> Result<Option<FieldTag>, StoreError> {
    let row = sqlx::query("UPDATE records SET state = state WHERE id = $1 RETURNING key_tag")
        .bind(record.to_string())
        .fetch_optional(tx.conn())
        .await?;
    // A tag that cannot be read is damage, which holds up no entry.
    Ok(row.and_then(|row| records::key_tag(&Columns::of("records", &row)).unwrap_or_default()))
}

/// Puts the tag right of a record whose row is held.
pub async fn put_tag(tx: &mut Tx, record: RecordId, tag: FieldTag) -> Result<(), StoreError> {
    sqlx::query("UPDATE records SET key_tag = $2 WHERE id = $1 AND wrap IS NOT NULL")
        .bind(record.to_string())
        .bind(tag.as_bytes().to_vec())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Holds a record that has a key, and answers what is sealed in its row; `None` once it is erased.
pub async fn hold(tx: &mut Tx, record: RecordId) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query(
        "UPDATE records SET state = state WHERE id = $1 AND wrap IS NOT NULL RETURNING key_tag, details, consent",
    )
    .bind(record.to_string())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let c = Columns::of("records", &row);
    Ok(Some(Sealed {
        tag: records::key_tag(&c)?,
        details: c.maybe_bytes("details")?,
        consent: c.maybe_bytes("consent")?,
    }))
}

/// The fresh key of a record.
pub struct Fresh {
    /// The KEK version that wraps it.
    pub version: u32,
    /// The wrap.
    pub wrap: Vec<u8>,
    /// What the record's row holds from now on.
    pub sealed: Sealed,
}

/// Puts the fresh key in the place of the former one.
pub async fn put(tx: &mut Tx, record: RecordId, fresh: &Fresh, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE records SET wrap = $2, kek_version = $3, key_tag = $4, details = $5, consent = $6, rekeyed_under = $3,
           rekeyed_at = $7 WHERE id = $1",
    )
    .bind(record.to_string())
    .bind(fresh.wrap.clone())
    .bind(i64::from(fresh.version))
    .bind(fresh.sealed.tag.map(|tag| tag.as_bytes().to_vec()))
    .bind(fresh.sealed.details.clone())
    .bind(fresh.sealed.consent.clone())
    .bind(now.as_millis())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes an object out: its parts go to the collector. An erasure waits for them too.
pub async fn discard_object(
    tx: &mut Tx,
    record: RecordId,
    object: ObjectId,
    verify_after: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO garbage (name, verify_after, record_id) SELECT name, $2, $3 FROM parts WHERE object_id = $1
         ON CONFLICT (name) DO UPDATE SET record_id = excluded.record_id",
    )
    .bind(object.to_string())
    .bind(verify_after.as_millis())
    .bind(record.to_string())
    .execute(tx.conn())
    .await?;
    for text in ["DELETE FROM parts WHERE object_id = $1", "DELETE FROM objects WHERE id = $1"] {
        sqlx::query(text).bind(object.to_string()).execute(tx.conn()).await?;
    }
    Ok(())
}

/// The sealed texts of an access request: reason, case number, comment.
pub type Texts = [Option<Vec<u8>>; 3];

/// Columns of the texts, in their order.
pub const TEXTS: [&str; 3] = ["reason", "case_number", "comment"];

/// The texts of requests that are sealed under the record's field key.
pub async fn texts(tx: &mut Tx, record: RecordId) -> Result<Vec<(RequestId, Texts)>, StoreError> {
    let rows = sqlx::query(
        "UPDATE access_requests SET state = state WHERE record_id = $1 RETURNING id, reason, case_number, comment",
    )
    .bind(record.to_string())
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("access_requests", row);
            let mut texts: Texts = Default::default();
            for (text, column) in texts.iter_mut().zip(TEXTS) {
                *text = c.maybe_bytes(column)?.filter(|sealed| !sealed.is_empty());
            }
            Ok((c.parsed("id")?, texts))
        })
        .collect()
}

/// Puts the texts of a request, sealed anew.
pub async fn put_texts(tx: &mut Tx, request: RequestId, texts: Texts) -> Result<(), StoreError> {
    let [reason, case_number, comment] = texts;
    sqlx::query("UPDATE access_requests SET reason = $2, case_number = $3, comment = $4 WHERE id = $1")
        .bind(request.to_string())
        .bind(reason.unwrap_or_default())
        .bind(case_number)
        .bind(comment)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// An opening in the log, at its place.
pub type Placed = (u64, SealedOpening);

/// The openings that are sealed under the record's field key. The head is held until the transaction ends: whoever sequences does so
/// before, and its openings are among these, or after, and finds those of the outbox as they are left here.
pub async fn openings(tx: &mut Tx, record: RecordId) -> Result<Vec<Placed>, StoreError> {
    log::hold(tx).await?;
    let rows = sqlx::query(
        "SELECT o.idx AS idx, o.slot AS slot, o.sealed AS sealed, e.entry AS entry
         FROM log_openings o JOIN log_entries e ON e.idx = o.idx
         WHERE o.owner = $1 AND o.under = 'record' AND o.sealed IS NOT NULL",
    )
    .bind(record.to_string())
    .fetch_all(tx.conn())
    .await?;
    let placed = |row: &sqlx::any::AnyRow| {
        let c = Columns::of("log_openings", row);
        let entry = c.bytes("entry").ok()?;
        let entry = Entry::parse(&entry).ok()?;
        let slot = SlotName::parse(&c.text("slot").ok()?)?;
        let commitment = *entry.commitment(slot)?;
        let sealed = c.bytes("sealed").ok()?;
        Some((c.unsigned("idx").ok()?, SealedOpening { slot, under: KeptUnder::Record(record), commitment, sealed }))
    };
    // One that cannot be read shows as missing before and after.
    Ok(rows.iter().filter_map(placed).collect())
}

/// Puts an opening, sealed anew.
pub async fn put_opening(tx: &mut Tx, (index, opening): &Placed) -> Result<(), StoreError> {
    sqlx::query("UPDATE log_openings SET sealed = $3 WHERE idx = $1 AND slot = $2")
        .bind(bigint(*index)?)
        .bind(opening.slot.as_str())
        .bind(opening.sealed.clone())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Seals anew what waits for the log and is sealed under the record's field key; the rows get a fresh MAC. `anew` answers the opening as it is to
/// be, or leaves it as it is.
pub async fn reseal_waiting(
    tx: &mut Tx,
    key: &OutboxKey,
    record: RecordId,
    anew: impl Fn(&SealedOpening) -> Option<SealedOpening>,
) -> Result<(), StoreError> {
    log::change_waiting(tx, key, |sealed| {
        let mut any = false;
        for opening in sealed.iter_mut().filter(|opening| log::holds(opening, record)) {
            if let Some(resealed) = anew(opening) {
                *opening = resealed;
                any = true;
            }
        }
        any
    })
    .await
}

/// Sessions of the record that are open at `now`, with the time at which they end by themselves.
pub async fn open_sessions(
    tx: &mut Tx,
    record: RecordId,
    now: Timestamp,
) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, expires_at FROM sessions WHERE record_id = $1 AND closed_at IS NULL AND expires_at > $2 ORDER BY id",
    )
    .bind(record.to_string())
    .bind(now.as_millis())
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let c = Columns::of("sessions", row);
            Ok((c.parsed("id")?, c.time("expires_at")?))
        })
        .collect()
}
