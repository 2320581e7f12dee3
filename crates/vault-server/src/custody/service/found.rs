//! Making a vault's and a collection's first keys.

use std::sync::Arc;

use vault_core::ids::CollectionId;
use vault_core::keys::hierarchy::{Kek, StaffAuditKey, SubjectKey};
use vault_core::keys::keyring::Passphrase;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::{ChildKind, KekRef};
use vault_core::time::Timestamp;

use super::{KeyError, KeyService, blocking};
use crate::store::{Hold, Tx, keys};

impl KeyService {
    /// Makes the vault that a database without one is to hold: ties the database to custody, makes the vault's own keys
    /// and the log's. Leaves the vault sealed. Answers false, and changes nothing, where there is a vault already.
    pub async fn found(&self, passphrase: Arc<Passphrase>, made_by: &str) -> Result<bool, KeyError> {
        let founded = {
            let mut conn = self.store.read().await?;
            keys::meta(conn.conn(), "vault_id").await?.is_some()
        };
        if founded {
            return Ok(false);
        }
        let custody = Arc::clone(&self.custody);
        blocking(move || custody.unseal(&passphrase)).await?;
        let outcome = self.found_under_open_custody(made_by).await;
        self.seal();
        outcome.map(|()| true)
    }

    async fn found_under_open_custody(&self, made_by: &str) -> Result<(), KeyError> {
        let found = self.custody.setting()?;
        if found != self.setting {
            return Err(KeyError::Setting { found, wanted: self.setting });
        }
        let now = self.clock.now();
        let keyring = self.custody.id()?.to_string();
        let mut tx = self.store.begin("found_vault").await?;
        for (name, value) in [("vault_id", keyring.as_str()), ("made_by", made_by), ("log_name", &self.log_name)] {
            keys::insert_meta(tx.conn(), name, value).await?;
        }
        for epoch in self.custody.epochs()? {
            keys::put_epoch(tx.conn(), epoch.epoch, epoch.state, epoch.created_at).await?;
        }
        self.create_collection(&mut tx, CollectionId::VAULT, now).await?;
        self.create_log_key(&mut tx, now).await?;
        Ok(tx.commit().await?)
    }

    /// What the vault was made by, `init` or `dev`; `None`: the database holds no vault yet.
    pub async fn made_by(&self) -> Result<Option<String>, KeyError> {
        let mut conn = self.store.read().await?;
        Ok(keys::meta(conn.conn(), "made_by").await?)
    }

    /// Makes the first KEK version of a collection (or of the vault itself) with the keys that hang under it, in the
    /// caller's transaction.
    pub async fn create_collection(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        now: Timestamp,
    ) -> Result<KekRef, KeyError> {
        let me = KekRef { collection, version: 1 };
        let kek = self.make_kek(tx, me, now).await?;
        if !keys::step_kek(tx.conn(), me, KeyState::PreActive, KeyState::Active, now).await? {
            return Err(KeyError::Missing(me));
        }
        let (staff, subject) = (StaffAuditKey::generate(), SubjectKey::generate());
        self.count(tx, collection, 2, u64::MAX).await?;
        keys::put_child(tx.conn(), me, ChildKind::StaffAudit, &kek.wrap_staff_audit_key(me, &staff)).await?;
        keys::put_child(tx.conn(), me, ChildKind::Subject, &kek.wrap_subject_key(me, &subject)).await?;
        // The entry that tells of the collection is drafted in the same transaction and needs them. Should it be
        // rolled back, they are keys of an id that nobody has.
        self.staff.keep(collection, staff);
        self.subjects.keep(collection, subject);
        Ok(me)
    }

    /// Makes a KEK version, pre-active.
    pub async fn make_kek(&self, tx: &mut Tx, me: KekRef, now: Timestamp) -> Result<Arc<Kek>, KeyError> {
        // From before the wrap: a root rotation meanwhile would not see the row, and leave it under the old epoch.
        tx.hold(Hold::Keys).await?;
        let kek = Kek::generate();
        let wrapped = self.custody.wrap_kek(me, &kek)?;
        keys::insert_kek(tx.conn(), me, wrapped.epoch, &wrapped.bytes, now).await?;
        Ok(Arc::new(kek))
    }
}
