//! Which record keys a version may have wrapped at some time: what whoever has its bytes, and a copy of the wraps from then,
//! opens (`docs/keys.md` §7).
//!
//! No wrap of before is kept, so the versions that have wrapped a key are not known one by one. What is known: a key is wrapped
//! by the version that is active when its record is received, and moves from there only to versions with higher numbers, at
//! times leaving some out. The rule errs on the side of the exposed: a key that passed a version over counts when it could
//! have come through it. Of a record that was encrypted anew it is known under which version its key was made: versions before
//! that one have never wrapped it.

use core::time::Duration;

use crate::time::Timestamp;

/// More than the clocks of nodes ever differ: one node notes when a record was received, another when the version was retired.
pub const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// A version of whose wraps a copy may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Its number.
    pub version: u32,
    /// When it stopped being active; `None` while it is.
    pub active_until: Option<Timestamp>,
}

/// What is known of a record's key. What cannot be read is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The version that the record's row names.
    pub row: Option<u32>,
    /// The version that the wrap itself names.
    pub wrap: Option<u32>,
    /// When the record was received.
    pub received_at: Option<Timestamp>,
    /// The version under which its key was made, if that was when it was encrypted anew; `None`: when it was received.
    pub born: Option<u32>,
}

/// How a record's key is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// The version wraps it now, by its row or by the wrap itself.
    Held,
    /// It is under a later version, and was made before the version stopped being active.
    Passed,
    /// It is under a later version, and was made within [`MARGIN`] after the version stopped being active: only clocks that
    /// differ, or an upload that completed at that very moment, can have put it there.
    Close,
    /// Too little of the row can be read to rule it out.
    Unreadable,
}

impl Leak {
    /// Whether, and how, the version exposes a key; `None` when it cannot have wrapped it.
    #[must_use]
    pub fn exposes(&self, key: Held) -> Option<Exposure> {
        if key.row == Some(self.version) || key.wrap == Some(self.version) {
            return Some(Exposure::Held);
        }
        // Row and wrap differ only where somebody edited the row; what either says is not trusted to excuse the key then.
        let Some(now) = key.row.max(key.wrap).filter(|_| key.row.is_some() && key.wrap.is_some()) else {
            return Some(Exposure::Unreadable);
        };
        if now < self.version {
            // Keys move up: what is below has never been there.
            return None;
        }
        if let Some(born) = key.born {
            if key.row < Some(born) || key.wrap < Some(born) {
                return Some(Exposure::Unreadable);
            }
            return (born <= self.version).then_some(Exposure::Passed);
        }
        let Some(received) = key.received_at else { return Some(Exposure::Unreadable) };
        // Something above a version that is still active was edited, or the version's row was.
        match self.active_until {
            Some(until) if received > until.plus(MARGIN) => None,
            Some(until) if received > until => Some(Exposure::Close),
            _ => Some(Exposure::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNTIL: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn under(version: u32, received_at: Timestamp) -> Held {
        Held { row: Some(version), wrap: Some(version), received_at: Some(received_at), born: None }
    }

    #[test]
    fn a_key_is_exposed_by_the_version_it_is_under_and_by_those_it_may_have_passed() {
        let leak = Leak { version: 2, active_until: Some(UNTIL) };
        let (before, after) = (UNTIL.minus(MARGIN), UNTIL.plus(MARGIN * 2));
        assert_eq!(leak.exposes(under(1, before)), None, "has not come to it");
        assert_eq!(leak.exposes(under(2, after)), Some(Exposure::Held));
        assert_eq!(leak.exposes(under(3, before)), Some(Exposure::Passed));
        assert_eq!(leak.exposes(under(3, UNTIL)), Some(Exposure::Passed));
        assert_eq!(leak.exposes(under(3, UNTIL.plus(MARGIN))), Some(Exposure::Close), "the other node's clock");
        assert_eq!(leak.exposes(under(3, UNTIL.plus(MARGIN).plus(Duration::from_millis(1)))), None);
        let active = Leak { active_until: None, ..leak };
        assert_eq!(active.exposes(under(3, after)), Some(Exposure::Passed));
    }

    #[test]
    fn a_key_that_was_made_anew_is_exposed_by_no_version_from_before() {
        let leak = |version| Leak { version, active_until: Some(UNTIL) };
        // The record itself is as old as any, and no clock is asked.
        let anew = Held { born: Some(3), ..under(4, UNTIL.minus(MARGIN)) };
        assert_eq!((leak(1).exposes(anew), leak(2).exposes(anew)), (None, None));
        assert_eq!(leak(3).exposes(anew), Some(Exposure::Passed));
        assert_eq!(leak(4).exposes(anew), Some(Exposure::Held));
        assert_eq!(leak(5).exposes(anew), None, "has not come to it");
        // Keys move up: one that lies below where it was made was put there by hand.
        assert_eq!(leak(1).exposes(Held { born: Some(3), ..under(2, UNTIL) }), Some(Exposure::Unreadable));
        assert_eq!(leak(2).exposes(Held { row: Some(2), ..anew }), Some(Exposure::Held));
    }

    #[test]
    fn p12_a_row_that_was_edited_or_cannot_be_read_excuses_no_key() {
        let leak = Leak { version: 2, active_until: Some(UNTIL) };
        let after = UNTIL.plus(MARGIN * 2);
        let hidden = Held { row: Some(1), ..under(2, after) };
        assert_eq!(leak.exposes(hidden), Some(Exposure::Held), "the wrap says so");
        assert_eq!(leak.exposes(Held { wrap: Some(1), ..under(2, after) }), Some(Exposure::Held), "the row says so");
        assert_eq!(leak.exposes(Held { row: Some(1), ..under(3, UNTIL) }), Some(Exposure::Passed), "either is above");
        for unread in [
            Held { row: None, ..under(1, after) },
            Held { wrap: None, ..under(3, after) },
            Held { received_at: None, ..under(3, after) },
            Held::default(),
        ] {
            assert_eq!(leak.exposes(unread), Some(Exposure::Unreadable), "{unread:?}");
        }
    }

    proptest! {
        /// Any history of rotations: each makes the next version at its time; a key is received under the one that is active then, and
        /// comes to any later one when that is active, or to none. Every version that has wrapped it exposes it, whatever
        /// a clock within the margin says.
        #[test]
        fn p7_every_version_that_ever_wrapped_a_key_exposes_it(
            lives in proptest::collection::vec(1_i64..100_000_000, 1..8),
            received in 0.0_f64..1.0,
            moves in proptest::collection::vec(any::<bool>(), 8),
            skew in -86_400_000_i64..=86_400_000,
        ) {
            let ends: Vec<i64> = lives.iter().scan(0, |at, life| { *at += life; Some(*at) }).collect();
            let whole = ends.last().copied().unwrap_or(1);
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any moment will do")]
            let received = (received * whole as f64) as i64;
            let first = ends.iter().position(|end| received < *end).unwrap_or(ends.len() - 1);
            let mut wrapped = vec![first];
            wrapped.extend((first + 1..ends.len()).filter(|version| moves[*version]));
            let now = u32::try_from(wrapped.last().unwrap() + 1).unwrap();
            let key = under(now, Timestamp::from_millis(received + skew));
            for version in wrapped {
                let active_until = (version + 1 < ends.len()).then(|| Timestamp::from_millis(ends[version]));
                let leak = Leak { version: u32::try_from(version + 1).unwrap(), active_until };
                prop_assert!(leak.exposes(key).is_some(), "{leak:?} {key:?}");
            }
        }
    }
}
