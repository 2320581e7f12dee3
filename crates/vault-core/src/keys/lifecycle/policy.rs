//! When versions are due.

use core::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// When the versions of a key are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a version stays active.
    pub cryptoperiod: Duration,
    /// From this many new keys on, the planner rotates.
    pub soft_ceiling: u64,
    /// From this many new keys on, the version refuses to wrap another.
    pub hard_ceiling: u64,
    /// How long an empty deactivated version is kept before it is destroyed; `None`: never by plan.
    pub retire_after: Option<Duration>,
}

impl Default for Policy {
    /// For a collection's KEK: half a year, well below the two years that SP 800-57 part 1, table 1, gives a
    /// symmetric key-wrapping key. The ceilings bound what is put under one version between two rotations. The cipher's
    /// own bound lies far beyond (`docs/format.md` §5.1).
    fn default() -> Self {
        Self {
            cryptoperiod: Duration::from_secs(180 * DAY),
            soft_ceiling: 4_000_000,
            hard_ceiling: 8_000_000,
            retire_after: None,
        }
    }
}

impl Policy {
    /// For the root key: a fresh epoch with each cycle. Its uses are few and bounded by the number of KEK versions, so
    /// they have no ceiling. A former epoch may be destroyed as soon as it wraps nothing: that is what makes
    /// erasures final.
    #[must_use]
    pub const fn root(cycle: Cycle) -> Self {
        Self {
            cryptoperiod: cycle.length(),
            soft_ceiling: u64::MAX,
            hard_ceiling: u64::MAX,
            retire_after: Some(Duration::ZERO),
        }
    }

    /// For the log's signing key: two years of signing, the middle of what SP 800-57 part 1, table 1, gives a private
    /// signature key (one to three). It wraps nothing, and its public half verifies for as long as the log is kept.
    #[must_use]
    pub const fn log_signing() -> Self {
        Self {
            cryptoperiod: Duration::from_secs(730 * DAY),
            soft_ceiling: u64::MAX,
            hard_ceiling: u64::MAX,
            retire_after: None,
        }
    }
}

/// How long a cycle of root and KEKs lasts, in whole days: after how long at most an erasure is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle(u32);

/// A cycle that is too short or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cycle lasts {} to {} days", Cycle::SHORTEST, Cycle::LONGEST)]
pub struct CycleError;

impl Cycle {
    /// Fewer days leave no time to notice a bad backup before the keys it needs are gone.
    pub const SHORTEST: u32 = 7;
    /// More days promise an erasure that nobody lives to see.
    pub const LONGEST: u32 = 365;

    /// A cycle of so many days.
    pub const fn days(days: u32) -> Result<Self, CycleError> {
        if days < Self::SHORTEST || days > Self::LONGEST { Err(CycleError) } else { Ok(Self(days)) }
    }

    /// How long it lasts.
    #[must_use]
    pub const fn length(self) -> Duration {
        Duration::from_secs(self.0 as u64 * DAY)
    }
}

impl Default for Cycle {
    /// 30 days.
    fn default() -> Self {
        Self(30)
    }
}
