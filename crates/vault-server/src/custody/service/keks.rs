//! KEK versions, and the record keys under them.

use std::sync::Arc;

use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::{Kek, RecordKey};
use vault_core::keys::lifecycle::Policy;
use vault_core::keys::wrap::{self, KekRef, UnwrapError};

use super::{KeyError, KeyService, blocking, does_not_open};
use crate::store::{Tx, keys};

/// A record with its wrap under another version, or why it did not open.
pub type Rewrapped = (RecordId, Result<Vec<u8>, UnwrapError>);

impl KeyService {
    /// A KEK version that may unwrap.
    pub async fn kek(&self, me: KekRef) -> Result<Arc<Kek>, KeyError> {
        self.check_open()?;
        self.check_withdrawn(me)?;
        if let Some(kek) = self.keks.get(me) {
            return Ok(kek);
        }
        let forgotten = self.forgotten();
        let row = {
            let mut conn = self.store.read().await?;
            keys::kek(conn.conn(), me).await?.ok_or(KeyError::Missing(me))?
        };
        if !row.state.may_unwrap() {
            return Err(KeyError::State { kek: me, state: row.state });
        }
        let kek = self.keks.keep(me, self.custody.unwrap_kek(me, &row.wrap)?);
        self.check_withdrawn(me)?;
        // Its state may be another by now: whoever comes next reads the row again.
        if self.forgotten() != forgotten {
            self.keks.forget(me);
        }
        Ok(kek)
    }

    /// Lets go of a KEK version whose state has changed.
    pub fn forget(&self, me: KekRef) {
        self.keks.forget(me);
    }

    /// Wraps a record key under the collection's active KEK and counts the use, in the caller's transaction: should the
    /// version be retired meanwhile, no row answers and nothing is wrapped. From the policy's soft ceiling on the job
    /// that rotates is told; at the hard one nothing is wrapped either.
    pub async fn wrap_record_key(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        policy: &Policy,
        record: RecordId,
        key: &RecordKey,
    ) -> Result<(u32, Vec<u8>), KeyError> {
        let counted = self.count(tx, collection, 1, policy.hard_ceiling).await;
        let reached = counted
            .as_ref()
            .map_or_else(|e| matches!(e, KeyError::Ceiling(_)), |(.., fresh)| *fresh >= policy.soft_ceiling);
        if reached {
            self.due.notify_one();
        }
        let (me, kek, _) = counted?;
        Ok((me.version, kek.wrap_record_key(me, record, key)))
    }

    /// Counts `uses` of the active version for new keys, in the caller's transaction; answers it, and how many it has
    /// wrapped with them. The version was committed by another transaction, so it may be kept.
    pub(super) async fn count(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        uses: u64,
        ceiling: u64,
    ) -> Result<(KekRef, Arc<Kek>, u64), KeyError> {
        self.check_open()?;
        let Some(counted) = keys::count_uses(tx.conn(), collection, uses, ceiling).await? else {
            let active = keys::active(tx.conn(), collection).await?;
            return Err(active.map_or(KeyError::NoActiveKey(collection), |_| KeyError::Ceiling(collection)));
        };
        let me = KekRef { collection, version: counted.version };
        let kek = match self.keks.get(me) {
            Some(kek) => kek,
            None => self.keks.keep(me, self.custody.unwrap_kek(me, &counted.wrap)?),
        };
        Ok((me, kek, counted.fresh))
    }

    /// Opens a record key's wrap. The row says which version made it, and the wrap says so too: a row edited by hand
    /// is an error here, before anything is decrypted.
    pub async fn unwrap_record_key(
        &self,
        collection: CollectionId,
        record: RecordId,
        kek_version: u32,
        bytes: &[u8],
    ) -> Result<RecordKey, KeyError> {
        let me = KekRef { collection, version: kek_version };
        let not_open = does_not_open("a record key");
        if wrap::names(bytes).map_err(&not_open)? != me {
            return Err(not_open(UnwrapError::NamesAnotherKey));
        }
        self.kek(me).await?.unwrap_record_key(me, record, bytes).map_err(not_open)
    }

    /// Moves record wraps from one version to another, off the async threads; each answers for itself, in the order given.
    pub async fn rewrap_records(
        &self,
        from: KekRef,
        to: KekRef,
        wraps: Vec<(RecordId, Vec<u8>)>,
    ) -> Result<Vec<Rewrapped>, KeyError> {
        let (old, new) = (self.kek(from).await?, self.kek(to).await?);
        let rewrap = move |(record, bytes): (RecordId, Vec<u8>)| {
            (record, old.rewrap_record_key(from, (&new, to), record, &bytes))
        };
        blocking(move || Ok::<_, KeyError>(wraps.into_iter().map(rewrap).collect())).await
    }
}
