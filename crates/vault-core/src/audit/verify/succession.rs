//! Successions on the way through a log: that each declaration names the log it stands in, and what checkpoints of a
//! predecessor say.
//!
//! The entries of a successor are the predecessor's as far as it carries them, so a checkpoint of the predecessor is a
//! checkpoint of the successor's beginning, under another key. Beyond what is carried it tells how much was lost, which the
//! declaration must admit.

use std::collections::BTreeMap;

use super::{Finding, Report, Warning};
use crate::audit::checkpoint::{CheckpointError, VerifiedCheckpoint};
use crate::audit::entry::{Entry, Kind};
use crate::audit::merkle::Hash;
use crate::audit::note::VerifierKey;
use crate::audit::succession::{Because, Declaration};

/// An entry `log.started`, as it is found.
pub(super) enum Started {
    /// A log without a predecessor, and the key it names.
    First(Option<Box<VerifierKey>>),
    /// A successor.
    Declared(Box<Declaration>),
    /// Neither.
    Invalid,
}

impl Started {
    pub(super) fn of(entry: &Entry<'_>) -> Option<Self> {
        if entry.kind() != Kind::LogStarted {
            return None;
        }
        Some(match Declaration::of(entry) {
            None => Self::First(entry.data("key").and_then(|key| key.as_str()?.parse().ok().map(Box::new))),
            Some(Ok(declaration)) => Self::Declared(Box::new(declaration)),
            Some(Err(_)) => Self::Invalid,
        })
    }
}

/// A log that this one succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its key.
    pub key: VerifierKey,
    /// How many of its entries are carried.
    pub carried: u64,
    /// How many more the declaration says there were.
    pub lost: u64,
    /// Why it was succeeded.
    pub because: Because,
}

/// What is known of successions while a log is read.
#[derive(Default)]
pub(super) struct Successions {
    /// The key that the last `log.started` named.
    key: Option<VerifierKey>,
    predecessors: Vec<(Predecessor, Declaration)>,
    /// Sizes of checkpoints that may be a predecessor's, and the roots there, once they are known.
    roots: BTreeMap<u64, Option<Hash>>,
}

/// A checkpoint seen before that is not signed by the log's own key: a predecessor's, if it is anybody's.
pub(super) struct Foreign {
    pub(super) note: String,
    pub(super) why_not: CheckpointError,
}

impl Successions {
    /// The roots at these sizes will be asked for.
    pub(super) fn watch(&mut self, foreign: &[Foreign]) {
        for one in foreign {
            // What the note claims; it counts once a predecessor's key has verified it.
            if let Some(size) = one.note.lines().nth(1).and_then(|line| line.parse().ok()) {
                self.roots.insert(size, (size == 0).then_some(Hash::EMPTY_ROOT));
            }
        }
    }

    /// The tree of the first `size` entries has this root.
    pub(super) fn note_root(&mut self, size: u64, root: impl FnOnce() -> Hash) {
        if let Some(kept) = self.roots.get_mut(&size) {
            *kept = Some(root());
        }
    }

    /// An entry `log.started` at `index`, behind entries with this root.
    pub(super) fn started(&mut self, index: u64, root: Hash, started: Started, report: &mut Report) {
        match started {
            Started::First(key) if index == 0 => self.key = key.map(|key| *key),
            Started::Declared(declaration) => {
                let follows = self.key.as_ref() == Some(&declaration.predecessor);
                if !follows || declaration.carried != index || declaration.root != root {
                    report.found(Finding::SuccessionWrong { index });
                }
                let Declaration { carried, lost, because, .. } = *declaration;
                report.warnings.push(Warning::Succeeded { index, carried, lost });
                let predecessor = Predecessor { key: declaration.predecessor.clone(), carried, lost, because };
                self.key = Some(declaration.key.clone());
                self.predecessors.push((predecessor, *declaration));
            }
            Started::First(_) | Started::Invalid => report.found(Finding::SuccessionWrong { index }),
        }
    }

    /// Once the whole log was read, which is shown under `key`.
    pub(super) fn finish(self, key: &VerifierKey, foreign: Vec<Foreign>, report: &mut Report) {
        let Self { key: last, predecessors, roots } = self;
        if let (Some((_, declaration)), true) = (predecessors.last(), last.as_ref() != Some(key)) {
            // The log was succeeded by another key, and goes on under this one.
            report.found(Finding::SuccessionWrong { index: declaration.carried });
        }
        for Foreign { note, why_not } in foreign {
            let verified = predecessors.iter().find_map(|(of, declaration)| {
                of.key.verify_checkpoint(&note).ok().map(|checkpoint| (of, declaration, checkpoint))
            });
            match verified {
                Some((of, declaration, checkpoint)) => known(of, declaration, &checkpoint, &roots, report),
                None => report.found(Finding::KnownCheckpoint(why_not)),
            }
        }
        report.predecessors = predecessors.into_iter().map(|(predecessor, _)| predecessor).collect();
    }
}

/// What a checkpoint of a predecessor says.
fn known(
    of: &Predecessor,
    declaration: &Declaration,
    checkpoint: &VerifiedCheckpoint,
    roots: &BTreeMap<u64, Option<Hash>>,
    report: &mut Report,
) {
    let size = checkpoint.size();
    if declaration.known.is_some_and(|(known, root)| known == size && root != *checkpoint.root()) {
        report.found(Finding::Fork { size });
    } else if size <= of.carried {
        match roots.get(&size) {
            Some(Some(root)) if root == checkpoint.root() => report.known_extended += 1,
            _ => report.found(Finding::Fork { size }),
        }
    } else if size - of.carried <= of.lost {
        report.warnings.push(Warning::LossDeclared { known: size, carried: of.carried });
    } else {
        report.found(Finding::LossUndeclared { known: size, carried: of.carried, lost: of.lost });
    }
}
