//! The cycle that makes erasures final: what is to be done next, and in which order (`docs/keys.md` §8).
//!
//! A cycle has a [`Scope`], frozen when it begins: every version of every collection's key that is alive then, and the highest
//! root epoch there is. [`next`] looks at what has become of them and says what comes now:
//!
//! ```text
//! versions    each collection gets a fresh version, what the old ones hold moves, and the old ones are destroyed once two
//!             officers have agreed on this scope and nothing needs them
//! root        only when all of them are gone: a fresh epoch, that has never wrapped any of them
//! epochs      those that have are destroyed, on the word of two officers that no copy is left
//! done        every erasure from before the cycle is final, as far as key versions and epochs go
//! ```
//!
//! The order is what counts: a version that is alive when an epoch begins is wrapped by it, and then that epoch has to go too. So
//! the root is rotated with [`VersionsGone`], which only this function makes. It keeps no state of its own: after a crash, or
//! on another node, the same keys give the same answer, and an epoch that somebody began by hand meanwhile is one more to go.

mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use scope::{InvalidScope, Scope};
use sha2::{Digest as _, Sha256};

use super::lifecycle::KeyState;
use super::wrap::KekRef;
use crate::ids::{CollectionId, DestructionId};

/// A version of a collection's key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNow {
    /// Its number.
    pub version: u32,
    /// Its state.
    pub state: KeyState,
    /// The highest root epoch that ever wrapped it: the one that does, or did when it was destroyed.
    pub root_epoch: u32,
    /// Whether it wraps anything.
    pub holds: bool,
    /// What became of the wish to destroy it.
    pub destruction: Destruction,
}

/// What became of the wish to destroy a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destruction {
    /// Nobody has put it down yet.
    None,
    /// It waits for its confirmation or its time.
    Pending,
    /// This cycle put it down, and it ended without destroying: cancelled, or something came to need the version.
    Ended,
}

/// Whether record keys are being moved in a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// No.
    No,
    /// Yes.
    Running,
    /// They were, until somebody paused it.
    Paused,
}

/// A collection's keys as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionNow {
    /// Its versions, in any order.
    pub versions: Vec<VersionNow>,
    /// Whether record keys are being moved.
    pub moving: Moving,
}

/// Everything a cycle depends on, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The collections.
    pub collections: BTreeMap<CollectionId, CollectionNow>,
    /// The root epochs with their states.
    pub epochs: BTreeMap<u32, KeyState>,
    /// Whether two officers have agreed on the scope, by the log's word.
    pub agreed: bool,
}

/// Something that can be done now. Steps do not depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give the collection a fresh version: the active one is in the scope.
    Rotate(CollectionId),
    /// Put the destruction of a version down that holds nothing: it is in the scope that was agreed on.
    Destroy(KekRef),
}

/// Something that a cycle waits for, and nothing it could do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Record keys are being moved.
    Moving(CollectionId),
    /// Somebody has paused the moving.
    Paused(CollectionId),
    /// Rows of a collection were edited or lost, so that nobody can say what comes next for it. The others go on.
    Trouble(CollectionId, Trouble),
    /// Two officers have not agreed.
    Agreement,
    /// A version's destruction cools off, or waits for the confirmation that somebody asked for by itself.
    Pending(KekRef),
    /// Something is under a version although everything that opens was moved: damaged wraps.
    Needed(KekRef),
    /// A version's destruction ended: cancelled, or something came to need it. Officers destroy it by itself, or begin
    /// another cycle.
    Ended(KekRef),
}

/// That every version in a scope is destroyed: only then is the root rotated.
#[derive(Debug, PartialEq, Eq)]
pub struct VersionsGone {
    reached: u32,
}

impl VersionsGone {
    /// The highest root epoch that ever wrapped one of them. Epochs up to it have to go.
    #[must_use]
    pub const fn reached(&self) -> u32 {
        self.reached
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Versions of the scope are alive.
    Versions {
        /// What can be done now.
        steps: Vec<Step>,
        /// What has to be waited for.
        waits: Vec<Wait>,
    },
    /// A fresh root epoch.
    Root(VersionsGone),
    /// These epochs wrapped versions of the scope, and are to be destroyed by two officers.
    Epochs(Vec<u32>),
    /// Nothing: it has come to its end.
    Done,
}

/// What is wrong with a collection's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A version of the scope is nowhere.
    #[error("version {0}, which the cycle is about, is nowhere")]
    Missing(u32),
    /// There is no active version, or there are two.
    #[error("it has not exactly one active version")]
    NotOneActive,
}

/// Why nothing can be said: rows were edited or lost, and nobody destroys on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CycleError {
    /// There is no current root epoch, or two.
    #[error("there is not exactly one current root epoch")]
    NotOneEpoch,
    /// A version claims to have been wrapped by an epoch that never was.
    #[error("a version names root epoch {0}, which never was")]
    NoSuchEpoch(u32),
}

/// The destruction that the cycle of this number puts down for a version: one, and the same for whoever asks. So a row that
/// claims to be of a cycle can be told from one that is, and what officers have cancelled of it stays cancelled.
#[must_use]
pub fn destruction(cycle: u32, kek: KekRef) -> DestructionId {
    let mut hash = Sha256::new();
    hash.update(b"feedback-vault/cycle/destruction/v1\0");
    hash.update(cycle.to_be_bytes());
    hash.update(kek.collection.as_bytes());
    hash.update(kek.version.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    // RFC 9562 §5.8: a UUID of version 8 says that its bits have a meaning of somebody's own.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    DestructionId::from_bytes(bytes)
}

/// What comes next in a cycle over `scope`.
pub fn next(scope: &Scope, world: &World) -> Result<Next, CycleError> {
    let (mut steps, mut waits, mut standing) = (Vec::new(), Vec::new(), false);
    let mut reached = scope.root_epoch();
    for (collection, versions) in scope.collections() {
        match of_collection(collection, versions, world, &mut steps, &mut waits) {
            Ok(Some(last)) => reached = reached.max(last),
            Ok(None) => standing = true,
            Err(trouble) => {
                standing = true;
                waits.push(Wait::Trouble(collection, trouble));
            }
        }
    }
    if standing {
        if !world.agreed {
            waits.push(Wait::Agreement);
        }
        return Ok(Next::Versions { steps, waits });
    }
    let mut current = world.epochs.iter().filter(|(_, state)| **state == KeyState::Active).map(|(epoch, _)| *epoch);
    let (Some(current), None) = (current.next(), current.next()) else { return Err(CycleError::NotOneEpoch) };
    // No row makes epochs without end.
    if world.epochs.keys().all(|epoch| *epoch < reached) {
        return Err(CycleError::NoSuchEpoch(reached));
    }
    if current <= reached {
        return Ok(Next::Root(VersionsGone { reached }));
    }
    let left = world.epochs.range(..=reached).filter(|(_, state)| **state != KeyState::Destroyed);
    let left: Vec<u32> = left.map(|(epoch, _)| *epoch).collect();
    Ok(if left.is_empty() { Next::Done } else { Next::Epochs(left) })
}

/// What comes next in one collection; the highest epoch that ever wrapped one of its versions, once all of them are gone.
fn of_collection(
    collection: CollectionId,
    versions: &BTreeSet<u32>,
    world: &World,
    steps: &mut Vec<Step>,
    waits: &mut Vec<Wait>,
) -> Result<Option<u32>, Trouble> {
    let Some(newest) = versions.last().copied() else { return Ok(Some(0)) };
    let now = world.collections.get(&collection).ok_or(Trouble::Missing(newest))?;
    let (mut alive, mut reached) = (Vec::new(), 0);
    for version in versions {
        let one = now.versions.iter().find(|one| one.version == *version).ok_or(Trouble::Missing(*version))?;
        reached = reached.max(one.root_epoch);
        if one.state != KeyState::Destroyed {
            alive.push(one);
        }
    }
    if alive.is_empty() {
        return Ok(Some(reached));
    }
    match (active(now)? <= newest, now.moving) {
        // A rotation that was under way when the cycle began moves to a version in the scope: the next one follows.
        (_, Moving::Running) => waits.push(Wait::Moving(collection)),
        (_, Moving::Paused) => waits.push(Wait::Paused(collection)),
        (true, Moving::No) => steps.push(Step::Rotate(collection)),
        (false, Moving::No) => {
            for one in alive {
                let kek = KekRef { collection, version: one.version };
                match (one.holds || one.state == KeyState::PreActive, one.destruction) {
                    (true, _) => waits.push(Wait::Needed(kek)),
                    (false, Destruction::Pending) => waits.push(Wait::Pending(kek)),
                    (false, Destruction::Ended) => waits.push(Wait::Ended(kek)),
                    (false, Destruction::None) if world.agreed => steps.push(Step::Destroy(kek)),
                    (false, Destruction::None) => {}
                }
            }
        }
    }
    Ok(None)
}

fn active(now: &CollectionNow) -> Result<u32, Trouble> {
    let mut active = now.versions.iter().filter(|one| one.state == KeyState::Active);
    match (active.next(), active.next()) {
        (Some(one), None) => Ok(one.version),
        _ => Err(Trouble::NotOneActive),
    }
}
