//! The collection's own keys under its KEK: staff audit key and subject key.

use std::sync::Arc;

use vault_core::ids::CollectionId;
use vault_core::keys::hierarchy::{Kek, StaffAuditKey, SubjectKey};
use vault_core::keys::wrap::{ChildKind, KekRef};

use super::{KeyError, KeyService, does_not_open};
use crate::store::{Tx, keys};

impl KeyService {
    /// The key of the openings that name staff in this collection's entries.
    pub async fn staff_audit_key(&self, collection: CollectionId) -> Result<Arc<StaffAuditKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.staff.get(collection) {
            return Ok(key);
        }
        let (me, kek, bytes) = self.child(collection, ChildKind::StaffAudit).await?;
        let key = kek.unwrap_staff_audit_key(me, &bytes).map_err(does_not_open("a staff audit key"))?;
        Ok(self.staff.keep(collection, key))
    }

    /// The key that makes this collection's pseudonyms.
    pub async fn subject_key(&self, collection: CollectionId) -> Result<Arc<SubjectKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.subjects.get(collection) {
            return Ok(key);
        }
        let (me, kek, bytes) = self.child(collection, ChildKind::Subject).await?;
        let key = kek.unwrap_subject_key(me, &bytes).map_err(does_not_open("a subject key"))?;
        Ok(self.subjects.keep(collection, key))
    }

    async fn child(&self, collection: CollectionId, kind: ChildKind) -> Result<(KekRef, Arc<Kek>, Vec<u8>), KeyError> {
        let found = {
            let mut conn = self.store.read().await?;
            keys::child(conn.conn(), collection, kind).await?
        };
        let (version, bytes) = found.ok_or(KeyError::Missing(KekRef { collection, version: 0 }))?;
        let me = KekRef { collection, version };
        Ok((me, self.kek(me).await?, bytes))
    }

    /// Moves the collection's own keys to `to`, which the caller's transaction has made active, and counts the uses.
    ///
    /// `to` may have been made in this transaction: should it be rolled back, its number will be another key's, so
    /// nothing of it is kept here.
    pub async fn move_children(&self, tx: &mut Tx, to: KekRef) -> Result<(), KeyError> {
        self.check_open()?;
        let row = keys::kek(tx.conn(), to).await?.ok_or(KeyError::Missing(to))?;
        let new = self.custody.unwrap_kek(to, &row.wrap)?;
        let mut moved = 0;
        for kind in ChildKind::ALL {
            let Some((version, bytes)) = keys::child(tx.conn(), to.collection, kind).await? else { continue };
            let from = KekRef { version, ..to };
            if from == to {
                continue;
            }
            let old = match self.keks.get(from) {
                Some(kek) => kek,
                None => {
                    let row = keys::kek(tx.conn(), from).await?.ok_or(KeyError::Missing(from))?;
                    self.keks.keep(from, self.custody.unwrap_kek(from, &row.wrap)?)
                }
            };
            let bytes =
                old.rewrap_child(from, (&new, to), kind, &bytes).map_err(does_not_open("a collection's key"))?;
            keys::put_child(tx.conn(), to, kind, &bytes).await?;
            moved += 1;
        }
        if keys::count_moved(tx.conn(), to, moved).await? { Ok(()) } else { Err(KeyError::NoActiveKey(to.collection)) }
    }
}
