//! The erasure horizon: when no backup, however old, can bring an erased record back (`docs/erasure.md` §4).
//!
//! Erasing deletes the wrap of the record's key; for the live vault the record is gone. A backup still holds that wrap, so
//! the erasure is *final* only once everything that ever led to it is destroyed: each version of the collection's KEK that
//! existed then, each root epoch that ever wrapped one of these, and the resume key of the upload. Rotations meanwhile
//! move survivors to fresh keys; a root epoch that comes while an old KEK version still lives wraps that version too, and
//! is waited for as well.
//!
//! [`horizon`] works on what is known of the keys and reads no clock. What is not known to be destroyed stands.

use std::collections::BTreeMap;

use crate::ids::ResumeKeyId;
use crate::time::Timestamp;

/// What the record's key hung on at the moment of its erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HungOn {
    /// The highest version of the collection's KEK that existed; 0: nobody knows.
    pub kek_version: u32,
    /// The highest root epoch that existed; 0: nobody knows.
    pub root_epoch: u32,
    /// The resume key that its upload was under way with, unless none was.
    pub resume_key: Option<ResumeKeyId>,
}

/// How far a key is destroyed, in the words of whoever kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It exists, or nobody knows that it does not.
    Standing,
    /// Its custody will destroy it then; until it says that it has, it exists.
    Scheduled {
        /// When.
        until: Timestamp,
    },
    /// Somebody states that its copies are gone.
    Attested {
        /// Who, as the custody names them.
        by: String,
        /// How many copies were known.
        copies: u32,
    },
    /// Its custody destroyed it.
    Destroyed,
}

impl Fate {
    /// Whether nothing can be opened with it any more.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Attested { .. } | Self::Destroyed)
    }
}

/// What is known of one version of the collection's KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekFate {
    /// Its number.
    pub version: u32,
    /// What became of it.
    pub fate: Fate,
    /// The highest root epoch that ever wrapped it: the one that does now, or did when it was destroyed.
    pub root_epoch: u32,
}

/// What is known of one root epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochFate {
    /// Its number.
    pub epoch: u32,
    /// What became of it.
    pub fate: Fate,
}

/// What is known of the keys now.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The collection's KEK versions, in any order.
    pub keks: &'a [KekFate],
    /// The root epochs, in any order.
    pub epochs: &'a [EpochFate],
    /// The resume key of the record's upload.
    pub resume_key: &'a Fate,
}

/// A key that an erasure still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitsFor {
    /// A version of the collection's KEK.
    KekVersion(u32),
    /// A root epoch.
    RootEpoch(u32),
    /// The resume key of the upload.
    ResumeKey,
}

/// How far an erasure reaches into backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Root epochs up to this one wrapped, at one time or another, a key that leads to the record.
    pub root_epoch: u32,
    /// What is still to be destroyed, in order.
    pub waits_for: Vec<WaitsFor>,
}

impl Horizon {
    /// Whether no backup, however old, opens the record any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.waits_for.is_empty()
    }
}

/// How far an erasure reaches, by what is known of the keys now.
#[must_use]
pub fn horizon(hung: &HungOn, keys: &Keys<'_>) -> Horizon {
    let versions = |kek: &&KekFate| kek.version <= hung.kek_version;
    let root_epoch = keys.keks.iter().filter(versions).map(|kek| kek.root_epoch).fold(hung.root_epoch, u32::max);
    let mut waits_for = Vec::new();
    let known = keys.keks.iter().map(|kek| (kek.version, kek.fate.is_gone()));
    waits_for.extend(standing(known, hung.kek_version).into_iter().map(WaitsFor::KekVersion));
    let known = keys.epochs.iter().map(|epoch| (epoch.epoch, epoch.fate.is_gone()));
    waits_for.extend(standing(known, root_epoch).into_iter().map(WaitsFor::RootEpoch));
    if hung.resume_key.is_some() && !keys.resume_key.is_gone() {
        waits_for.push(WaitsFor::ResumeKey);
    }
    Horizon { root_epoch, waits_for }
}

/// The most keys of one kind that are listed. An entry that names more versions than any collection ever has is no reason
/// to run out of memory; the erasure is not final either way.
const MOST: usize = 4_096;

/// The numbers from 1 to `highest` that are not known to be gone, the lowest [`MOST`] of them. A `highest` of 0 is a number
/// that nobody knows, and is waited for itself.
fn standing(known: impl Iterator<Item = (u32, bool)>, highest: u32) -> Vec<u32> {
    if highest == 0 {
        return vec![0];
    }
    let mut gone: BTreeMap<u32, bool> = BTreeMap::new();
    for (number, is_gone) in known {
        // Told twice, it is gone only if both say so.
        *gone.entry(number).or_insert(true) &= is_gone;
    }
    (1..=highest).filter(|number| gone.get(number) != Some(&true)).take(MOST).collect()
}

#[cfg(test)]
mod tests;
