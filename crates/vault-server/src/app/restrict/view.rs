//! The restrictions in force, in memory, asked before each segment.
//!
//! A check reads two atomics when nothing has changed since the last check of the same [`Watch`], and takes a read
//! lock on a map otherwise. What a node imposes itself is in the view before the act is answered; what others impose
//! comes with the next poll.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;
use vault_core::ids::{BindingId, CollectionId, GrantId, PersonId, RecordId, SessionId, TokenId};
use vault_core::time::Timestamp;

use crate::store::restrictions::{Act, Kind, Numbered, Target};

/// A node whose last successful poll began longer ago serves nothing.
pub const STALE_AFTER: Duration = Duration::from_millis(750);

/// Why nothing may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something was taken away.
    #[error("restricted: {}", .0.name())]
    Restricted(Kind),
    /// This node cannot learn of restrictions.
    #[error("no successful poll of the restrictions lately")]
    Stale,
}

/// Everything an act leans on; a restriction of any of it refuses the act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    on: Vec<(Kind, Target)>,
}

impl Subject {
    /// Leans on nothing yet; still refused while the view is stale.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn and(mut self, kind: Kind, target: impl Into<Target>) -> Self {
        self.on.push((kind, target.into()));
        self
    }

    /// On a person.
    #[must_use]
    pub fn person(self, id: PersonId) -> Self {
        self.and(Kind::PersonDisabled, id)
    }

    /// On a token.
    #[must_use]
    pub fn token(self, id: TokenId) -> Self {
        self.and(Kind::TokenRevoked, id)
    }

    /// On a role binding.
    #[must_use]
    pub fn binding(self, id: BindingId) -> Self {
        self.and(Kind::RoleRevoked, id)
    }

    /// On a collection that is not suspended.
    #[must_use]
    pub fn collection(self, id: CollectionId) -> Self {
        self.and(Kind::CollectionSuspended, id)
    }

    /// On a record that is neither erased nor restricted.
    #[must_use]
    pub fn record(self, id: RecordId) -> Self {
        self.and(Kind::RecordErased, id).and(Kind::RecordRestricted, id)
    }

    /// On a grant.
    #[must_use]
    pub fn grant(self, id: GrantId) -> Self {
        self.and(Kind::GrantRevoked, id)
    }

    /// On a playback session.
    #[must_use]
    pub fn session(self, id: SessionId) -> Self {
        self.and(Kind::SessionClosed, id)
    }
}

/// The latest act on one target.
#[derive(Clone, Copy)]
struct Latest {
    counter: i64,
    act: Act,
    until: Option<Timestamp>,
}

/// The view of one node.
pub struct View {
    /// Where this node's monotonic time begins.
    start: Instant,
    /// When the last successful poll began: microseconds after `start`, plus one; 0 before the first.
    fresh: AtomicU64,
    /// The greatest number a poll has read.
    seen: AtomicI64,
    /// Rises with every change, so that a [`Watch`] knows what it need not look up again.
    generation: AtomicU64,
    latest: RwLock<HashMap<(Kind, Target), Latest>>,
    /// Raised with every key that is destroyed or compromised, for who holds some in memory.
    keys: watch::Sender<()>,
}

impl View {
    /// An empty view; stale until the first poll.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            fresh: AtomicU64::new(0),
            seen: AtomicI64::new(0),
            generation: AtomicU64::new(1),
            latest: RwLock::default(),
            keys: watch::Sender::new(()),
        }
    }

    /// This node's monotonic time: how long the view exists.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Takes in acts, in any order and as often as they come.
    ///
    /// Only a collection's suspension is ever given back ([`Kind::is_final`]): there, of two acts the later number
    /// counts. Of the rest a row that gives something back, or one that ends sooner, was written by no vault and
    /// changes nothing: who can write rows can take away and not give.
    pub fn apply(&self, acts: &[Numbered]) {
        if acts.is_empty() {
            return;
        }
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        for act in acts {
            let new = Latest { counter: act.counter, act: act.restriction.act, until: act.restriction.until };
            let (kind, target) = (act.restriction.kind, act.restriction.target);
            if kind.is_final() && new.act == Act::Lift {
                tracing::error!(counter = new.counter, kind = kind.name(), "a row that lifts what is final is ignored");
                continue;
            }
            let held = latest.entry((kind, target)).or_insert(new);
            if kind.is_final() {
                held.until = held.until.zip(new.until).map(|(one, other)| one.max(other));
            } else if held.counter < new.counter {
                *held = new;
            }
        }
        drop(latest);
        self.generation.fetch_add(1, Ordering::Release);
        if acts.iter().any(|act| act.restriction.kind.is_of_keys()) {
            self.keys.send_replace(());
        }
    }

    /// Changes whenever a key is destroyed or compromised.
    pub fn watch_keys(&self) -> watch::Receiver<()> {
        self.keys.subscribe()
    }

    /// Notes a successful poll that began at `began` and read everything up to `counter`.
    pub fn polled(&self, began: Duration, counter: i64) {
        self.seen.fetch_max(counter, Ordering::AcqRel);
        let micros = u64::try_from(began.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        self.fresh.fetch_max(micros, Ordering::AcqRel);
    }

    /// The greatest number a poll has read.
    #[must_use]
    pub fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Whether nothing that `subject` leans on is restricted, and this node would know.
    pub fn check(&self, subject: &Subject) -> Result<(), Refusal> {
        self.check_at(subject, self.elapsed())
    }

    fn check_at(&self, subject: &Subject, now: Duration) -> Result<(), Refusal> {
        self.is_fresh(now)?;
        self.look_up(subject)
    }

    /// Whether this node would know of a restriction.
    pub fn fresh(&self) -> Result<(), Refusal> {
        self.is_fresh(self.elapsed())
    }

    /// How long ago the last successful poll began; before the first, how long the view exists.
    pub fn age(&self) -> Duration {
        let began = self.fresh.load(Ordering::Acquire).saturating_sub(1);
        self.elapsed().saturating_sub(Duration::from_micros(began))
    }

    fn is_fresh(&self, now: Duration) -> Result<(), Refusal> {
        let Some(began) = self.fresh.load(Ordering::Acquire).checked_sub(1) else { return Err(Refusal::Stale) };
        if now.saturating_sub(Duration::from_micros(began)) > STALE_AFTER { Err(Refusal::Stale) } else { Ok(()) }
    }

    fn look_up(&self, subject: &Subject) -> Result<(), Refusal> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        for on in &subject.on {
            if latest.get(on).is_some_and(|held| held.act == Act::Impose) {
                return Err(Refusal::Restricted(on.0));
            }
        }
        Ok(())
    }

    /// What is restricted in this way now.
    pub fn targets(&self, kind: Kind) -> Vec<Target> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        let imposed = latest.iter().filter(|((of, _), held)| *of == kind && held.act == Act::Impose);
        imposed.map(|((_, target), _)| *target).collect()
    }

    /// Forgets what ended before `then`: nothing can come of it any more.
    pub fn forget(&self, then: Timestamp) {
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        latest.retain(|_, held| held.until.is_none_or(|until| until >= then));
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

/// A subject that is checked again and again: cheap while nothing changes.
#[derive(Debug)]
pub struct Watch {
    subject: Subject,
    /// The generation at which the subject was last found free; 0 before.
    free_at: AtomicU64,
}

impl Watch {
    /// Watches `subject`.
    #[must_use]
    pub const fn new(subject: Subject) -> Self {
        Self { subject, free_at: AtomicU64::new(0) }
    }

    /// As [`View::check`].
    pub fn check(&self, view: &View) -> Result<(), Refusal> {
        view.fresh()?;
        // Read before the map: a change in between makes the next check look again.
        let generation = view.generation.load(Ordering::Acquire);
        if self.free_at.load(Ordering::Relaxed) == generation {
            return Ok(());
        }
        view.look_up(&self.subject)?;
        self.free_at.store(generation, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::restrictions::Restriction;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn numbered(counter: i64, restriction: Restriction) -> Numbered {
        Numbered { counter, restriction, at: NOW }
    }

    fn fresh() -> View {
        let view = View::new();
        view.polled(view.elapsed(), 0);
        view
    }

    #[test]
    fn p6_each_kind_bites_what_leans_on_it_and_nothing_else() {
        let (person, other) = (PersonId::new(NOW), PersonId::new(NOW));
        let (token, binding, record) = (TokenId::new(NOW), BindingId::new(NOW), RecordId::new(NOW));
        let (collection, grant, session) = (CollectionId::new(NOW), GrantId::new(NOW), SessionId::new(NOW));
        let subject = Subject::new().person(person).token(token).binding(binding).record(record);
        let subject = subject.collection(collection).grant(grant).session(session);
        for restriction in [
            Restriction::person_disabled(person),
            Restriction::token_revoked(token, NOW),
            Restriction::role_revoked(binding),
            Restriction::record_erased(record),
            Restriction::record_restricted(record),
            Restriction::collection_suspended(collection),
            Restriction::grant_revoked(grant),
            Restriction::session_closed(session, NOW),
        ] {
            let view = fresh();
            view.apply(&[numbered(1, restriction)]);
            assert_eq!(view.check(&subject), Err(Refusal::Restricted(restriction.kind)));
            assert_eq!(view.check(&Subject::new().person(other).record(RecordId::new(NOW))), Ok(()));
        }
        // The same sixteen bytes as another kind of thing restrict nothing.
        let view = fresh();
        view.apply(&[numbered(1, Restriction::person_disabled(PersonId::from_bytes(*record.as_bytes())))]);
        assert_eq!(view.check(&subject), Ok(()));
    }

    #[test]
    fn p6_a_view_without_a_poll_for_750_ms_refuses_everything() {
        let view = View::new();
        let nothing = Subject::new();
        assert_eq!(view.check(&nothing), Err(Refusal::Stale), "before the first poll");
        view.polled(Duration::from_secs(5), 0);
        let at = |ms| view.check_at(&nothing, Duration::from_millis(ms));
        assert_eq!(at(5_750), Ok(()));
        assert_eq!(at(5_751), Err(Refusal::Stale));
        // A slow poll counts from when it began, and an older one does not set the clock back.
        view.polled(Duration::from_secs(6), 0);
        view.polled(Duration::from_secs(4), 0);
        assert_eq!(at(6_750), Ok(()));
        assert_eq!(at(6_751), Err(Refusal::Stale));
    }

    #[test]
    fn the_later_number_counts_whatever_comes_first() {
        let collection = CollectionId::new(NOW);
        let suspended = Restriction::collection_suspended(collection);
        let subject = Subject::new().collection(collection);
        let acts = [numbered(3, suspended), numbered(4, suspended.lifted()), numbered(7, suspended)];
        let expected = Err(Refusal::Restricted(Kind::CollectionSuspended));
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let view = fresh();
            for i in order {
                view.apply(&acts[i..=i]);
            }
            assert_eq!(view.check(&subject), expected, "{order:?}");
        }
        let view = fresh();
        view.apply(&acts[..2]);
        assert_eq!(view.check(&subject), Ok(()));
    }

    #[test]
    fn p6_no_row_lifts_or_shortens_what_is_final() {
        let (person, token, binding) = (PersonId::new(NOW), TokenId::new(NOW), BindingId::new(NOW));
        let (record, grant, session) = (RecordId::new(NOW), GrantId::new(NOW), SessionId::new(NOW));
        let subject = Subject::new().person(person).token(token).binding(binding).record(record).grant(grant);
        let subject = subject.session(session);
        let later = NOW.plus(Duration::from_secs(60));
        for restriction in [
            Restriction::person_disabled(person),
            Restriction::token_revoked(token, later),
            Restriction::role_revoked(binding),
            Restriction::record_erased(record),
            Restriction::record_restricted(record),
            Restriction::grant_revoked(grant),
            Restriction::session_closed(session, later),
        ] {
            let sooner = Restriction { until: Some(Timestamp::from_millis(1)), ..restriction };
            let planted = [numbered(8, restriction.lifted()), numbered(9, sooner)];
            for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
                let acts = [numbered(7, restriction), planted[0], planted[1]];
                let view = fresh();
                for i in order {
                    view.apply(&acts[i..=i]);
                }
                view.forget(NOW);
                assert_eq!(view.check(&subject), Err(Refusal::Restricted(restriction.kind)), "{order:?}");
            }
        }
    }

    #[test]
    fn a_watch_sees_every_change() {
        let view = fresh();
        let session = SessionId::new(NOW);
        let watch = Watch::new(Subject::new().session(session));
        assert_eq!(watch.check(&view), Ok(()));
        assert_eq!(watch.check(&view), Ok(()));
        view.apply(&[numbered(1, Restriction::person_disabled(PersonId::new(NOW)))]);
        assert_eq!(watch.check(&view), Ok(()));
        view.apply(&[numbered(2, Restriction::session_closed(session, NOW))]);
        assert_eq!(watch.check(&view), Err(Refusal::Restricted(Kind::SessionClosed)));
        assert_eq!(watch.check(&view), Err(Refusal::Restricted(Kind::SessionClosed)));
    }

    #[test]
    fn what_ended_is_forgotten_and_what_has_no_end_is_not() {
        let view = fresh();
        let (session, record) = (SessionId::new(NOW), RecordId::new(NOW));
        view.apply(&[
            numbered(1, Restriction::session_closed(session, NOW)),
            numbered(2, Restriction::record_erased(record)),
        ]);
        view.forget(NOW.plus(Duration::from_millis(1)));
        assert_eq!(view.check(&Subject::new().session(session)), Ok(()));
        assert!(view.check(&Subject::new().record(record)).is_err());
    }
}
