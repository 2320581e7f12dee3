//! The succession of a log (`docs/audit-log.md` §10): what is left of it when entries are lost or its signing key is to
//! go, and the declaration with which another key signs on.
//!
//! A successor log has the entries that survive, byte for byte and at their indices, and then its [`Declaration`], an entry
//! `log.started` that names the predecessor: its key, how many entries are carried and their root, and the newest
//! checkpoint that is known of it. So checkpoints, proofs and lists of erased openings of the predecessor hold in the
//! successor as far as it carries.

mod survivors;

#[cfg(test)]
mod tests;

pub use survivors::{Survivors, survivors};

use super::entry::{Draft, Entry, Kind, LogStarted};
use super::merkle::Hash;
use super::note::VerifierKey;
use crate::time::Timestamp;

/// Between a log's name and the generation of a successor's.
const INFIX: &str = "/successor/";

/// The name of the log of generation `generation`, counted from one, whose first was called `base`.
#[must_use]
pub fn origin(base: &str, generation: u32) -> String {
    if generation <= 1 { base.to_owned() } else { format!("{base}{INFIX}{generation}") }
}

/// Which generation a log of this name is. A name that is no successor's is a first log's.
#[must_use]
pub fn generation(origin: &str) -> u32 {
    let number = origin.rsplit_once(INFIX).map(|(_, number)| number);
    let number = number.filter(|n| !n.starts_with('0') && n.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|n| n.parse().ok()).filter(|n| *n > 1).unwrap_or(1)
}

/// Why a log has a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Because {
    /// Entries are in no copy any more, or the copies contradict each other.
    Loss,
    /// Somebody else may have the signing key.
    KeyCompromised,
    /// The signing key has been used for as long as it may be.
    CryptoperiodOver,
}

impl Because {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Loss, Self::KeyCompromised, Self::CryptoperiodOver];

    /// As the declaration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::KeyCompromised => "key-compromised",
            Self::CryptoperiodOver => "cryptoperiod-over",
        }
    }

    /// The reason written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|because| because.as_str() == text)
    }
}

/// What the first entry under a successor's key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The successor's verifier key.
    pub key: VerifierKey,
    /// Why there is a successor.
    pub because: Because,
    /// The predecessor's verifier key.
    pub predecessor: VerifierKey,
    /// How many of its entries are carried.
    pub carried: u64,
    /// The root over them.
    pub root: Hash,
    /// The newest checkpoint known of the predecessor: size and root.
    pub known: Option<(u64, Hash)>,
    /// How many of its entries are known to be lost.
    pub lost: u64,
}

/// An entry `log.started` that says nothing that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a declaration of a successor log")]
pub struct InvalidDeclaration;

impl Declaration {
    /// The entry, but for who declares it and why: those are slots.
    pub fn draft(&self, at: Timestamp) -> Draft<LogStarted> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let draft = Draft::new(at)
            .data("key", self.key.to_string())
            .data("because", self.because.as_str())
            .data("predecessor_key", self.predecessor.to_string())
            .data("carried", number(self.carried))
            .data("carried_root", self.root.to_string())
            .data("lost", number(self.lost));
        match self.known {
            Some((size, root)) => draft.data("known_size", number(size)).data("known_root", root.to_string()),
            None => draft,
        }
    }

    /// Reads it; `None` for an entry that declares nothing: of another type, or a first log's beginning.
    #[must_use]
    pub fn of(entry: &Entry<'_>) -> Option<Result<Self, InvalidDeclaration>> {
        let declares = entry.kind() == Kind::LogStarted && entry.data("predecessor_key").is_some();
        declares.then(|| Self::read(entry).ok_or(InvalidDeclaration))
    }

    fn read(entry: &Entry<'_>) -> Option<Self> {
        let text = |name: &str| entry.data(name)?.as_str();
        let number = |name: &str| u64::try_from(entry.data(name)?.as_number()?).ok();
        let known = match (number("known_size"), text("known_root").map(Hash::from_base64)) {
            (Some(size), Some(Some(root))) => Some((size, root)),
            (None, None) if entry.data("known_size").is_none() => None,
            _ => return None,
        };
        let declaration = Self {
            key: text("key")?.parse().ok()?,
            because: Because::parse(text("because")?)?,
            predecessor: text("predecessor_key")?.parse().ok()?,
            carried: number("carried")?,
            root: Hash::from_base64(text("carried_root")?)?,
            known,
            lost: number("lost")?,
        };
        let (predecessor, own) = (declaration.predecessor.name(), declaration.key.name());
        // A successor is called after its predecessor, and admits at least what its own numbers say is lost.
        let named = own != predecessor && generation(own) == generation(predecessor).checked_add(1)?;
        let base = |name: &str| match generation(name) {
            1 => name.to_owned(),
            _ => name.rsplit_once(INFIX).map_or_else(String::new, |(base, _)| base.to_owned()),
        };
        let admitted = known.is_none_or(|(size, _)| size.saturating_sub(declaration.carried) <= declaration.lost);
        (named && base(own) == base(predecessor) && admitted).then_some(declaration)
    }
}
