//! Holding rows of before against what the log says of keys, when the vault is opened.
//!
//! A version that the log calls destroyed or compromised is so again; one that was rotated away since does not wrap again; and
//! no number is given twice, since the log's entries name versions by it. A process that dies in the middle goes on at its
//! next start: each step is a transaction of its own that finds out what is left.

use std::collections::BTreeMap;

use vault_api::code::Code;
use vault_api::restore::LostVersion;
use vault_core::audit::entry::{Entry, Kind, VaultRestored};
use vault_core::audit::verify::{LOG_SIZE, REPLAYED};
use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::{Demand, KeyState, Policy};
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::doubt::Doubts;
use super::{Report, hash, read};
use crate::app::backup::restore::Facts;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys as acts;
use crate::app::ledger::KeyFacts;
use crate::app::reference;
use crate::state::Vault;
use crate::store::restores::{self, RestoreRow};
use crate::store::{Hold, keys, log};

/// Entries read at once.
const READ: u64 = 1_024;

/// Reconciles the last restore, unless that is done. `known` is what the log says of keys.
pub async fn reconcile(vault: &Vault, known: &BTreeMap<CollectionId, KeyFacts>) -> Result<(), Failure> {
    let (row, collections) = {
        let mut reader = vault.store.read().await?;
        let Some(row) = restores::last(reader.conn()).await? else { return Ok(()) };
        (row, restores::collections_with_keys(reader.conn()).await?)
    };
    if row.confirmed_at.is_none() {
        tracing::warn!(backup = %row.backup_at, "restored from a backup: nothing is deleted until a key officer has confirmed that");
    }
    if row.report.is_some() {
        return Ok(());
    }
    let mut report = Report { collections_lost: lost(known, &collections), ..Report::default() };
    for collection in &collections {
        let nothing = KeyFacts::default();
        let facts = known.get(collection).unwrap_or(&nothing);
        match of_keys(vault, *collection, row.restored_at, facts, &mut report).await {
            Ok(()) => {}
            // Its own keys were under a version that is destroyed: nothing of it can be used, and the others can.
            Err(failure) if failure.code() == Code::KeyUnusable && *collection != CollectionId::VAULT => {
                tracing::error!(%collection, causes = failure.causes(), "a collection's own keys are destroyed: {failure}");
                report.collections_without_keys += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    let size = {
        let mut reader = vault.store.read().await?;
        log::head(reader.conn()).await?.map_or(0, |head| head.edge.size())
    };
    let facts: Facts = read(&row.facts)?;
    report.replayed = facts.published.saturating_sub(row.log_size);
    let doubts = Doubts::of(vault, &row, &facts).await?;
    report.collections_in_doubt = doubts.collections.len() as u64;
    report.rights_in_doubt = doubts.rights;
    let since = uploads_since(vault, row.log_size, size.min(facts.published)).await?;
    report.uploads_lost = since.saturating_sub(facts.uploads_waited);
    say(vault, &row, &report, &doubts).await
}

fn lost(known: &BTreeMap<CollectionId, KeyFacts>, there: &[CollectionId]) -> u64 {
    known.keys().filter(|collection| !there.contains(collection)).count() as u64
}

/// One collection's keys, or the vault's own.
async fn of_keys(
    vault: &Vault,
    me: CollectionId,
    restored_at: Timestamp,
    facts: &KeyFacts,
    report: &mut Report,
) -> Result<(), Failure> {
    let epoch = vault.keys()?.epochs()?.last().map_or(0, |epoch| epoch.epoch);
    let now = vault.clock.now();
    let rows = {
        let mut reader = vault.store.read().await?;
        keys::keks(reader.conn(), me).await?
    };
    let mut tx = vault.store.begin("reconcile_keys").await?;
    tx.hold(Hold::Keys).await?;
    for version in 1..=facts.highest {
        let kek = KekRef { collection: me, version };
        if rows.iter().all(|row| row.version != version)
            && restores::enter_lost_version(&mut tx, kek, epoch, now).await?
        {
            tracing::warn!(%kek, "a key version was made after the backup, and its key is lost");
        }
    }
    for version in &facts.destroyed {
        let kek = KekRef { collection: me, version: *version };
        report.records_without_key += restores::restrict_records_under(&mut tx, kek).await?;
    }
    tx.commit().await?;
    let lost = lost_versions(vault, me, facts).await?;
    report.versions_lost.extend(lost);

    let standing = |version: u32| rows.iter().any(|row| row.version == version && row.state.may_unwrap());
    for version in facts.compromised.iter().filter(|version| standing(**version)) {
        if facts.destroyed.contains(version) {
            continue;
        }
        acts::mark_again(vault, KekRef { collection: me, version: *version }, &Policy::default()).await?;
        report.compromised += 1;
    }
    let active = {
        let mut reader = vault.store.read().await?;
        keys::active(reader.conn(), me).await?
    };
    // Made by this reconciliation, or as the log has it.
    let stands = active.is_some_and(|active| active > facts.highest || facts.active == Some(active));
    if !stands && !rows.is_empty() {
        // The policy decides when a version is due, which is not the question here.
        acts::renew(vault, me, Policy::default(), Demand::Restored).await?;
        report.renewed += 1;
    } else if rows.iter().any(|row| row.state == KeyState::Active && row.created_at > restored_at) {
        // Made by an attempt that was cut short: nothing else makes versions until this is done.
        report.renewed += 1;
    }
    Ok(())
}

/// Versions that the log names, whose rows say that their key is gone while no entry does.
async fn lost_versions(vault: &Vault, me: CollectionId, facts: &KeyFacts) -> Result<Vec<LostVersion>, Failure> {
    let mut reader = vault.store.read().await?;
    let rows = keys::keks(reader.conn(), me).await?;
    let gone = rows.into_iter().filter(|row| row.state == KeyState::Destroyed && row.version <= facts.highest);
    let lost = gone.filter(|row| !facts.destroyed.contains(&row.version));
    Ok(lost.map(|row| LostVersion { collection_id: me.to_string(), version: row.version }).collect())
}

/// Recordings that came in between two positions of the log.
async fn uploads_since(vault: &Vault, from: u64, to: u64) -> Result<u64, Failure> {
    let (mut at, mut count) = (from, 0);
    while at < to {
        let entries = {
            let mut reader = vault.store.read().await?;
            log::entries(reader.conn(), at, to.min(at + READ)).await?
        };
        if entries.is_empty() {
            return Err(Failure::new(Code::IntegrityFailure).detail("an entry of the log is missing"));
        }
        at += entries.len() as u64;
        let uploads = entries
            .iter()
            .filter(|(_, bytes)| Entry::parse(bytes).is_ok_and(|entry| entry.kind() == Kind::UploadCompleted));
        count += uploads.count() as u64;
    }
    Ok(count)
}

/// The entry that tells of it, with the report in the transaction.
async fn say(vault: &Vault, row: &RestoreRow, report: &Report, doubts: &Doubts) -> Result<(), Failure> {
    let (pen, now) = (StaffPen::of(vault, None).await?, vault.clock.now());
    let suspensions = doubts.entries(vault, now).await?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let facts: Facts = read(&row.facts)?;
    // A row of a restore excuses no opening that is gone otherwise: what came back has none up to its end.
    let end = row.log_size.saturating_add(report.replayed);
    let kept = {
        let mut reader = vault.store.read().await?;
        restores::last_with_openings(reader.conn(), row.log_size, end).await?
    };
    let first = kept.map_or(row.log_size, |kept| kept + 1);
    let written = serde_json::to_string(report).map_err(|e| Failure::new(Code::Internal).because(e))?;
    let draft = pen
        .draft::<VaultRestored>(now, None)
        .data("operation", "restored")
        .data("manifest_sha256", row.manifest_sha256.clone())
        .data("report_sha256", hash(&written))
        .data(LOG_SIZE, number(first))
        .data(REPLAYED, number(end - first))
        .data("uploads_lost", number(report.uploads_lost))
        .data("collections_in_doubt", number(report.collections_in_doubt))
        .data("rights_in_doubt", number(report.rights_in_doubt))
        .data("versions_lost", number(report.versions_lost.len() as u64))
        .data("records_restricted", number(report.records_without_key + facts.records_without_media));
    let mut tx = vault.store.begin("reconcile_restore").await?;
    if !restores::reconciled(&mut tx, row.id, &written).await? {
        return Ok(tx.rollback().await?);
    }
    let reference = Some(reference::restored(row.id));
    let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, reference).await?;
    for entry in suspensions {
        let suspended = vault.ledger()?.enqueue(&mut tx, entry, None).await?;
        vault.ledger()?.settle_later(suspended);
    }
    let imposed = doubts.suspend(vault, &mut tx, now).await?;
    vault.restrictions.commit(tx, imposed).await?;
    vault.ledger()?.settle_later(ticket);
    tracing::warn!(report = written, "a restore is reconciled with the log");
    Ok(())
}
