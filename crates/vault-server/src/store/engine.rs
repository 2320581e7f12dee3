//! The seam between engines: how to connect, how a transaction begins, what is passing trouble.
//!
//! **SQLite** needs `BEGIN IMMEDIATE` (a deferred transaction that turns into a writer cannot wait), one
//! writer at a time, and pragmas on each connection.
//!
//! **PostgreSQL** runs writers beside each other at READ COMMITTED; what a transaction relies on it holds by a row lock
//! or a compare-and-set (`docs/decisions/0007-writers-beside-each-other.md`). All settings are the transaction's own, because a pooler
//! may give each transaction another server connection.

use core::time::Duration;
use std::str::FromStr as _;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AnyConnection, AnyPool, Connection as _, Row as _};
use tokio::time::Instant;

use super::{Pooler, Source, StoreError};

/// The engines this program can speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, in one file.
    Sqlite,
    /// A server, for several nodes.
    Postgres,
}

/// `synchronous=FULL` in WAL mode syncs the log at each commit: an acknowledged commit survives power loss.
/// `secure_delete` overwrites deleted rows, so that an erased wrap is not left in a free page.
/// `temp_store=MEMORY` keeps sorters and temporary tables off the disk.
/// `wal_autocheckpoint`, in pages: whoever commits when the log is that long copies it while all others wait, so a job does it
/// before ([`Store::checkpoint`](super::Store::checkpoint)); 32 MiB is for a writer that is faster than the job.
const SQLITE_PRAGMAS: [&str; 7] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 8192",
];

/// `READ WRITE` is refused by a standby, whose rows may be old: nothing is read there by mistake. The server gives up on
/// a lock after 5 seconds and on a statement after 8, before [`STATEMENT`] is over here; a transaction whose client is
/// gone without a word ends after 10, and with it its locks.
const POSTGRES_BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL statement_timeout = '8s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// One moment for as many statements as it takes. `READ WRITE` for the same reason as above; between two pages of a backup its
/// client writes files.
const POSTGRES_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL statement_timeout = '8s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// Longest wait for the answer to one statement on PostgreSQL.
const STATEMENT: Duration = Duration::from_secs(10);
/// Longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Longest wait for a sign of life of a connection that goes back into the pool.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is asked whether it still lives.
const TRUSTED: Duration = Duration::from_secs(1);
/// So that nodes move to another server by and by when an address has changed.
const LIFETIME: Duration = Duration::from_mins(30);

/// How statements are run on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Whether statements stay prepared on their connection.
    pub(super) prepared: bool,
    /// How long one may take.
    pub(super) limit: Option<Duration>,
}

impl Settings {
    /// When a statement begun now has to be over.
    pub(super) fn deadline(self) -> Option<Instant> {
        self.limit.map(|limit| Instant::now() + limit)
    }
}

impl Engine {
    /// Which engine an address is for.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// How statements are run.
    pub(super) const fn settings(self, pooler: Pooler) -> Settings {
        match self {
            Self::Sqlite => Settings { prepared: true, limit: None },
            Self::Postgres => Settings { prepared: matches!(pooler, Pooler::None), limit: Some(STATEMENT) },
        }
    }

    /// How a transaction begins that will write.
    pub(super) const fn begin_statement(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => POSTGRES_BEGIN,
        }
    }

    /// Whether writing transactions run beside each other, so that whoever relies on a row has to hold it.
    pub(super) const fn writes_beside(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// What moves the log's head and sets the MAC beside it (`log::advance`): both or neither, in one exchange with the
    /// database, since the sequencer does it for each group. It changes no row when the head is elsewhere.
    pub(super) const fn move_head_statement(self) -> &'static str {
        match self {
            // Two statements are one exchange here, and the numbers of parameters count through both.
            Self::Sqlite => {
                "UPDATE log_head SET size = $1, edge = $2, fence = $3 WHERE id = 1 AND size = $4 AND fence = $5;
                 INSERT INTO meta (name, value) SELECT $6, $7 WHERE changes() = 1
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            }
            Self::Postgres => {
                "WITH moved AS (
                   UPDATE log_head SET size = $1, edge = $2, fence = $3 WHERE id = 1 AND size = $4 AND fence = $5
                   RETURNING id
                 )
                 INSERT INTO meta (name, value) SELECT $6, $7 FROM moved
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            }
        }
    }

    /// How reading begins, where it needs a transaction: a pooler may give each statement outside of one to another
    /// server connection, and sqlx sends two for a query.
    pub(super) const fn read_statement(self, pooler: Pooler) -> Option<&'static str> {
        match (self, pooler) {
            (Self::Sqlite, _) | (Self::Postgres, Pooler::None) => None,
            (Self::Postgres, Pooler::Possible) => Some(POSTGRES_BEGIN),
        }
    }

    /// How reading begins that sees one moment: on SQLite that of its first statement.
    pub(super) const fn snapshot_statement(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => POSTGRES_SNAPSHOT,
        }
    }

    /// What empties the engine's own log of older pages, if a client can ask for it.
    pub(super) const fn scrub_statement(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("PRAGMA wal_checkpoint(TRUNCATE)"),
            Self::Postgres => None,
        }
    }

    /// What copies the engine's own log into the database's file without keeping anybody from writing.
    pub(super) const fn checkpoint_statement(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("PRAGMA wal_checkpoint(PASSIVE)"),
            Self::Postgres => None,
        }
    }

    /// The text of the schema.
    pub(super) const fn schema(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                include_str!("schema/sqlite/base.sql"),
                include_str!("schema/sqlite/people.sql"),
                include_str!("schema/sqlite/collections.sql"),
                include_str!("schema/sqlite/keys.sql"),
                include_str!("schema/sqlite/records.sql"),
                include_str!("schema/sqlite/uploads.sql"),
                include_str!("schema/sqlite/access.sql"),
                include_str!("schema/sqlite/playback.sql"),
                include_str!("schema/sqlite/log.sql"),
                include_str!("schema/sqlite/backups.sql"),
                include_str!("schema/sqlite/succession.sql"),
            ],
            Self::Postgres => &[
                include_str!("schema/postgres/base.sql"),
                include_str!("schema/postgres/people.sql"),
                include_str!("schema/postgres/collections.sql"),
                include_str!("schema/postgres/keys.sql"),
                include_str!("schema/postgres/records.sql"),
                include_str!("schema/postgres/uploads.sql"),
                include_str!("schema/postgres/access.sql"),
                include_str!("schema/postgres/playback.sql"),
                include_str!("schema/postgres/log.sql"),
                include_str!("schema/postgres/backups.sql"),
                include_str!("schema/postgres/succession.sql"),
            ],
        }
    }
}

/// The connections of a node.
pub(super) struct Pools {
    pub(super) engine: Engine,
    pub(super) writers: AnyPool,
    pub(super) readers: AnyPool,
    /// For what must not wait behind other readers.
    pub(super) urgent: AnyPool,
}

/// Connects.
pub(super) async fn connect(source: &Source) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    let engine = Engine::of(&source.url)
        .ok_or_else(|| configuration("the database's address begins with sqlite: or postgres:"))?;
    let address = address(source, engine)?;
    let open =
        async |options: AnyPoolOptions| options.connect_with(address.clone()).await.map_err(StoreError::Unavailable);
    match engine {
        Engine::Sqlite => {
            let (writers, readers) = (open(sqlite(1)).await?, open(sqlite(4)).await?);
            Ok(Pools { engine, writers, readers, urgent: open(sqlite(1)).await? })
        }
        Engine::Postgres => {
            // One asks for restrictions, about a third reads, the others write.
            let readers = (source.connections / 3).max(1);
            let writers = source.connections.saturating_sub(readers + 1).max(1);
            let (writers, readers) = (open(postgres(writers)).await?, open(postgres(readers)).await?);
            is_durable(&mut *writers.acquire().await.map_err(StoreError::Unavailable)?).await?;
            Ok(Pools { engine, writers, readers, urgent: open(postgres(1)).await? })
        }
    }
}

fn configuration(text: &'static str) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Configuration(text.into()))
}

fn address(source: &Source, engine: Engine) -> Result<AnyConnectOptions, StoreError> {
    let mut address = AnyConnectOptions::from_str(&source.url).map_err(StoreError::Unavailable)?;
    if engine == Engine::Postgres {
        if let Some(password) = &source.password {
            address
                .database_url
                .set_password(Some(password))
                .map_err(|()| configuration("the database's address has no place for a password"))?;
        }
        if !address.database_url.query_pairs().any(|(key, _)| key == "application_name") {
            address.database_url.query_pairs_mut().append_pair("application_name", "feedback-vault");
        }
    }
    Ok(address)
}

fn sqlite(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|conn, _| {
            Box::pin(async move {
                for pragma in SQLITE_PRAGMAS {
                    sqlx::query(pragma).execute(&mut *conn).await?;
                }
                Ok(())
            })
        })
        .after_release(|conn, _| Box::pin(out_of_transaction(conn)))
}

/// Whether a connection can go back into the pool. A COMMIT that fails for want of room is rolled back by SQLite itself;
/// sqlx believes the transaction open, fails to roll it back, and could never begin another on that connection.
async fn out_of_transaction(conn: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if conn.is_in_transaction() {
        // A rollback that is on its way comes before the answer to this.
        conn.ping().await?;
    }
    Ok(!conn.is_in_transaction())
}

fn postgres(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(Some(Duration::from_mins(10)))
        .max_lifetime(Some(LIFETIME))
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move { if meta.idle_for < TRUSTED { Ok(true) } else { lives(conn).await.map(|()| true) } })
        })
        // What a caller left half-way is waited for here, out of anybody's way, and not for long.
        .after_release(|conn, _| Box::pin(async move { lives(conn).await.map(|()| !conn.is_in_transaction()) }))
}

async fn lives(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(SIGN_OF_LIFE, conn.ping()).await {
        Ok(alive) => alive,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// A server that acknowledges what it has not written makes every acknowledgement of the vault's untrue.
async fn is_durable(conn: &mut AnyConnection) -> Result<(), StoreError> {
    for setting in ["SHOW fsync", "SHOW full_page_writes", "SHOW synchronous_commit"] {
        // `SHOW` has no parameters: the simple protocol needs no statement of its own.
        let row = sqlx::raw_sql(setting).fetch_one(&mut *conn).await?;
        if row.try_get::<String, _>(0)? == "off" {
            return Err(configuration(
                "the database acknowledges what it has not written: fsync, full_page_writes and synchronous_commit \
                 must not be off",
            ));
        }
    }
    Ok(())
}

/// Trouble that passes by itself.
pub(super) fn is_passing(e: &dyn DatabaseError) -> bool {
    match e.try_downcast_ref::<PgDatabaseError>() {
        Some(e) => is_passing_state(e.code()),
        None => e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(is_passing_code),
    }
}

/// SQLITE_BUSY (5), SQLITE_LOCKED (6), SQLITE_READONLY (8), SQLITE_IOERR (10), SQLITE_FULL (13), SQLITE_CANTOPEN (14);
/// extended codes carry these in the low byte (sqlite.org/rescode.html).
const fn is_passing_code(code: u32) -> bool {
    matches!(code & 0xFF, 5 | 6 | 8 | 10 | 13 | 14)
}

/// Whether the engine says that it may only read. SQLite opens a file that it may not write all the same, and the connection
/// stays one for reading when the disk may be written again.
pub(super) fn is_read_only(e: &sqlx::Error) -> bool {
    let sqlx::Error::Database(e) = e else { return false };
    e.try_downcast_ref::<PgDatabaseError>().is_none()
        && e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == 8)
}

/// Classes 08 (connection), 40 (serialisation, deadlock), 53 (resources), 57P (shutdown, recovery) and 58 (system); a
/// statement cancelled or a lock not had in time; a server that only reads, because it is a standby; a transaction ended
/// because its client slept (postgresql.org/docs/current/errcodes-appendix.html).
fn is_passing_state(state: &str) -> bool {
    ["08", "40", "53", "57P", "58"].iter().any(|class| state.starts_with(class))
        || matches!(state, "57014" | "55P03" | "25006" | "25P03" | READ_WRITE_ON_STANDBY)
}

/// "cannot set transaction read-write mode during recovery".
const READ_WRITE_ON_STANDBY: &str = "0A000";

/// Whether this answer to COMMIT says for certain that nothing was committed: the transaction was rolled back for the
/// sake of another. A shutdown says nothing of the kind: it may interrupt the wait for a standby after the commit.
pub(super) fn is_rolled_back(e: &sqlx::Error) -> bool {
    let sqlx::Error::Database(e) = e else { return false };
    e.try_downcast_ref::<PgDatabaseError>().is_some_and(|e| matches!(e.code(), "40001" | "40P01"))
}

/// Whether the answer says that there is no such table.
pub(super) fn is_no_table(e: &dyn DatabaseError) -> bool {
    match e.try_downcast_ref::<PgDatabaseError>() {
        Some(e) => e.code() == "42P01",
        // SQLite has no code for it; any other trouble shows again when the schema is made.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_are_told_from_those_that_do_not() {
        for passing in ["08006", "08P01", "40001", "40P01", "53100", "53300", "57P01", "57P03", "57014", "25006"] {
            assert!(is_passing_state(passing), "{passing}");
        }
        for lasting in ["42P01", "42601", "22021", "23505", "28P01", "3D000", "25P02"] {
            assert!(!is_passing_state(lasting), "{lasting}");
        }
        // SQLite: locked, only to be read (and its file moved), no room, an error of the disk.
        for passing in [5, 6, 261, 8, 1032, 10, 778, 13, 14] {
            assert!(is_passing_code(passing), "{passing}");
        }
        // A defect in a query, a damaged file, one that is no database.
        for lasting in [1, 11, 19, 26, 2067] {
            assert!(!is_passing_code(lasting), "{lasting}");
        }
    }

    #[test]
    fn an_address_names_its_engine() {
        assert_eq!(Engine::of("sqlite://vault.db"), Some(Engine::Sqlite));
        assert_eq!(Engine::of("postgresql://db/vault"), Some(Engine::Postgres));
        assert_eq!(Engine::of("mysql://db/vault"), None);
    }
}
