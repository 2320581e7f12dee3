//! The entries of a destruction: `key.operation` for a version of a collection's key, `root.operation` for a root epoch.

use vault_core::audit::entry::{EntryKind, KeyOperation, RootOperation, Value};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::time::Timestamp;

use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::inventory::hash;
use crate::app::ledger::{LedgerError, Ticket};
use crate::state::Vault;
use crate::store::Tx;
use crate::store::keys::{DestructionRow, Doomed};

/// Where an entry names the destruction.
pub(super) const DESTRUCTION: &str = "destruction";
/// The operation of an entry that ends one.
pub(super) const CANCELLED: &str = "destroy-cancelled";
/// Where the confirmation says from when on it may be done.
pub(super) const NOT_BEFORE: &str = "not_before";
/// Where an entry names a root epoch.
pub(super) const EPOCH: &str = "epoch";

/// The pen for entries about what is to be destroyed.
pub(super) async fn pen_of(vault: &Vault, what: Doomed) -> Result<StaffPen, Failure> {
    match what {
        Doomed::Kek(kek) if kek.collection != CollectionId::VAULT => StaffPen::of(vault, Some(kek.collection)).await,
        Doomed::Kek(_) | Doomed::Epoch(_) => StaffPen::of(vault, None).await,
    }
}

/// What an entry says, beside which destruction it is about.
pub(super) struct Said {
    pub(super) operation: &'static str,
    pub(super) staff: Option<PersonId>,
    pub(super) data: Vec<(&'static str, Value<'static>)>,
    pub(super) slots: Vec<(SlotName, String)>,
    pub(super) reference: String,
}

/// An entry that is committed with the act.
pub(super) enum Waiting {
    Key(Ticket<KeyOperation>),
    Root(Ticket<RootOperation>),
}

impl Waiting {
    /// Waits until it is in the log.
    pub(super) async fn settle(self, vault: &Vault) -> Result<(), Failure> {
        let settled: Result<(), LedgerError> = match self {
            Self::Key(ticket) => vault.ledger()?.settle(ticket).await.map(drop),
            Self::Root(ticket) => vault.ledger()?.settle(ticket).await.map(drop),
        };
        Ok(settled?)
    }

    /// Lets it be sequenced without waiting for it.
    pub(super) fn settle_later(self, vault: &Vault) -> Result<(), Failure> {
        match self {
            Self::Key(ticket) => vault.ledger()?.settle_later(ticket),
            Self::Root(ticket) => vault.ledger()?.settle_later(ticket),
        }
        Ok(())
    }
}

/// Leaves the entry in the caller's transaction.
pub(super) async fn enqueue(
    vault: &Vault,
    tx: &mut Tx,
    pen: &StaffPen,
    row: &DestructionRow,
    said: Said,
    now: Timestamp,
) -> Result<Waiting, Failure> {
    Ok(match row.what {
        Doomed::Kek(_) => Waiting::Key(put(vault, tx, pen, row, said, now).await?),
        Doomed::Epoch(_) => Waiting::Root(put(vault, tx, pen, row, said, now).await?),
    })
}

async fn put<E: EntryKind>(
    vault: &Vault,
    tx: &mut Tx,
    pen: &StaffPen,
    row: &DestructionRow,
    said: Said,
    now: Timestamp,
) -> Result<Ticket<E>, Failure> {
    let mut draft = pen
        .draft::<E>(now, said.staff)
        .data("operation", said.operation)
        .data(DESTRUCTION, row.id.to_string())
        .data("inventory_sha256", hash(&row.inventory));
    draft = match row.what {
        Doomed::Kek(kek) => draft.kek_version(kek.version),
        Doomed::Epoch(epoch) => draft.data(EPOCH, i64::from(epoch)),
    };
    for (name, value) in said.data {
        draft = draft.data(name, value);
    }
    for (slot, value) in said.slots {
        draft = draft.slot(slot, value, OpeningUnder::Staff);
    }
    Ok(vault.ledger()?.enqueue(tx, pen.prepare(draft)?, Some(said.reference)).await?)
}
