//! The seam between engines: how to connect, how a writing transaction begins, what is passing trouble.
//!
//! SQLite needs `BEGIN IMMEDIATE` (a deferred transaction that turns into a writer cannot wait), one
//! writer at a time, and pragmas on each connection.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::error::DatabaseError;
use sqlx::{AnyConnection, AnyPool, Connection as _};

use super::StoreError;

/// The engines this program can speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, in one file.
    Sqlite,
}

/// `synchronous=FULL` in WAL mode syncs the log at each commit: an acknowledged commit survives power loss.
/// `secure_delete` overwrites deleted rows, so that an erased wrap is not left in a free page.
/// `temp_store=MEMORY` keeps sorters and temporary tables off the disk.
const SQLITE_PRAGMAS: [&str; 6] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
];

impl Engine {
    /// How a transaction begins that will write.
    pub(super) const fn begin_statement(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// What empties the engine's own log of older pages, if a client can ask for it.
    pub(super) const fn scrub_statement(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("PRAGMA wal_checkpoint(TRUNCATE)"),
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
            ],
        }
    }
}

/// Connects: the engine, a pool for writers, a pool for readers.
pub(super) async fn connect(url: &str) -> Result<(Engine, AnyPool, AnyPool), StoreError> {
    sqlx::any::install_default_drivers();
    let engine = if url.starts_with("sqlite:") {
        Engine::Sqlite
    } else {
        let text = "the database's address begins with sqlite:";
        return Err(StoreError::Unavailable(sqlx::Error::Configuration(text.into())));
    };
    let options = |connections: u32| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    for pragma in SQLITE_PRAGMAS {
                        sqlx::query(pragma).execute(&mut *conn).await?;
                    }
                    Ok(())
                })
            })
            .after_release(|conn, _| Box::pin(out_of_transaction(conn)))
    };
    let writers = options(1).connect(url).await?;
    let readers = options(4).connect(url).await?;
    Ok((engine, writers, readers))
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

/// Trouble that passes by itself: SQLITE_BUSY (5), SQLITE_LOCKED (6), SQLITE_IOERR (10), SQLITE_FULL (13),
/// SQLITE_CANTOPEN (14); extended codes carry these in the low byte (sqlite.org/rescode.html).
pub(super) fn is_passing(e: &dyn DatabaseError) -> bool {
    e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xFF, 5 | 6 | 10 | 13 | 14))
}
