//! Writing recordings again under fresh keys (`docs/keys.md` §7): what ends that a key which somebody has opens them.
//!
//! ```text
//! order     a key officer asks for it: of what a compromised version exposes, or of one record
//! work      one node at a time goes through the records, under a lease; a crash costs the record under way
//! rewrite   one recording: `record.reencrypting` is in the log before a byte is opened, then it is read and sealed under a fresh key
//! swap      one transaction puts key, object, sealed columns, texts and openings of before out, and those under the fresh key in
//! ```
//!
//! The fresh key is in memory alone until that transaction wraps it. Whatever a crash leaves is garbage that intents lead to.

mod order;
mod rewrite;
mod show;
mod swap;
#[cfg(test)]
mod tests;
mod work;

pub use order::{Asked, Wish, begin, cancel, pause, planned, resume};
pub use show::status;
pub use work::Worker;

use vault_api::code::Code;
use vault_core::audit::entry::RecordReencrypted;
use vault_core::audit::slot::SlotName;
use vault_core::ids::{ObjectId, RecordId};

use super::error::Failure;
use super::ledger::LedgerError;
use super::reference;
use crate::state::Vault;
use crate::store::records;

/// Does an act again, once, when the record was encrypted anew between the sealing of its texts and entry and its transaction.
pub async fn once_more<T, F>(act: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    match act().await {
        Err(failure) if failure.code() == Code::RecordKeyChanged => act().await,
        outcome => outcome,
    }
}

/// Whether another object has taken the place of this one, by the log's word: then its parts are gone, and that is no damage. One whose entry
/// is still on its way to the log counts too.
pub async fn replaced(vault: &Vault, record: RecordId, object: ObjectId) -> bool {
    let Ok(ledger) = vault.ledger() else { return false };
    match ledger.find_settled::<RecordReencrypted>(&reference::object_replaced(object)).await {
        Ok(Some(done)) => done.slot(SlotName::Replaced) == Some(object.to_string().as_str()),
        // Of a row that nobody published yet it is believed only where another object is there.
        Err(LedgerError::Timeout) => {
            let there = records::original(&vault.store, record).await;
            there.is_ok_and(|there| there.is_some_and(|(row, _)| row.id != object))
        }
        Ok(None) | Err(_) => false,
    }
}
