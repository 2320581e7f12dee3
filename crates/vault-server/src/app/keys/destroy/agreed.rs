//! That two persons want a key destroyed, as the log has it.
//!
//! A row of `destructions` is written by whoever writes the database: it could name another requester, or a time that has
//! passed. So nothing is destroyed without [`Agreed`], which only two entries make: those about it, or those about a cycle whose scope has its
//! version.

use vault_api::code::Code;
use vault_core::audit::entry::{EntryKind, KeyOperation, RootOperation};
use vault_core::audit::slot::SlotName;
use vault_core::ids::PersonId;
use vault_core::time::Timestamp;

use super::entries::{DESTRUCTION, EPOCH, NOT_BEFORE};
use crate::app::error::Failure;
use crate::app::keys::cycle::{self, Agreement};
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{DestructionRow, Doomed};

/// That somebody asked.
pub(super) struct Asked(PersonId);

impl Asked {
    /// Who.
    pub(super) const fn by(&self) -> PersonId {
        self.0
    }
}

/// That somebody asked and another person confirmed.
pub(super) struct Agreed {
    asked: PersonId,
    confirmed: PersonId,
    not_before: Timestamp,
    cycle: Option<u32>,
}

impl Agreed {
    /// Who asked.
    pub(super) const fn asked_by(&self) -> PersonId {
        self.asked
    }

    /// Who confirmed.
    pub(super) const fn confirmed_by(&self) -> PersonId {
        self.confirmed
    }

    /// The cycle that put it down, if one did.
    pub(super) const fn cycle(&self) -> Option<u32> {
        self.cycle
    }

    /// Not before.
    pub(super) const fn not_before(&self) -> Timestamp {
        self.not_before
    }
}

/// The request of this destruction, as the log has it.
pub(super) async fn asked(vault: &Vault, row: &DestructionRow) -> Result<Asked, Failure> {
    Ok(Asked(told(vault, row, reference::destroy_requested(row.id), "destroy-requested").await?.staff))
}

/// The agreement of two persons on this destruction, or on the cycle that put it down. Whether one of them was called off says
/// [`Undone`](super::undone::Undone).
pub(super) async fn agreed(vault: &Vault, row: &DestructionRow) -> Result<Agreed, Failure> {
    if let Some((number, agreement)) = cycle::agreement_on(vault, row).await? {
        let Agreement { asked, confirmed, not_before } = agreement;
        return Ok(Agreed { asked, confirmed, not_before, cycle: Some(number) });
    }
    let asked = asked(vault, row).await?.by();
    let confirmation = told(vault, row, reference::destroy_confirmed(row.id), "destroy-confirmed").await?;
    let (confirmed, not_before) = (confirmation.staff, confirmation.not_before.ok_or(Code::NotInLog)?);
    if asked == confirmed {
        return Err(Code::NotInLog.into());
    }
    Ok(Agreed { asked, confirmed, not_before, cycle: None })
}

/// What an entry about this very destruction says.
struct Told {
    staff: PersonId,
    not_before: Option<Timestamp>,
}

async fn told(vault: &Vault, row: &DestructionRow, reference: String, operation: &str) -> Result<Told, Failure> {
    match row.what {
        Doomed::Kek(_) => told_by::<KeyOperation>(vault, row, &reference, operation).await,
        Doomed::Epoch(_) => told_by::<RootOperation>(vault, row, &reference, operation).await,
    }
}

async fn told_by<E: EntryKind>(
    vault: &Vault,
    row: &DestructionRow,
    reference: &str,
    operation: &str,
) -> Result<Told, Failure> {
    let entry = vault.ledger()?.find_settled::<E>(reference).await?.ok_or(Code::NotInLog)?;
    let text = |name: &str| entry.data(name).and_then(|value| value.as_str().map(str::to_owned));
    let of_what = match row.what {
        Doomed::Kek(kek) => entry.collection() == Some(kek.collection) && entry.kek_version() == Some(kek.version),
        Doomed::Epoch(epoch) => entry.data(EPOCH).and_then(|value| value.as_number()) == Some(i64::from(epoch)),
    };
    if !of_what || text("operation").as_deref() != Some(operation) || text(DESTRUCTION) != Some(row.id.to_string()) {
        return Err(Code::NotInLog.into());
    }
    let staff = entry.slot(SlotName::Staff).and_then(|text| text.parse().ok()).ok_or(Code::NotInLog)?;
    Ok(Told { staff, not_before: text(NOT_BEFORE).and_then(|text| Timestamp::parse(&text).ok()) })
}
