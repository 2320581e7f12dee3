//! Locks that transactions take by name, for what no single row stands for.
//!
//! SQLite lets one writer in at a time, PostgreSQL all of them. Most transactions need no more than a compare-and-set on
//! the one row they change. Those that look at many rows and then rely on what they saw hold one of these first; what
//! they read afterwards is as the last holder left it, since at READ COMMITTED each statement sees what is committed when
//! it begins. A lock ends with its transaction and lives in no session, so poolers do not break it.
//!
//! The order in which locks are taken is part of the design, so that no two transactions wait for each other:
//! named locks, then the row the act is about, then key versions, then the counter of restrictions last of all
//! (`docs/decisions/0007-writers-beside-each-other.md`).

use super::{StoreError, Tx};

/// What a transaction has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Who is there and what they may do: that two administrators remain, that roles go together.
    People,
    /// Which keys there are and what wraps them.
    Keys,
}

impl Hold {
    const fn name(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Keys => "keys",
        }
    }
}

impl Tx {
    /// Waits until no other transaction holds `what`, and holds it until this one ends.
    pub async fn hold(&mut self, what: Hold) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO counters (name, value) VALUES ($1, 1)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1",
        )
        .bind(what.name())
        .execute(self.conn())
        .await?;
        Ok(())
    }
}
