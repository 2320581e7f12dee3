//! Keys that were destroyed or compromised, on this node or another.
//!
//! What is destroyed is forgotten at once, and not opened again whatever a row holds. What is compromised is forgotten too; it
//! opens for the one job that moves what is under it, which shows the incident.

use core::sync::atomic::Ordering;
use std::collections::HashSet;
use std::sync::PoisonError;

use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::Kek;
use vault_core::keys::incident::Incident;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::KekRef;

use super::{KeyError, KeyService, Rewrapped, blocking};
use crate::store::keys;

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

    /// Lets go of every key among `compromised`: whoever wants one again is told by its row.
    pub fn forget_compromised(&self, compromised: &HashSet<KeyTag>) {
        // Before anything is forgotten: who is opening one looks at its row again.
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        for kek in self.keks.keys() {
            if compromised.contains(&kek.tag()) {
                self.keks.forget(kek);
            }
        }
    }

    /// How often keys were forgotten because of what somebody did.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Opens a compromised version for the job that moves what is under it, by the log's word. Not kept.
    async fn compromised_kek(&self, incident: &Incident) -> Result<Kek, KeyError> {
        let me = incident.kek();
        self.check_open()?;
        self.check_withdrawn(me)?;
        let row = {
            let mut conn = self.store.read().await?;
            keys::kek(conn.conn(), me).await?.ok_or(KeyError::Missing(me))?
        };
        if row.state != KeyState::Compromised {
            return Err(KeyError::State { kek: me, state: row.state });
        }
        Ok(self.custody.unwrap_kek(me, &row.wrap)?)
    }

    /// As [`rewrap_records`](Self::rewrap_records), from the version that an incident is about.
    pub async fn rewrap_compromised(
        &self,
        incident: &Incident,
        to: KekRef,
        wraps: Vec<(RecordId, Vec<u8>)>,
    ) -> Result<Vec<Rewrapped>, KeyError> {
        let (from, old, new) = (incident.kek(), self.compromised_kek(incident).await?, self.kek(to).await?);
        let rewrap = move |(record, bytes): (RecordId, Vec<u8>)| {
            (record, old.rewrap_record_key(from, (&new, to), record, &bytes))
        };
        blocking(move || Ok::<_, KeyError>(wraps.into_iter().map(rewrap).collect())).await
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
