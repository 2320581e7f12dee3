//! Serving a range: one segment at a time, each checked for restrictions right before it leaves.

use core::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use vault_core::media::layout::{InvalidExtent, SegmentSlice};
use vault_core::time::{Clock, Timestamp};
use zeroize::Zeroize as _;

use super::findings::Findings;
use super::live::{Ended, Live};
use super::source::ReadError;
use crate::app::callers::Caller;
use crate::app::ledger::Ledger;
use crate::app::restrict::{Restrictions, Subject, Watch};
use crate::clock::{Agreement, Set};
use crate::metrics::Metrics;

/// Most ciphertext read at once: four segments of a voice, one of a video. A Range of a player costs one read of the object
/// store, and no more than this is buffered ahead, all of it encrypted. What was read at once stays until its last byte
/// has left, so twice this is what a playback can hold.
const READ_AHEAD: u64 = 256 * 1024 + 4 * 32;

/// The token that a request came with. What it fetches ends with it, in the middle of an answer too.
#[derive(Clone)]
pub struct Bearer {
    watch: Arc<Watch>,
    ends: Timestamp,
}

impl Bearer {
    /// The caller's.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        Self::new(Subject::new().person(caller.person()).token(caller.token()), caller.token_ends())
    }

    /// One that leans on `subject` and ends at `ends`.
    #[must_use]
    pub fn new(subject: Subject, ends: Timestamp) -> Self {
        Self { watch: Arc::new(Watch::new(subject)), ends }
    }
}

/// What of a node stands between a session and its bytes, for one request.
#[derive(Clone)]
pub struct Gate {
    /// What the request came with.
    pub bearer: Bearer,
    /// What has been taken away.
    pub restrictions: Restrictions,
    /// The audit log. Once it has stopped nobody can prove who they are, so nobody could revoke: nothing is served.
    pub ledger: Ledger,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// Whether that is believed.
    pub agreement: Arc<Agreement>,
    /// What was served.
    pub metrics: Arc<Metrics>,
    /// Where damage is told.
    pub findings: Findings,
}

impl Gate {
    /// Whether the session may serve this request now.
    pub fn admit(&self, live: &Live) -> Result<(), Ended> {
        let now = self.clock.now();
        if self.ledger.has_stopped() {
            return Err(Ended::LogStopped);
        }
        self.restrictions.check_watched(&self.bearer.watch)?;
        if self.agreement.set(self.clock.as_ref()) == Some(Set::Back) {
            return Err(Ended::ClockSetBack);
        }
        if now >= self.bearer.ends {
            return Err(Ended::TokenExpired);
        }
        live.admit(&self.restrictions, self.clock.as_ref())
    }
}

/// A range being served. Dropped at any point it serves nothing more.
pub struct Playing {
    live: Arc<Live>,
    gate: Gate,
    /// Positions of the plaintext still to be served.
    left: Range<u64>,
    /// Ciphertext read ahead: that of the next segments.
    ahead: Ahead,
}

/// Bytes read of the ciphertext, and where they begin.
#[derive(Default)]
struct Ahead {
    start: u64,
    bytes: BytesMut,
}

impl Ahead {
    /// Takes the bytes of `range` out, if they are the next.
    fn take(&mut self, range: &Range<u64>) -> Option<BytesMut> {
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        if range.start != self.start || length > self.bytes.len() {
            return None;
        }
        self.start = range.end;
        Some(self.bytes.split_to(length))
    }
}

impl Playing {
    /// Begins to serve `range` of the plaintext, which lies within the recording.
    pub fn begin(live: &Arc<Live>, gate: &Gate, range: Range<u64>) -> Result<Self, Ended> {
        let _within = live.length().segments(range.clone()).map_err(ReadError::from)?;
        Ok(Self { live: Arc::clone(live), gate: gate.clone(), left: range, ahead: Ahead::default() })
    }

    /// The next bytes, at most a segment of them; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Ended>> {
        let slice = self.slices().next()?;
        let outcome = self.serve(slice).await;
        match &outcome {
            Ok(bytes) => {
                self.left.start += bytes.len() as u64;
                self.gate.metrics.played_bytes.inc_by(bytes.len() as u64);
            }
            Err(ended) => {
                // Nothing follows an error.
                self.left.start = self.left.end;
                if let Ended::Unreadable(e) = ended
                    && e.is_damage()
                    && self.live.first_damage()
                {
                    self.gate.findings.tell(self.live.row(), e.finding());
                }
            }
        }
        Some(outcome)
    }

    /// The segments still to be served; the range was found to lie within the recording.
    fn slices(&self) -> impl Iterator<Item = SegmentSlice> + use<> {
        self.live.length().segments(self.left.clone()).into_iter().flatten()
    }

    async fn serve(&mut self, slice: SegmentSlice) -> Result<Bytes, Ended> {
        self.gate.admit(&self.live)?;
        let range = self.ciphertext_of(slice.index).map_err(ReadError::from)?;
        let ciphertext = match self.ahead.take(&range) {
            Some(ciphertext) => ciphertext,
            None => self.read_ahead(&range).await?,
        };
        // Where it lies, and on this thread: some 25 µs for the longest segment, less than a change of threads costs.
        let mut segment = Segment(ciphertext);
        let within = self.live.open_segment(slice.index, &mut segment.0)?;
        // Reading and opening may have taken long: what was taken away meanwhile bites now.
        self.gate.admit(&self.live)?;
        self.live.account_for(slice)?;
        // The buffer is wiped when the last of its bytes has been handed to the connection.
        Ok(Bytes::from_owner(segment).slice(within.start + slice.from..within.start + slice.to))
    }

    /// Reads the segment at `first` and some of those behind it; returns the first.
    async fn read_ahead(&mut self, first: &Range<u64>) -> Result<BytesMut, Ended> {
        let mut end = first.end;
        for slice in self.slices().skip(1) {
            let next = self.ciphertext_of(slice.index).map_err(ReadError::from)?;
            if next.start != end || next.end - first.start > READ_AHEAD {
                break;
            }
            end = next.end;
        }
        // The old buffer goes first: never two at a time.
        self.ahead = Ahead::default();
        let source = self.live.source();
        let bytes = match source.read(first.start..end).await {
            // What is damaged further on does not take with it what comes before.
            Err(e) if e.is_damage() && end > first.end => source.read(first.clone()).await?,
            outcome => outcome?,
        };
        self.ahead = Ahead { start: first.start, bytes };
        self.ahead.take(first).ok_or_else(|| ReadError::Rows("ciphertext that was not read").into())
    }

    fn ciphertext_of(&self, index: u64) -> Result<Range<u64>, InvalidExtent> {
        let (offset, length) = self.live.length().extent().segment_at(index)?;
        Ok(offset..offset + length)
    }
}

/// A segment, from being read to being sent: it holds plaintext in the end, and is wiped whatever becomes of it.
struct Segment(BytesMut);

impl AsRef<[u8]> for Segment {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // As a slice: a vector would be wiped byte by byte.
        self.0.as_mut().zeroize();
    }
}
