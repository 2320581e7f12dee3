//! Checking what is shown of the slots.

use std::collections::HashMap;

use super::Finding;
use crate::audit::checkpoint::decimal;
use crate::audit::entry::{Entry, Kind};
use crate::audit::slot::{Opening, SlotName};

/// What a source says of one slot.
#[derive(Debug)]
pub struct Shown {
    /// The entry.
    pub index: u64,
    /// The slot.
    pub slot: SlotName,
    /// What it says.
    pub claim: Claim,
}

/// What can be said of a slot's opening.
#[derive(Debug)]
pub enum Claim {
    /// Here it is.
    Opened(Opening),
    /// Not for you.
    Withheld,
    /// It was erased.
    Erased,
    /// It should be here and is not.
    Missing,
}

/// Slots by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Opened, and the commitment holds.
    pub opened: u64,
    /// Not shown.
    pub withheld: u64,
    /// Erased, and an entry says so.
    pub erased: u64,
    /// Should be here and are not.
    pub missing: u64,
}

/// What is remembered of slots until the whole log was read: an entry that erases comes after what it erases.
#[derive(Default)]
pub(super) struct Openings {
    counts: Counts,
    /// Which entry erased a slot.
    erased_by: HashMap<(u64, SlotName), u64>,
    opened: Vec<(u64, SlotName)>,
    gone: Vec<(u64, SlotName)>,
    unshown: Vec<(u64, SlotName)>,
    missing: Vec<(u64, SlotName)>,
    /// Entries whose openings a restore says are lost.
    lost: Vec<Lost>,
}

/// Entries from `first` to before `end` whose openings are lost, as entry `by` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) by: u64,
}

impl Openings {
    /// Holds what is `shown` of a bundle's entries against their commitments.
    pub(super) fn bundle(
        &mut self,
        first: u64,
        entries: &[Option<Entry<'_>>],
        shown: &[Shown],
        mut found: impl FnMut(Finding),
    ) {
        for Shown { index, slot, .. } in shown {
            let entry = index.checked_sub(first).and_then(|i| entries.get(usize::try_from(i).ok()?));
            let has = match entry {
                Some(Some(entry)) => entry.commitment(*slot).is_some(),
                // Invalid entries are findings of their own.
                Some(None) => continue,
                None => false,
            };
            if !has {
                found(Finding::OpeningForeign { index: *index, slot: *slot });
            }
        }
        // Sorted instead of hashed: sources show them in order, and then there is nothing to do.
        let mut claims: Vec<&Shown> = shown.iter().collect();
        claims.sort_by_key(|shown| (shown.index, shown.slot));
        for pair in claims.windows(2) {
            if let [one, other] = pair
                && (one.index, one.slot) == (other.index, other.slot)
            {
                found(Finding::OpeningForeign { index: one.index, slot: one.slot });
            }
        }
        let claimed = |index: u64, slot: SlotName| {
            // The last of several, which were found above.
            let after = claims.partition_point(|shown| (shown.index, shown.slot) <= (index, slot));
            let last = claims.get(after.checked_sub(1)?)?;
            ((last.index, last.slot) == (index, slot)).then_some(&last.claim)
        };
        for (index, entry) in (first..).zip(entries) {
            let Some(entry) = entry else { continue };
            self.note_erasures(index, entry);
            self.lost.extend(lost(index, entry));
            for (slot, commitment) in entry.slots() {
                match claimed(index, *slot) {
                    Some(Claim::Opened(opening)) if opening.slot() == *slot && opening.opens(commitment) => {
                        self.counts.opened += 1;
                        self.opened.push((index, *slot));
                    }
                    Some(Claim::Opened(_)) => found(Finding::OpeningWrong { index, slot: *slot }),
                    Some(Claim::Withheld) => self.counts.withheld += 1,
                    Some(Claim::Erased) => self.gone.push((index, *slot)),
                    Some(Claim::Missing) => self.missing.push((index, *slot)),
                    None => self.unshown.push((index, *slot)),
                }
            }
        }
    }

    /// Takes in what was noted of a later bundle.
    pub(super) fn absorb(&mut self, later: Self) {
        self.counts.opened += later.counts.opened;
        self.counts.withheld += later.counts.withheld;
        self.counts.erased += later.counts.erased;
        self.counts.missing += later.counts.missing;
        for (slot, by) in later.erased_by {
            self.erased_by.entry(slot).or_insert(by);
        }
        self.opened.extend(later.opened);
        self.gone.extend(later.gone);
        self.unshown.extend(later.unshown);
        self.missing.extend(later.missing);
        self.lost.extend(later.lost);
    }

    /// An entry that erases lists what it erases as `index/slot`. What is not of that form erases nothing.
    fn note_erasures(&mut self, index: u64, entry: &Entry<'_>) {
        for pair in listed(index, entry) {
            self.erased_by.entry(pair).or_insert(index);
        }
    }

    /// Once the whole log was read.
    pub(super) fn finish(mut self, complete: bool, mut found: impl FnMut(Finding)) -> (Counts, Vec<Lost>) {
        let lost = core::mem::take(&mut self.lost);
        let is_lost = |index: u64| lost.iter().any(|lost| (lost.first..lost.end).contains(&index));
        for (index, slot) in core::mem::take(&mut self.missing) {
            self.counts.missing += 1;
            if !is_lost(index) {
                found(Finding::OpeningMissing { index, slot });
            }
        }
        let nothing_erased = self.erased_by.is_empty();
        for (index, slot) in self.opened.into_iter().filter(|_| !nothing_erased) {
            if let Some(by) = self.erased_by.get(&(index, slot)) {
                found(Finding::ErasureUndone { index, slot, by: *by });
            }
        }
        for (index, slot) in self.gone {
            if self.erased_by.contains_key(&(index, slot)) {
                self.counts.erased += 1;
            } else {
                self.counts.missing += 1;
                found(Finding::ErasureUnexplained { index, slot });
            }
        }
        for (index, slot) in self.unshown {
            if self.erased_by.contains_key(&(index, slot)) {
                self.counts.erased += 1;
            } else if complete {
                self.counts.missing += 1;
                if !is_lost(index) {
                    found(Finding::OpeningMissing { index, slot });
                }
            } else {
                self.counts.withheld += 1;
            }
        }
        (self.counts, lost)
    }
}

/// What the entry of a restore, or the declaration of a successor log, says is lost: openings are not published, and entries that came back from the published log have
/// none. Only what came before it: an entry cannot lose the future.
fn lost(index: u64, entry: &Entry<'_>) -> Option<Lost> {
    if !matches!(entry.kind(), Kind::VaultRestored | Kind::LogStarted) {
        return None;
    }
    let number = |name| entry.data(name)?.as_number().and_then(|n| u64::try_from(n).ok());
    let (first, replayed) = (number(LOG_SIZE)?, number(REPLAYED)?);
    let end = first.checked_add(replayed)?;
    (replayed > 0 && end <= index).then_some(Lost { first, end, by: index })
}

/// The name under `data` of how many entries of the log a backup had.
pub const LOG_SIZE: &str = "log_size";

/// The name under `data` of how many came back from the published log.
pub const REPLAYED: &str = "replayed";

/// What an entry at `index` lists as erased. Only what came before: an entry cannot erase the future.
fn listed(index: u64, entry: &Entry<'_>) -> Vec<(u64, SlotName)> {
    if !matches!(entry.kind(), Kind::RecordErased | Kind::OpeningsErased) {
        return Vec::new();
    }
    let listed = entry.data(ERASED).and_then(|value| value.as_list()).unwrap_or_default();
    let pair = |value: &crate::audit::entry::Value<'_>| {
        let (at, slot) = value.as_str()?.split_once('/')?;
        Some((decimal(at)?, SlotName::parse(slot)?))
    };
    listed.iter().filter_map(pair).filter(|(at, _)| *at < index).collect()
}

/// What the entry at `index`, given by its bytes, lists as erased; nothing where it is no entry that erases.
#[must_use]
pub fn listed_as_erased(index: u64, entry: &[u8]) -> Vec<(u64, SlotName)> {
    Entry::parse(entry).map(|entry| listed(index, &entry)).unwrap_or_default()
}

/// The name under `data` of what an entry erases.
pub const ERASED: &str = "openings";

/// Bytes of one entry's list of what it erases. The rest of [`MAX_ENTRY`](crate::audit::entry::MAX_ENTRY) is far more than
/// everything else in it takes.
const LIST: usize = 48 * 1024;

/// The openings in portions that one entry each can list, as the entries write them.
#[must_use]
pub fn erased_portions(openings: &[(u64, SlotName)]) -> Vec<Vec<String>> {
    let (mut portions, mut portion, mut length) = (Vec::new(), Vec::new(), 0);
    for (index, slot) in openings {
        let pair = erased_pair(*index, *slot);
        // Two quotation marks and a comma.
        let takes = pair.len() + 3;
        if length + takes > LIST {
            portions.push(core::mem::take(&mut portion));
            length = 0;
        }
        length += takes;
        portion.push(pair);
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions
}

/// How an entry that erases names an opening.
#[must_use]
pub fn erased_pair(index: u64, slot: SlotName) -> String {
    format!("{index}/{slot}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::{Draft, MAX_ENTRY, RecordErased};
    use crate::audit::slot::{OpeningKeys, OpeningUnder};
    use crate::ids::CollectionId;
    use crate::keys::hierarchy::StaffAuditKey;
    use crate::time::Timestamp;

    #[test]
    fn p8_every_opening_is_listed_once_and_each_portion_fits_an_entry() {
        let openings: Vec<_> = (0..9_000).map(|n| (u64::MAX - n, SlotName::CaseNumber)).collect();
        let portions = erased_portions(&openings);
        assert!(portions.len() > 5);
        let listed: Vec<_> = portions.iter().flatten().cloned().collect();
        assert_eq!(listed, openings.iter().map(|(index, slot)| erased_pair(*index, *slot)).collect::<Vec<_>>());
        for portion in portions {
            let draft = Draft::<RecordErased>::new(Timestamp::from_millis(0))
                .collection(CollectionId::VAULT)
                .kek_version(u32::MAX)
                .data("root_epoch", u32::MAX)
                .data("resume_key", CollectionId::VAULT.to_string())
                .data("because", "x".repeat(64))
                .data(ERASED, portion)
                .slot(SlotName::Record, "r", OpeningUnder::Staff)
                .slot(SlotName::Staff, "s", OpeningUnder::Staff)
                .slot(SlotName::Reason, "w".repeat(8_000), OpeningUnder::Staff);
            let prepared = draft.prepare(&OpeningKeys { staff: &StaffAuditKey::generate(), record: None });
            let length = prepared.expect("it fits").entry().len();
            assert!(length < MAX_ENTRY, "{length}");
        }
        assert!(erased_portions(&[]).is_empty());
    }
}
