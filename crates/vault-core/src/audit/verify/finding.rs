//! What a verifier can find, typed.

use crate::audit::checkpoint::CheckpointError;
use crate::audit::entry::Problem;
use crate::audit::slot::SlotName;
use crate::audit::tile::Tile;

/// Evidence that the log, or what is shown of it, is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Finding {
    /// The checkpoint cannot be believed: its signature, its key, its form or its origin.
    #[error("the checkpoint is not to be believed: {0}")]
    Checkpoint(CheckpointError),
    /// A checkpoint seen before cannot be believed; it proves nothing.
    #[error("the known checkpoint is not to be believed: {0}")]
    KnownCheckpoint(CheckpointError),
    /// The log is smaller than it once was.
    #[error("the log was cut: it has {size} entries and had {known}")]
    Truncated {
        /// Entries it had.
        known: u64,
        /// Entries it has.
        size: u64,
    },
    /// The log once had another beginning: two histories were signed.
    #[error("the log was forked: its first {size} entries are not those that were signed before")]
    Fork {
        /// The size of the checkpoint that it does not extend.
        size: u64,
    },
    /// The entries do not lead to the signed root.
    #[error("the {size} entries do not lead to the signed root")]
    WrongRoot {
        /// The size of the checkpoint.
        size: u64,
    },
    /// There is more than the checkpoint covers.
    #[error("there is more than the {size} entries that the checkpoint covers")]
    Surplus {
        /// The size of the checkpoint.
        size: u64,
    },
    /// An entry is not the one that was committed.
    #[error("entry {index} was edited")]
    EntryEdited {
        /// Its index.
        index: u64,
    },
    /// An entry stands in another's place.
    #[error("entry {index} was moved: it is entry {belongs}")]
    EntryMoved {
        /// Where it was found.
        index: u64,
        /// Where it was committed.
        belongs: u64,
    },
    /// The bytes of an entry are committed, but are not an entry in canonical form.
    #[error("entry {index} is invalid: {problem}")]
    EntryInvalid {
        /// Its index.
        index: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// A tile or bundle that the checkpoint asks for is not there.
    #[error("{0} is missing")]
    ResourceMissing(Tile),
    /// A tile or bundle is not in its form.
    #[error("{0} is malformed")]
    ResourceMalformed(Tile),
    /// A tile does not hold the hashes of the tree.
    #[error("{0} does not hold the hashes of the tree")]
    TileWrong(Tile),
    /// An opening does not open its commitment.
    #[error("the opening of {slot} in entry {index} is not the one committed to")]
    OpeningWrong {
        /// The entry.
        index: u64,
        /// The slot.
        slot: SlotName,
    },
    /// An opening is shown for a slot the entry does not have, or for an entry that does not exist.
    #[error("an opening of {slot} is shown for entry {index}, which has no such slot")]
    OpeningForeign {
        /// The entry.
        index: u64,
        /// The slot.
        slot: SlotName,
    },
    /// An opening should be here and is not.
    #[error("the opening of {slot} in entry {index} is missing")]
    OpeningMissing {
        /// The entry.
        index: u64,
        /// The slot.
        slot: SlotName,
    },
    /// An opening is said to be erased, but no entry erases it.
    #[error("the opening of {slot} in entry {index} is gone, and no entry says that it was erased")]
    ErasureUnexplained {
        /// The entry.
        index: u64,
        /// The slot.
        slot: SlotName,
    },
    /// An opening is shown although an entry says that it was erased.
    #[error("the opening of {slot} in entry {index} is shown although entry {by} erased it")]
    ErasureUndone {
        /// The entry.
        index: u64,
        /// The slot.
        slot: SlotName,
        /// The entry that erased it.
        by: u64,
    },
    /// A declaration of a successor log that is not of the log it stands in: another predecessor, another number of
    /// entries or another root; or the log goes on under a key that was succeeded; or it begins a second time.
    #[error("the succession declared in entry {index} does not follow from the log it stands in")]
    SuccessionWrong {
        /// The entry.
        index: u64,
    },
    /// The log does not name the predecessor that it is to have.
    #[error("the log does not name this predecessor")]
    PredecessorMissing,
    /// A predecessor had more entries than are carried and were declared as lost.
    #[error("a predecessor had {known} entries: {carried} are carried, and {lost} are declared as lost")]
    LossUndeclared {
        /// Entries it had.
        known: u64,
        /// Entries carried.
        carried: u64,
        /// Entries declared as lost.
        lost: u64,
    },
}

impl Finding {
    /// A stable name, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(CheckpointError::WrongOrigin) => "wrong_origin",
            Self::Checkpoint(_) => "bad_checkpoint",
            Self::KnownCheckpoint(_) => "bad_known_checkpoint",
            Self::Truncated { .. } => "truncated",
            Self::Fork { .. } => "fork",
            Self::WrongRoot { .. } => "wrong_root",
            Self::Surplus { .. } => "surplus",
            Self::EntryEdited { .. } => "entry_edited",
            Self::EntryMoved { .. } => "entry_moved",
            Self::EntryInvalid { .. } => "entry_invalid",
            Self::ResourceMissing(_) => "resource_missing",
            Self::ResourceMalformed(_) => "resource_malformed",
            Self::TileWrong(_) => "tile_wrong",
            Self::OpeningWrong { .. } => "opening_wrong",
            Self::OpeningForeign { .. } => "opening_foreign",
            Self::OpeningMissing { .. } => "opening_missing",
            Self::ErasureUnexplained { .. } => "erasure_unexplained",
            Self::ErasureUndone { .. } => "erasure_undone",
            Self::SuccessionWrong { .. } => "succession_wrong",
            Self::PredecessorMissing => "predecessor_missing",
            Self::LossUndeclared { .. } => "loss_undeclared",
        }
    }

    /// The entry it is about, if it is about one.
    #[must_use]
    pub const fn index(&self) -> Option<u64> {
        match self {
            Self::EntryEdited { index }
            | Self::EntryMoved { index, .. }
            | Self::EntryInvalid { index, .. }
            | Self::OpeningWrong { index, .. }
            | Self::OpeningForeign { index, .. }
            | Self::OpeningMissing { index, .. }
            | Self::ErasureUnexplained { index, .. }
            | Self::ErasureUndone { index, .. }
            | Self::SuccessionWrong { index } => Some(*index),
            _ => None,
        }
    }
}

/// Something odd that proves nothing (clocks can be wrong), or that whoever reads the log should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Warning {
    /// An entry is dated before the one in front of it, by more than nodes' clocks may differ.
    #[error("entry {index} is dated {millis} ms before the entry in front of it")]
    TimeWentBack {
        /// The later entry.
        index: u64,
        /// By how much.
        millis: u64,
    },
    /// Openings are missing, and the entry of a restore says so.
    #[error("entry {by} says that the openings of entries {first} to {last} were lost with a database")]
    OpeningsLost {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
        /// The entry that says it.
        by: u64,
    },
    /// From here on the log is signed by another key, which two officers declared.
    #[error(
        "entry {index} declares a successor log: {carried} entries of its predecessor are carried, {lost} are lost"
    )]
    Succeeded {
        /// The declaration.
        index: u64,
        /// Entries carried.
        carried: u64,
        /// Entries declared as lost.
        lost: u64,
    },
    /// A checkpoint seen before covers entries that the log declares as lost.
    #[error("of the {known} entries that a predecessor had, those from {carried} on are declared as lost")]
    LossDeclared {
        /// Entries it had.
        known: u64,
        /// Entries carried.
        carried: u64,
    },
}

impl Warning {
    /// A stable name, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TimeWentBack { .. } => "time_went_back",
            Self::OpeningsLost { .. } => "openings_lost",
            Self::Succeeded { .. } => "succeeded",
            Self::LossDeclared { .. } => "loss_declared",
        }
    }
}
