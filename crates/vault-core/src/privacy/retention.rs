//! Retention: when a record must go.

use core::time::Duration;

use crate::time::Timestamp;

/// The longest retention a policy may set: ten years.
pub const MAX_DAYS: u32 = 3_650;

/// A number of days as a duration.
#[must_use]
pub const fn days(n: u32) -> Duration {
    Duration::from_secs(n as u64 * 24 * 3600)
}

/// When the retention of a record received at `received_at` ends.
#[must_use]
pub fn retain_until(received_at: Timestamp, retention_days: u32) -> Timestamp {
    received_at.plus(days(retention_days))
}

/// The first moment of the UTC day that `now` lies in: what "a day" means in a grant's limits.
#[must_use]
pub const fn day_of(now: Timestamp) -> Timestamp {
    const DAY: i64 = 24 * 3600 * 1000;
    Timestamp::from_millis(now.as_millis() - now.as_millis() % DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_utc_days() {
        let now = Timestamp::parse("2026-11-23T23:59:59.999Z").unwrap();
        assert_eq!(day_of(now), Timestamp::parse("2026-11-23T00:00:00Z").unwrap());
        assert_eq!(day_of(day_of(now)), day_of(now));
        assert_eq!(retain_until(now, 1), Timestamp::parse("2026-11-24T23:59:59.999Z").unwrap());
    }
}
