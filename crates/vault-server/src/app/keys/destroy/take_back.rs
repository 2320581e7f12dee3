//! Taking back many destructions at once: those that a cycle put down, when it is cancelled.

use std::collections::{BTreeSet, HashMap};

use vault_api::code::Code;
use vault_core::ids::{CollectionId, DestructionId, PersonId};
use vault_core::time::Timestamp;

use super::entries::{Said, enqueue, pen_of};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{self, Doomed};
use crate::store::{Conn, Tx};

/// The pens for the entries of what is to be taken back: they are made ready before the transaction.
pub(in crate::app::keys) struct Pens {
    ids: BTreeSet<DestructionId>,
    pens: HashMap<CollectionId, StaffPen>,
}

impl Pens {
    /// For those of `ids` that are pending.
    pub(in crate::app::keys) async fn of(vault: &Vault, ids: BTreeSet<DestructionId>) -> Result<Self, Failure> {
        let pending = {
            let mut reader = vault.store.read().await?;
            pending(reader.conn(), &ids).await?
        };
        let mut pens = HashMap::new();
        for (_, what) in pending {
            if !pens.contains_key(&what.collection()) {
                pens.insert(what.collection(), pen_of(vault, what).await?);
            }
        }
        Ok(Self { ids, pens })
    }

    /// Ends them in the caller's transaction, which holds the keys.
    pub(in crate::app::keys) async fn take_back(
        &self,
        vault: &Vault,
        tx: &mut Tx,
        staff: PersonId,
        now: Timestamp,
    ) -> Result<(), Failure> {
        for (id, what) in pending(tx.conn(), &self.ids).await? {
            let put_down = || Failure::new(Code::Conflict).detail("another one was put down a moment ago; try again");
            let pen = self.pens.get(&what.collection()).ok_or_else(put_down)?;
            let Some(row) = keys::destruction(tx.conn(), id).await? else { continue };
            if !keys::cancel_destruction(tx.conn(), id, now).await? {
                continue;
            }
            let said = Said {
                operation: "destroy-cancelled",
                staff: Some(staff),
                data: vec![("because", "cycle-cancelled".into())],
                slots: Vec::new(),
                reference: reference::destroy_cancelled(id),
            };
            enqueue(vault, tx, pen, &row, said, now).await?.settle_later(vault)?;
        }
        Ok(())
    }
}

async fn pending(conn: &mut Conn, ids: &BTreeSet<DestructionId>) -> Result<Vec<(DestructionId, Doomed)>, Failure> {
    let all = keys::all_pending_destructions(conn).await?;
    Ok(all.into_iter().map(|row| (row.id, row.what)).filter(|(id, _)| ids.contains(id)).collect())
}
