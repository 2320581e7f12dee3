//! Destroying what is due, once; and again what came back.

use std::collections::HashSet;

use vault_api::code::Code;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::slot::{OpeningUnder, SlotName};
use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::KekRef;

use super::agreed::{Agreed, agreed};
use super::{drafted, end, held};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::inventory::{Survey, nothing_needs, written};
use crate::app::ledger::DESTROY;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::keys::{self, DestructionRow, Doomed};

/// Destroys every key whose time has come. One that meets trouble keeps no other waiting; the last trouble is answered.
pub async fn carry_out_due(vault: &Vault) -> Result<(), Failure> {
    let due = {
        let mut reader = vault.store.read().await?;
        keys::destructions_due(reader.conn(), vault.clock.now()).await?
    };
    let mut outcome = Ok(());
    for row in due {
        let agreed = match agreed(vault, &row).await {
            Ok(agreed) => agreed,
            Err(failure) => {
                tracing::warn!(destruction = %row.id, causes = failure.causes(), "nothing is destroyed: {failure}");
                outcome = Err(failure);
                continue;
            }
        };
        if let Err(failure) = one(vault, &row, &agreed).await {
            tracing::warn!(destruction = %row.id, causes = failure.causes(), "a key is not destroyed: {failure}");
            outcome = Err(failure);
        }
    }
    outcome
}

/// Destroys one key. What came to need it meanwhile ends the destruction instead.
async fn one(vault: &Vault, row: &DestructionRow, agreed: &Agreed) -> Result<(), Failure> {
    if vault.clock.now() < agreed.not_before() {
        return Err(Failure::new(Code::NotInLog).detail("its time has not come, by the log"));
    }
    let Doomed::Kek(kek) = row.what else { return Err(Code::Internal.into()) };
    match destroy(vault, row, kek, agreed).await {
        Err(failure) if failure.code() == Code::KeyInUse => {
            tracing::warn!(%kek, needs = failure.what(), "something needs a key again that was to be destroyed");
            end(vault, row, None, "needed-again").await
        }
        outcome => outcome,
    }
}

/// The transaction that destroys: guard first, inventory after it, both gone when there is any.
async fn destroy(vault: &Vault, row: &DestructionRow, kek: KekRef, agreed: &Agreed) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = StaffPen::of(vault, Some(kek.collection)).await?;
    let survey = Survey::of(vault, row.what).await?;
    let before = {
        let mut reader = vault.store.read().await?;
        keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?.state
    };
    let mut tx = held(vault).await?;
    let Some(root_epoch) = keys::destroy_kek(tx.conn(), kek, now).await? else {
        // Active again, or another node was faster.
        tx.rollback().await?;
        return settled(vault, row, before).await;
    };
    let inventory = survey.count(&mut tx, kek, before).await?;
    nothing_needs(&inventory)?;
    let row = DestructionRow { inventory: written(&inventory)?, ..row.clone() };
    if !keys::finish_destruction(tx.conn(), row.id, now, &row.inventory).await? {
        // Cancelled in the last moment.
        return Ok(tx.rollback().await?);
    }
    let draft = drafted(&pen, now, DESTROY, &row, Some(agreed.confirmed_by()))
        .data("root_epoch", i64::from(root_epoch))
        .slot(SlotName::Person, agreed.asked_by().to_string(), OpeningUnder::Staff);
    let reference = reference::key_destroyed(kek.collection, kek.version);
    let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, Some(reference)).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::key_destroyed(kek.tag()), now).await?;
    vault.restrictions.commit(tx, imposed).await?;
    withdraw(vault);
    vault.ledger()?.settle_later(ticket);
    // The wrap is overwritten in its page; the database's own log has older ones until it is emptied.
    if vault.store.scrub().await.is_err() {
        vault.store.scrub_soon();
    }
    tracing::info!(%kek, "a key version is destroyed");
    Ok(())
}

/// What to make of a version that could not be destroyed because of its state.
async fn settled(vault: &Vault, row: &DestructionRow, state: KeyState) -> Result<(), Failure> {
    let because = if state == KeyState::Destroyed { "destroyed-already" } else { "needed-again" };
    match end(vault, row, None, because).await {
        // It has ended: on another node a moment ago.
        Err(failure) if failure.code() == Code::Conflict => Ok(()),
        outcome => outcome,
    }
}

/// Lets go of every destroyed key on this node, and keeps it from being opened again.
pub fn withdraw(vault: &Vault) {
    vault.keys.withdraw(&vault.restrictions.destroyed_keys());
}

/// Empties what the journal or the log says was destroyed and a row still has: the database came from an older copy, or
/// somebody put a wrap back. Until then no node opens it. Answers how many.
pub async fn again(vault: &Vault) -> Result<u64, Failure> {
    let destroyed = vault.restrictions.destroyed_keys();
    if destroyed.is_empty() {
        return Ok(0);
    }
    let mut emptied = 0;
    for kek in came_back(vault, &destroyed).await? {
        let now = vault.clock.now();
        // Its own key may be what is gone.
        let pen = match StaffPen::of(vault, (kek.collection != CollectionId::VAULT).then_some(kek.collection)).await {
            Ok(pen) => pen,
            Err(_) => StaffPen::of(vault, None).await?,
        };
        let mut tx = held(vault).await?;
        let Some(root_epoch) = keys::empty_kek(tx.conn(), kek, now).await? else {
            tx.rollback().await?;
            continue;
        };
        let draft = pen
            .draft::<KeyOperation>(now, None)
            .collection(kek.collection)
            .kek_version(kek.version)
            .data("operation", DESTROY)
            .data("because", "found-again")
            .data("root_epoch", i64::from(root_epoch));
        let ticket = vault.ledger()?.enqueue(&mut tx, pen.prepare(draft)?, None).await?;
        tx.commit().await?;
        vault.ledger()?.settle_later(ticket);
        tracing::error!(%kek, "a key version that was destroyed had a row again: it is emptied");
        emptied += 1;
    }
    if emptied > 0 {
        vault.store.scrub_soon();
    }
    Ok(emptied)
}

async fn came_back(vault: &Vault, destroyed: &HashSet<KeyTag>) -> Result<Vec<KekRef>, Failure> {
    let mut reader = vault.store.read().await?;
    let mut alive = keys::keks_alive(reader.conn()).await?;
    alive.retain(|kek| destroyed.contains(&kek.tag()));
    Ok(alive)
}
