//! The metadata database: one portable text for queries, named transactions, a schema gate.
//!
//! Everything engine-specific is in [`engine`]. Queries elsewhere use `$1` placeholders, BIGINT, TEXT and
//! bytes only; times are milliseconds (`Timestamp::as_millis`), identifiers their 36-character text.
//!
//! A transaction is named, and the name feeds its span and its metric:
//!
//! ```text
//! let mut tx = store.begin("approve_request").await?;
//! sqlx::query("UPDATE …").bind(…).execute(tx.conn()).await?;
//! tx.commit().await?;
//! ```
//!
//! Dropped without [`Tx::commit`] it is rolled back. A commit whose outcome is unknown is
//! [`StoreError::CommitUnknown`]: the caller reads what it meant to write, never guesses.

pub mod access;
pub mod backup;
pub mod collections;
#[cfg(test)]
mod conformance;
mod conn;
mod engine;
pub mod erasures;
#[cfg(test)]
pub mod faults;
pub mod figures;
pub mod garbage;
mod hold;
pub mod intents;
pub mod keys;
pub mod leases;
pub mod log;
pub mod people;
pub mod records;
pub mod reencryptions;
pub mod rekey;
pub mod restores;
pub mod restrictions;
pub mod row;
mod schema;
pub mod sessions;
pub mod shares;
pub mod succession;
#[cfg(test)]
pub mod testing;
pub mod uploads;
mod values;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Row as _};
use zeroize::Zeroizing;

pub use conn::Conn;
pub use engine::Engine;
pub use hold::Hold;

use crate::metrics::Metrics;

/// How long erased rows may lie in older pages before the first scrub, and between later ones at the most.
const FIRST_SCRUB: Duration = Duration::from_millis(500);
const LAST_SCRUB: Duration = Duration::from_secs(30);

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or the database ended one: try again later.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The commit was sent and no answer came: it may have happened.
    #[error("the database did not say whether the commit happened")]
    CommitUnknown(#[source] sqlx::Error),
    /// A unique key or foreign key refused the row.
    #[error("the row conflicts with another")]
    Conflict,
    /// A row holds what this program never writes: edited by hand, or damaged.
    #[error("a row of {table} is damaged: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with it; no content of the row.
        what: &'static str,
    },
    /// The database belongs to another version of the program.
    #[error("the database has schema version {found}, this program needs {needed}: {advice}")]
    Schema {
        /// The version found.
        found: String,
        /// The version this program was built for.
        needed: i64,
        /// What to do.
        advice: &'static str,
    },
    /// Any other error of the database: a defect in a query.
    #[error("the database refused a query")]
    Query(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        match &e {
            sqlx::Error::Database(d) if d.is_unique_violation() || d.is_foreign_key_violation() => Self::Conflict,
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::BeginFailed
            | sqlx::Error::Tls(_) => Self::Unavailable(e),
            sqlx::Error::Database(d) if engine::is_passing(d.as_ref()) => Self::Unavailable(e),
            _ => Self::Query(e),
        }
    }
}

/// Whether something may stand before a database server that gives each transaction another server connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// There may be one: nothing outlives a transaction.
    #[default]
    Possible,
    /// There is none: statements stay prepared on their connections, and reading needs no transaction.
    None,
}

/// Which database, and how it is reached.
#[derive(Clone)]
pub struct Source {
    /// `sqlite:` or `postgres:`, without a password.
    pub url: String,
    /// The password.
    pub password: Option<Zeroizing<String>>,
    /// What stands before it.
    pub pooler: Pooler,
    /// Most connections of this node, to a server.
    pub connections: u32,
}

impl Source {
    /// Connections of a node unless told otherwise.
    pub const CONNECTIONS: u32 = 16;

    /// The database at `url`, with what is usual.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), password: None, pooler: Pooler::default(), connections: Self::CONNECTIONS }
    }
}

/// The database, shared by everything on this node.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    pooler: Pooler,
    /// SQLite has one writer: a pool of one queues them here instead of in busy retries.
    writers: AnyPool,
    readers: AnyPool,
    urgent: AnyPool,
    metrics: Arc<Metrics>,
    /// Writing transactions that were asked for on this node.
    asked: Arc<AtomicU64>,
    /// Whether a scrub is on its way.
    scrubbing: Arc<AtomicBool>,
    /// What the next commits are to suffer.
    #[cfg(test)]
    pub faults: Arc<faults::Faults>,
}

impl Store {
    /// Connects, makes the schema in an empty database, and refuses one of another version.
    pub async fn open(source: &Source, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let engine::Pools { engine, writers, readers, urgent } = engine::connect(source).await?;
        let store = Self {
            engine,
            pooler: source.pooler,
            writers,
            readers,
            urgent,
            metrics,
            asked: Arc::default(),
            scrubbing: Arc::default(),
            #[cfg(test)]
            faults: Arc::default(),
        };
        schema::ensure(&store).await?;
        Ok(store)
    }

    /// Which engine this is. Only for what differs by nature: backup, statistics.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a writing transaction. On SQLite it holds the write lock from here on: keep it short,
    /// and do no other I/O inside. On PostgreSQL others write meanwhile: what was read may be untrue by the time it is
    /// relied on, unless a row was locked by an UPDATE first (`docs/decisions/0007-writers-beside-each-other.md`).
    pub async fn begin(&self, name: &'static str) -> Result<Tx, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let settings = self.engine.settings(self.pooler);
        let conn = Conn::within(&self.writers, settings, self.engine.begin_statement()).await;
        Ok(Tx {
            conn: conn.map_err(unreachable)?,
            engine: self.engine,
            name,
            started,
            metrics: Arc::clone(&self.metrics),
            _span: tracing::debug_span!("transaction", transaction = name),
            #[cfg(test)]
            faults: Arc::clone(&self.faults),
        })
    }

    /// How many writing transactions this node has asked for: whoever has much to write sees by it whether others wait.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// A connection for reading: sees what is committed, one statement at a time.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        self.read_from(&self.readers).await
    }

    /// The same for what must not wait behind other readers: what was taken away is asked for four times a second, and a
    /// node that does not learn of it serves nothing.
    pub async fn read_at_once(&self) -> Result<Reader, StoreError> {
        self.read_from(&self.urgent).await
    }

    /// A reading transaction that sees one moment, however long it takes.
    pub async fn snapshot(&self) -> Result<Reader, StoreError> {
        let settings = self.engine.settings(self.pooler);
        let conn = Conn::within(&self.readers, settings, self.engine.snapshot_statement()).await;
        Ok(Reader(conn.map_err(unreachable)?))
    }

    async fn read_from(&self, pool: &AnyPool) -> Result<Reader, StoreError> {
        let settings = self.engine.settings(self.pooler);
        let conn = match self.engine.read_statement(self.pooler) {
            Some(statement) => Conn::within(pool, settings, statement).await,
            None => Conn::free(pool, settings).await,
        };
        Ok(Reader(conn.map_err(unreachable)?))
    }

    /// Makes what was deleted unreadable in the database's own files, as far as the engine can:
    /// call it after erasing wraps or openings. On SQLite deleted content is overwritten in place
    /// (`secure_delete`), and this empties the write-ahead log of older pages.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        let Some(statement) = self.engine.scrub_statement() else { return Ok(()) };
        // Most of the copying, while others write; what is left for the writer is short.
        self.checkpoint().await?;
        let mut conn = self.writers.acquire().await?;
        // Readers in the way are no error to SQLite: its answer's first column is 1 then, and nothing was emptied.
        let row = match sqlx::query(statement).fetch_one(&mut *conn).await {
            Ok(row) => row,
            Err(e) => return Err(given_up(conn, e).await),
        };
        if row.try_get::<i64, _>(0).unwrap_or(0) == 0 {
            Ok(())
        } else {
            Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
        }
    }

    /// Copies what the engine's own log holds into the database's file, beside those who write: on SQLite the writer that
    /// finds that log long would do it while all others wait.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let Some(statement) = self.engine.checkpoint_statement() else { return Ok(()) };
        let mut conn = self.readers.acquire().await?;
        match sqlx::query(statement).fetch_one(&mut *conn).await {
            Ok(_) => Ok(()),
            Err(e) => Err(given_up(conn, e).await),
        }
    }

    /// [`Store::scrub`] in the background: soon, once for all who ask meanwhile, and again until it succeeds.
    pub fn scrub_soon(&self) {
        if self.engine.scrub_statement().is_none() || self.scrubbing.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_SCRUB;
            loop {
                tokio::time::sleep(pause).await;
                // Whoever asks from here on needs another round.
                store.scrubbing.store(false, Ordering::Release);
                match store.scrub().await {
                    Ok(()) => return,
                    Err(_) if store.writers.is_closed() || store.scrubbing.swap(true, Ordering::AcqRel) => return,
                    Err(_) => pause = (pause * 2).min(LAST_SCRUB),
                }
            }
        });
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = self.read().await?;
        sqlx::query("SELECT 1").execute(conn.conn()).await?;
        Ok(())
    }

    /// Closes every connection, letting running statements end.
    pub async fn close(&self) {
        self.readers.close().await;
        self.urgent.close().await;
        if let Some(statement) = self.engine.scrub_statement()
            && let Ok(mut conn) = self.writers.acquire().await
        {
            // Best effort: a checkpoint that fails leaves a longer write-ahead log, nothing else.
            let _ = sqlx::query(statement).execute(&mut *conn).await;
        }
        self.writers.close().await;
    }
}

/// No connection to begin on, whatever the reason: a wrong password today may be a changed one that this node is told of
/// in a minute.
fn unreachable(e: sqlx::Error) -> StoreError {
    StoreError::Unavailable(e)
}

/// What went wrong on a connection, which is closed where it can never write: it was opened while nothing could.
async fn given_up(conn: PoolConnection<Any>, e: sqlx::Error) -> StoreError {
    if engine::is_read_only(&e) {
        let _ = conn.close().await;
    }
    e.into()
}

/// A reading connection.
pub struct Reader(Conn);

impl Reader {
    /// The connection to run a query on.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.0
    }
}

/// A writing transaction; rolled back when dropped without [`Tx::commit`].
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Tx {
    conn: Conn,
    engine: Engine,
    name: &'static str,
    started: Instant,
    metrics: Arc<Metrics>,
    /// Open as long as the transaction is.
    _span: tracing::Span,
    #[cfg(test)]
    faults: Arc<faults::Faults>,
}

impl Tx {
    /// The connection to run a query on.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Which engine this is.
    fn engine(&self) -> Engine {
        self.engine
    }

    /// Commits. After this returns `Ok`, what was written survives the loss of power.
    ///
    /// A transaction in which a statement failed is rolled back and says so, whatever was made of the failure.
    pub async fn commit(self) -> Result<(), StoreError> {
        #[cfg(test)]
        let fault = self.faults.next(self.name);
        let Self { conn, name, started, metrics, .. } = self;
        if conn.has_failed() {
            metrics.transaction(name, started.elapsed(), false);
            return Err(StoreError::Query(sqlx::Error::Protocol("commit after a statement that failed".to_owned())));
        }
        #[cfg(test)]
        if let Some(fault) = fault {
            return fault.commit(conn, name).await;
        }
        let outcome = conn.commit().await.map_err(|e| match StoreError::from(e) {
            StoreError::Unavailable(e) if !engine::is_rolled_back(&e) => StoreError::CommitUnknown(e),
            other => other,
        });
        #[cfg(test)]
        if outcome.is_ok() {
            faults::committed(name);
        }
        metrics.transaction(name, started.elapsed(), outcome.is_ok());
        tracing::trace!(name, ok = outcome.is_ok(), micros = started.elapsed().as_micros(), "transaction");
        outcome
    }

    /// Rolls back at once instead of when dropped.
    pub async fn rollback(self) -> Result<(), StoreError> {
        let Self { conn, name, started, metrics, .. } = self;
        metrics.transaction(name, started.elapsed(), false);
        Ok(conn.rollback().await?)
    }
}

#[cfg(test)]
impl Store {
    /// One statement behind the vault's back, for tests of what rows alone can do.
    pub async fn by_hand(&self, sql: &'static str) {
        let mut tx = self.begin("by_hand").await.unwrap();
        let sql = sqlx::AssertSqlSafe(testing::spelled(self.engine, sql));
        sqlx::query(sql).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The number that a query answers.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let mut reader = self.read().await.unwrap();
        sqlx::Row::get(&sqlx::query(sql).fetch_one(reader.conn()).await.unwrap(), 0)
    }
}
