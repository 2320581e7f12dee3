//! Rows of access requests and grants. What they say is for lists and for finding the log entry that counts.

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use vault_core::access::request::{Event, Request, State};
use vault_core::ids::{CollectionId, GrantId, PersonId, RecordId, RequestId};
use vault_core::time::Timestamp;

use super::row::Columns;
use super::{Conn, Reader, StoreError, Tx};

const TABLE: &str = "access_requests";

/// What of a request is sealed, as bytes in its row.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Why.
    pub reason: Vec<u8>,
    /// The case it belongs to.
    pub case_number: Option<Vec<u8>>,
    /// What the decider said.
    pub comment: Option<Vec<u8>>,
}

/// The wrapped key of the one record that a request is about: it opens what is sealed.
#[derive(Clone, Debug)]
pub struct RecordWrap {
    /// The record.
    pub record: RecordId,
    /// The KEK version.
    pub kek_version: u32,
    /// The wrap; gone once the record is erased, and the sealed texts with it.
    pub wrap: Option<Vec<u8>>,
}

/// A request with what became of it.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// What was asked.
    pub request: Request,
    /// Its texts.
    pub sealed: Sealed,
    /// Under whose key they are sealed; `None`: the collection's staff audit key.
    pub under: Option<RecordWrap>,
    /// Who decided.
    pub decided_by: Option<PersonId>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// The grant, once there is one.
    pub grant: Option<GrantRow>,
    /// The collection's name.
    pub collection_name: String,
    /// The requester's name.
    pub requester_name: String,
    /// The decider's name.
    pub decider_name: Option<String>,
}

/// A grant's row.
#[derive(Clone, Copy, Debug)]
pub struct GrantRow {
    /// The grant.
    pub id: GrantId,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was taken away.
    pub revoked_at: Option<Timestamp>,
}

impl RequestRow {
    /// Where it stands at `now`: a pending request and a grant in force end by themselves.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        self.request.state.at(now, self.ends_at())
    }

    /// When the request (pending) or its grant (approved) ends by itself.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.grant.map_or_else(|| self.request.waits_until(), |grant| grant.expires_at)
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of(TABLE, row);
        let json = |name: &'static str| -> Result<String, StoreError> { c.text(name) };
        let grant = match c.maybe_parsed("grant_id")? {
            Some(id) => Some(GrantRow {
                id,
                expires_at: c.time("grant_expires_at")?,
                revoked_at: c.maybe_time("grant_revoked_at")?,
            }),
            None => None,
        };
        let under = match c.maybe_parsed("record_id")? {
            Some(record) => {
                Some(RecordWrap { record, kek_version: c.version("kek_version")?, wrap: c.maybe_bytes("wrap")? })
            }
            None => None,
        };
        Ok(Self {
            request: Request {
                id: c.parsed("id")?,
                collection: c.parsed("collection_id")?,
                requester: c.parsed("requester")?,
                scope: serde_json::from_str(&json("scope")?).map_err(|_| c.damaged("scope"))?,
                purpose: c.text("purpose")?,
                rights: serde_json::from_str(&json("rights")?).map_err(|_| c.damaged("rights"))?,
                limits: serde_json::from_str(&json("limits")?).map_err(|_| c.damaged("limits"))?,
                created_at: c.time("created_at")?,
                until: c.maybe_time("until")?,
                state: State::parse(&c.text("state")?).ok_or_else(|| c.damaged("state"))?,
            },
            sealed: Sealed {
                reason: c.bytes("reason")?,
                case_number: c.maybe_bytes("case_number")?,
                comment: c.maybe_bytes("comment")?,
            },
            under,
            decided_by: c.maybe_parsed("decided_by")?,
            decided_at: c.maybe_time("decided_at")?,
            grant,
            collection_name: c.text("collection_name")?,
            requester_name: c.text("requester_name")?,
            decider_name: c.maybe_text("decider_name")?,
        })
    }
}

/// Every column of a request, with names, grant and the record's wrap.
const SELECT: &str = "SELECT q.*, g.id AS grant_id, g.expires_at AS grant_expires_at, g.revoked_at AS grant_revoked_at, \
    r.kek_version AS kek_version, r.wrap AS wrap, c.name AS collection_name, p.name AS requester_name, \
    d.name AS decider_name FROM access_requests q \
    JOIN collections c ON c.id = q.collection_id JOIN persons p ON p.id = q.requester \
    LEFT JOIN persons d ON d.id = q.decided_by LEFT JOIN grants g ON g.request_id = q.id \
    LEFT JOIN records r ON r.id = q.record_id";

/// Enters a request.
pub async fn insert(tx: &mut Tx, request: &Request, sealed: &Sealed) -> Result<(), StoreError> {
    let unwritable = |_| StoreError::Corrupt { table: TABLE, what: "a scope that cannot be written" };
    sqlx::query(
        "INSERT INTO access_requests (id, collection_id, requester, record_id, scope, purpose, rights, limits, reason,
           case_number, comment, state, created_at, until, waits_until, decided_by, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, $12, $13, $14, NULL, NULL)",
    )
    .bind(request.id.to_string())
    .bind(request.collection.to_string())
    .bind(request.requester.to_string())
    .bind(request.scope.single().map(|id| id.to_string()))
    .bind(serde_json::to_string(&request.scope).map_err(unwritable)?)
    .bind(request.purpose.clone())
    .bind(serde_json::to_string(&request.rights).map_err(unwritable)?)
    .bind(serde_json::to_string(&request.limits).map_err(unwritable)?)
    .bind(sealed.reason.clone())
    .bind(sealed.case_number.clone())
    .bind(request.state.name())
    .bind(request.created_at.as_millis())
    .bind(request.until.map(Timestamp::as_millis))
    .bind(request.waits_until().as_millis())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A request by id.
pub async fn find(conn: &mut Reader, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    one(conn.conn(), "q.id", id.to_string()).await
}

/// A request by id, inside the transaction that decides on it.
pub async fn find_in(tx: &mut Tx, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    one(tx.conn(), "q.id", id.to_string()).await
}

async fn one(conn: &mut Conn, by: &str, id: String) -> Result<Option<RequestRow>, StoreError> {
    // `by` is one of the literals above.
    let row = sqlx::query(AssertSqlSafe(format!("{SELECT} WHERE {by} = $1"))).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(RequestRow::read).transpose()
}

/// A decision to be written.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The request.
    pub request: RequestId,
    /// Approve or deny.
    pub event: Event,
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
    /// What they said, sealed.
    pub comment: Option<&'a [u8]>,
}

/// Writes a decision on a pending request; `false` when it is not pending any more.
pub async fn decide(tx: &mut Tx, decided: Decided<'_>) -> Result<bool, StoreError> {
    let Some(next) = State::Pending.after(decided.event) else { return Ok(false) };
    let done = sqlx::query(
        "UPDATE access_requests SET state = $1, decided_by = $2, decided_at = $3, comment = $4
         WHERE id = $5 AND state = 'pending' AND waits_until > $3",
    )
    .bind(next.name())
    .bind(decided.by.to_string())
    .bind(decided.at.as_millis())
    .bind(decided.comment.map(<[u8]>::to_vec))
    .bind(decided.request.to_string())
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Enters the grant of an approved request.
pub async fn insert_grant(
    tx: &mut Tx,
    id: GrantId,
    request: RequestId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO grants (id, request_id, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, NULL)",
    )
    .bind(id.to_string())
    .bind(request.to_string())
    .bind(now.as_millis())
    .bind(expires_at.as_millis())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes a grant away. A row that says it was gone already keeps its time: whether it is gone is for the restrictions.
pub async fn revoke(tx: &mut Tx, grant: GrantId, request: RequestId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE grants SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now.as_millis())
        .bind(grant.to_string())
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE access_requests SET state = 'revoked' WHERE id = $1 AND state = 'approved'")
        .bind(request.to_string())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What taking a grant away needs to know of it: no more, so that damage of the rest does not keep it in force.
#[derive(Clone, Copy, Debug)]
pub struct Revocable {
    /// The request that was granted.
    pub request: RequestId,
    /// The collection.
    pub collection: CollectionId,
    /// Whose grant it is.
    pub requester: PersonId,
    /// The one record that it is about, if it is about one.
    pub record: Option<RecordId>,
}

/// What taking `grant` away needs to know.
pub async fn revocable(conn: &mut Reader, grant: GrantId) -> Result<Option<Revocable>, StoreError> {
    let row = sqlx::query(
        "SELECT q.id AS id, q.collection_id AS collection_id, q.requester AS requester, q.record_id AS record_id
         FROM grants g JOIN access_requests q ON q.id = g.request_id WHERE g.id = $1",
    )
    .bind(grant.to_string())
    .fetch_optional(conn.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let row = Columns::of(TABLE, &row);
    Ok(Some(Revocable {
        request: row.parsed("id")?,
        collection: row.parsed("collection_id")?,
        requester: row.parsed("requester")?,
        record: row.maybe_parsed("record_id").unwrap_or_default(),
    }))
}

/// Which requests a caller may see.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Their own, whatever the collection.
    pub own: Option<PersonId>,
    /// Everything in these collections; `None` for all collections.
    pub collections: Option<Vec<CollectionId>>,
}

/// What a page of requests is narrowed by.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What the caller may see at all.
    pub seen: Seen,
    /// Only in this state, as it is now.
    pub state: Option<State>,
    /// Only of this collection.
    pub collection: Option<CollectionId>,
    /// Only for this one record.
    pub record: Option<RecordId>,
    /// Older than this request: where the page before ended.
    pub before: Option<RequestId>,
}

/// A page of requests, newest first.
pub async fn page(
    conn: &mut Reader,
    filter: &Filter,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<RequestRow>, StoreError> {
    let mut where_ = Where::default();
    let own = filter.seen.own.map(|person| format!("q.requester = {}", where_.bind(person.to_string())));
    let all = match &filter.seen.collections {
        None => Some("1 = 1".to_owned()),
        Some(ids) if ids.is_empty() => None,
        Some(ids) => {
            let names: Vec<String> = ids.iter().map(|id| where_.bind(id.to_string())).collect();
            Some(format!("q.collection_id IN ({})", names.join(", ")))
        }
    };
    let visible: Vec<String> = own.into_iter().chain(all).collect();
    if visible.is_empty() {
        return Ok(Vec::new());
    }
    let mut clauses = vec![format!("({})", visible.join(" OR "))];
    if let Some(state) = filter.state {
        clauses.push(where_.state(state, now));
    }
    if let Some(id) = filter.collection {
        clauses.push(format!("q.collection_id = {}", where_.bind(id.to_string())));
    }
    if let Some(id) = filter.record {
        clauses.push(format!("q.record_id = {}", where_.bind(id.to_string())));
    }
    if let Some(id) = filter.before {
        clauses.push(format!("q.id < {}", where_.bind(id.to_string())));
    }
    let text = format!("{SELECT} WHERE {} ORDER BY q.id DESC LIMIT {}", clauses.join(" AND "), limit.min(500));
    // Only placeholders, literals and a number go into the text; what callers sent is bound.
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in where_.texts {
        query = query.bind(value);
    }
    let rows = query.fetch_all(conn.conn()).await?;
    rows.iter().map(RequestRow::read).collect()
}

/// Values bound so far; all of them text, times as decimal literals.
#[derive(Default)]
struct Where {
    texts: Vec<String>,
}

impl Where {
    fn bind(&mut self, value: String) -> String {
        self.texts.push(value);
        format!("${}", self.texts.len())
    }

    /// The rows whose state is `state` at `now`, as [`RequestRow::state`] says it.
    fn state(&mut self, state: State, now: Timestamp) -> String {
        let now = now.as_millis();
        match state {
            State::Pending => format!("q.state = 'pending' AND q.waits_until > {now}"),
            State::Approved => format!("q.state = 'approved' AND g.expires_at > {now}"),
            State::Expired => format!(
                "(q.state = 'expired' OR (q.state = 'pending' AND q.waits_until <= {now}) \
                 OR (q.state = 'approved' AND g.expires_at <= {now}))"
            ),
            State::Denied | State::Revoked => format!("q.state = {}", self.bind(state.name().to_owned())),
        }
    }
}
