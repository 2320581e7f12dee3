//! The system's clock, and the one place that reads it.

use vault_core::time::{Clock, Timestamp};

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place: everything else takes a Clock.
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock for tests: stands still until it is moved.
pub struct HeldClock(std::sync::atomic::AtomicI64);

impl HeldClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(std::sync::atomic::AtomicI64::new(at.as_millis()))
    }

    /// Moves it on by `d`.
    pub fn advance(&self, d: core::time::Duration) {
        let moved = self.now().plus(d).as_millis();
        self.0.store(moved, std::sync::atomic::Ordering::SeqCst);
    }
}

impl HeldClock {
    /// Moves it back by `d`: a clock that somebody has set.
    pub fn set_back(&self, d: core::time::Duration) {
        let moved = self.now().minus(d).as_millis();
        self.0.store(moved, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
