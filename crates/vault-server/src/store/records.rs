//! Rows of records, their objects and the objects' parts.

use core::str::FromStr;

use sqlx::AssertSqlSafe;
use vault_core::ids::{CollectionId, ObjectId, RecordId};
use vault_core::keys::tag::FieldTag;
use vault_core::time::Timestamp;

use super::row::{Columns, bigint};
use super::uploads::ConsentTerms;
use super::{Store, StoreError, Tx};
use crate::objects::Name;

/// Where a record stands, once it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Can be asked for and played.
    Available,
    /// Kept, not to be used.
    Restricted,
    /// Its keys are destroyed.
    Erased,
}

impl RecordState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Restricted => "restricted",
            Self::Erased => "erased",
        }
    }
}

impl FromStr for RecordState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Available, Self::Restricted, Self::Erased].into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// A record.
#[derive(Debug)]
pub struct RecordRow {
    /// Its id.
    pub id: RecordId,
    /// Where it belongs.
    pub collection: CollectionId,
    /// Where it stands.
    pub state: RecordState,
    /// The KEK version its wrap names.
    pub kek_version: u32,
    /// Its record key, wrapped; gone once erased.
    pub wrap: Option<Vec<u8>>,
    /// HMAC of the data subject's external id.
    pub pseudonym: Option<[u8; 32]>,
    /// Sealed: filename, subject, what else the client told.
    pub details: Option<Vec<u8>>,
    /// Sealed: the consent as given.
    pub consent: Option<Vec<u8>>,
    /// Terms of the consent.
    pub terms: ConsentTerms,
    /// `audio` or `video`, as recognised.
    pub media: String,
    /// The content type as recognised.
    pub content_type: String,
    /// Plaintext bytes.
    pub size: u64,
    /// When the upload completed.
    pub received_at: Timestamp,
    /// When its retention ends.
    pub retain_until: Option<Timestamp>,
    /// Which field key seals what is sealed; `None` once it is erased.
    pub key_tag: Option<FieldTag>,
}

impl RecordRow {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("records", row);
        let pseudonym = match c.maybe_bytes("pseudonym")? {
            Some(bytes) => Some(bytes.try_into().map_err(|_| c.damaged("pseudonym"))?),
            None => None,
        };
        Ok(Self {
            id: c.parsed("id")?,
            collection: c.parsed("collection_id")?,
            state: c.parsed("state")?,
            kek_version: c.version("kek_version")?,
            wrap: c.maybe_bytes("wrap")?,
            pseudonym,
            details: c.maybe_bytes("details")?,
            consent: c.maybe_bytes("consent")?,
            terms: ConsentTerms::read(&c)?,
            media: c.text("media")?,
            content_type: c.text("content_type")?,
            size: c.unsigned("size")?,
            received_at: c.time("received_at")?,
            retain_until: c.maybe_time("retain_until")?,
            key_tag: key_tag(&c)?,
        })
    }
}

/// The tag of a record's field key.
pub(super) fn key_tag(c: &Columns<'_>) -> Result<Option<FieldTag>, StoreError> {
    let Some(bytes) = c.maybe_bytes("key_tag")? else { return Ok(None) };
    Ok(Some(FieldTag::from_bytes(bytes.try_into().map_err(|_| c.damaged("key_tag"))?)))
}

/// An encrypted blob of a record.
#[derive(Debug)]
pub struct ObjectRow {
    /// Its id.
    pub id: ObjectId,
    /// The content type as recognised.
    pub content_type: String,
    /// FLOE's header.
    pub header: Vec<u8>,
    /// Plaintext bytes of a segment.
    pub segment_length: u64,
    /// Plaintext bytes in all: a claim, until the final segment has authenticated.
    pub plaintext_length: u64,
}

/// A part of an object.
#[derive(Debug)]
pub struct PartRow {
    /// Where it lies.
    pub name: Name,
    /// First byte in the object's ciphertext.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Index of the first segment that ends in it.
    pub first_segment: u64,
    /// Tags of the segments that end in it.
    pub tags: Vec<u8>,
}

/// Enters a record with its original.
pub async fn insert(tx: &mut Tx, record: &RecordRow, object: &ObjectRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO records (id, collection_id, state, kek_version, wrap, pseudonym, details, consent, purposes,
           consent_expires_at, notice_sha256, media, content_type, size, received_at, retain_until, key_tag)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(record.id.to_string())
    .bind(record.collection.to_string())
    .bind(record.state.as_str())
    .bind(i64::from(record.kek_version))
    .bind(record.wrap.clone())
    .bind(record.pseudonym.map(|p| p.to_vec()))
    .bind(record.details.clone())
    .bind(record.consent.clone())
    .bind(serde_json::to_string(&record.terms.purposes).unwrap_or_default())
    .bind(record.terms.expires_at.map(Timestamp::as_millis))
    .bind(record.terms.notice_sha256.to_vec())
    .bind(record.media.clone())
    .bind(record.content_type.clone())
    .bind(bigint(record.size)?)
    .bind(record.received_at.as_millis())
    .bind(record.retain_until.map(Timestamp::as_millis))
    .bind(record.key_tag.map(|tag| tag.as_bytes().to_vec()))
    .execute(tx.conn())
    .await?;
    insert_object(tx, record.id, object, record.received_at).await
}

/// Enters a record's original.
pub async fn insert_object(
    tx: &mut Tx,
    record: RecordId,
    object: &ObjectRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO objects (id, record_id, kind, content_type, header, segment_length, plaintext_length, created_at)
         VALUES ($1, $2, 'original', $3, $4, $5, $6, $7)",
    )
    .bind(object.id.to_string())
    .bind(record.to_string())
    .bind(object.content_type.clone())
    .bind(object.header.clone())
    .bind(bigint(object.segment_length)?)
    .bind(bigint(object.plaintext_length)?)
    .bind(now.as_millis())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A record by id.
pub async fn find(store: &Store, id: RecordId) -> Result<Option<RecordRow>, StoreError> {
    let mut conn = store.read().await?;
    let row =
        sqlx::query("SELECT * FROM records WHERE id = $1").bind(id.to_string()).fetch_optional(conn.conn()).await?;
    row.as_ref().map(RecordRow::read).transpose()
}

/// The original of a record with its parts in order.
pub async fn original(store: &Store, record: RecordId) -> Result<Option<(ObjectRow, Vec<PartRow>)>, StoreError> {
    let mut conn = store.read().await?;
    let row = sqlx::query("SELECT * FROM objects WHERE record_id = $1 AND kind = 'original'")
        .bind(record.to_string())
        .fetch_optional(conn.conn())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let c = Columns::of("objects", &row);
    let object = ObjectRow {
        id: c.parsed("id")?,
        content_type: c.text("content_type")?,
        header: c.bytes("header")?,
        segment_length: c.unsigned("segment_length")?,
        plaintext_length: c.unsigned("plaintext_length")?,
    };
    let rows = sqlx::query("SELECT * FROM parts WHERE object_id = $1 ORDER BY start")
        .bind(object.id.to_string())
        .fetch_all(conn.conn())
        .await?;
    let part = |row: &sqlx::any::AnyRow| {
        let c = Columns::of("parts", row);
        Ok(PartRow {
            name: c.parsed("name")?,
            start: c.unsigned("start")?,
            length: c.unsigned("length")?,
            first_segment: c.unsigned("first_segment")?,
            tags: c.bytes("tags")?,
        })
    };
    let parts = rows.iter().map(part).collect::<Result<_, StoreError>>()?;
    Ok(Some((object, parts)))
}

/// What a page of records is narrowed by.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these collections; empty: none.
    pub collections: Vec<CollectionId>,
    /// Only this state; all but erased ones when there is none.
    pub state: Option<RecordState>,
    /// Only `audio` or `video`.
    pub media: Option<String>,
    /// Received at this time or later.
    pub from: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Older than this record: where the page before ended.
    pub before: Option<RecordId>,
    /// No record that the others let through has an id outside of these: spares the search through all of them.
    pub ids: (Option<RecordId>, Option<RecordId>),
}

enum Value {
    Text(String),
    Number(i64),
}

/// A page of records, newest first.
pub async fn page(store: &Store, filter: &Filter, limit: u32) -> Result<Vec<RecordRow>, StoreError> {
    if filter.collections.is_empty() {
        return Ok(Vec::new());
    }
    // Only placeholders go into the text; what callers sent is bound.
    let mut text = String::from("SELECT * FROM records WHERE collection_id IN (");
    let mut values: Vec<Value> = Vec::new();
    for (i, collection) in filter.collections.iter().enumerate() {
        values.push(Value::Text(collection.to_string()));
        text.push_str(&format!("{}${}", if i == 0 { "" } else { ", " }, values.len()));
    }
    text.push(')');
    let mut clause = |sql: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            text.push_str(&format!(" {sql} ${}", values.len()));
        }
    };
    let wanted = if filter.state.is_some() { "AND state =" } else { "AND state <>" };
    let state = filter.state.unwrap_or(RecordState::Erased);
    clause(wanted, Some(Value::Text(state.as_str().to_owned())));
    clause("AND media =", filter.media.clone().map(Value::Text));
    clause("AND received_at >=", filter.from.map(|t| Value::Number(t.as_millis())));
    clause("AND received_at <", filter.until.map(|t| Value::Number(t.as_millis())));
    clause("AND id >=", filter.ids.0.map(|id| Value::Text(id.to_string())));
    clause("AND id <", filter.ids.1.map(|id| Value::Text(id.to_string())));
    clause("AND id <", filter.before.map(|id| Value::Text(id.to_string())));
    clause("ORDER BY id DESC LIMIT", Some(Value::Number(i64::from(limit))));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        };
    }
    let mut conn = store.read().await?;
    let rows = query.fetch_all(conn.conn()).await?;
    rows.iter().map(RecordRow::read).collect()
}
