//! The log's signing key.

use std::sync::{Arc, PoisonError};

use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::succession;
use vault_core::keys::hierarchy::LogSeed;
use vault_core::time::Timestamp;

use super::{KeyError, KeyService, LogKey};
use crate::store::keys::{self, LogKeyRow};
use crate::store::{Conn, Tx};

impl KeyService {
    /// Makes the signing key of the log, in the caller's transaction.
    pub async fn create_log_key(&self, tx: &mut Tx, now: Timestamp) -> Result<LogKey, KeyError> {
        self.make_log_key(tx, &self.log_name, now).await
    }

    /// Ends the signing key in force and makes its successor's, in the caller's transaction. The former seed's wrap is gone with
    /// it; memory lets go of it when the process ends.
    pub async fn succeed_log_key(&self, tx: &mut Tx, now: Timestamp) -> Result<LogKey, KeyError> {
        let row = self.log_key_row(tx.conn()).await?;
        if !keys::end_log_key(tx.conn(), &row.name).await? {
            return Err(self.no_log_key());
        }
        let next = succession::generation(&row.name).saturating_add(1);
        self.make_log_key(tx, &succession::origin(&self.log_name, next), now).await
    }

    async fn make_log_key(&self, tx: &mut Tx, name: &str, now: Timestamp) -> Result<LogKey, KeyError> {
        let seed = LogSeed::generate();
        let signer = signer(name, &seed)?;
        let wrapped = self.custody.wrap_log_seed(name, &seed)?;
        let row = LogKeyRow {
            name: name.to_owned(),
            root_epoch: wrapped.epoch,
            wrap: wrapped.bytes,
            public_key: signer.verifier().to_string(),
            created_at: now,
        };
        keys::insert_log_key(tx.conn(), &row).await?;
        Ok(Arc::new(signer))
    }

    fn no_log_key(&self) -> KeyError {
        KeyError::LogKey(self.log_name.clone())
    }

    async fn log_key_row(&self, conn: &mut Conn) -> Result<LogKeyRow, KeyError> {
        keys::log_key(conn, &self.log_name).await?.ok_or_else(|| self.no_log_key())
    }

    /// The log's signing key.
    pub async fn log_signer(&self) -> Result<LogKey, KeyError> {
        if let Some(key) = self.log_key.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(key));
        }
        let mut conn = self.store.read().await?;
        let row = self.log_key_row(conn.conn()).await?;
        let signer = signer(&row.name, &self.custody.unwrap_log_seed(&row.name, &row.wrap)?)?;
        // Auditors hold the public key on record: a log signed with another would be another log.
        if signer.verifier().to_string() != row.public_key {
            return Err(self.no_log_key());
        }
        let signer = Arc::new(signer);
        *self.log_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signer));
        Ok(signer)
    }

    /// The name of the log's key in force, and since when it signs.
    pub async fn log_key_since(&self) -> Result<(String, Timestamp), KeyError> {
        let mut conn = self.store.read().await?;
        let row = self.log_key_row(conn.conn()).await?;
        Ok((row.name, row.created_at))
    }

    /// The verifier key of the log, `name+hash+base64`; can be had while the vault is sealed.
    pub async fn log_public_key(&self) -> Result<String, KeyError> {
        let mut conn = self.store.read().await?;
        Ok(self.log_key_row(conn.conn()).await?.public_key)
    }
}

fn signer(name: &str, seed: &LogSeed) -> Result<CheckpointSigner, KeyError> {
    CheckpointSigner::new(name, seed).map_err(|_| KeyError::LogKey(name.to_owned()))
}
