//! Commits that go wrong, for tests: always in pairs, "failed, not persisted" and "failed but persisted", since whoever
//! sees the error cannot know which it was.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::{Conn, StoreError};

/// What a commit suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is rolled back, and says that it does not know.
    NotPersisted,
    /// It is done, and says that it does not know.
    Persisted,
}

impl Fault {
    pub(super) async fn commit(self, conn: Conn) -> Result<(), StoreError> {
        match self {
            Self::NotPersisted => conn.rollback().await?,
            Self::Persisted => conn.commit().await?,
        }
        Err(StoreError::CommitUnknown(sqlx::Error::WorkerCrashed))
    }
}

/// Faults to come, in order, each for a commit of a named transaction; and which commits there were.
#[derive(Default)]
pub struct Faults {
    next: Mutex<VecDeque<(&'static str, u64, Fault)>>,
    made: Mutex<BTreeMap<&'static str, u64>>,
}

impl Faults {
    /// The next commit of `name` that has none before it suffers `fault`.
    pub fn add(&self, name: &'static str, fault: Fault) {
        self.add_after(name, 0, fault);
    }

    /// The commit of `name` that comes after `before` others suffers `fault`.
    pub fn add_after(&self, name: &'static str, before: u64, fault: Fault) {
        lock(&self.next).push_back((name, before, fault));
    }

    /// No more faults; whether there was one waiting that never came.
    pub fn clear(&self) -> bool {
        !std::mem::take(&mut *lock(&self.next)).is_empty()
    }

    /// The commits made since this was last asked, by name.
    pub fn made(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *lock(&self.made))
    }

    pub(super) fn next(&self, name: &'static str) -> Option<Fault> {
        *lock(&self.made).entry(name).or_default() += 1;
        let mut faults = lock(&self.next);
        let at = faults.iter().position(|(n, _, _)| *n == name)?;
        match faults.get_mut(at) {
            Some((_, before, _)) if *before > 0 => {
                *before -= 1;
                None
            }
            _ => faults.remove(at).map(|(_, _, fault)| fault),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
