//! Keys: what versions there are, rotating them, and proving that every wrap opens (`docs/keys.md`).
//!
//! A rotation commits at once: new version active, old one deactivated, the collection's own keys under the new one, and
//! the entries that say so, in one transaction ([`begin`]). Record keys follow in batches ([`rewrap`]), while uploads and
//! playback go on; media is not touched. The planner's reasons reach the log.
//!
//! | file | does |
//! | --- | --- |
//! | `begin` | carries a plan out, in the caller's transaction |
//! | `rotate` | a key officer rotates, or asks what that would do |
//! | `upkeep` | the vault rotates what is due |
//! | `rewrap` | moves record keys, on one node at a time |
//! | `control` | pause, resume, throttle |
//! | `cycle` | the cycle that makes erasures final |
//! | `compromise` | a version that is known or feared to be compromised |
//! | `exposure` | which records a version may expose |
//! | `inventory` | what still needs a version |
//! | `destroy` | two officers destroy a version or root epoch that nothing needs |
//! | `office` | which node works |
//! | `verify` | whether every wrap opens |
//! | `show`, `root` | what there is; root epochs |

mod begin;
mod compromise;
mod control;
mod cycle;
mod destroy;
mod exposure;
mod inventory;
mod office;
mod rewrap;
mod root;
mod rotate;
mod show;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;

pub(super) use compromise::incident;
pub use compromise::{mark_again, mark_compromised};
pub use control::{pause, resume, throttle};
pub use cycle::{
    Carrier as CycleCarrier, CycleWish, age as cycle_age, begin_cycle, begin_due as begin_due_cycle, cancel_cycle,
    carry_on as carry_cycle_on, confirm_cycle, planned_cycle, show_cycle,
};
pub use destroy::{
    again, cancel as cancel_destruction, carry_out_due, confirm as confirm_destruction, epoch as doomed_epoch,
    request as request_destruction, version as doomed_version, withdraw,
};
pub use exposure::exposed;
pub(super) use exposure::held;
pub(super) use office::Office;
pub(super) use office::TERM;
pub use rewrap::rewrap_all;
pub use root::{log_key_left, rotate_root, settle_root, show_root};
pub use rotate::{Wish, planned, rotate};
pub use show::{show, status};
pub use upkeep::{renew, upkeep};
pub use verify::verify;

use vault_core::audit::entry::{Draft, KeyOperation};
use vault_core::ids::{CollectionId, PersonId};
use vault_core::keys::lifecycle::{Operation, Planned};
use vault_core::time::Timestamp;

use super::entry::StaffPen;
use super::error::Failure;
use crate::state::Vault;

/// The pen for entries about a collection's keys, or about the vault's own.
async fn pen_of(vault: &Vault, collection: CollectionId) -> Result<StaffPen, Failure> {
    StaffPen::of(vault, (collection != CollectionId::VAULT).then_some(collection)).await
}

/// The draft of one planned operation.
fn drafted(pen: &StaffPen, now: Timestamp, staff: Option<PersonId>, planned: Planned) -> Draft<KeyOperation> {
    let draft = pen
        .draft::<KeyOperation>(now, staff)
        .kek_version(planned.operation.version())
        .data("operation", planned.operation.as_str())
        .data("because", planned.reason.as_str());
    match planned.operation {
        Operation::Rewrap { to, .. } => draft.data("to_version", i64::from(to)),
        _ => draft,
    }
}

/// Puts the making of the vault's own first key into the log, once.
pub async fn note_vault_keys(vault: &Vault) -> Result<(), Failure> {
    use vault_core::keys::lifecycle::Reason;
    let reference = format!("key:{}:1", CollectionId::VAULT);
    if vault.ledger()?.find::<KeyOperation>(&reference).await?.is_some() {
        return Ok(());
    }
    let pen = StaffPen::of(vault, None).await?;
    let planned = Planned { operation: Operation::Activate(1), reason: Reason::NoActiveKey };
    let entry = pen.prepare(drafted(&pen, vault.clock.now(), None, planned))?;
    vault.ledger()?.append(entry, Some(reference)).await?;
    Ok(())
}
