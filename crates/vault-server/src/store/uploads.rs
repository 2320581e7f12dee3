//! Rows of uploads, their parts and the intents that precede them.

use core::str::FromStr;

use vault_core::ids::{CollectionId, ObjectId, PersonId, RecordId, ResumeKeyId, UploadId};
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::{Store, StoreError, Tx};
use crate::objects::Name;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Taking bytes.
    Open,
    /// Became a record.
    Complete,
    /// Refused for its content.
    Rejected,
    /// Not completed in time.
    Expired,
    /// Ended by the client.
    Terminated,
}

impl UploadState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }
}

impl FromStr for UploadState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Open, Self::Complete, Self::Rejected, Self::Expired, Self::Terminated];
        all.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What the consent allows, as far as queries need it in the clear: codes and dates, nothing of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentTerms {
    /// Purposes, as codes of the collection's policy.
    pub purposes: Vec<String>,
    /// When the consent ends by itself.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the notice that was shown.
    pub notice_sha256: [u8; 32],
}

impl ConsentTerms {
    /// From the row of an upload, or of the record that it became: the columns are the same.
    pub(super) fn read(c: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            purposes: serde_json::from_str(&c.text("purposes")?).map_err(|_| c.damaged("purposes"))?,
            expires_at: c.maybe_time("consent_expires_at")?,
            notice_sha256: c.array("notice_sha256")?,
        })
    }
}

/// An upload.
#[derive(Debug)]
pub struct UploadRow {
    /// Its id; never told to clients, who know it by a secret.
    pub id: UploadId,
    /// Where it goes.
    pub collection: CollectionId,
    /// The record it becomes.
    pub record: RecordId,
    /// The object that holds it.
    pub object: ObjectId,
    /// Who created it.
    pub person: PersonId,
    /// Where it stands.
    pub state: UploadState,
    /// The content type as claimed.
    pub filetype: String,
    /// The declared length, unless deferred.
    pub length: Option<u64>,
    /// Bytes that are durable.
    pub received: u64,
    /// Rises with every request that writes; the highest one may write.
    pub fence: u64,
    /// The resume key its wrap names.
    pub resume_key: Option<ResumeKeyId>,
    /// Its record key, wrapped in progress.
    pub wrap: Option<Vec<u8>>,
    /// FLOE's header.
    pub header: Vec<u8>,
    /// Plaintext bytes of a segment.
    pub segment_length: u64,
    /// The sealed tail, and the fence it was sealed under.
    pub tail: Option<Vec<u8>>,
    /// See `tail`.
    pub tail_fence: u64,
    /// Sealed: filename, subject, what else the client told.
    pub details: Option<Vec<u8>>,
    /// Sealed: the consent as given.
    pub consent: Option<Vec<u8>>,
    /// Terms of the consent.
    pub terms: ConsentTerms,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it ends if nothing comes.
    pub expires_at: Timestamp,
}

impl UploadRow {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("uploads", row);
        let length = match c.maybe_number("length")? {
            Some(n) => Some(u64::try_from(n).map_err(|_| c.damaged("length"))?),
            None => None,
        };
        Ok(Self {
            id: c.parsed("id")?,
            collection: c.parsed("collection_id")?,
            record: c.parsed("record_id")?,
            object: c.parsed("object_id")?,
            person: c.parsed("person_id")?,
            state: c.parsed("state")?,
            filetype: c.text("filetype")?,
            length,
            received: c.unsigned("received")?,
            fence: c.unsigned("fence")?,
            resume_key: c.maybe_parsed("resume_key")?,
            wrap: c.maybe_bytes("wrap")?,
            header: c.bytes("header")?,
            segment_length: c.unsigned("segment_length")?,
            tail: c.maybe_bytes("tail")?,
            tail_fence: c.unsigned("tail_fence")?,
            details: c.maybe_bytes("details")?,
            consent: c.maybe_bytes("consent")?,
            terms: ConsentTerms::read(&c)?,
            refusal: c.maybe_text("refusal")?,
            created_at: c.time("created_at")?,
            expires_at: c.time("expires_at")?,
        })
    }
}

/// A part to be registered.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// Its name, for which an intent stands.
    pub name: Name,
    /// Its first byte in the object's ciphertext.
    pub start: u64,
    /// Its length.
    pub length: u64,
    /// Index of the first segment that ends in it.
    pub first_segment: u64,
    /// Tags of the segments that end in it.
    pub tags: Vec<u8>,
}

/// Creates an upload; `secret_hash` is what it is found by.
pub async fn insert(tx: &mut Tx, row: &UploadRow, secret_hash: &[u8; 32], now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO uploads (id, secret_hash, collection_id, record_id, object_id, person_id, state, filetype, length,
           received, fence, resume_key, wrap, header, segment_length, tail, tail_fence, details, consent, purposes,
           consent_expires_at, notice_sha256, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8, 0, 0, $9, $10, $11, $12, NULL, 0, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(row.id.to_string())
    .bind(secret_hash.to_vec())
    .bind(row.collection.to_string())
    .bind(row.record.to_string())
    .bind(row.object.to_string())
    .bind(row.person.to_string())
    .bind(row.filetype.clone())
    .bind(row.length.map(bigint).transpose()?)
    .bind(row.resume_key.map(|k| k.to_string()))
    .bind(row.wrap.clone())
    .bind(row.header.clone())
    .bind(bigint(row.segment_length)?)
    .bind(row.details.clone())
    .bind(row.consent.clone())
    .bind(serde_json::to_string(&row.terms.purposes).unwrap_or_default())
    .bind(row.terms.expires_at.map(Timestamp::as_millis))
    .bind(row.terms.notice_sha256.to_vec())
    .bind(now.as_millis())
    .bind(row.expires_at.as_millis())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many uploads of this person are open. The person's row is touched first, so that uploads being created at once are
/// counted one after the other on any engine.
pub async fn open_of(tx: &mut Tx, person: PersonId) -> Result<u64, StoreError> {
    super::people::touch(tx, person).await?;
    let row = sqlx::query("SELECT COUNT(*) AS n FROM uploads WHERE person_id = $1 AND state = 'open'")
        .bind(person.to_string())
        .fetch_one(tx.conn())
        .await?;
    Columns::of("uploads", &row).unsigned("n")
}

/// How much a collection holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of uploads begun since a given moment: declared ones while they are under way, received ones otherwise.
    pub bytes: u64,
    /// Records, and uploads that may become some.
    pub records: u64,
}

/// Counts what the collection took in since `day` and what it holds. Its row is touched first, as in [`open_of`].
pub async fn held_by(tx: &mut Tx, collection: CollectionId, day: Timestamp) -> Result<Held, StoreError> {
    sqlx::query("UPDATE collections SET created_at = created_at WHERE id = $1")
        .bind(collection.to_string())
        .execute(tx.conn())
        .await?;
    let sum = sqlx::query(
        "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'open' THEN COALESCE(length, received) ELSE received END), 0) AS BIGINT) AS n
         FROM uploads WHERE collection_id = $1 AND created_at >= $2",
    )
    .bind(collection.to_string())
    .bind(day.as_millis())
    .fetch_one(tx.conn())
    .await?;
    let count = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM records WHERE collection_id = $1 AND state <> 'erased')
           + (SELECT COUNT(*) FROM uploads WHERE collection_id = $1 AND state = 'open') AS n",
    )
    .bind(collection.to_string())
    .fetch_one(tx.conn())
    .await?;
    Ok(Held {
        bytes: Columns::of("uploads", &sum).unsigned("n")?,
        records: Columns::of("records", &count).unsigned("n")?,
    })
}

/// The upload of an address.
pub async fn find(store: &Store, secret_hash: &[u8; 32]) -> Result<Option<UploadRow>, StoreError> {
    let mut conn = store.read().await?;
    let row = sqlx::query("SELECT * FROM uploads WHERE secret_hash = $1")
        .bind(secret_hash.to_vec())
        .fetch_optional(conn.conn())
        .await?;
    row.as_ref().map(UploadRow::read).transpose()
}

/// An upload that a request holds, and how far its parts reach.
#[derive(Debug)]
pub struct Taken {
    /// The upload, under the fence of this request.
    pub row: UploadRow,
    /// The last byte of ciphertext that registered parts hold.
    pub ciphertext: u64,
    /// How many segments end in them.
    pub segments: u64,
}

/// Takes the upload for writing at `offset`: raises the fence, so that whoever wrote before can register nothing
/// any more. `None` when it is not open or does not stand there.
///
/// The parts are read while the row is held: once it is let go, the next request may take it and register more, and
/// row and parts would be of two moments.
pub async fn take(store: &Store, id: UploadId, offset: u64) -> Result<Option<Taken>, StoreError> {
    let mut tx = store.begin("take_upload").await?;
    let row = sqlx::query(
        "UPDATE uploads SET fence = fence + 1 WHERE id = $1 AND state = 'open' AND received = $2 RETURNING *",
    )
    .bind(id.to_string())
    .bind(bigint(offset)?)
    .fetch_optional(tx.conn())
    .await?;
    let taken = match row {
        Some(row) => {
            let row = UploadRow::read(&row)?;
            let (ciphertext, segments) = extent(&mut tx, row.object).await?;
            Some(Taken { row, ciphertext, segments })
        }
        None => None,
    };
    tx.commit().await?;
    Ok(taken)
}

/// What an offset's commit brings.
pub struct Advance<'a> {
    /// Which upload.
    pub id: UploadId,
    /// Under which fence.
    pub fence: u64,
    /// From where.
    pub from: u64,
    /// To where.
    pub to: u64,
    /// The declared length, once it is known.
    pub length: Option<u64>,
    /// The parts that hold the full segments, in order; none when there were none.
    pub parts: &'a [NewPart],
    /// The object the parts belong to.
    pub object: ObjectId,
    /// The sealed tail.
    pub tail: Vec<u8>,
    /// When the upload ends if nothing more comes.
    pub expires_at: Timestamp,
}

/// Advances the offset by compare-and-set on (offset, fence) and registers the parts with it. `false`: another
/// request took the upload meanwhile, and nothing was changed.
pub async fn advance(tx: &mut Tx, a: &Advance<'_>) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE uploads SET received = $4, length = $5, tail = $6, tail_fence = $3, expires_at = $7
         WHERE id = $1 AND state = 'open' AND received = $2 AND fence = $3",
    )
    .bind(a.id.to_string())
    .bind(bigint(a.from)?)
    .bind(bigint(a.fence)?)
    .bind(bigint(a.to)?)
    .bind(a.length.map(bigint).transpose()?)
    .bind(a.tail.clone())
    .bind(a.expires_at.as_millis())
    .execute(tx.conn())
    .await?
    .rows_affected();
    if moved == 0 {
        return Ok(false);
    }
    for part in a.parts {
        register(tx, a.object, part).await?;
    }
    Ok(true)
}

/// Registers a part and forgets its intent.
pub async fn register(tx: &mut Tx, object: ObjectId, part: &NewPart) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO parts (object_id, start, length, name, first_segment, tags) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(object.to_string())
    .bind(bigint(part.start)?)
    .bind(bigint(part.length)?)
    .bind(part.name.to_string())
    .bind(bigint(part.first_segment)?)
    .bind(part.tags.clone())
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM intents WHERE name = $1").bind(part.name.to_string()).execute(tx.conn()).await?;
    Ok(())
}

/// Ends an upload: its keys, tail and sealed fields go in this very update, and what a record has of its own from here on. `from` is the offset it must stand at,
/// under `fence`, when a request ends it; `None` for the collector and for termination. `false`: it was not open,
/// or another request has it.
pub async fn end(
    tx: &mut Tx,
    id: UploadId,
    to: UploadState,
    at: Option<(u64, u64)>,
    received: Option<u64>,
    refusal: Option<&str>,
) -> Result<bool, StoreError> {
    let (from, fence) = at.unzip();
    let ended = sqlx::query(
        "UPDATE uploads SET state = $2, received = COALESCE($5, received), refusal = $6, fence = fence + 1,
           wrap = NULL, tail = NULL, resume_key = NULL, details = NULL, consent = NULL, header = $7, purposes = '[]',
           consent_expires_at = NULL
         WHERE id = $1 AND state = 'open' AND received = COALESCE($3, received) AND fence = COALESCE($4, fence)",
    )
    .bind(id.to_string())
    .bind(to.as_str())
    .bind(from.map(bigint).transpose()?)
    .bind(fence.map(bigint).transpose()?)
    .bind(received.map(bigint).transpose()?)
    .bind(refusal.map(str::to_owned))
    .bind(Vec::<u8>::new())
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(ended == 1)
}

/// Hands the parts of an object to the collector: they are deleted, and their absence verified, later.
pub async fn discard_parts(tx: &mut Tx, object: ObjectId, verify_after: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO garbage (name, verify_after) SELECT name, $2 FROM parts WHERE object_id = $1")
        .bind(object.to_string())
        .bind(verify_after.as_millis())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM parts WHERE object_id = $1").bind(object.to_string()).execute(tx.conn()).await?;
    Ok(())
}

/// The last byte that registered parts hold, and how many segments ended in them.
async fn extent(tx: &mut Tx, object: ObjectId) -> Result<(u64, u64), StoreError> {
    let row = sqlx::query(
        "SELECT start, length, first_segment, tags FROM parts WHERE object_id = $1 ORDER BY start DESC LIMIT 1",
    )
    .bind(object.to_string())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok((0, 0)) };
    let c = Columns::of("parts", &row);
    let end = c.unsigned("start")?.checked_add(c.unsigned("length")?).ok_or_else(|| c.damaged("length"))?;
    let tags = c.bytes("tags")?.len() as u64 / 16;
    Ok((end, c.unsigned("first_segment")? + tags))
}
