//! After a restore: what the log and the journal know is held against rows of before, and nothing is deleted until somebody has
//! looked at the outcome (`docs/backup.md` §8).
//!
//! | file | does |
//! | --- | --- |
//! | `reconcile` | when the vault is opened: keys, records, and the entry that says what was restored |
//! | `doubt` | what the log takes away and the journal does not name: what it may be about is suspended |
//! | `confirm` | a key officer says that the vault may be used like any other |

mod confirm;
mod doubt;
mod reconcile;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vault_api::code::Code;
use vault_api::restore::{BackupKnown, LostVersion, RestoreStatus};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::backup::manifest::Needs;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;

pub use confirm::confirm;
pub use reconcile::reconcile;

use super::backup::restore::Facts;
use super::callers::Caller;
use super::error::Failure;
use crate::state::Vault;
use crate::store::restores::{self, BackupRow, RestoreRow};
use crate::store::{Conn, StoreError, keys};

/// Backups that are shown; the oldest that can be restored is among all of them.
const SHOWN: usize = 100;
/// Backups read at once.
const PAGE: u32 = 200;

/// What was reconciled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    /// Entries that came back from the published log.
    replayed: u64,
    /// Recordings that the log says were taken in after the backup.
    uploads_lost: u64,
    /// Collections that the log knows and the rows do not.
    collections_lost: u64,
    /// Key versions whose number the log knows and whose key no row has.
    versions_lost: Vec<LostVersion>,
    /// Collections whose own keys are destroyed: nothing of them can be used any more.
    collections_without_keys: u64,
    /// Collections that were given a fresh version.
    renewed: u64,
    /// Versions that are compromised by the log's word.
    compromised: u64,
    /// Records whose key version is destroyed.
    records_without_key: u64,
    /// Collections that are suspended since the log takes something of theirs away that nobody can name.
    #[serde(default)]
    collections_in_doubt: u64,
    /// Roles, tokens and persons that the log takes away and nobody can name.
    #[serde(default)]
    rights_in_doubt: u64,
}

fn read<T: for<'d> Deserialize<'d>>(text: &str) -> Result<T, Failure> {
    let damaged = |e| Failure::new(Code::IntegrityFailure).because(e).detail("the row of a restore cannot be read");
    serde_json::from_str(text).map_err(damaged)
}

/// What the log says of a report: rows can be edited, and a confirmation makes destroyed versions of what it lists.
fn hash(report: &str) -> String {
    hex::encode(Sha256::digest(report))
}

fn shown(row: &RestoreRow) -> Result<RestoreStatus, Failure> {
    let facts: Facts = read(&row.facts)?;
    let report: Option<Report> = row.report.as_deref().map(read).transpose()?;
    let reconciled = report.is_some();
    let report = report.unwrap_or_default();
    Ok(RestoreStatus {
        manifest_sha256: row.manifest_sha256.clone(),
        backup_at: row.backup_at.to_string(),
        restored_at: row.restored_at.to_string(),
        log_size: row.log_size,
        reconciled,
        entries_replayed: report.replayed,
        uploads_lost: report.uploads_lost,
        collections_lost: report.collections_lost,
        collections_without_keys: report.collections_without_keys,
        versions_lost: report.versions_lost,
        collections_renewed: report.renewed,
        versions_compromised: report.compromised,
        records_without_key: report.records_without_key,
        collections_in_doubt: report.collections_in_doubt,
        rights_in_doubt: report.rights_in_doubt,
        records_without_media: facts.records_without_media,
        parts_missing: facts.parts_missing,
        confirmed_by: row.confirmed_by.map(|person| person.to_string()),
        confirmed_at: row.confirmed_at.map(|at| at.to_string()),
    })
}

/// The last restore, for a key officer.
pub async fn show(vault: &Vault, caller: &Caller) -> Result<RestoreStatus, Failure> {
    caller.permit(Action::RootRead, Place::Vault)?;
    let mut reader = vault.store.read().await?;
    shown(&restores::last(reader.conn()).await?.ok_or(Code::NotFound)?)
}

/// Whether nothing may be deleted yet, because a restore was not confirmed.
pub async fn waits(vault: &Vault) -> Result<bool, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(restores::is_unconfirmed(reader.conn()).await?)
}

/// The backups that the vault knows of, the newest first, and the oldest of them that can still be restored.
pub async fn backups(vault: &Vault) -> Result<(Vec<BackupKnown>, Option<BackupKnown>), Failure> {
    let epochs = vault.keys()?.epochs()?;
    let standing = |epoch: u32| epochs.iter().any(|e| e.epoch == epoch && e.state != KeyState::Destroyed);
    let mut reader = vault.store.read().await?;
    let (mut all, mut oldest, mut after) = (Vec::new(), None, String::new());
    loop {
        let page = restores::backups(reader.conn(), &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        for row in page {
            let known = known(reader.conn(), row, &standing).await?;
            if oldest.is_none() && known.keys_gone == 0 {
                oldest = Some(known.clone());
            }
            all.push(known);
        }
    }
    all.reverse();
    all.truncate(SHOWN);
    Ok((all, oldest))
}

async fn known(conn: &mut Conn, row: BackupRow, standing: &impl Fn(u32) -> bool) -> Result<BackupKnown, StoreError> {
    // A row that cannot be read names no key, and nobody is told that it can be restored.
    let needs: Option<Needs> = serde_json::from_str(&row.needs).ok();
    let mut gone = u64::from(needs.as_ref().is_none_or(|needs| !standing(needs.log_seed)));
    for key in needs.iter().flat_map(|needs| &needs.keys) {
        let kek = KekRef { collection: key.collection, version: key.version };
        let version = keys::kek(conn, kek).await?;
        let destroyed = version.is_none_or(|version| version.state == KeyState::Destroyed);
        gone += u64::from(destroyed || !standing(key.root_epoch));
    }
    Ok(BackupKnown {
        created_at: row.created_at.to_string(),
        log_size: row.log_size,
        manifest_sha256: row.manifest_sha256,
        keys_gone: gone,
    })
}
