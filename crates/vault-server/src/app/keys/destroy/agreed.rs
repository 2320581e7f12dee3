//! That two persons want a key destroyed, as the log has it.
//!
//! A row of `destructions` is written by whoever writes the database: it could name another requester, or a time that has
//! passed. So nothing is destroyed without [`Agreed`], which only the two entries make.

use vault_api::code::Code;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::PersonId;
use vault_core::time::Timestamp;

use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{DestructionRow, Doomed};

/// Where an entry names the destruction.
pub(super) const DESTRUCTION: &str = "destruction";
/// Where the confirmation says from when on it may be done.
pub(super) const NOT_BEFORE: &str = "not_before";

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

    /// Not before.
    pub(super) const fn not_before(&self) -> Timestamp {
        self.not_before
    }
}

/// The request of this destruction, as the log has it.
pub(super) async fn asked(vault: &Vault, row: &DestructionRow) -> Result<Asked, Failure> {
    let entry = entry(vault, row, reference::destroy_requested(row.id), "destroy-requested").await?;
    Ok(Asked(staff(&entry)?))
}

/// The agreement of two persons on this destruction. A cancellation in the log ends it, whatever the row says.
pub(super) async fn agreed(vault: &Vault, row: &DestructionRow) -> Result<Agreed, Failure> {
    let asked = asked(vault, row).await?.by();
    let entry = entry(vault, row, reference::destroy_confirmed(row.id), "destroy-confirmed").await?;
    let confirmed = staff(&entry)?;
    let not_before = entry.data(NOT_BEFORE).and_then(|value| Timestamp::parse(value.as_str()?).ok());
    let not_before = not_before.ok_or(Code::NotInLog)?;
    let cancelled = vault.ledger()?.find::<KeyOperation>(&reference::destroy_cancelled(row.id)).await?;
    if asked == confirmed || cancelled.is_some() {
        return Err(Code::NotInLog.into());
    }
    Ok(Agreed { asked, confirmed, not_before })
}

async fn entry(
    vault: &Vault,
    row: &DestructionRow,
    reference: String,
    operation: &str,
) -> Result<Recorded<KeyOperation>, Failure> {
    let Doomed::Kek(kek) = row.what else { return Err(Code::Internal.into()) };
    let entry = vault.ledger()?.find_settled::<KeyOperation>(&reference).await?.ok_or(Code::NotInLog)?;
    let says = |name: &str, text: &str| entry.data(name).and_then(|value| value.as_str()) == Some(text);
    let of_this = says("operation", operation)
        && says(DESTRUCTION, &row.id.to_string())
        && entry.collection() == Some(kek.collection)
        && entry.kek_version() == Some(kek.version);
    if of_this { Ok(entry) } else { Err(Code::NotInLog.into()) }
}

fn staff(entry: &Recorded<KeyOperation>) -> Result<PersonId, Failure> {
    Ok(entry.slot(SlotName::Staff).and_then(|text| text.parse().ok()).ok_or(Code::NotInLog)?)
}
