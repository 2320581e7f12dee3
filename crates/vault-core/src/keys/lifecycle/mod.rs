//! The life of a key version, and the pure planner that moves it on.
//!
//! States are those of NIST SP 800-57 part 1 rev. 5, section 7, without `suspended` (a collection is
//! suspended, never its key) and without the step from active straight to destroyed: what a version wraps
//! has to move first. Three kinds of keys live this life: a collection's KEK, the root key in its epochs,
//! and the log's signing key. They differ in their [`Policy`], not in their steps (`docs/keys.md`).
//!
//! [`plan`] works in memory and emits operations with reasons; a caller carries them out in one
//! transaction and puts the reasons into the audit log. [`apply()`] is the same step on the plan's
//! own data, so that a test can follow a plan without a database.
//!
//! | file | holds |
//! | --- | --- |
//! | here | states, legal steps, what is known of a version |
//! | `policy` | when versions are due |
//! | `planner` | demands, operations, reasons, the plan |
//! | `apply` | the plan's steps on its own data |

mod apply;
mod planner;
mod policy;
#[cfg(test)]
mod tests;

pub use apply::{ApplyError, apply};
pub use planner::{Demand, Operation, PlanError, Planned, Reason, plan};
pub use policy::{Cycle, CycleError, Policy};

use core::fmt;

use crate::time::Timestamp;

/// The state of a key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, not yet used.
    PreActive,
    /// Wraps and unwraps. Exactly one version of an open collection.
    Active,
    /// Unwraps only.
    Deactivated,
    /// Unwraps only under an incident approval.
    Compromised,
    /// Gone.
    Destroyed,
}

/// A step that SP 800-57 (or this vault) does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key version cannot go from {from} to {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: KeyState,
    /// The state asked for.
    pub to: KeyState,
}

impl KeyState {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] = [Self::PreActive, Self::Active, Self::Deactivated, Self::Compromised, Self::Destroyed];

    /// The name in database, API and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }

    /// The state called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// May wrap a new key.
    #[must_use]
    pub const fn may_wrap(self) -> bool {
        matches!(self, Self::Active)
    }

    /// May unwrap without an incident approval.
    #[must_use]
    pub const fn may_unwrap(self) -> bool {
        matches!(self, Self::Active | Self::Deactivated)
    }

    /// `to`, when the step is legal.
    pub const fn step(self, to: Self) -> Result<Self, IllegalTransition> {
        use KeyState::{Active, Compromised, Deactivated, Destroyed, PreActive};
        match (self, to) {
            (PreActive, Active | Compromised | Destroyed)
            | (Active, Deactivated | Compromised)
            | (Deactivated, Compromised | Destroyed)
            | (Compromised, Destroyed) => Ok(to),
            (from, to) => Err(IllegalTransition { from, to }),
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the planner knows of one version: of a KEK, or an epoch of the root key, or a signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its number; the first is 1.
    pub version: u32,
    /// Its state.
    pub state: KeyState,
    /// When it became active.
    pub activated_at: Option<Timestamp>,
    /// When it stopped being active.
    pub deactivated_at: Option<Timestamp>,
    /// How many wraps it has made, ever.
    pub wraps: u64,
    /// How many of those were of keys that another version had wrapped before.
    pub moved: u64,
    /// How many wraps under it still exist.
    pub holds: u64,
}

impl KeyVersion {
    /// How many new keys it has wrapped: what the ceilings count. What a rotation moved here does not count, or a
    /// collection with more records than its ceiling could neither be rotated nor used any more.
    #[must_use]
    pub const fn fresh(&self) -> u64 {
        self.wraps.saturating_sub(self.moved)
    }
}
