//! Rows of the audit log: entries, outbox, openings; and the [`mod@head`].
//!
//! Rows here are hints that can be edited by whoever holds the database. What rests on them is checked against
//! signed checkpoints and commitments by `app::ledger`.

mod head;

use sqlx::{AssertSqlSafe, Row as _};
use vault_core::audit::slot::{Commitment, KeptUnder, SealedOpening, SlotName};
use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::OutboxKey;

use super::row::{Columns, bigint};
use super::{Conn, StoreError, Tx, values};

pub use head::{Head, advance, begin, head, hold, is_vouched, raise_fence, settled_head, vouch};

/// Rows in one statement. Few shapes, so that the engine's statement cache holds them.
const CHUNK: usize = 32;

/// An entry with what is stored beside it.
#[derive(Debug)]
pub struct NewEntry {
    /// The canonical bytes.
    pub entry: Vec<u8>,
    /// The openings of its slots.
    pub sealed: Vec<SealedOpening>,
    /// How it can be found again.
    pub reference: Option<String>,
}

/// An entry waiting in the outbox.
#[derive(Debug)]
pub struct Waiting {
    /// Its row; empty where there is none any more.
    pub id: String,
    /// What is to be appended.
    pub new: NewEntry,
    /// Whether its MAC says that the vault wrote the row, as it stands.
    pub genuine: bool,
}

/// A stored opening; without `sealed` it was erased.
#[derive(Debug)]
pub struct StoredOpening {
    /// The entry.
    pub index: u64,
    /// Which slot.
    pub slot: SlotName,
    /// The key it is sealed under.
    pub under: KeptUnder,
    /// Salt and value, sealed.
    pub sealed: Option<Vec<u8>>,
}

impl StoredOpening {
    /// As vault-core opens it; the commitment is the entry's own.
    #[must_use]
    pub fn with(&self, commitment: Commitment) -> Option<SealedOpening> {
        let sealed = self.sealed.clone()?;
        Some(SealedOpening { slot: self.slot, under: self.under, commitment, sealed })
    }
}

/// Enters entries from index `first` on, with their openings.
pub async fn insert(tx: &mut Tx, first: u64, new: &[&NewEntry]) -> Result<(), StoreError> {
    let first = bigint(first)?;
    let numbered: Vec<(i64, &NewEntry)> = (first..).zip(new.iter().copied()).collect();
    for chunk in numbered.chunks(CHUNK) {
        let rows = values::rows(chunk.len(), 3);
        let text = format!("INSERT INTO log_entries (idx, entry, reference) VALUES {rows}");
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (idx, new) in chunk {
            query = query.bind(*idx).bind(new.entry.clone()).bind(new.reference.clone());
        }
        query.execute(tx.conn()).await?;
    }
    let openings: Vec<(i64, &SealedOpening)> =
        numbered.iter().flat_map(|(idx, new)| new.sealed.iter().map(|o| (*idx, o))).collect();
    for chunk in openings.chunks(CHUNK) {
        let rows = values::rows(chunk.len(), 5);
        let text = format!("INSERT INTO log_openings (idx, slot, under, owner, sealed) VALUES {rows}");
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (idx, opening) in chunk {
            let (under, owner) = under_text(opening.under);
            query = query.bind(*idx).bind(opening.slot.as_str()).bind(under).bind(owner).bind(opening.sealed.clone());
        }
        query.execute(tx.conn()).await?;
    }
    Ok(())
}

fn under_text(under: KeptUnder) -> (&'static str, String) {
    match under {
        KeptUnder::Record(id) => ("record", id.to_string()),
        KeptUnder::Staff(id) => ("staff", id.to_string()),
    }
}

/// Leaves an entry in the outbox under a MAC over the whole row, in the caller's transaction.
pub async fn queue(tx: &mut Tx, key: &OutboxKey, id: &str, new: &NewEntry) -> Result<(), StoreError> {
    let openings = pack(&new.sealed);
    let mac = key.mac(id, &new.entry, &openings, new.reference.as_deref());
    sqlx::query("INSERT INTO log_outbox (id, entry, openings, reference, mac) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(new.entry.clone())
        .bind(openings)
        .bind(new.reference.clone())
        .bind(mac.to_vec())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether anything is in the outbox.
pub async fn any_waiting(conn: &mut Conn) -> Result<bool, StoreError> {
    Ok(sqlx::query("SELECT 1 FROM log_outbox LIMIT 1").fetch_optional(conn).await?.is_some())
}

/// Whether an entry under `reference` is in the outbox. A row says so, so it is a hint: good for whether to come back.
pub async fn is_waiting(conn: &mut Conn, reference: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM log_outbox WHERE reference = $1 LIMIT 1");
    Ok(row.bind(reference).fetch_optional(conn).await?.is_some())
}

/// The oldest entries of the outbox. A row that cannot be read as one is shown as an empty one, which is no entry: the
/// others do not wait for it. [`StoreError::Corrupt`]: there is a row of which not even the columns can be read; see
/// [`remove_unreadable`].
pub async fn waiting(conn: &mut Conn, key: &OutboxKey, limit: usize) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query("SELECT id, entry, openings, reference, mac FROM log_outbox ORDER BY id LIMIT $1")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await
        .map_err(unreadable)?;
    rows.iter().map(|row| one_waiting(row, key)).collect()
}

fn one_waiting(row: &sqlx::any::AnyRow, key: &OutboxKey) -> Result<Waiting, StoreError> {
    let columns = Columns::of("log_outbox", row);
    let id = columns.text("id")?;
    let read = || {
        let (entry, openings) = (columns.bytes("entry").ok()?, columns.bytes("openings").ok()?);
        let reference = columns.maybe_text("reference").ok()?;
        let genuine = key.wrote(&id, &entry, &openings, reference.as_deref(), &columns.bytes("mac").ok()?);
        Some((NewEntry { entry, sealed: unpack(&openings)?, reference }, genuine))
    };
    let (new, genuine) = read().unwrap_or((NewEntry { entry: Vec::new(), sealed: Vec::new(), reference: None }, false));
    Ok(Waiting { id, new, genuine })
}

/// Takes out of the first `limit` rows of the outbox those whose id is no text, or whose text is not UTF-8: the vault
/// writes neither. They are found and removed by their place, since they have no name that could be bound. Answers how
/// many there were.
pub async fn remove_unreadable(tx: &mut Tx, key: &OutboxKey, limit: usize) -> Result<usize, StoreError> {
    let (mut at, mut removed) = (0_i64, 0);
    for _ in 0..limit {
        let row =
            sqlx::query("SELECT id, entry, openings, reference, mac FROM log_outbox ORDER BY id LIMIT 1 OFFSET $1")
                .bind(at)
                .fetch_optional(tx.conn())
                .await
                .map_err(unreadable);
        match row.and_then(|row| row.map(|row| one_waiting(&row, key)).transpose()) {
            Ok(None) => break,
            Ok(Some(_)) => at += 1,
            Err(StoreError::Corrupt { .. }) => {
                let place =
                    "DELETE FROM log_outbox WHERE id IN (SELECT id FROM log_outbox ORDER BY id LIMIT 1 OFFSET $1)";
                sqlx::query(place).bind(at).execute(tx.conn()).await?;
                removed += 1;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(removed)
}

/// Text that is not UTF-8 fails while the row is fetched, and all rows of the answer with it.
fn unreadable(e: sqlx::Error) -> StoreError {
    match e {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            StoreError::Corrupt { table: "log_outbox", what: "a row that cannot be read" }
        }
        other => other.into(),
    }
}

/// Takes entries out of the outbox.
pub async fn unqueue(tx: &mut Tx, ids: &[&str]) -> Result<(), StoreError> {
    for chunk in ids.chunks(CHUNK) {
        let mut query =
            sqlx::query(AssertSqlSafe(format!("DELETE FROM log_outbox WHERE id IN {}", values::list(chunk.len()))));
        for id in chunk {
            query = query.bind((*id).to_owned());
        }
        query.execute(tx.conn()).await?;
    }
    Ok(())
}

/// Entries `first..end`, in order; fewer when rows are missing.
pub async fn entries(conn: &mut Conn, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = sqlx::query("SELECT idx, entry FROM log_entries WHERE idx >= $1 AND idx < $2 ORDER BY idx")
        .bind(bigint(first)?)
        .bind(bigint(end)?)
        .fetch_all(conn)
        .await?;
    rows.iter().map(numbered).collect()
}

/// Entries under a reference, newest first.
pub async fn by_reference(conn: &mut Conn, reference: &str) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = sqlx::query("SELECT idx, entry FROM log_entries WHERE reference = $1 ORDER BY idx DESC LIMIT 8")
        .bind(reference)
        .fetch_all(conn)
        .await?;
    rows.iter().map(numbered).collect()
}

fn numbered(row: &sqlx::any::AnyRow) -> Result<(u64, Vec<u8>), StoreError> {
    let columns = Columns::of("log_entries", row);
    Ok((columns.unsigned("idx")?, columns.bytes("entry")?))
}

/// The openings of entries `first..end`, erased ones too. A row that cannot be read is left out: its slot shows as
/// missing, and the others are not lost with it.
pub async fn openings(conn: &mut Conn, first: u64, end: u64) -> Result<Vec<StoredOpening>, StoreError> {
    let rows = sqlx::query(
        "SELECT idx, slot, under, owner, sealed FROM log_openings WHERE idx >= $1 AND idx < $2 ORDER BY idx, slot",
    )
    .bind(bigint(first)?)
    .bind(bigint(end)?)
    .fetch_all(conn)
    .await?;
    Ok(rows.iter().filter_map(opening).collect())
}

fn opening(row: &sqlx::any::AnyRow) -> Option<StoredOpening> {
    let columns = Columns::of("log_openings", row);
    let owner = columns.text("owner").ok()?;
    let under = match columns.text("under").ok()?.as_str() {
        "record" => KeptUnder::Record(owner.parse().ok()?),
        "staff" => KeptUnder::Staff(owner.parse().ok()?),
        _ => return None,
    };
    Some(StoredOpening {
        index: columns.unsigned("idx").ok()?,
        slot: SlotName::parse(&columns.text("slot").ok()?)?,
        under,
        sealed: row.try_get("sealed").ok()?,
    })
}

/// Erases a record's openings, and answers which they were: the pairs that its erasure's entries list. The tree over their
/// entries stays as it is.
///
/// The head is held until the transaction ends: whoever sequences does so before, and its openings are among these, or
/// after, and finds the record erased ([`empty_late`]).
pub async fn erase_openings(tx: &mut Tx, record: RecordId) -> Result<Vec<(u64, SlotName)>, StoreError> {
    hold(tx).await?;
    let rows = sqlx::query(
        "UPDATE log_openings SET sealed = NULL WHERE owner = $1 AND under = 'record' AND sealed IS NOT NULL
         RETURNING idx, slot",
    )
    .bind(record.to_string())
    .fetch_all(tx.conn())
    .await?;
    emptied(&rows)
}

/// Empties openings from entry `first` on whose records are erased: their entries were drafted before the erasure, and
/// are sequenced after it. Answers which, for an entry that says so.
pub async fn empty_late(tx: &mut Tx, first: u64) -> Result<Vec<(u64, SlotName)>, StoreError> {
    let rows = sqlx::query(
        "UPDATE log_openings SET sealed = NULL WHERE idx >= $1 AND under = 'record' AND sealed IS NOT NULL
           AND EXISTS (SELECT 1 FROM erasures WHERE erasures.record_id = log_openings.owner)
         RETURNING idx, slot",
    )
    .bind(bigint(first)?)
    .fetch_all(tx.conn())
    .await?;
    emptied(&rows)
}

/// What was emptied, in the order of the log.
fn emptied(rows: &[sqlx::any::AnyRow]) -> Result<Vec<(u64, SlotName)>, StoreError> {
    let pair = |row: &sqlx::any::AnyRow| {
        let columns = Columns::of("log_openings", row);
        let slot = SlotName::parse(&columns.text("slot")?).ok_or(columns.damaged("slot"))?;
        Ok((columns.unsigned("idx")?, slot))
    };
    let mut pairs = rows.iter().map(pair).collect::<Result<Vec<_>, StoreError>>()?;
    pairs.sort_unstable();
    Ok(pairs)
}

/// Rows of the outbox read at once.
const PAGE: i64 = 256;

/// Empties a record's openings in entries that wait to be sequenced; the entries stay, under a fresh MAC. Whoever sequences
/// them finds the openings empty ([`empty_late`]).
pub async fn empty_waiting(tx: &mut Tx, key: &OutboxKey, record: RecordId) -> Result<(), StoreError> {
    change_waiting(tx, key, |sealed| empty(sealed, record)).await
}

/// Changes openings of entries that wait to be sequenced, where `change` says that it did; the rows get a fresh MAC. Rows that the vault
/// did not write are left to the sequencer, which takes them out.
pub(super) async fn change_waiting(
    tx: &mut Tx,
    key: &OutboxKey,
    change: impl Fn(&mut [SealedOpening]) -> bool,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows = sqlx::query(
            "SELECT id, entry, openings, reference, mac FROM log_outbox WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after.clone())
        .bind(PAGE)
        .fetch_all(tx.conn())
        .await
        .map_err(unreadable)?;
        for row in &rows {
            let Waiting { id, mut new, genuine } = one_waiting(row, key)?;
            after.clone_from(&id);
            if !genuine || !change(&mut new.sealed) {
                continue;
            }
            let openings = pack(&new.sealed);
            let mac = key.mac(&id, &new.entry, &openings, new.reference.as_deref());
            sqlx::query("UPDATE log_outbox SET openings = $2, mac = $3 WHERE id = $1")
                .bind(id)
                .bind(openings)
                .bind(mac.to_vec())
                .execute(tx.conn())
                .await?;
        }
        if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Whether an entry that waits still carries something sealed under this record's key: one that was drafted before the
/// erasure and queued after it.
pub async fn waits_with(conn: &mut Conn, record: RecordId) -> Result<bool, StoreError> {
    let rows = sqlx::query("SELECT openings FROM log_outbox").fetch_all(conn).await.map_err(unreadable)?;
    let carries = |row: &sqlx::any::AnyRow| {
        let openings = Columns::of("log_outbox", row).bytes("openings").ok();
        openings.and_then(|bytes| unpack(&bytes)).unwrap_or_default().iter().any(|opening| holds(opening, record))
    };
    Ok(rows.iter().any(carries))
}

/// Empties what this record's key opens; whether there was any.
fn empty(sealed: &mut [SealedOpening], record: RecordId) -> bool {
    let mut any = false;
    for opening in sealed {
        if holds(opening, record) {
            opening.sealed.clear();
            any = true;
        }
    }
    any
}

/// Whether an opening holds something that this record's key opens.
pub(super) fn holds(opening: &SealedOpening, record: RecordId) -> bool {
    opening.under == KeptUnder::Record(record) && !opening.sealed.is_empty()
}

/// Openings of an outbox row: for each the kind of key, its owner, the slot, commitment and ciphertext, lengths first.
fn pack(sealed: &[SealedOpening]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for opening in sealed {
        let (under, owner) = match opening.under {
            KeptUnder::Record(id) => (0, *id.as_bytes()),
            KeptUnder::Staff(id) => (1, *id.as_bytes()),
        };
        let slot = opening.slot.as_str();
        bytes.push(under);
        bytes.extend_from_slice(&owner);
        bytes.extend_from_slice(opening.commitment.as_bytes());
        bytes.push(u8::try_from(slot.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(slot.as_bytes());
        // A slot's value is at most a mebibyte.
        bytes.extend_from_slice(&u32::try_from(opening.sealed.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&opening.sealed);
    }
    bytes
}

fn unpack(mut bytes: &[u8]) -> Option<Vec<SealedOpening>> {
    let mut sealed = Vec::new();
    while let Some((under, rest)) = bytes.split_first() {
        let (owner, rest) = rest.split_first_chunk::<16>()?;
        let (commitment, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first()?;
        let (slot, rest) = rest.split_at_checked(usize::from(*length))?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (ciphertext, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let under = match under {
            0 => KeptUnder::Record(RecordId::from_bytes(*owner)),
            1 => KeptUnder::Staff(CollectionId::from_bytes(*owner)),
            _ => return None,
        };
        sealed.push(SealedOpening {
            slot: SlotName::parse(core::str::from_utf8(slot).ok()?)?,
            under,
            commitment: Commitment::from_bytes(*commitment),
            sealed: ciphertext.to_vec(),
        });
        bytes = rest;
    }
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use vault_core::audit::slot::Opening;
    use vault_core::keys::hierarchy::StaffAuditKey;

    use super::*;

    #[test]
    fn openings_survive_the_outbox_and_a_cut_row_is_refused() {
        let key = StaffAuditKey::generate();
        let record = RecordId::from_bytes([7; 16]);
        let sealed: Vec<_> = [KeptUnder::Staff(CollectionId::VAULT), KeptUnder::Record(record)]
            .into_iter()
            .map(|under| SealedOpening::seal(&Opening::fresh(SlotName::Reason, "why".into()), under, &key))
            .collect();
        let bytes = pack(&sealed);
        assert_eq!(unpack(&bytes), Some(sealed));
        let one = bytes.len() / 2;
        for cut in (1..bytes.len()).filter(|cut| *cut != one) {
            assert_eq!(unpack(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(unpack(&[]), Some(Vec::new()));
    }
}
