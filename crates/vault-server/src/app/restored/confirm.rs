//! A key officer confirms a restore: from then on the vault deletes and destroys like any other.

use vault_api::code::Code;
use vault_api::restore::RestoreStatus;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::{Draft, KeyOperation, Prepared, VaultRestored};
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::{Report, hash, read, shown};
use crate::app::callers::Caller;
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::withdraw;
use crate::app::ledger::DESTROY;
use crate::app::people::text;
use crate::app::reference;
use crate::app::restrict::{Imposed, Restriction};
use crate::state::Vault;
use crate::store::restores::{self, RestoreRow};
use crate::store::{Hold, keys};

/// Confirms the last restore. Versions whose keys are lost count as destroyed from now on: before, somebody may have found a
/// newer backup that has them.
pub async fn confirm(vault: &Vault, caller: &Caller, reason: &str) -> Result<RestoreStatus, Failure> {
    caller.permit(Action::RootDestroy, Place::Vault)?;
    let reason = text("reason", reason, 2000)?;
    let row = {
        let mut reader = vault.store.read().await?;
        restores::last(reader.conn()).await?.ok_or(Code::NotFound)?
    };
    let written = row.report.as_deref().ok_or_else(|| {
        Failure::new(Code::Conflict)
            .detail("it is not reconciled with the log yet; that happens when the vault is opened")
    })?;
    as_logged(vault, &row, written).await?;
    let report: Report = read(written)?;
    let now = vault.clock.now();
    let epoch = vault.keys()?.epochs()?.last().map_or(0, |epoch| epoch.epoch);
    let pen = StaffPen::of(vault, None).await?;
    let ledger = vault.ledger()?;

    let mut tx = vault.store.begin("confirm_restore").await?;
    tx.hold(Hold::Keys).await?;
    if !restores::confirm(&mut tx, row.id, caller.person(), now).await? {
        return Err(Failure::new(Code::Conflict).detail("it is confirmed already"));
    }
    let mut imposed = Imposed::default();
    for lost in &report.versions_lost {
        let collection: CollectionId = lost.collection_id.parse().map_err(|_| Code::IntegrityFailure)?;
        let kek = KekRef { collection, version: lost.version };
        let there = keys::kek(tx.conn(), kek).await?;
        if there.is_some_and(|there| there.state != KeyState::Destroyed || !there.wrap.is_empty()) {
            return Err(Failure::new(Code::IntegrityFailure).detail(format!("the key of {kek} is not lost")));
        }
        let entry = lost_entry(vault, &pen, kek, caller, epoch, now).await?;
        let reference = reference::key_destroyed(collection, lost.version);
        let ticket = ledger.enqueue(&mut tx, entry, Some(reference)).await?;
        ledger.settle_later(ticket);
        imposed = imposed.and(vault.restrictions.impose(&mut tx, Restriction::key_destroyed(kek.tag()), now).await?);
    }
    let draft = pen
        .draft::<VaultRestored>(now, Some(caller.person()))
        .data("operation", "confirmed")
        .data("manifest_sha256", row.manifest_sha256.clone())
        .slot(SlotName::Reason, reason, OpeningUnder::Staff);
    let ticket = ledger.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
    vault.restrictions.commit(tx, imposed).await?;
    withdraw(vault);
    ledger.settle(ticket).await?;
    let mut reader = vault.store.read().await?;
    shown(&restores::last(reader.conn()).await?.ok_or(Code::NotFound)?)
}

/// That the log tells of this restore and of this report. A row is written by whoever writes the database, and whoever
/// confirms one takes the keys that it lists as lost out of the world.
async fn as_logged(vault: &Vault, row: &RestoreRow, written: &str) -> Result<(), Failure> {
    let told = vault.ledger()?.find_soon::<VaultRestored>(&reference::restored(row.id)).await?;
    let says = |name: &str, value: &str| told.data(name).and_then(|said| said.as_str()) == Some(value);
    let same = says("operation", "restored")
        && says("manifest_sha256", &row.manifest_sha256)
        && says("report_sha256", &hash(written));
    if same {
        return Ok(());
    }
    Err(Failure::new(Code::IntegrityFailure).detail("the row of the restore is not what the log tells of it"))
}

/// The entry that says that a version's key is lost, and with it destroyed.
async fn lost_entry(
    vault: &Vault,
    pen: &StaffPen,
    kek: KekRef,
    caller: &Caller,
    epoch: u32,
    now: Timestamp,
) -> Result<Prepared<KeyOperation>, Failure> {
    let told = |draft: Draft<KeyOperation>| {
        let draft = draft.kek_version(kek.version).data("operation", DESTROY).data("because", "lost");
        draft.data("root_epoch", i64::from(epoch))
    };
    if kek.collection == CollectionId::VAULT {
        return pen.prepare(told(pen.draft(now, Some(caller.person()))));
    }
    match StaffPen::of(vault, Some(kek.collection)).await {
        Ok(own) => own.prepare(told(own.draft(now, Some(caller.person())))),
        // The collection's own keys may be what is gone; who confirmed is said by the entry of the confirmation.
        Err(_) => pen.prepare(told(pen.draft(now, None).collection(kek.collection))),
    }
}
