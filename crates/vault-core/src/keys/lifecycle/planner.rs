//! The planner: what is to be done with a set of versions, in order, with reasons.

use super::{IllegalTransition, KeyState, KeyVersion, Policy};
use crate::time::Timestamp;

/// What somebody asks of the planner, beyond what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Only what is due.
    Upkeep,
    /// A key officer wants a fresh version now.
    Rotate,
    /// The rows came back from a backup, and the log knows of versions made since: nothing is wrapped under an old one again.
    Restored,
    /// A cycle gives every collection a fresh version, so that those there were can be destroyed.
    Cycle,
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
    /// The rows came back from a backup that is older than the log.
    Restored,
    /// The cycle that makes erasures final.
    Cycle,
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
            Self::Restored => "restored",
            Self::Cycle => "cycle",
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
        Demand::Upkeep | Demand::Rotate | Demand::Restored | Demand::Cycle => None,
    };

    let fresh_because = match active {
        None => Some(Reason::NoActiveKey),
        Some(a) if compromised == Some(a.version) => Some(Reason::Compromised),
        Some(_) if demand == Demand::Rotate => Some(Reason::Requested),
        Some(_) if demand == Demand::Restored => Some(Reason::Restored),
        Some(_) if demand == Demand::Cycle => Some(Reason::Cycle),
        Some(a) if a.activated_at.is_none_or(|at| now.since(at) >= policy.cryptoperiod) => {
            Some(Reason::CryptoperiodOver)
        }
        Some(a) if a.fresh() >= policy.soft_ceiling => Some(Reason::SoftCeiling),
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
