//! The keys as they stand, as [`vault_core::keys::cycle`] asks for them, and a cycle as it is shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vault_api::code::Code;
use vault_api::cycle::{self as wire, Cycle, CycleCollection, CycleWait, CycleWaitsFor};
use vault_core::audit::entry::KeyOperation;
use vault_core::ids::CollectionId;
use vault_core::keys::cycle::{
    CollectionNow, Destruction, Moving, Next, Scope, VersionNow, Wait, World, destruction, next,
};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;

use super::told::Word;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::ledger::DESTROY;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{self, CycleRow, CycleState, DestructionState, RotationState};

/// The root epoch that last wrapped each version that is destroyed, by the log's word. It does not change any more.
#[derive(Default)]
pub struct Gone(HashMap<KekRef, u32>);

impl Gone {
    /// Puts the log's word in the place of the rows' for every version of the scope. A version that the log does not call destroyed
    /// is not: nothing is to be built on its row.
    pub(super) async fn prove(&mut self, vault: &Vault, scope: &Scope, world: &mut World) -> Result<(), Failure> {
        for kek in scope.keks() {
            let last = match self.0.get(&kek) {
                Some(last) => *last,
                None => {
                    let last = last_epoch(vault, kek).await?;
                    self.0.insert(kek, last);
                    last
                }
            };
            let now = world.collections.get_mut(&kek.collection).into_iter().flat_map(|now| &mut now.versions);
            now.filter(|one| one.version == kek.version).for_each(|one| one.root_epoch = last);
        }
        Ok(())
    }
}

async fn last_epoch(vault: &Vault, kek: KekRef) -> Result<u32, Failure> {
    let reference = reference::key_destroyed(kek.collection, kek.version);
    let found = vault.ledger()?.find_settled::<KeyOperation>(&reference).await?;
    let entry = found.filter(|entry| {
        let says = entry.data("operation").and_then(|value| value.as_str());
        says == Some(DESTROY) && entry.collection() == Some(kek.collection) && entry.kek_version() == Some(kek.version)
    });
    let last = entry.and_then(|entry| u32::try_from(entry.data("root_epoch")?.as_number()?).ok());
    let unknown = || Failure::new(Code::NotInLog).detail(format!("the log does not say that {kek} was destroyed"));
    last.ok_or_else(unknown)
}

/// What the cycle of this number depends on. `agreed`: whether two persons have, by the log's word.
pub(super) async fn world(vault: &Vault, number: u32, agreed: bool) -> Result<World, Failure> {
    let (found, rotations, destructions) = {
        let mut reader = vault.store.read().await?;
        let found = keys::keks_now(reader.conn()).await?;
        let rotations = keys::rotations_open(reader.conn()).await?;
        (found, rotations, keys::kek_destructions(reader.conn()).await?)
    };
    let mut wished: HashMap<KekRef, Destruction> = HashMap::new();
    for (kek, id, state) in destructions {
        let wish = match state {
            DestructionState::Requested | DestructionState::Confirmed => Destruction::Pending,
            // What officers cancelled that they had asked for by themselves says nothing of the cycle.
            _ if id == destruction(number, kek).to_string() => Destruction::Ended,
            _ => continue,
        };
        let now = wished.entry(kek).or_insert(wish);
        if wish == Destruction::Pending {
            *now = wish;
        }
    }
    let moving: HashMap<CollectionId, RotationState> = rotations.into_iter().collect();
    let mut all: BTreeMap<CollectionId, CollectionNow> = BTreeMap::new();
    for one in found {
        let collection = all.entry(one.kek.collection).or_insert_with(|| CollectionNow {
            versions: Vec::new(),
            moving: match moving.get(&one.kek.collection) {
                None | Some(RotationState::Done) => Moving::No,
                Some(RotationState::Running) => Moving::Running,
                Some(RotationState::Paused) => Moving::Paused,
            },
        });
        collection.versions.push(VersionNow {
            version: one.kek.version,
            state: one.state,
            root_epoch: one.root_epoch,
            holds: one.holds,
            destruction: wished.get(&one.kek).copied().unwrap_or(Destruction::None),
        });
    }
    let epochs = vault.keys()?.epochs()?.iter().map(|epoch| (epoch.epoch, epoch.state)).collect();
    Ok(World { collections: all, epochs, agreed })
}

/// A cycle as it is shown. `word`: what the log says of it, where that can be read.
pub(super) async fn shown(vault: &Vault, row: &CycleRow, scope: &Scope, word: Option<&Word>) -> Result<Cycle, Failure> {
    let running = row.state == CycleState::Running;
    let agreement = word.and_then(|word| word.agreement);
    let world = world(vault, row.number, agreement.is_some()).await?;
    let names = names(vault).await?;
    let mut cycle = Cycle {
        number: row.number,
        state: match row.state {
            CycleState::Running => wire::CycleState::Running,
            CycleState::Cancelled => wire::CycleState::Cancelled,
            CycleState::Done => wire::CycleState::Done,
        },
        scope_sha256: scope.sha256(),
        root_epoch: scope.root_epoch(),
        collections: of_collections(vault, scope, &world, &names, running).await?,
        throttle: row.throttle,
        started_at: row.started_at.to_string(),
        requested_by: word.and_then(|word| word.asked).map(|person| person.to_string()),
        confirmed_by: agreement.map(|agreement| agreement.confirmed.to_string()),
        not_before: agreement.map(|agreement| agreement.not_before.to_string()),
        waits_for: Vec::new(),
        trouble: None,
        ended_at: row.ended_at.map(|at| at.to_string()),
    };
    if running {
        match (word, next(scope, &world)) {
            (None, _) => {
                cycle.trouble = Some("the log does not say, or not yet, that it began with this scope".to_owned())
            }
            (_, Err(e)) => cycle.trouble = Some(e.to_string()),
            (Some(_), Ok(next)) => cycle.waits_for = waits(&next, &names),
        }
    }
    Ok(cycle)
}

async fn names(vault: &Vault) -> Result<HashMap<CollectionId, String>, Failure> {
    Ok(collections::all(vault).await?.into_iter().map(|row| (row.id, row.name.to_string())).collect())
}

fn named(names: &HashMap<CollectionId, String>, collection: CollectionId) -> String {
    names.get(&collection).cloned().unwrap_or_else(|| collection.to_string())
}

async fn of_collections(
    vault: &Vault,
    scope: &Scope,
    world: &World,
    names: &HashMap<CollectionId, String>,
    running: bool,
) -> Result<Vec<CycleCollection>, Failure> {
    let mut shown = Vec::new();
    for (collection, versions) in scope.collections() {
        let now = world.collections.get(&collection).map_or(&[][..], |now| &now.versions);
        let left = |one: &&VersionNow| versions.contains(&one.version) && one.state != KeyState::Destroyed;
        let left: BTreeSet<u32> = now.iter().filter(left).map(|one| one.version).collect();
        // Counting what a collection of a million records holds takes a moment: only where something is held.
        let holding = now.iter().any(|one| left.contains(&one.version) && one.holds);
        let records = if running && holding { held(vault, collection, &left).await? } else { 0 };
        shown.push(CycleCollection {
            collection: named(names, collection),
            versions: versions.iter().copied().collect(),
            destroyed: versions.difference(&left).copied().collect(),
            records,
        });
    }
    Ok(shown)
}

async fn held(vault: &Vault, collection: CollectionId, versions: &BTreeSet<u32>) -> Result<u64, Failure> {
    let mut reader = vault.store.read().await?;
    let held = keys::records_held(reader.conn(), collection).await?;
    Ok(held.iter().filter(|(version, _)| versions.contains(version)).map(|(_, held)| held).sum())
}

fn waits(next: &Next, names: &HashMap<CollectionId, String>) -> Vec<CycleWaitsFor> {
    let one = |what, collection: Option<CollectionId>, number| CycleWaitsFor {
        what,
        collection: collection.map(|id| named(names, id)),
        number,
        detail: None,
    };
    let of_kek = |what, kek: KekRef| one(what, Some(kek.collection), Some(kek.version));
    let itself = || one(CycleWait::Vault, None, None);
    match next {
        Next::Versions { steps, waits } => {
            let mut all: Vec<CycleWaitsFor> = waits
                .iter()
                .map(|wait| match *wait {
                    Wait::Trouble(collection, trouble) => CycleWaitsFor {
                        detail: Some(trouble.to_string()),
                        ..one(CycleWait::Trouble, Some(collection), None)
                    },
                    Wait::Moving(collection) => one(CycleWait::Moving, Some(collection), None),
                    Wait::Paused(collection) => one(CycleWait::Paused, Some(collection), None),
                    Wait::Agreement => one(CycleWait::Agreement, None, None),
                    Wait::Pending(kek) => of_kek(CycleWait::CoolingOff, kek),
                    Wait::Needed(kek) => of_kek(CycleWait::Needed, kek),
                    Wait::Ended(kek) => of_kek(CycleWait::Ended, kek),
                })
                .collect();
            if !steps.is_empty() {
                all.push(itself());
            }
            all
        }
        Next::Root(_) | Next::Done => vec![itself()],
        Next::Epochs(epochs) => epochs.iter().map(|epoch| one(CycleWait::Epoch, None, Some(*epoch))).collect(),
    }
}
