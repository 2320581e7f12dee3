//! A connection out of a pool, as queries see it: the one place that knows which statements may stay prepared, how long
//! one may take, and whether the connection can be used again.
//!
//! **Statements.** sqlx gives each statement a name on its connection and calls it by that name from then on. Behind a
//! pooler that hands out server connections by the transaction the name would be another client's on another day, and
//! its statement with it. So unless the operator says that there is no pooler, every statement is sent unnamed, and
//! unnamed statements are safe only within one transaction: [`Reader`](super::Reader) opens one too.
//!
//! **What failed.** PostgreSQL answers the COMMIT of a transaction in which a statement failed with success, and rolls
//! back. A failure is remembered here, and [`Tx::commit`](super::Tx::commit) refuses.

use core::ops::{Deref, DerefMut};

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::time::{Instant, timeout_at};

use super::engine::{self, Settings};

type Step = Result<Either<AnyQueryResult, AnyRow>, Error>;

/// Connections tried before a transaction is given up that could not even begin: after a restart of the database all
/// that lie idle in the pool are dead.
const ATTEMPTS: usize = 4;

/// A connection to run queries on.
pub struct Conn {
    inner: Inner,
    settings: Settings,
    /// A statement failed since the transaction began.
    failed: bool,
}

enum Inner {
    /// One statement at a time.
    Free(PoolConnection<Any>),
    /// Within a transaction, rolled back when dropped.
    Within(Transaction<'static, Any>),
}

impl Deref for Inner {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        match self {
            Self::Free(connection) => connection,
            Self::Within(transaction) => transaction,
        }
    }
}

impl DerefMut for Inner {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        match self {
            Self::Free(connection) => connection,
            Self::Within(transaction) => transaction,
        }
    }
}

impl Conn {
    /// A connection on which each statement stands for itself.
    pub(super) async fn free(pool: &AnyPool, settings: Settings) -> Result<Self, Error> {
        #[cfg(test)]
        if let Some(lost) = super::faults::lost() {
            return Err(lost);
        }
        Ok(Self { inner: Inner::Free(pool.acquire().await?), settings, failed: false })
    }

    /// A connection with a transaction that `statement` began.
    pub(super) async fn within(pool: &AnyPool, settings: Settings, statement: &'static str) -> Result<Self, Error> {
        #[cfg(test)]
        if let Some(lost) = super::faults::lost() {
            return Err(lost);
        }
        let mut attempt = 1;
        loop {
            match limited(settings.deadline(), pool.begin_with(statement)).await {
                Ok(begun) => return Ok(Self { inner: Inner::Within(begun), settings, failed: false }),
                // Nothing was done yet, so another connection may do it.
                Err(Error::Io(_) | Error::Protocol(_) | Error::Database(_))
                    if attempt < ATTEMPTS && settings.limit.is_some() =>
                {
                    attempt += 1;
                }
                Err(e) => {
                    if engine::is_read_only(&e)
                        && let Ok(connection) = pool.acquire().await
                    {
                        // The next one finds how the file is then.
                        let _ = connection.close().await;
                    }
                    return Err(e);
                }
            }
        }
    }

    /// Whether a statement failed since the transaction began.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Commits, and waits no longer for the answer than for that to a statement.
    pub(super) async fn commit(self) -> Result<(), Error> {
        match self.inner {
            Inner::Free(_) => Ok(()),
            Inner::Within(transaction) => limited(self.settings.deadline(), transaction.commit()).await,
        }
    }

    /// Rolls back at once instead of when dropped.
    pub(super) async fn rollback(self) -> Result<(), Error> {
        match self.inner {
            Inner::Free(_) => Ok(()),
            Inner::Within(transaction) => limited(self.settings.deadline(), transaction.rollback()).await,
        }
    }
}

impl core::fmt::Debug for Conn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Conn").finish_non_exhaustive()
    }
}

/// What comes before the deadline; later it is as if the connection had been cut.
async fn limited<T>(deadline: Option<Instant>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let Some(deadline) = deadline else { return work.await };
    match timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// A query with another answer to whether its statement stays prepared.
struct Once<E> {
    query: E,
    prepared: bool,
}

impl<'q, E: Execute<'q, Any>> Execute<'q, Any> for Once<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&AnyStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, sqlx::error::BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.prepared && self.query.persistent()
    }
}

/// Whether the transaction has failed with it; what cannot be read of an answer was answered all the same.
const fn fails(e: &Error) -> bool {
    !matches!(e, Error::Decode(_) | Error::ColumnDecode { .. } | Error::RowNotFound)
}

/// The answers to one query, watched.
struct Watched<'e> {
    steps: BoxStream<'e, Step>,
    failed: &'e mut bool,
    deadline: Option<Instant>,
}

impl Watched<'_> {
    async fn next(&mut self) -> Option<Step> {
        let next = limited(self.deadline, async { Ok(self.steps.next().await) }).await;
        let step = next.unwrap_or_else(|e| Some(Err(e)));
        *self.failed |= matches!(&step, Some(Err(e)) if fails(e));
        step
    }
}

impl<'c> Executor<'c> for &'c mut Conn {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Conn { inner, settings, failed } = self;
        #[cfg(test)]
        if let Some(lost) = super::faults::lost() {
            *failed = true;
            return stream::once(async { Err(lost) }).boxed();
        }
        let inner: &'c mut AnyConnection = inner;
        let steps = inner.fetch_many(Once { query, prepared: settings.prepared });
        let watched = Watched { steps, failed, deadline: settings.deadline() };
        stream::unfold(Some(watched), async |watched| {
            let mut watched = watched?;
            match watched.next().await? {
                Ok(step) => Some((Ok(step), Some(watched))),
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Conn { inner, settings, failed } = self;
        #[cfg(test)]
        if let Some(lost) = super::faults::lost() {
            *failed = true;
            return async { Err(lost) }.boxed();
        }
        let inner: &'c mut AnyConnection = inner;
        let work = inner.fetch_optional(Once { query, prepared: settings.prepared });
        let deadline = settings.deadline();
        async move {
            let outcome = limited(deadline, work).await;
            *failed |= outcome.as_ref().is_err_and(fails);
            outcome
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        let inner: &'c mut AnyConnection = &mut self.inner;
        inner.prepare_with(sql, parameters)
    }
}
