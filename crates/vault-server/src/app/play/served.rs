//! Which plaintext ranges of a session were served: what `playback.closed` narrows the disclosure to.
//!
//! The set may say more than was served, never less: a range is entered before its bytes leave, and when there are too
//! many pieces the two with the smallest gap become one.

use core::ops::Range;
use std::collections::BTreeMap;

/// Most pieces kept. A player that seeks makes a few; an entry of the log stays small.
pub const MAX_PIECES: usize = 64;

/// A set of byte positions, as disjoint ranges with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// First position to the one after the last.
    pieces: BTreeMap<u64, u64>,
}

impl Served {
    /// Enters a range.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // The piece before, if it touches, then every piece that begins inside or right behind.
        if let Some((&first, &after)) = self.pieces.range(..=start).next_back()
            && after >= start
        {
            start = first;
            end = end.max(after);
        }
        while let Some((&first, &after)) = self.pieces.range(start..=end).next() {
            self.pieces.remove(&first);
            end = end.max(after);
        }
        self.pieces.insert(start, end);
        if self.pieces.len() > MAX_PIECES {
            self.close_smallest_gap();
        }
    }

    fn close_smallest_gap(&mut self) {
        let pairs = self.pieces.iter().zip(self.pieces.iter().skip(1));
        let narrowest = pairs.min_by_key(|((_, after), (first, _))| *first - *after);
        let Some(((&before, _), (&first, &after))) = narrowest else { return };
        self.pieces.remove(&first);
        self.pieces.insert(before, after);
    }

    /// Enters all of another set.
    pub fn add_all(&mut self, other: &Self) {
        other.ranges().for_each(|range| self.add(range));
    }

    /// Whether all of another set is in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other
            .ranges()
            .all(|range| self.pieces.range(..=range.start).next_back().is_some_and(|(_, after)| range.end <= *after))
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<u64>> {
        self.pieces.iter().map(|(first, after)| *first..*after)
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.ranges().map(|range| range.end - range.start).sum()
    }

    /// As an entry of the log writes it: `first-last` with both included, as in `Content-Range`.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        self.ranges().map(|range| format!("{}-{}", range.start, range.end - 1)).collect()
    }

    /// As a share of a session keeps it: the same, separated by commas.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_texts().join(",")
    }

    /// What [`Self::to_text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut served = Self::default();
        for piece in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = piece.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            served.add(first..last.checked_add(1).filter(|after| *after > first)?);
        }
        Some(served)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut served = Served::default();
        for range in [10..20, 30..40, 0..0, 20..25, 5..10] {
            served.add(range);
        }
        assert_eq!(served.to_texts(), ["5-24", "30-39"]);
        served.add(0..100);
        assert_eq!((served.to_texts(), served.bytes()), (vec!["0-99".to_owned()], 100));
    }

    #[test]
    fn what_is_no_set_is_not_read_as_one() {
        for wrong in ["5", "5-", "-5", "6-5", "1-2,", ",1-2", "1-2;3-4", "a-b", "0-18446744073709551615", " 1-2"] {
            assert_eq!(Served::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Served::parse(""), Some(Served::default()));
    }

    proptest! {
        #[test]
        fn a_set_that_is_written_and_read_is_the_same_and_a_union_holds_both(
            one in proptest::collection::vec((0..4000_u64, 1..40_u64), 0..30),
            other in proptest::collection::vec((0..4000_u64, 1..40_u64), 0..30),
        ) {
            let of = |ranges: Vec<(u64, u64)>| {
                let mut served = Served::default();
                ranges.into_iter().for_each(|(first, length)| served.add(first..first + length));
                served
            };
            let (one, other) = (of(one), of(other));
            prop_assert_eq!(Served::parse(&one.to_text()), Some(one.clone()));
            let mut union = one.clone();
            union.add_all(&other);
            let said: BTreeSet<u64> = union.ranges().flatten().collect();
            let plain: BTreeSet<u64> = one.ranges().chain(other.ranges()).flatten().collect();
            prop_assert_eq!(said, plain);
            prop_assert!(union.covers(&one) && union.covers(&other) && one.covers(&Served::default()));
            let within = |inner: &Served, outer: &Served| inner.ranges().flatten().all(|p| outer.ranges().any(|r| r.contains(&p)));
            prop_assert_eq!(one.covers(&other), within(&other, &one));
        }

        #[test]
        fn says_at_least_what_was_served_and_exactly_that_while_pieces_are_few(
            ranges in proptest::collection::vec((0..4000_u64, 0..12_u64), 0..150),
        ) {
            let (mut served, mut plain) = (Served::default(), BTreeSet::new());
            let mut crowded = false;
            for (first, length) in ranges {
                served.add(first..first + length);
                plain.extend(first..first + length);
                let pieces: Vec<_> = served.ranges().collect();
                prop_assert!(pieces.len() <= MAX_PIECES);
                prop_assert!(pieces.windows(2).all(|w| w[0].end < w[1].start), "{pieces:?}");
                let said: BTreeSet<u64> = pieces.iter().cloned().flatten().collect();
                prop_assert!(said.is_superset(&plain));
                let exact = plain.iter().filter(|p| **p == 0 || !plain.contains(&(**p - 1))).count();
                crowded |= exact > MAX_PIECES;
                prop_assert!(crowded || said == plain);
            }
        }
    }
}
