//! The life of a KEK version, and the pure planner that moves it on.
//!
//! States are those of NIST SP 800-57 part 1 rev. 5, section 7, without `suspended` (a collection is
//! suspended, never its key) and without the step from active straight to destroyed: a KEK always
//! has wraps to move first.
//!
//! [`plan`] works in memory and emits operations with reasons; a caller carries them out in one
//! transaction and puts the reasons into the audit log. [`apply`] is the same step on the plan's
//! own data, so that a test can follow a plan without a database.

use core::fmt;
use core::time::Duration;

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

/// What the planner knows of one KEK version.
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
    /// How many wraps under it still exist.
    pub holds: u64,
}

/// When a collection's keys are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a version stays active. SP 800-57 part 1, table 1: at most two years for wrapping keys.
    pub cryptoperiod: Duration,
    /// From this many wraps on, the planner rotates.
    pub soft_ceiling: u64,
    /// From this many wraps on, the key refuses to wrap.
    pub hard_ceiling: u64,
    /// How long an empty deactivated version is kept before it is destroyed; `None`: never by plan.
    pub retire_after: Option<Duration>,
}

impl Default for Policy {
    /// Half a year; ceilings that bound what one leaked version opens and what one rotation moves.
    /// The cipher's own bound lies far beyond (`docs/format.md` §5.1).
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            cryptoperiod: Duration::from_secs(180 * DAY),
            soft_ceiling: 4_000_000,
            hard_ceiling: 8_000_000,
            retire_after: None,
        }
    }
}

/// What somebody asks of the planner, beyond what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Only what is due.
    Upkeep,
    /// A key officer wants a fresh version now.
    Rotate,
    /// A version is known or feared to be compromised.
    Compromised(u32),
}

/// One thing to do. Operations are to be carried out in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make a version, pre-active.
    Create(u32),
    /// Let it wrap.
    Activate(u32),
    /// Let it only unwrap.
    Deactivate(u32),
    /// Mark it compromised.
    MarkCompromised(u32),
    /// Move every wrap to another version.
    Rewrap {
        /// From this one
        from: u32,
        /// to this one.
        to: u32,
    },
    /// Destroy an empty version.
    Destroy(u32),
}

impl Operation {
    /// The name in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Activate(_) => "activate",
            Self::Deactivate(_) => "deactivate",
            Self::MarkCompromised(_) => "mark-compromised",
            Self::Rewrap { .. } => "rewrap",
            Self::Destroy(_) => "destroy",
        }
    }

    /// The version it is about.
    #[must_use]
    pub const fn version(self) -> u32 {
        match self {
            Self::Create(v)
            | Self::Activate(v)
            | Self::Deactivate(v)
            | Self::MarkCompromised(v)
            | Self::Rewrap { from: v, .. }
            | Self::Destroy(v) => v,
        }
    }
}

/// Why; it reaches the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The collection has no active key.
    NoActiveKey,
    /// A key officer asked.
    Requested,
    /// The cryptoperiod is over.
    CryptoperiodOver,
    /// The soft ceiling of uses is reached.
    SoftCeiling,
    /// A version is compromised.
    Compromised,
    /// A newer version takes its place.
    Superseded,
    /// It still holds wraps that belong under the active version.
    HoldsWraps,
    /// Nothing is left under it, and it was kept long enough.
    EmptyLongEnough,
}

impl Reason {
    /// The name in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoActiveKey => "no-active-key",
            Self::Requested => "requested",
            Self::CryptoperiodOver => "cryptoperiod-over",
            Self::SoftCeiling => "soft-ceiling",
            Self::Compromised => "compromised",
            Self::Superseded => "superseded",
            Self::HoldsWraps => "holds-wraps",
            Self::EmptyLongEnough => "empty-long-enough",
        }
    }
}

/// An operation and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub operation: Operation,
    /// Why.
    pub reason: Reason,
}

/// Why a plan cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than one version claims to be active: the database was edited.
    #[error("versions {0} and {1} both claim to be active")]
    TwoActive(u32, u32),
    /// The demand names a version that does not exist.
    #[error("there is no key version {0}")]
    NoSuchVersion(u32),
    /// The demand is not a legal step.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Every version number is used up.
    #[error("no version number is left")]
    Exhausted,
}

/// What is to be done with a collection's `keys` at `now`, in order, with reasons.
///
/// After the last operation exactly one version is active, and it is the newest one made.
pub fn plan(now: Timestamp, keys: &[KeyVersion], policy: &Policy, demand: Demand) -> Result<Vec<Planned>, PlanError> {
    let mut out = Vec::new();
    let mut push = |operation, reason| out.push(Planned { operation, reason });

    let mut actives = keys.iter().filter(|k| k.state == KeyState::Active);
    let active = actives.next();
    if let (Some(a), Some(b)) = (active, actives.next()) {
        return Err(PlanError::TwoActive(a.version, b.version));
    }

    let compromised = match demand {
        Demand::Compromised(version) => {
            let key = keys.iter().find(|k| k.version == version).ok_or(PlanError::NoSuchVersion(version))?;
            key.state.step(KeyState::Compromised)?;
            Some(version)
        }
        Demand::Upkeep | Demand::Rotate => None,
    };

    let fresh_because = match active {
        None => Some(Reason::NoActiveKey),
        Some(a) if compromised == Some(a.version) => Some(Reason::Compromised),
        Some(_) if demand == Demand::Rotate => Some(Reason::Requested),
        Some(a) if a.activated_at.is_none_or(|at| now.since(at) >= policy.cryptoperiod) => {
            Some(Reason::CryptoperiodOver)
        }
        Some(a) if a.wraps >= policy.soft_ceiling => Some(Reason::SoftCeiling),
        Some(_) => None,
    };

    let target = if let Some(reason) = fresh_because {
        let waiting = keys.iter().filter(|k| k.state == KeyState::PreActive && compromised != Some(k.version));
        let next = match waiting.max_by_key(|k| k.version) {
            Some(key) => key.version,
            None => {
                let newest = keys.iter().map(|k| k.version).max().unwrap_or(0);
                let next = newest.checked_add(1).ok_or(PlanError::Exhausted)?;
                push(Operation::Create(next), reason);
                next
            }
        };
        if let Some(a) = active.filter(|a| compromised != Some(a.version)) {
            push(Operation::Deactivate(a.version), Reason::Superseded);
        }
        if let Some(version) = compromised {
            push(Operation::MarkCompromised(version), Reason::Compromised);
        }
        push(Operation::Activate(next), reason);
        Some(next)
    } else {
        if let Some(version) = compromised {
            push(Operation::MarkCompromised(version), Reason::Compromised);
        }
        active.map(|a| a.version)
    };

    for key in keys.iter().filter(|k| Some(k.version) != target) {
        let reason = if compromised == Some(key.version) { Reason::Compromised } else { Reason::HoldsWraps };
        if let (true, Some(to), false) = (key.holds > 0, target, key.state == KeyState::Destroyed) {
            push(Operation::Rewrap { from: key.version, to }, reason);
        }
        let due = match (policy.retire_after, key.deactivated_at) {
            (Some(wait), Some(at)) => now.since(at) >= wait,
            _ => false,
        };
        if due && key.holds == 0 && matches!(key.state, KeyState::Deactivated | KeyState::Compromised) {
            push(Operation::Destroy(key.version), Reason::EmptyLongEnough);
        }
    }
    Ok(out)
}

/// Why an operation does not fit the keys it was planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The step is not legal.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// There is no such version.
    #[error("there is no key version {0}")]
    NoSuchVersion(u32),
    /// The version exists already.
    #[error("key version {0} exists already")]
    Exists(u32),
    /// The version is still needed.
    #[error("key version {0} still holds {1} wraps")]
    StillNeeded(u32, u64),
    /// Another version is active.
    #[error("key version {0} is active already")]
    ActiveAlready(u32),
}

/// Carries one operation out on the planner's own data, refusing what breaks an invariant.
pub fn apply(keys: &mut Vec<KeyVersion>, operation: Operation, now: Timestamp) -> Result<(), ApplyError> {
    let find = |keys: &[KeyVersion], version: u32| {
        keys.iter().position(|k| k.version == version).ok_or(ApplyError::NoSuchVersion(version))
    };
    match operation {
        Operation::Create(version) => {
            if keys.iter().any(|k| k.version >= version) {
                return Err(ApplyError::Exists(version));
            }
            let state = KeyState::PreActive;
            keys.push(KeyVersion { version, state, activated_at: None, deactivated_at: None, wraps: 0, holds: 0 });
        }
        Operation::Activate(version) => {
            let i = find(keys, version)?;
            if let Some(other) = keys.iter().find(|k| k.state == KeyState::Active) {
                return Err(ApplyError::ActiveAlready(other.version));
            }
            keys[i].state = keys[i].state.step(KeyState::Active)?;
            keys[i].activated_at = Some(now);
        }
        Operation::Deactivate(version) => {
            let i = find(keys, version)?;
            keys[i].state = keys[i].state.step(KeyState::Deactivated)?;
            keys[i].deactivated_at = Some(now);
        }
        Operation::MarkCompromised(version) => {
            let i = find(keys, version)?;
            keys[i].state = keys[i].state.step(KeyState::Compromised)?;
            keys[i].deactivated_at.get_or_insert(now);
        }
        Operation::Rewrap { from, to } => {
            let (i, j) = (find(keys, from)?, find(keys, to)?);
            let moved = core::mem::take(&mut keys[i].holds);
            keys[j].holds += moved;
            keys[j].wraps += moved;
        }
        Operation::Destroy(version) => {
            let i = find(keys, version)?;
            if keys[i].holds > 0 {
                return Err(ApplyError::StillNeeded(version, keys[i].holds));
            }
            keys[i].state = keys[i].state.step(KeyState::Destroyed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
