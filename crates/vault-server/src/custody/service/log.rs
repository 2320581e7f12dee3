//! The log's signing key.

use std::sync::{Arc, PoisonError};

use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::keys::hierarchy::LogSeed;
use vault_core::time::Timestamp;

use super::{KeyError, KeyService, LogKey};
use crate::store::Tx;
use crate::store::keys::{self, LogKeyRow};

impl KeyService {
    /// Makes the signing key of the log, in the caller's transaction.
    pub async fn create_log_key(&self, tx: &mut Tx, now: Timestamp) -> Result<LogKey, KeyError> {
        let seed = LogSeed::generate();
        let signer = self.signer(&seed)?;
        let wrapped = self.custody.wrap_log_seed(&self.log_name, &seed)?;
        let row = LogKeyRow {
            name: self.log_name.clone(),
            root_epoch: wrapped.epoch,
            wrap: wrapped.bytes,
            public_key: signer.verifier().to_string(),
        };
        keys::insert_log_key(tx.conn(), &row, now).await?;
        Ok(Arc::new(signer))
    }

    fn signer(&self, seed: &LogSeed) -> Result<CheckpointSigner, KeyError> {
        CheckpointSigner::new(&self.log_name, seed).map_err(|_| KeyError::LogKey(self.log_name.clone()))
    }

    /// The log's signing key.
    pub async fn log_signer(&self) -> Result<LogKey, KeyError> {
        if let Some(key) = self.log_key.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(key));
        }
        let mut conn = self.store.read().await?;
        let wrong = || KeyError::LogKey(self.log_name.clone());
        let row = keys::log_key(conn.conn(), &self.log_name).await?.ok_or_else(wrong)?;
        let signer = self.signer(&self.custody.unwrap_log_seed(&self.log_name, &row.wrap)?)?;
        // Auditors hold the public key on record: a log signed with another would be another log.
        if signer.verifier().to_string() != row.public_key {
            return Err(wrong());
        }
        let signer = Arc::new(signer);
        *self.log_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signer));
        Ok(signer)
    }

    /// The verifier key of the log, `name+hash+base64`; can be had while the vault is sealed.
    pub async fn log_public_key(&self) -> Result<String, KeyError> {
        let mut conn = self.store.read().await?;
        let row = keys::log_key(conn.conn(), &self.log_name).await?;
        row.map(|row| row.public_key).ok_or_else(|| KeyError::LogKey(self.log_name.clone()))
    }
}
