//! Token buckets: how fast one key may go, in a table of bounded size.
//!
//! A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm): a request moves it on by
//! the time that one request is worth, and is refused when that would be more than a minute away. A bucket that is full
//! says nothing, so it can be forgotten.

use core::hash::Hash;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vault_core::time::Timestamp;

/// A burst is one minute's worth.
const MINUTE: i64 = 60_000_000;

/// Most keys of a table. Keys beyond share one bucket: whoever makes them up takes from each other.
const MOST: usize = 16_384;

/// How often a full table is looked through for buckets that are full again.
const TIDY_EVERY: i64 = 1_000_000;

/// A table of buckets.
pub(super) struct Buckets<K> {
    /// Microseconds that one request is worth.
    interval: i64,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    /// When each bucket is full again, in microseconds.
    full_at: HashMap<K, i64>,
    shared: i64,
    tidied: i64,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// Buckets that let `per_minute` requests through, at most 60 million.
    pub(super) fn new(per_minute: u64) -> Self {
        let interval = MINUTE / i64::try_from(per_minute).unwrap_or(MINUTE).clamp(1, MINUTE);
        Self { interval, table: Mutex::new(Table { full_at: HashMap::new(), shared: 0, tidied: 0 }) }
    }

    /// Takes one from the bucket of `key`; an error says when there is one again.
    pub(super) fn take(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        self.ask(key, now, true)
    }

    /// Whether there is one to take.
    pub(super) fn left(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        self.ask(key, now, false)
    }

    fn ask(&self, key: K, now: Timestamp, take: bool) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1000);
        // Nothing that panics leaves the table half-changed.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.full_at.get(&key).copied();
        let own = known.is_some() || table.has_room(now);
        let full_at = if own { known.unwrap_or(0) } else { table.shared }.max(now);
        // Further away than an empty bucket's: the clock was set back, and what the bucket says is worth nothing.
        let full_at = if full_at - now > MINUTE { now } else { full_at };
        let next = full_at.saturating_add(self.interval);
        let over = next - now - MINUTE;
        if over > 0 {
            return Err(Duration::from_micros(over.unsigned_abs()));
        }
        if take && own {
            table.full_at.insert(key, next);
        } else if take {
            table.shared = next;
        }
        Ok(())
    }
}

impl<K> Table<K> {
    fn has_room(&mut self, now: i64) -> bool {
        if self.full_at.len() < MOST {
            return true;
        }
        if (now - self.tidied).abs() >= TIDY_EVERY {
            self.tidied = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        self.full_at.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    fn taken(buckets: &Buckets<u32>, key: u32, now: Timestamp) -> usize {
        (0..10_000).take_while(|_| buckets.take(key, now).is_ok()).count()
    }

    #[test]
    fn a_minutes_worth_at_once_then_its_pace() {
        let buckets = Buckets::new(60);
        assert_eq!(taken(&buckets, 1, at(0)), 60);
        assert_eq!(buckets.take(1, at(0)), Err(Duration::from_secs(1)));
        assert_eq!(buckets.left(1, at(999)), Err(Duration::from_millis(1)));
        assert_eq!(taken(&buckets, 1, at(1_000)), 1);
        assert_eq!(taken(&buckets, 1, at(31_000)), 30);
        assert_eq!(taken(&buckets, 2, at(31_000)), 60, "each key has its own");
        assert_eq!(taken(&buckets, 1, at(1_000_000)), 60, "and no more than a minute's worth is saved up");
    }

    #[test]
    fn looking_takes_nothing() {
        let buckets = Buckets::new(1);
        for _ in 0..10 {
            assert_eq!(buckets.left(1, at(0)), Ok(()));
        }
        assert_eq!(taken(&buckets, 1, at(0)), 1);
        assert!(buckets.left(1, at(0)).is_err());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let buckets = Buckets::new(60);
        assert_eq!(taken(&buckets, 1, at(86_400_000)), 60);
        assert_eq!(taken(&buckets, 1, at(0)), 60);
        assert_eq!(buckets.take(1, at(0)), Err(Duration::from_secs(1)), "a minute's worth, as ever");
    }

    #[test]
    fn the_table_is_bounded_and_keys_beyond_it_share_a_bucket() {
        let buckets = Buckets::new(60);
        for key in 0..100_000 {
            let _ = buckets.take(key, at(0));
        }
        assert_eq!(buckets.table.lock().unwrap().full_at.len(), MOST);
        assert!(buckets.take(200_000, at(0)).is_err(), "the shared bucket is empty");
        assert_eq!(taken(&buckets, 0, at(0)), 59, "who was there keeps their own");
        // Full again, the others make room.
        assert_eq!(taken(&buckets, 200_000, at(61_000)), 60);
        assert!(buckets.table.lock().unwrap().full_at.len() < 10);
    }

    #[test]
    fn a_pace_beyond_all_bounds_is_one() {
        assert_eq!(Buckets::<u32>::new(u64::MAX).interval, 1);
        assert_eq!(Buckets::<u32>::new(0).interval, MINUTE);
    }
}
