//! The audit log's writer: entries are committed, published, and only then released as evidence.

use vault_core::audit::entry::{EntryKind, Prepared};
use vault_core::audit::evidence::Recorded;

use crate::app::error::Failure;
use crate::store::{StoreError, Tx};

/// Why an entry is not known to be in the log.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The log could not be written, or not in time: the entry may still come.
    #[error("the audit log cannot be written in time")]
    Unavailable,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the log holds does not prove what was asked for.
    #[error("the audit log does not prove this: {0}")]
    Unproven(&'static str),
}

/// An entry left in the outbox of a transaction.
#[must_use = "settle it after the commit"]
pub struct Ticket<E> {
    id: String,
    prepared: Prepared<E>,
}

/// The log of this vault.
pub struct Ledger(());

impl Ledger {
    /// Opens the log.
    #[must_use]
    pub fn start() -> Self {
        Self(())
    }

    /// Appends an entry that belongs to no transaction.
    pub async fn append<E: EntryKind>(&self, _: Prepared<E>, _: Option<String>) -> Result<Recorded<E>, LedgerError> {
        Err(LedgerError::Unavailable)
    }

    /// Leaves an entry in the caller's transaction.
    pub async fn enqueue<E: EntryKind>(
        &self,
        _: &mut Tx,
        prepared: Prepared<E>,
        reference: Option<String>,
    ) -> Result<Ticket<E>, LedgerError> {
        Ok(Ticket { id: reference.unwrap_or_default(), prepared })
    }

    /// Waits until the entry is committed and published.
    pub async fn settle<E: EntryKind>(&self, ticket: Ticket<E>) -> Result<Recorded<E>, LedgerError> {
        drop((ticket.id, ticket.prepared));
        Err(LedgerError::Unavailable)
    }

    /// Lets the entry be sequenced without waiting for it.
    pub fn settle_later<E: EntryKind>(&self, ticket: Ticket<E>) {
        drop(ticket);
    }

    /// The latest entry of this type under a reference, proven against the committed checkpoint.
    pub async fn find<E: EntryKind>(&self, _reference: &str) -> Result<Option<Recorded<E>>, LedgerError> {
        Err(LedgerError::Unavailable)
    }
}

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Self {
        use vault_api::code::Code;
        match e {
            LedgerError::Store(e) => e.into(),
            LedgerError::Unavailable => Self::new(Code::LogUnavailable),
            LedgerError::Unproven(_) => Self::new(Code::NotInLog).because(e),
        }
    }
}
