//! Root epochs: making one current, and moving what others wrap under it.

use std::sync::Arc;

use vault_core::keys::keyring::{EpochError, EpochInfo};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::RootRef;
use vault_core::time::Timestamp;

use super::{KeyError, KeyService, blocking};
use crate::custody::{CustodyError, Worth};
use crate::store::{Hold, Tx, keys};

impl KeyService {
    /// The root epochs, oldest first.
    pub fn epochs(&self) -> Result<Vec<EpochInfo>, KeyError> {
        Ok(self.custody.epochs()?)
    }

    /// Makes a fresh root epoch the current one, then moves every key under it. The keyring is stored first: a crash in
    /// between leaves wraps under an epoch that the keyring still has.
    pub async fn rotate_root(&self, now: Timestamp) -> Result<u32, KeyError> {
        let custody = Arc::clone(&self.custody);
        blocking(move || custody.begin_epoch(now)).await
    }

    /// An epoch of this vault's root, by its full name.
    pub fn root_ref(&self, epoch: u32) -> Result<RootRef, KeyError> {
        Ok(RootRef { keyring: self.custody.id()?, epoch })
    }

    /// What the destruction of an epoch is worth in this custody.
    #[must_use]
    pub fn worth(&self) -> Worth {
        self.custody.worth()
    }

    /// Destroys a former epoch that nothing needs; one that is destroyed is destroyed.
    pub async fn destroy_epoch(&self, epoch: u32) -> Result<(), KeyError> {
        let custody = Arc::clone(&self.custody);
        match blocking(move || custody.destroy(epoch)).await {
            Err(KeyError::Custody(CustodyError::Epoch(EpochError::Destroyed(_)))) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Moves what other epochs wrap to the current one, in the caller's transaction; answers how many keys it moved.
    pub async fn move_to_current_epoch(&self, tx: &mut Tx) -> Result<u64, KeyError> {
        tx.hold(Hold::Keys).await?;
        let mut moved = 0;
        for epoch in self.custody.epochs()? {
            keys::put_epoch(tx.conn(), epoch.epoch, epoch.state, epoch.created_at).await?;
            if epoch.state != KeyState::Deactivated {
                continue;
            }
            for (me, bytes) in keys::keks_under(tx.conn(), epoch.epoch).await? {
                let wrapped = self.custody.wrap_kek(me, &self.custody.unwrap_kek(me, &bytes)?)?;
                keys::move_kek(tx.conn(), me, wrapped.epoch, &wrapped.bytes).await?;
                moved += 1;
            }
            for row in keys::log_keys_under(tx.conn(), epoch.epoch).await? {
                let seed = self.custody.unwrap_log_seed(&row.name, &row.wrap)?;
                let wrapped = self.custody.wrap_log_seed(&row.name, &seed)?;
                keys::move_log_key(tx.conn(), &row.name, wrapped.epoch, &wrapped.bytes).await?;
                moved += 1;
            }
        }
        Ok(moved)
    }
}
