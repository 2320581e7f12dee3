//! Destroying what is due, once; and again what came back.

use std::collections::HashSet;

use vault_api::code::Code;
use vault_core::audit::entry::KeyOperation;
use vault_core::audit::slot::SlotName;
use vault_core::ids::CollectionId;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::KekRef;

use super::agreed::{Agreed, agreed};
use super::entries::{Said, enqueue, pen_of};
use super::undone::Undone;
use super::{end, hold};
use crate::app::entry::StaffPen;
use crate::app::error::Failure;
use crate::app::keys::inventory::{Survey, nothing_needs, written};
use crate::app::ledger::DESTROY;
use crate::app::reference;
use crate::app::restored;
use crate::app::restrict::Restriction;
use crate::clock::Set;
use crate::state::Vault;
use crate::store::Hold;
use crate::store::keys::{self, DestructionRow, Doomed};

/// Destroys every key whose time has come. One that meets trouble keeps no other waiting; the last trouble is answered.
pub async fn carry_out_due(vault: &Vault) -> Result<(), Failure> {
    if restored::waits(vault).await? {
        // Rows of before know less of what needs a key than those of a newer backup would.
        return Ok(());
    }
    if vault.agreement.set(vault.clock.as_ref()) == Some(Set::Forward) {
        // It might be too early.
        return Ok(());
    }
    let due = {
        let mut reader = vault.store.read().await?;
        keys::destructions_due(reader.conn(), vault.clock.now()).await?
    };
    let (mut outcome, mut undone) = (Ok(()), None);
    for row in due {
        let agreed = match agreed(vault, &row).await {
            Ok(agreed) => agreed,
            Err(failure) => {
                tracing::warn!(destruction = %row.id, causes = failure.causes(), "nothing is destroyed: {failure}");
                outcome = Err(failure);
                continue;
            }
        };
        let undone = match &undone {
            Some(undone) => undone,
            None => undone.insert(Undone::read(vault).await?),
        };
        if let Err(failure) = one(vault, &row, &agreed, undone).await {
            tracing::warn!(destruction = %row.id, causes = failure.causes(), "a key is not destroyed: {failure}");
            outcome = Err(failure);
        }
    }
    outcome
}

/// Destroys one key. What came to need it meanwhile ends the destruction instead.
async fn one(vault: &Vault, row: &DestructionRow, agreed: &Agreed, undone: &Undone) -> Result<(), Failure> {
    if vault.clock.now() < agreed.not_before() {
        return Err(Failure::new(Code::NotInLog).detail("its time has not come, by the log"));
    }
    if undone.has(row, agreed.cycle()) {
        return Err(Failure::new(Code::NotInLog).detail("it was cancelled, by the log"));
    }
    let outcome = match row.what {
        Doomed::Kek(kek) => destroy_version(vault, row, kek, agreed).await,
        Doomed::Epoch(epoch) => destroy_epoch(vault, row, epoch, agreed).await,
    };
    match outcome {
        // Nothing holds the key but that record keys move to another one, which ends by itself.
        Err(failure) if failure.code() == Code::RotationRunning => Ok(()),
        Err(failure) if failure.code() == Code::KeyInUse => {
            let what = row.what;
            tracing::warn!(?what, needs = failure.what(), "something needs a key again that was to be destroyed");
            end(vault, row, None, "needed-again").await
        }
        outcome => outcome,
    }
}

/// The transaction that destroys a version: guard first, inventory after it, both gone when there is any.
async fn destroy_version(vault: &Vault, row: &DestructionRow, kek: KekRef, agreed: &Agreed) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = pen_of(vault, row.what).await?;
    let survey = Survey::of(vault, row.what).await?;
    let before = {
        let mut reader = vault.store.read().await?;
        keys::kek(reader.conn(), kek).await?.ok_or(Code::NotFound)?.state
    };
    let mut tx = vault.store.begin("destroy_key").await?;
    tx.hold(Hold::Keys).await?;
    let Some(root_epoch) = keys::destroy_kek(tx.conn(), kek, now).await? else {
        // Active again, or another node was faster.
        tx.rollback().await?;
        return settled(vault, row, before).await;
    };
    let inventory = survey.count(&mut tx, row.what, before).await?;
    if inventory.only_a_rotation() {
        return Err(Code::RotationRunning.into());
    }
    nothing_needs(&inventory)?;
    let row = DestructionRow { inventory: written(&inventory)?, ..row.clone() };
    if !keys::finish_destruction(tx.conn(), row.id, now, &row.inventory).await? {
        // Cancelled in the last moment.
        return Ok(tx.rollback().await?);
    }
    let said = done(agreed, ("root_epoch", root_epoch), reference::key_destroyed(kek.collection, kek.version));
    let entry = enqueue(vault, &mut tx, &pen, &row, said, now).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::key_destroyed(kek.tag()), now).await?;
    vault.restrictions.commit(tx, imposed).await?;
    withdraw(vault);
    entry.settle_later(vault)?;
    // The wrap is overwritten in its page; the database's own log has older ones until it is emptied.
    if vault.store.scrub().await.is_err() {
        vault.store.scrub_soon();
    }
    tracing::info!(%kek, "a key version is destroyed");
    Ok(())
}

/// The transaction that destroys a root epoch. Custody comes last before the commit, under the lock that everybody holds who
/// wraps by the root: when the commit fails the epoch is gone and its entry missing, and the next round writes that.
async fn destroy_epoch(vault: &Vault, row: &DestructionRow, epoch: u32, agreed: &Agreed) -> Result<(), Failure> {
    let now = vault.clock.now();
    let pen = pen_of(vault, row.what).await?;
    let survey = Survey::of(vault, row.what).await?;
    let root = vault.keys()?.root_ref(epoch)?;
    let mut tx = vault.store.begin("destroy_root").await?;
    let state = hold(vault, &mut tx, row.what).await?;
    let inventory = survey.count(&mut tx, row.what, state).await?;
    nothing_needs(&inventory)?;
    let row = DestructionRow { inventory: written(&inventory)?, ..row.clone() };
    if !keys::finish_destruction(tx.conn(), row.id, now, &row.inventory).await? {
        return Ok(tx.rollback().await?);
    }
    let said = done(agreed, ("known_copies", 0), reference::root_destroyed(epoch));
    let entry = enqueue(vault, &mut tx, &pen, &row, said, now).await?;
    let imposed = vault.restrictions.impose(&mut tx, Restriction::root_destroyed(root.tag()), now).await?;
    keys::set_epoch_state(tx.conn(), epoch, KeyState::Destroyed).await?;
    vault.keys()?.destroy_epoch(epoch).await?;
    vault.restrictions.commit(tx, imposed).await?;
    entry.settle_later(vault)?;
    tracing::info!(epoch, "a root epoch is destroyed");
    Ok(())
}

/// What the last entry of a destruction says.
fn done(agreed: &Agreed, (name, number): (&'static str, u32), reference: String) -> Said {
    Said {
        operation: DESTROY,
        staff: Some(agreed.confirmed_by()),
        data: vec![(name, i64::from(number).into())],
        slots: vec![(SlotName::Person, agreed.asked_by().to_string())],
        reference,
    }
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

/// Lets go of every destroyed and every compromised key on this node; the former are not opened again.
pub fn withdraw(vault: &Vault) {
    vault.keys.withdraw(&vault.restrictions.destroyed_keys());
    vault.keys.forget_compromised(&vault.restrictions.compromised_keys());
}

/// Root epochs that the journal or the log says are destroyed and the keyring has: an older copy of the file came back.
fn epochs_again(vault: &Vault, destroyed: &HashSet<KeyTag>) -> Result<Vec<u32>, Failure> {
    let mut found = Vec::new();
    for epoch in vault.keys()?.epochs()?.iter().filter(|epoch| epoch.state == KeyState::Deactivated) {
        if destroyed.contains(&vault.keys()?.root_ref(epoch.epoch)?.tag()) {
            found.push(epoch.epoch);
        }
    }
    Ok(found)
}

/// Whether the log itself says that a key is destroyed: read at start, or found by a reference that follows from the entry.
async fn log_says_so(vault: &Vault, what: Doomed) -> Result<bool, Failure> {
    let (tag, reference) = match what {
        Doomed::Kek(kek) => (kek.tag(), reference::key_destroyed(kek.collection, kek.version)),
        Doomed::Epoch(epoch) => (vault.keys()?.root_ref(epoch)?.tag(), reference::root_destroyed(epoch)),
    };
    if vault.restrictions.is_destroyed_by_log(tag) {
        return Ok(true);
    }
    let witness = vault.ledger()?.witness_of(&reference).await?;
    let said = witness.is_some_and(|(entry, _)| reference::derived(&entry).as_ref() == Some(&reference));
    if !said {
        tracing::warn!(
            ?what,
            "a key is called destroyed by a row or the journal, and not by the log: it stays, and is not opened"
        );
    }
    Ok(said)
}

/// Empties what the log says was destroyed and a row still has: the database came from an older copy, or somebody put a wrap
/// back. Until then no node opens it. Answers how many.
pub async fn again(vault: &Vault) -> Result<u64, Failure> {
    let destroyed = vault.restrictions.destroyed_keys();
    if destroyed.is_empty() {
        return Ok(0);
    }
    let mut emptied = 0;
    for epoch in epochs_again(vault, &destroyed)? {
        if !log_says_so(vault, Doomed::Epoch(epoch)).await? {
            continue;
        }
        vault.keys()?.destroy_epoch(epoch).await?;
        tracing::error!(epoch, "a root epoch that was destroyed was in the keyring again: it is destroyed again");
        emptied += 1;
    }
    for kek in came_back(vault, &destroyed).await? {
        if !log_says_so(vault, Doomed::Kek(kek)).await? {
            continue;
        }
        let now = vault.clock.now();
        // Its own key may be what is gone.
        let pen = match StaffPen::of(vault, (kek.collection != CollectionId::VAULT).then_some(kek.collection)).await {
            Ok(pen) => pen,
            Err(_) => StaffPen::of(vault, None).await?,
        };
        let mut tx = vault.store.begin("destroy_key").await?;
        tx.hold(Hold::Keys).await?;
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
