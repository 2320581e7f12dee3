//! Evidence that an entry is in the log under a signed checkpoint.
//!
//! [`Recorded<E>`] has private fields and one constructor, which proves. A function that takes
//! `&Recorded<PlaybackOpened>` therefore cannot be called before the entry is committed and its
//! checkpoint signed; whoever forgets to log has no value to pass (promise 4).

use core::fmt;
use core::marker::PhantomData;

use crate::audit::checkpoint::VerifiedCheckpoint;
use crate::audit::entry::{Decision, Entry, EntryKind, InvalidEntry, Kind, Value};
use crate::audit::merkle::{Hash, ProofError, verify_inclusion};
use crate::audit::slot::{Commitment, Opening, SlotName};
use crate::ids::CollectionId;
use crate::time::Timestamp;

/// What is offered as evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes are not an entry.
    #[error("the audit entry is invalid: {0}")]
    Entry(#[from] InvalidEntry),
    /// The entry is of another type.
    #[error("the audit entry is of type {found}", found = .0.as_str())]
    WrongType(Kind),
    /// The entry is not in the tree.
    #[error("the audit entry is not in the log: {0}")]
    NotIncluded(#[from] ProofError),
    /// An opening opens no slot of this entry, or a slot twice.
    #[error("an opening of slot {0} does not belong to the audit entry")]
    ForeignOpening(SlotName),
}

/// Proof that an entry of type `E` is committed.
pub struct Recorded<E> {
    index: u64,
    log_size: u64,
    entry: Entry<'static>,
    openings: Vec<Opening>,
    kind: PhantomData<E>,
}

impl<E: EntryKind> Recorded<E> {
    /// Proves that `entry` is entry `index` of the log at `checkpoint`, that it is of type `E`, and
    /// that each of `openings` opens a slot of it. Slots without an opening stay closed.
    pub fn prove(
        entry: &[u8],
        index: u64,
        inclusion: &[Hash],
        checkpoint: &VerifiedCheckpoint,
        openings: Vec<Opening>,
    ) -> Result<Self, EvidenceError> {
        let parsed = Entry::parse(entry)?;
        if parsed.kind() != E::KIND {
            return Err(EvidenceError::WrongType(parsed.kind()));
        }
        verify_inclusion(Hash::leaf(entry), index, checkpoint.size(), inclusion, checkpoint.root())?;
        for (i, opening) in openings.iter().enumerate() {
            let slot = opening.slot();
            let belongs = parsed.commitment(slot).is_some_and(|commitment| opening.opens(commitment));
            let first = openings.iter().take(i).all(|o| o.slot() != slot);
            if !belongs || !first {
                return Err(EvidenceError::ForeignOpening(slot));
            }
        }
        Ok(Self { index, log_size: checkpoint.size(), entry: parsed.into_owned(), openings, kind: PhantomData })
    }

    /// The entry's index in the log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The size of the log at the checkpoint that proved it.
    #[must_use]
    pub const fn log_size(&self) -> u64 {
        self.log_size
    }

    /// When the entry was drafted.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.entry.at()
    }

    /// The collection it is about.
    #[must_use]
    pub const fn collection(&self) -> Option<CollectionId> {
        self.entry.collection()
    }

    /// The decision it records.
    #[must_use]
    pub const fn decision(&self) -> Option<Decision> {
        self.entry.decision()
    }

    /// The version of the collection's KEK it concerns.
    #[must_use]
    pub const fn kek_version(&self) -> Option<u32> {
        self.entry.kek_version()
    }

    /// SHA-256 of the policy that decided.
    #[must_use]
    pub const fn policy(&self) -> Option<&[u8; 32]> {
        self.entry.policy()
    }

    /// The value under `name` in the entry's data.
    #[must_use]
    pub fn data(&self, name: &str) -> Option<&Value<'static>> {
        self.entry.data(name)
    }

    /// The opened value of `slot`; nothing when the entry lacks the slot or it was not opened.
    #[must_use]
    pub fn slot(&self, slot: SlotName) -> Option<&str> {
        self.openings.iter().find(|o| o.slot() == slot).map(Opening::value)
    }

    /// What opens `slot`, salt and all: for whoever is to verify it themselves.
    #[must_use]
    pub fn opening(&self, slot: SlotName) -> Option<&Opening> {
        self.openings.iter().find(|o| o.slot() == slot)
    }

    /// The commitment in `slot`, opened or not.
    #[must_use]
    pub fn commitment(&self, slot: SlotName) -> Option<&Commitment> {
        self.entry.commitment(slot)
    }
}

impl<E: EntryKind> fmt::Debug for Recorded<E> {
    /// Type and index: what was opened is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("type", &E::TYPE).field("index", &self.index).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub mod testing {
    //! Evidence for tests: a log of one entry, signed by a key made for it. It goes through
    //! [`Recorded::prove`] like any other; nothing here is forged.

    use super::{EvidenceError, Recorded};
    use crate::audit::checkpoint::CheckpointSigner;
    use crate::audit::entry::{EntryKind, Prepared};
    use crate::audit::merkle::Hash;
    use crate::keys::hierarchy::LogSeed;

    /// Commits `prepared` as the only entry of a log that nobody keeps.
    pub fn recorded<E: EntryKind>(prepared: Prepared<E>) -> Result<Recorded<E>, EvidenceError> {
        let (entry, _, openings) = prepared.into_parts();
        let root = Hash::leaf(&entry);
        let checkpoint = CheckpointSigner::new("log.test", &LogSeed::generate()).expect("a valid name").sign(1, root);
        Recorded::prove(&entry, 0, &[], &checkpoint, openings)
    }
}
