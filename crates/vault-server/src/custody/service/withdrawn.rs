//! Keys that were destroyed, on this node or another: forgotten at once, and not opened again whatever a row holds.

use std::collections::HashSet;
use std::sync::PoisonError;

use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::KekRef;

use super::{KeyError, KeyService};

impl KeyService {
    /// Lets go of every key among `destroyed`, for as long as this node runs. A use that has just begun ends.
    pub fn withdraw(&self, destroyed: &HashSet<KeyTag>) {
        self.withdrawn.write().unwrap_or_else(PoisonError::into_inner).extend(destroyed);
        for kek in self.keks.keys() {
            if destroyed.contains(&kek.tag()) {
                self.keks.forget(kek);
            }
        }
    }

    /// Refuses a version that was destroyed. Asked before it is opened, and after it was put into memory: whoever opened
    /// it in the moment of its destruction must not leave it there.
    pub(super) fn check_withdrawn(&self, me: KekRef) -> Result<(), KeyError> {
        let withdrawn = self.withdrawn.read().unwrap_or_else(PoisonError::into_inner);
        if withdrawn.is_empty() || !withdrawn.contains(&me.tag()) {
            return Ok(());
        }
        drop(withdrawn);
        self.keks.forget(me);
        Err(KeyError::State { kek: me, state: KeyState::Destroyed })
    }
}
