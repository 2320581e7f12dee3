//! The system's clock, the one place that reads it, and what a process makes of a clock that somebody sets.

use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use core::time::Duration;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use vault_core::access::decision::SKEW;
use vault_core::time::{Clock, Timestamp};

/// The operating system's clock.
pub struct SystemClock;

/// Where this process's steady time begins.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place: everything else takes a Clock.
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn steady(&self) -> Duration {
        BEGUN.elapsed()
    }
}

/// For how long a clock has to run evenly after it was set before it is believed.
const BELIEVED: Duration = Duration::from_hours(1);

/// What is not worth following, in milliseconds.
const DRIFT: u64 = 1000;

/// Where the clock stands that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Behind what has passed: what has ended may look as if it had not.
    Back,
    /// Ahead of it: what has not ended may look as if it had. A machine that slept looks the same.
    Forward,
}

/// Whether the clock agrees with the time that has passed since this process began. Smaller steps than nodes' clocks may
/// differ by are followed; one that is larger is believed after an hour in which the clock ran evenly.
pub struct Agreement {
    /// The clock less steady time, in milliseconds, as it is believed.
    believed: AtomicI64,
    /// Whether it was set.
    doubted: AtomicBool,
    /// The same since the clock was set, and since when.
    set: Mutex<Option<(i64, Duration)>>,
}

/// The clock less steady time.
fn ahead(clock: &dyn Clock) -> (i64, Duration) {
    let steady = clock.steady();
    (clock.now().as_millis() - i64::try_from(steady.as_millis()).unwrap_or(i64::MAX), steady)
}

fn alike(one: i64, other: i64) -> bool {
    u128::from(one.abs_diff(other)) <= SKEW.as_millis()
}

impl Agreement {
    /// The clock is believed as it stands now.
    #[must_use]
    pub fn with(clock: &dyn Clock) -> Self {
        Self { believed: AtomicI64::new(ahead(clock).0), doubted: AtomicBool::new(false), set: Mutex::new(None) }
    }

    /// Whether the clock was set, and is not believed yet.
    pub fn set(&self, clock: &dyn Clock) -> Option<Set> {
        let (now, steady) = ahead(clock);
        let believed = self.believed.load(Ordering::Relaxed);
        // Asked before every segment: without a lock, as long as nothing happens.
        if now.abs_diff(believed) < DRIFT && !self.doubted.load(Ordering::Relaxed) {
            return None;
        }
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = alike(now, believed)
            || match *set {
                Some((then, since)) if alike(now, then) => steady.saturating_sub(since) >= BELIEVED,
                _ => {
                    tracing::error!(
                        milliseconds = now - believed,
                        "the clock was set, and is not believed for an hour"
                    );
                    *set = Some((now, steady));
                    false
                }
            };
        self.doubted.store(!stands, Ordering::Relaxed);
        if stands {
            if set.take().is_some() {
                tracing::warn!("the clock is believed again");
            }
            self.believed.store(now, Ordering::Relaxed);
            return None;
        }
        Some(if now < believed { Set::Back } else { Set::Forward })
    }
}

/// A clock for tests: stands still until it is moved.
pub struct HeldClock {
    shown: AtomicI64,
    passed: AtomicI64,
}

impl HeldClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self { shown: AtomicI64::new(at.as_millis()), passed: AtomicI64::new(0) }
    }

    /// `d` passes.
    pub fn advance(&self, d: Duration) {
        self.passed.fetch_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.set_forward(d);
    }

    /// Moves it on by `d`: a clock that somebody has set.
    pub fn set_forward(&self, d: Duration) {
        self.shown.store(self.now().plus(d).as_millis(), Ordering::SeqCst);
    }

    /// Moves it back by `d`: a clock that somebody has set.
    pub fn set_back(&self, d: Duration) {
        self.shown.store(self.now().minus(d).as_millis(), Ordering::SeqCst);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.shown.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.passed.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_clock_that_is_set_is_believed_after_an_hour_or_when_it_is_right_again() {
        let clock = HeldClock::at(Timestamp::from_millis(1_790_000_000_000));
        let agreement = Agreement::with(&clock);
        for minutes in [0, 1, 600_000] {
            clock.advance(Duration::from_mins(minutes));
            assert_eq!(agreement.set(&clock), None, "time passes");
        }
        for (set, there, back) in [
            (Set::Back, HeldClock::set_back as fn(&_, _), HeldClock::set_forward as fn(&_, _)),
            (Set::Forward, HeldClock::set_forward, HeldClock::set_back),
        ] {
            // As far as nodes may differ, again and again.
            for _ in 0..5 {
                there(&clock, SKEW);
                assert_eq!(agreement.set(&clock), None);
            }
            there(&clock, DAY);
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(BELIEVED - Duration::from_millis(1));
            assert_eq!(agreement.set(&clock), Some(set));
            back(&clock, DAY);
            assert_eq!(agreement.set(&clock), None, "it is right again");
            there(&clock, DAY);
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(BELIEVED - Duration::from_millis(1));
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(Duration::from_millis(1));
            assert_eq!(agreement.set(&clock), None, "it has run evenly for an hour");
            // Set again before it is believed: the hour begins anew.
            there(&clock, DAY);
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(Duration::from_mins(59));
            there(&clock, DAY);
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(Duration::from_mins(59));
            assert_eq!(agreement.set(&clock), Some(set));
            clock.advance(Duration::from_mins(1));
            assert_eq!(agreement.set(&clock), None);
        }
    }
}
