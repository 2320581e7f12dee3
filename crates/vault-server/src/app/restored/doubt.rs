//! What the log says was taken away after the backup, and the journal has not: nobody knows of what.
//!
//! A restriction is committed, then journalled, and its entry is published; a database that was lost in between leaves an entry whose
//! openings went with it, and no act in the journal. What it may be about stays restricted: the collection that the entry names in the clear is
//! suspended, until somebody has looked and opens it again. So is one whose last state the log knows, and the rows do not.

use std::collections::{BTreeMap, BTreeSet};

use vault_core::audit::entry::{CollectionStateChanged, Kind, Prepared};
use vault_core::ids::CollectionId;
use vault_core::time::Timestamp;

use crate::app::backup::restore::Facts;
use crate::app::collections::{CollectionRow, CollectionState};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::ledger::restricts;
use crate::app::restrict::{Imposed, Refusal, Restriction, Subject};
use crate::state::Vault;
use crate::store::Tx;
use crate::store::restores::{self, RestoreRow};

/// What is in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Collections that are to be suspended.
    pub(super) collections: BTreeSet<CollectionId>,
    /// Revocations of roles and tokens, and persons that were disabled: of the whole vault, and not known of whom.
    pub(super) rights: u64,
}

impl Doubts {
    /// Holds the entries behind the backup's end against what the journal brought.
    pub(super) async fn of(vault: &Vault, row: &RestoreRow, facts: &Facts) -> Result<Self, Failure> {
        // By kind of restriction: how many entries, and what collections they name.
        let mut told: BTreeMap<&'static str, (u64, BTreeSet<CollectionId>, u64)> = BTreeMap::new();
        let mut states: BTreeMap<CollectionId, bool> = BTreeMap::new();
        let ledger = vault.ledger()?;
        ledger
            .read_through(|index, entry| {
                if index < row.log_size {
                    return;
                }
                if let Some(kind) = restricts(entry.kind()) {
                    let (count, collections, elsewhere) = told.entry(kind.name()).or_default();
                    *count += 1;
                    match entry.collection() {
                        Some(collection) => drop(collections.insert(collection)),
                        None => *elsewhere += 1,
                    }
                }
                if let (Kind::CollectionStateChanged, Some(collection)) = (entry.kind(), entry.collection()) {
                    let to = entry.data("to").and_then(|value| value.as_str());
                    let stopped = [CollectionState::Suspended.name(), CollectionState::Closed.name()];
                    states.insert(collection, to.is_some_and(|to| stopped.contains(&to)));
                }
            })
            .await?;
        let (journalled, there) = {
            let mut reader = vault.store.read().await?;
            let journalled = restores::imposed_since(reader.conn(), facts.restrictions).await?;
            (journalled, restores::collections_with_keys(reader.conn()).await?)
        };
        let mut doubts = Self::default();
        for (kind, (count, collections, elsewhere)) in told {
            let of_kind = journalled.iter().find(|(one, _)| one.name() == kind).map_or(0, |(_, count)| *count);
            let known = of_kind.saturating_add(facts.taken_waited.get(kind).copied().unwrap_or(0));
            if count > known {
                tracing::error!(kind, told = count, known, "the log takes away what the journal does not name");
                doubts.collections.extend(collections);
                doubts.rights += elsewhere.min(count - known);
            }
        }
        doubts.collections.extend(states.into_iter().filter(|(_, stopped)| *stopped).map(|(collection, _)| collection));
        doubts.collections.retain(|collection| {
            let stands = vault.restrictions.check(&Subject::new().collection(*collection));
            there.contains(collection) && !matches!(stands, Err(Refusal::Restricted(_)))
        });
        Ok(doubts)
    }

    /// The entry of each suspension, made ready before the transaction.
    pub(super) async fn entries(
        &self,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Vec<Prepared<CollectionStateChanged>>, Failure> {
        let mut entries = Vec::new();
        for collection in &self.collections {
            let (pen, named) = match StaffPen::of(vault, Some(*collection)).await {
                Ok(pen) => (pen, true),
                // Its own keys may be gone.
                Err(_) => (StaffPen::of(vault, None).await?, false),
            };
            let mut draft = pen.draft::<CollectionStateChanged>(now, None);
            if !named {
                draft = draft.collection(*collection);
            }
            let draft = draft.data("to", CollectionState::Suspended.name()).data("because", "restored");
            entries.push(pen.prepare(draft)?);
        }
        Ok(entries)
    }

    /// Suspends them in the caller's transaction, whose last lock it takes.
    pub(super) async fn suspend(&self, vault: &Vault, tx: &mut Tx, now: Timestamp) -> Result<Imposed, Failure> {
        let mut imposed = Imposed::default();
        for collection in &self.collections {
            CollectionRow::suspend(tx.conn(), *collection).await?;
            let suspended = Restriction::collection_suspended(*collection);
            imposed = imposed.and(vault.restrictions.impose(tx, suspended, now).await?);
        }
        Ok(imposed)
    }
}
