//! Rows of playback sessions.

use vault_core::ids::{BindingId, CollectionId, GrantId, ObjectId, PersonId, RecordId, RequestId, SessionId};
use vault_core::time::Timestamp;

use sqlx::Row as _;

use super::row::Columns;
use super::{Store, StoreError, Tx, shares};

/// A playback session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Identifier.
    pub id: SessionId,
    /// The request it redeems.
    pub request: RequestId,
    /// The grant it stands on.
    pub grant: GrantId,
    /// The role it stands on.
    pub binding: BindingId,
    /// The record's collection.
    pub collection: CollectionId,
    /// The record.
    pub record: RecordId,
    /// The object served.
    pub object: ObjectId,
    /// Whose it is.
    pub person: PersonId,
    /// What is served, as the wire names it.
    pub representation: String,
    /// The process that opened it.
    pub instance: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

impl SessionRow {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, StoreError> {
        let row = Columns::of("sessions", row);
        Ok(Self {
            id: row.parsed("id")?,
            request: row.parsed("request_id")?,
            grant: row.parsed("grant_id")?,
            binding: row.parsed("binding_id")?,
            collection: row.parsed("collection_id")?,
            record: row.parsed("record_id")?,
            object: row.parsed("object_id")?,
            person: row.parsed("person_id")?,
            representation: row.text("representation")?,
            instance: row.text("instance")?,
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
            closed_at: row.maybe_time("closed_at")?,
        })
    }
}

/// Enters a session, and the share of the process that opens it.
pub async fn insert(tx: &mut Tx, session: &SessionRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (id, request_id, grant_id, binding_id, collection_id, record_id, object_id, person_id,
           representation, instance, created_at, expires_at, closed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(session.id.to_string())
    .bind(session.request.to_string())
    .bind(session.grant.to_string())
    .bind(session.binding.to_string())
    .bind(session.collection.to_string())
    .bind(session.record.to_string())
    .bind(session.object.to_string())
    .bind(session.person.to_string())
    .bind(session.representation.clone())
    .bind(session.instance.clone())
    .bind(session.created_at.as_millis())
    .bind(session.expires_at.as_millis())
    .bind(session.closed_at.map(Timestamp::as_millis))
    .execute(tx.conn())
    .await?;
    shares::first(tx, session.id, &session.instance).await
}

/// A session by id.
pub async fn find(store: &Store, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    let mut reader = store.read().await?;
    let row =
        sqlx::query("SELECT * FROM sessions WHERE id = $1").bind(id.to_string()).fetch_optional(reader.conn()).await?;
    row.as_ref().map(SessionRow::read).transpose()
}

/// Where a request's rows point to. A hint: who may play what is read from the log.
#[derive(Clone, Copy, Debug)]
pub struct Pointer {
    /// Whose request it is.
    pub requester: PersonId,
    /// The collection it is for.
    pub collection: CollectionId,
    /// The grant, once there is one.
    pub grant: Option<GrantId>,
    /// Whether the grant's row says that it was taken away: a row opens nothing, but it may well close.
    pub revoked: bool,
}

/// Where the rows of request `id` point to.
pub async fn pointer(store: &Store, id: RequestId) -> Result<Option<Pointer>, StoreError> {
    let mut reader = store.read().await?;
    let row = sqlx::query(
        "SELECT r.requester AS requester, r.collection_id AS collection_id, g.id AS grant_id,
           g.revoked_at AS revoked_at
         FROM access_requests r LEFT JOIN grants g ON g.request_id = r.id WHERE r.id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(reader.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let row = Columns::of("access_requests", &row);
    let (requester, collection) = (row.parsed("requester")?, row.parsed("collection_id")?);
    let revoked = row.maybe_time("revoked_at")?.is_some();
    Ok(Some(Pointer { requester, collection, grant: row.maybe_parsed("grant_id")?, revoked }))
}

/// How far a grant has been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sessions opened under it.
    pub sessions: u32,
    /// Different records since the given moment.
    pub records: u32,
    /// Whether the given record is among them.
    pub this_one: bool,
}

/// Counts the sessions of `grant`, and the records played since `day`. The grant's row is touched first, so that two
/// sessions being opened at once are counted one after the other on any engine.
pub async fn usage(tx: &mut Tx, grant: GrantId, record: RecordId, day: Timestamp) -> Result<Usage, StoreError> {
    sqlx::query("UPDATE grants SET expires_at = expires_at WHERE id = $1")
        .bind(grant.to_string())
        .execute(tx.conn())
        .await?;
    let all = sqlx::query("SELECT COUNT(*) AS n FROM sessions WHERE grant_id = $1")
        .bind(grant.to_string())
        .fetch_one(tx.conn())
        .await?;
    let today = sqlx::query(
        "SELECT COUNT(DISTINCT record_id) AS n, COUNT(CASE WHEN record_id = $3 THEN 1 END) AS this_one
         FROM sessions WHERE grant_id = $1 AND created_at >= $2",
    )
    .bind(grant.to_string())
    .bind(day.as_millis())
    .bind(record.to_string())
    .fetch_one(tx.conn())
    .await?;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Usage {
        sessions: count(all.try_get("n")?),
        records: count(today.try_get("n")?),
        this_one: today.try_get::<i64, _>("this_one")? > 0,
    })
}

/// What a person has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOf {
    /// How many sessions.
    pub count: u64,
    /// When the first of them ends by itself.
    pub first_ends: Option<Timestamp>,
}

/// Counts the sessions of `person` that are open at `now`. The person's row is touched first, so that two sessions being
/// opened at once are counted one after the other on any engine.
pub async fn open_of(tx: &mut Tx, person: PersonId, now: Timestamp) -> Result<OpenOf, StoreError> {
    super::people::touch(tx, person).await?;
    let row = sqlx::query(
        "SELECT COUNT(*) AS n, MIN(expires_at) AS first_ends FROM sessions
         WHERE person_id = $1 AND closed_at IS NULL AND expires_at > $2",
    )
    .bind(person.to_string())
    .bind(now.as_millis())
    .fetch_one(tx.conn())
    .await?;
    let row = Columns::of("sessions", &row);
    Ok(OpenOf { count: row.unsigned("n")?, first_ends: row.maybe_time("first_ends")? })
}

/// Deletes rows of sessions that were closed before `before`, at most `most` of them; answers how many. What happened in
/// them is in the log. A session counts against its grant's limits, so it stays as long as its grant may be in force.
pub async fn drop_closed(store: &Store, before: Timestamp, most: u32) -> Result<u64, StoreError> {
    let mut tx = store.begin("drop_closed_sessions").await?;
    let dropped = sqlx::query(
        "DELETE FROM sessions WHERE id IN (
           SELECT s.id FROM sessions s LEFT JOIN grants g ON g.id = s.grant_id
           WHERE s.closed_at < $1 AND (g.id IS NULL OR g.expires_at < $1) ORDER BY s.closed_at LIMIT $2)",
    )
    .bind(before.as_millis())
    .bind(i64::from(most))
    .execute(tx.conn())
    .await?
    .rows_affected();
    tx.commit().await?;
    Ok(dropped)
}

/// Closes a session that is open and returns its row; `None` when somebody else closed it, or there is none.
pub async fn close(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
    let row = sqlx::query("UPDATE sessions SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL RETURNING *")
        .bind(id.to_string())
        .bind(now.as_millis())
        .fetch_optional(tx.conn())
        .await?;
    row.as_ref().map(SessionRow::read).transpose()
}

/// Sessions still open that should have ended before `then`, with the moment at which they should have; the oldest first.
/// One whose record was erased ended with it, and so did one whose object has been replaced since.
pub async fn overdue(store: &Store, then: Timestamp, most: u32) -> Result<Vec<(SessionRow, Overdue)>, StoreError> {
    let mut reader = store.read().await?;
    let rows = sqlx::query(
        "SELECT s.*, e.at AS erased_at,
           CASE WHEN NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = s.object_id) THEN r.rekeyed_at END AS replaced_at
         FROM sessions s LEFT JOIN erasures e ON e.record_id = s.record_id LEFT JOIN records r ON r.id = s.record_id
         WHERE s.closed_at IS NULL AND (s.expires_at <= $1 OR e.at <= $1 OR
           (r.rekeyed_at <= $1 AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = s.object_id)))
         ORDER BY s.expires_at LIMIT $2",
    )
    .bind(then.as_millis())
    .bind(i64::from(most))
    .fetch_all(reader.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let erased = Columns::of("erasures", row).maybe_time("erased_at")?;
            let replaced = Columns::of("records", row).maybe_time("replaced_at")?;
            let session = SessionRow::read(row)?;
            let early = |at: &Timestamp| *at < session.expires_at;
            let overdue = match (erased.filter(early), replaced.filter(early)) {
                (Some(at), _) => Overdue { since: at, end: SessionEnd::Erased },
                (None, Some(at)) => Overdue { since: at, end: SessionEnd::Replaced },
                (None, None) => Overdue { since: session.expires_at, end: SessionEnd::Expired },
            };
            Ok((session, overdue))
        })
        .collect()
}

/// Since when a session should be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The moment.
    pub since: Timestamp,
    /// What ended it.
    pub end: SessionEnd,
}

/// What ends a session that nobody closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its time was over.
    Expired,
    /// Its record was erased.
    Erased,
    /// Its record was encrypted anew, and another object is in the place of the one that was played.
    Replaced,
}
