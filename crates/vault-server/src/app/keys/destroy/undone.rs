//! What the whole log says was called off.
//!
//! That nobody cancelled is an answer of "no such entry", and a reference can be cleared by whoever writes the database. So before
//! anything is destroyed the published log is read through against its signed root, once for all that is due.

use std::collections::HashSet;

use vault_core::audit::entry::Kind;

use super::entries::{CANCELLED, DESTRUCTION};
use crate::app::error::Failure;
use crate::app::keys::cycle::{BEGUN, CALLED_OFF, CYCLE};
use crate::state::Vault;
use crate::store::keys::DestructionRow;

/// Destructions and cycles that are not to be gone on with.
#[derive(Default)]
pub(super) struct Undone {
    destructions: HashSet<String>,
    cycles: HashSet<i64>,
    /// The newest cycle there was. Each before it has ended.
    newest: i64,
}

impl Undone {
    /// As the log has it.
    pub(super) async fn read(vault: &Vault) -> Result<Self, Failure> {
        let mut undone = Self::default();
        let ledger = vault.ledger()?;
        ledger
            .read_through(|_, entry| {
                let cycle = entry.data(CYCLE).and_then(|value| value.as_number());
                match (entry.kind(), entry.data("operation").and_then(|value| value.as_str()), cycle) {
                    (Kind::KeyOperation | Kind::RootOperation, Some(CANCELLED), _) => {
                        let id = entry.data(DESTRUCTION).and_then(|value| value.as_str());
                        undone.destructions.extend(id.map(str::to_owned));
                    }
                    (Kind::RootOperation, Some(BEGUN), Some(number)) => undone.newest = undone.newest.max(number),
                    (Kind::RootOperation, Some(operation), Some(number)) if CALLED_OFF.contains(&operation) => {
                        undone.cycles.insert(number);
                    }
                    _ => {}
                }
            })
            .await?;
        Ok(undone)
    }

    /// Whether this destruction, or the cycle that put it down, was called off.
    pub(super) fn has(&self, row: &DestructionRow, cycle: Option<u32>) -> bool {
        let ended = |number: i64| self.cycles.contains(&number) || number < self.newest;
        self.destructions.contains(&row.id.to_string()) || cycle.map(i64::from).is_some_and(ended)
    }
}
