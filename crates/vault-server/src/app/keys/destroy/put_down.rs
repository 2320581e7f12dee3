//! A destruction that a cycle puts down: agreed to with the cycle's scope, so nobody is asked about it once more.

use vault_core::ids::DestructionId;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::entries::{NOT_BEFORE, Said, enqueue, pen_of};
use super::hold;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::cycle::{Agreement, CYCLE, SCOPE};
use crate::app::keys::inventory::{Survey, written};
use crate::app::reference;
use crate::state::Vault;
use crate::store::Tx;
use crate::store::keys::{self, DestructionRow, DestructionState, Doomed};

/// What is read before the transaction.
pub(in crate::app::keys) struct Ready {
    id: DestructionId,
    what: Doomed,
    pen: StaffPen,
    survey: Survey,
}

impl Ready {
    /// For the version `kek`.
    pub(in crate::app::keys) async fn of(vault: &Vault, id: DestructionId, kek: KekRef) -> Result<Self, Failure> {
        let what = Doomed::Kek(kek);
        Ok(Self { id, what, pen: pen_of(vault, what).await?, survey: Survey::of(vault, what).await? })
    }

    /// Enters it in the caller's transaction, which holds the keys. False when one is pending already.
    ///
    /// An inventory that finds something keeps nothing from being put down: when its time comes it ends there, with an entry
    /// that says so, as one does that somebody asked for.
    pub(in crate::app::keys) async fn put_down(
        &self,
        vault: &Vault,
        tx: &mut Tx,
        (cycle, scope_sha256): (u32, String),
        agreement: &Agreement,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let state = hold(vault, tx, self.what).await?;
        if keys::pending_destruction(tx.conn(), self.what).await?.is_some()
            || keys::destruction(tx.conn(), self.id).await?.is_some()
        {
            return Ok(false);
        }
        let inventory = self.survey.count(tx, self.what, state).await?;
        let row = DestructionRow {
            id: self.id,
            what: self.what,
            state: DestructionState::Confirmed,
            requested_by: agreement.asked,
            requested_at: now,
            confirmed_by: Some(agreement.confirmed),
            confirmed_at: Some(now),
            not_before: Some(agreement.not_before),
            inventory: written(&inventory)?,
        };
        row.insert(tx.conn()).await?;
        let said = Said {
            operation: "destroy-by-cycle",
            staff: None,
            data: vec![
                (CYCLE, i64::from(cycle).into()),
                (SCOPE, scope_sha256.into()),
                (NOT_BEFORE, agreement.not_before.to_string().into()),
            ],
            slots: Vec::new(),
            reference: reference::destroy_by_cycle(self.id),
        };
        enqueue(vault, tx, &self.pen, &row, said, now).await?.settle_later(vault)?;
        Ok(true)
    }
}
