//! Commits that go wrong, for tests: always in pairs, "failed, not persisted" and "failed but persisted", since whoever
//! sees the error cannot know which it was.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use sqlx::{Any, Transaction};

use super::StoreError;

/// What a commit suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is rolled back, and says that it does not know.
    NotPersisted,
    /// It is done, and says that it does not know.
    Persisted,
}

impl Fault {
    pub(super) async fn commit(self, inner: Transaction<'static, Any>) -> Result<(), StoreError> {
        match self {
            Self::NotPersisted => inner.rollback().await?,
            Self::Persisted => inner.commit().await?,
        }
        Err(StoreError::CommitUnknown(sqlx::Error::WorkerCrashed))
    }
}

/// Faults to come, in order, each for the next commit of a named transaction.
#[derive(Default)]
pub struct Faults(Mutex<VecDeque<(&'static str, Fault)>>);

impl Faults {
    /// The next commit of `name` that has none before it suffers `fault`.
    pub fn add(&self, name: &'static str, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((name, fault));
    }

    pub(super) fn next(&self, name: &'static str) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = faults.iter().position(|(n, _)| *n == name)?;
        faults.remove(at).map(|(_, fault)| fault)
    }
}
