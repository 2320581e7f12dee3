//! A playback session in memory: everything a Range request needs, so that a warm session reads no row.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, mpsc};
use vault_api::code::Code;
use vault_core::ids::SessionId;
use vault_core::media::PLAIN_AT;
use vault_core::media::layout::{SegmentSlice, VerifiedLength};
use vault_core::media::open::ObjectReader;
use vault_core::time::{Clock, Timestamp};

use super::findings::{Damage, Findings};
use super::served::Served;
use super::source::{ReadError, Source};
use crate::app::error::Failure;
use crate::app::restrict::{Kind, Refusal, Restrictions, Subject, Watch};
use crate::store::sessions::SessionRow;

/// Most sessions kept in memory. One that falls out is built again when it is asked for.
pub const MOST: usize = 4096;

/// After its end a session that this process opened is closed by its own reaper within this, as a rule.
const REAPED: Duration = Duration::from_secs(12);

/// Why a session serves nothing, or nothing more.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Something it stands on was taken away, or this node would not know.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its time is over.
    #[error("the session has expired")]
    Expired,
    /// This node's clock was set back, so it cannot tell.
    #[error("the clock of this node was set back")]
    ClockSetBack,
    /// The token that fetches it has ended.
    #[error("the token has expired")]
    TokenExpired,
    /// It was closed.
    #[error("the session was closed")]
    Closed,
    /// The audit log has stopped.
    #[error("the audit log has stopped")]
    LogStopped,
    /// What is stored cannot be read, or is not what was stored.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// How soon whoever met a clock that was set comes back.
const CLOCK_AGAIN: Duration = Duration::from_secs(60);

/// What nobody can be told while the clock is behind: whether a grant or a session has ended.
pub(super) fn clock_set_back() -> Failure {
    Failure::new(Code::Unavailable).detail("the clock of this node was set back").retry_after(CLOCK_AGAIN)
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Refused(refusal) => refusal.into(),
            Ended::TokenExpired => Code::Unauthenticated.into(),
            Ended::Expired | Ended::Closed => Code::SessionEnded.into(),
            Ended::ClockSetBack => clock_set_back(),
            Ended::LogStopped => Code::LogUnavailable.into(),
            Ended::Unreadable(e) if e.is_damage() => Self::new(Code::IntegrityFailure).because(e),
            Ended::Unreadable(e) => Self::new(Code::Unavailable).because(e),
        }
    }
}

/// What changes while a session is open. One lock for both: once closed, nothing is added to what was served.
#[derive(Default)]
struct Account {
    closed: bool,
    served: Served,
}

/// A session that can be played on this node.
pub struct Live {
    row: SessionRow,
    content_type: &'static str,
    source: Source,
    length: VerifiedLength,
    reader: ObjectReader,
    watch: Watch,
    /// Set once this process has a share of the session: nothing is served before.
    joined: OnceCell<()>,
    account: Mutex<Account>,
    /// Whether damage has been reported: once is enough for a session.
    reported: AtomicBool,
    last_used: AtomicI64,
    /// Where its time is over, by the time that nobody can set.
    until: Duration,
}

/// Nothing that panics leaves these half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// A session whose disclosure is logged: `reader` could not have been made otherwise. From now on it plays for no longer than is
    /// left of it, and never for longer than it was opened for, whatever becomes of the clock.
    #[must_use]
    pub fn new(row: SessionRow, content_type: &str, source: Source, reader: ObjectReader, clock: &dyn Clock) -> Self {
        let left = row.expires_at.since(clock.now().max(row.created_at));
        Self {
            until: clock.steady().saturating_add(left),
            content_type: served_type(content_type),
            source,
            length: reader.length(),
            reader,
            watch: Watch::new(super::subject(&row)),
            joined: OnceCell::new(),
            account: Mutex::default(),
            reported: AtomicBool::new(false),
            last_used: AtomicI64::new(row.created_at.as_millis()),
            row,
        }
    }

    /// Notes that this process has a share of it: it was entered with the session itself.
    #[must_use]
    pub fn joined(mut self) -> Self {
        self.joined = OnceCell::new_with(Some(()));
        self
    }

    /// Enters this process's share by `enter`, unless it was; of several who come at once one does it.
    pub async fn join<F>(&self, enter: impl FnOnce() -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        self.joined.get_or_try_init(enter).await?;
        Ok(())
    }

    /// Whether this process has a share of it.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.joined.initialized()
    }

    /// The session's row, as it was opened.
    #[must_use]
    pub const fn row(&self) -> &SessionRow {
        &self.row
    }

    /// The content type to send.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The proven length.
    #[must_use]
    pub const fn length(&self) -> VerifiedLength {
        self.length
    }

    /// The opaque part of the entity tag: it names object and representation, so the same bytes have the same tag in
    /// every session, and no other bytes have it.
    #[must_use]
    pub fn opaque_tag(&self) -> String {
        format!("{}.{}", self.row.object, self.row.representation)
    }

    /// The object's ciphertext.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the session may serve now. Asked before each segment; reads no row and waits for nothing.
    pub fn admit(&self, restrictions: &Restrictions, clock: &dyn Clock) -> Result<(), Ended> {
        restrictions.check_watched(&self.watch)?;
        let now = clock.now();
        if now >= self.row.expires_at || self.is_past(clock) {
            return Err(Ended::Expired);
        }
        if lock(&self.account).closed {
            return Err(Ended::Closed);
        }
        self.last_used.store(now.as_millis(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether its time is over by what has passed, whatever the clock says.
    #[must_use]
    pub fn is_past(&self, clock: &dyn Clock) -> bool {
        clock.steady() >= self.until
    }

    /// Opens segment `index` in the buffer that its ciphertext lies in. Where the plaintext lies there: after an error
    /// the buffer is zero.
    pub fn open_segment(&self, index: u64, buffer: &mut [u8]) -> Result<Range<usize>, Ended> {
        let tag = self.source.tag(index)?;
        let plaintext = self.reader.read_segment_in_place(index, tag, buffer).map_err(ReadError::from)?;
        Ok(PLAIN_AT..PLAIN_AT + plaintext.len())
    }

    /// Enters what is about to be served, unless the session was closed meanwhile.
    pub fn account_for(&self, slice: SegmentSlice) -> Result<(), Ended> {
        let start = slice.index * self.length.extent().segment().plaintext();
        let mut account = lock(&self.account);
        if account.closed || !self.has_joined() {
            return Err(Ended::Closed);
        }
        account.served.add(start + slice.from as u64..start + slice.to as u64);
        Ok(())
    }

    /// Ends it on this node: nothing is served after this returns. What was served until then.
    #[must_use]
    pub fn end(&self) -> Served {
        let mut account = lock(&self.account);
        account.closed = true;
        account.served.clone()
    }

    /// Whether damage is to be reported now: true once.
    #[must_use]
    pub fn first_damage(&self) -> bool {
        !self.reported.swap(true, Ordering::AcqRel)
    }
}

/// The type to serve: one of those the content check recognises, whatever a row says.
fn served_type(recognised: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "video/webm",
        "audio/webm",
        "video/x-matroska",
        "audio/x-matroska",
        "video/mp4",
        "audio/mp4",
        "video/ogg",
        "audio/ogg",
        "audio/wav",
        "audio/mpeg",
    ];
    KNOWN.into_iter().find(|known| *known == recognised).unwrap_or("application/octet-stream")
}

/// The sessions that are warm on this node.
pub struct Sessions {
    /// Names this process: what another one served is not known here.
    instance: String,
    live: Mutex<HashMap<SessionId, Arc<Live>>>,
    findings: Findings,
    /// Taken by the job that writes findings.
    damage: Mutex<Option<mpsc::Receiver<Damage>>>,
}

impl Sessions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let (findings, damage) = Findings::new();
        Self {
            instance: hex::encode(vault_core::random::array::<16>()),
            live: Mutex::default(),
            findings,
            damage: Mutex::new(Some(damage)),
        }
    }

    /// Where damage is told.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What was told, for the one job that writes it.
    pub fn take_damage(&self) -> Option<mpsc::Receiver<Damage>> {
        lock(&self.damage).take()
    }

    /// The name of this process, as session rows keep it.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A warm session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<Arc<Live>> {
        lock(&self.live).get(&id).map(Arc::clone)
    }

    /// Keeps a session warm, unless it is already: then that one is the one to use. Returns it, and the one that had to
    /// make room.
    #[must_use = "whoever made room is to be marked: what it served is forgotten"]
    pub fn keep(&self, new: Live) -> (Arc<Live>, Option<Arc<Live>>) {
        let mut live = lock(&self.live);
        if let Some(held) = live.get(&new.row.id) {
            return (Arc::clone(held), None);
        }
        let mut made_room = None;
        if live.len() >= MOST {
            let oldest =
                live.values().min_by_key(|held| held.last_used.load(Ordering::Relaxed)).map(|held| held.row.id);
            made_room = oldest.and_then(|id| live.remove(&id));
        }
        let new = Arc::new(new);
        live.insert(new.row.id, Arc::clone(&new));
        (new, made_room)
    }

    /// Forgets a session.
    pub fn remove(&self, id: SessionId) -> Option<Arc<Live>> {
        lock(&self.live).remove(&id)
    }

    /// Those that are warm.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Live>> {
        lock(&self.live).values().map(Arc::clone).collect()
    }

    /// Those that are over: closed, here or elsewhere, past their time at `now`, or with their record. One that this process opened is left
    /// to its reaper for a while: what that closes need not be told.
    #[must_use]
    pub fn over(&self, restrictions: &Restrictions, now: Timestamp) -> Vec<Arc<Live>> {
        let closed = |live: &Live| {
            matches!(restrictions.check(&Subject::new().session(live.row.id)), Err(Refusal::Restricted(_)))
        };
        let erased = Refusal::Restricted(Kind::RecordErased);
        let past = |live: &Live| {
            let own = live.row.instance == self.instance;
            if !own && restrictions.check(&Subject::new().record(live.row.record)) == Err(erased) {
                return true;
            }
            now >= if own { live.row.expires_at.plus(REAPED) } else { live.row.expires_at }
        };
        lock(&self.live).values().filter(|live| past(live) || closed(live)).map(Arc::clone).collect()
    }

    /// How many are warm.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.live).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_of_recordings_are_served() {
        assert_eq!(served_type("video/webm"), "video/webm");
        for other in ["text/html", "image/svg+xml", "video/webm; codecs=vp8", ""] {
            assert_eq!(served_type(other), "application/octet-stream");
        }
    }
}
