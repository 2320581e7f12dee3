//! How the log fails.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::audit::checkpoint::CheckpointError;
use vault_core::audit::entry::{DraftError, InvalidEntry};
use vault_core::audit::evidence::EvidenceError;
use vault_core::audit::tile::TileError;

use crate::app::error::Failure;
use crate::objects::ObjectError;
use crate::store::StoreError;

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The signing key is not in memory.
    #[error("the audit log is sealed")]
    Sealed,
    /// The entry was not committed and published in time. It may be later; nothing was released for it.
    #[error("the audit log did not take the entry in time")]
    Timeout,
    /// The log has stopped: its copies disagree, or its task ended.
    #[error("the audit log has stopped")]
    Stopped,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The published log cannot be read or written.
    #[error("the published log: {0}")]
    Objects(#[from] ObjectError),
    /// The published checkpoint is not one of this log.
    #[error("the published checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A published tile or bundle is damaged.
    #[error("the published log: {0}")]
    Tile(#[from] TileError),
    /// Bytes among the entries that are no entry.
    #[error("an entry of the log: {0}")]
    Entry(#[from] InvalidEntry),
    /// What the database shows as an entry is not in the log.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The record was encrypted anew between the sealing of the entry's openings and its transaction: to be done again.
    #[error("the record has another key since the entry was prepared")]
    RecordKeyChanged,
    /// The copies of the head disagree.
    #[error("the audit log's copies disagree: {what} (database: {database} entries, published: {published})")]
    Disagreement {
        /// Which comparison failed.
        what: &'static str,
        /// Size by the database.
        database: u64,
        /// Size by the published checkpoint.
        published: u64,
    },
    /// The log's first entry cannot be drafted.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Self {
        use LedgerError as E;
        let code = match &e {
            E::Sealed => Code::Sealed,
            E::Timeout | E::Stopped => Code::LogUnavailable,
            E::RecordKeyChanged => Code::RecordKeyChanged,
            E::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_)) => Code::LogUnavailable,
            E::Objects(ObjectError::Deadline | ObjectError::Failed(_) | ObjectError::Directory { .. }) => {
                Code::LogUnavailable
            }
            E::Store(StoreError::Corrupt { .. })
            | E::Objects(ObjectError::Missing | ObjectError::Short)
            | E::Checkpoint(_)
            | E::Tile(_)
            | E::Entry(_)
            | E::Evidence(_)
            | E::Disagreement { .. } => Code::IntegrityFailure,
            E::Store(StoreError::Conflict | StoreError::Schema { .. } | StoreError::Query(_)) | E::Draft(_) => {
                Code::Internal
            }
        };
        let failure = Self::new(code).because(e);
        if code == Code::LogUnavailable { failure.retry_after(Duration::from_secs(1)) } else { failure }
    }
}
