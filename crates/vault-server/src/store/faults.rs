//! Commits that go wrong, for tests: always in pairs, "failed, not persisted" and "failed but persisted", since whoever
//! sees the error cannot know which it was. And statements that are lost with their connection, one of an act at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

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
    pub(super) async fn commit(self, conn: Conn, name: &'static str) -> Result<(), StoreError> {
        match self {
            Self::NotPersisted => conn.rollback().await?,
            Self::Persisted => {
                conn.commit().await?;
                committed(name);
            }
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

    /// Whether one is waiting still.
    pub fn waits(&self) -> bool {
        !lock(&self.next).is_empty()
    }

    /// The commits made since this was last asked, by name.
    pub fn made(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *lock(&self.made))
    }

    pub(super) fn next(&self, name: &'static str) -> Option<Fault> {
        *lock(&self.made).entry(name).or_default() += 1;
        if let Some(fault) = of_act(name) {
            return Some(fault);
        }
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

tokio::task_local! {
    static ACT: Arc<Statements>;
}

/// The statements of one act, of which one may be lost.
#[derive(Default)]
struct Statements(Mutex<Course>);

#[derive(Default)]
struct Course {
    /// How many are still let through before one is lost.
    left: Option<u64>,
    /// What the commit of a name is to suffer, and how many of that name come before it.
    fails: Option<(&'static str, u64, Fault)>,
    made: u64,
    lost: bool,
    failed: bool,
    committed: Vec<&'static str>,
}

/// What became of an act.
pub struct Told<T> {
    /// Its answer.
    pub answer: T,
    /// Statements that it made or tried, beginnings of transactions and of reading among them.
    pub made: u64,
    /// Whether one of them was lost.
    pub lost: bool,
    /// Whether the commit that was to fail was tried.
    pub failed: bool,
    /// The transactions that it committed, whatever it was told.
    pub committed: Vec<&'static str>,
}

/// Does `act`. Its statement that has `nth` before it fails as one does whose connection breaks; with `None` none does.
/// What tasks do that the act starts counts where they were told so ([`along`]), and what runs beside it does not.
pub async fn losing<T>(nth: Option<u64>, act: impl Future<Output = T>) -> Told<T> {
    course(Course { left: nth, ..Course::default() }, act).await
}

/// Does `act`, whose commit of `name` that has `before` others before it suffers `fault`: for what opens a store first.
pub async fn failing<T>(name: &'static str, before: u64, fault: Fault, act: impl Future<Output = T>) -> Told<T> {
    course(Course { fails: Some((name, before, fault)), ..Course::default() }, act).await
}

async fn course<T>(course: Course, act: impl Future<Output = T>) -> Told<T> {
    let statements = Arc::new(Statements(Mutex::new(course)));
    let answer = ACT.scope(Arc::clone(&statements), act).await;
    let course = std::mem::take(&mut *lock(&statements.0));
    Told { answer, made: course.made, lost: course.lost, failed: course.failed, committed: course.committed }
}

/// A task that belongs to the act that starts it.
pub fn along<F: Future>(task: F) -> impl Future<Output = F::Output> {
    let act = ACT.try_with(Arc::clone).ok();
    async move {
        match act {
            Some(act) => ACT.scope(act, task).await,
            None => task.await,
        }
    }
}

/// Whether the statement that is about to be made is lost, and how that looks.
pub(super) fn lost() -> Option<sqlx::Error> {
    let lost = ACT.try_with(|statements| {
        let mut course = lock(&statements.0);
        course.made += 1;
        match course.left {
            Some(0) => {
                (course.left, course.lost) = (None, true);
                true
            }
            Some(left) => {
                course.left = Some(left - 1);
                false
            }
            None => false,
        }
    });
    lost.unwrap_or(false).then(|| sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))
}

/// What the act's commit of `name` is to suffer now.
fn of_act(name: &'static str) -> Option<Fault> {
    let fault = ACT.try_with(|statements| {
        let mut course = lock(&statements.0);
        match &mut course.fails {
            Some((wanted, 0, fault)) if *wanted == name => {
                let fault = *fault;
                (course.fails, course.failed) = (None, true);
                Some(fault)
            }
            Some((wanted, before, _)) if *wanted == name => {
                *before -= 1;
                None
            }
            _ => None,
        }
    });
    fault.ok().flatten()
}

/// A transaction is committed.
pub(super) fn committed(name: &'static str) {
    let _outside_of_any_act = ACT.try_with(|statements| lock(&statements.0).committed.push(name));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
