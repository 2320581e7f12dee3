//! How large batches are, and how much of the writer is left to others.
//!
//! SQLite has one writer. A batch holds it for about [`HELD`] while nobody else writes, and half as long as soon as
//! somebody does; then as much time again is theirs. So an act that needs three commits waits behind three short
//! batches, and a vault that nobody uses moves its keys as fast as it can.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

/// How long a batch holds the writer.
const HELD: Duration = Duration::from_millis(10);
/// Sizes are powers of two: each is a statement of its own, which stays prepared.
const SMALLEST: usize = 16;
const LARGEST: usize = 2_048;
/// A throttled rotation moves a quarter of a second's keys at a time.
const TICKS: u32 = 4;

/// The size of the batches to come, shared with what prepares them.
#[derive(Clone)]
pub(super) struct Size(Arc<AtomicUsize>);

impl Size {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pace of one rotation.
pub(super) struct Pace {
    size: Size,
}

impl Pace {
    pub(super) fn new(throttle: Option<u32>) -> Self {
        let pace = Self { size: Size(Arc::new(AtomicUsize::new(SMALLEST * 8))) };
        pace.set(SMALLEST * 8, throttle);
        pace
    }

    pub(super) fn size(&self) -> Size {
        self.size.clone()
    }

    fn set(&self, size: usize, throttle: Option<u32>) {
        let most = throttle.map_or(LARGEST, |throttle| {
            let tick = usize::try_from(throttle / TICKS).unwrap_or(LARGEST).max(1);
            // The largest power of two that is not above it.
            1 << tick.ilog2()
        });
        self.size.0.store(size.clamp(SMALLEST, LARGEST).min(most), Ordering::Relaxed);
    }

    /// Learns how long a batch of `rows` held the writer, and whether others wrote meanwhile; answers how long to wait
    /// before the next one may begin, `since` the last one began.
    pub(super) fn after(
        &self,
        rows: usize,
        held: Duration,
        since: Duration,
        others: bool,
        throttle: Option<u32>,
    ) -> Duration {
        let target = if others { HELD / 2 } else { HELD };
        // A batch that was cut short, at the end or by what was damaged, says little of a whole one.
        let size = self.size.get();
        if held > target + target / 4 {
            self.set(size / 2, throttle);
        } else if rows >= size && held < target / 2 {
            self.set(size * 2, throttle);
        } else {
            self.set(size, throttle);
        }
        let theirs = if others { held } else { Duration::ZERO };
        let due = throttle.map_or(Duration::ZERO, |throttle| {
            let rows = u32::try_from(rows).unwrap_or(u32::MAX);
            Duration::from_secs(u64::from(rows)) / throttle.max(1)
        });
        theirs.max(due.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn batches_grow_while_they_are_short_and_shrink_as_soon_as_they_are_long() {
        let pace = Pace::new(None);
        for _ in 0..10 {
            let size = pace.size().get();
            assert_eq!(pace.after(size, MS, MS, false, None), Duration::ZERO);
        }
        assert_eq!(pace.size().get(), LARGEST);
        // What others leave room for is half of that.
        assert_eq!(pace.after(LARGEST, 10 * MS, 10 * MS, true, None), 10 * MS);
        assert_eq!(pace.size().get(), LARGEST / 2);
        for _ in 0..20 {
            pace.after(pace.size().get(), 50 * MS, 50 * MS, true, None);
        }
        assert_eq!(pace.size().get(), SMALLEST);
        pace.after(3, MS, MS, false, None);
        assert_eq!(pace.size().get(), SMALLEST, "the last few say nothing");
    }

    #[test]
    fn a_throttle_bounds_rate_and_batches() {
        let pace = Pace::new(Some(100));
        assert_eq!(pace.size().get(), 16);
        assert_eq!(pace.after(16, MS, MS, false, Some(100)), 159 * MS);
        assert_eq!(pace.after(16, MS, 200 * MS, false, Some(100)), Duration::ZERO);
        for throttle in [1, 2, 3, 7] {
            assert_eq!(Pace::new(Some(throttle)).size().get(), 1, "{throttle}");
        }
        assert_eq!(pace.after(1, MS, MS, false, Some(1)), 999 * MS);
        assert_eq!(pace.size().get(), 1);
    }
}
