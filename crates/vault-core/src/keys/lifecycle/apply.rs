//! A plan's steps on the planner's own data.

use super::{IllegalTransition, KeyState, KeyVersion, Operation};
use crate::time::Timestamp;

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
            let (state, activated_at, deactivated_at) = (KeyState::PreActive, None, None);
            keys.push(KeyVersion { version, state, activated_at, deactivated_at, wraps: 0, moved: 0, holds: 0 });
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
            keys[j].moved += moved;
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
