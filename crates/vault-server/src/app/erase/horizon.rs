//! How far erasures reach into backups: what is known of the keys, put to the pure rule of
//! [`vault_core::privacy::erasure`].
//!
//! A key counts as destroyed when its row, or its custody, says so **and** the log has an entry that proves it, under the
//! reference [`key_destroyed`](reference::key_destroyed) or [`root_destroyed`](reference::root_destroyed). Everything else
//! stands: a row that is edited makes no erasure final.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use vault_api::erasure::{ErasureHorizon, KeyKind, OpenErasures, ResumeKeyState, WaitsFor as WireWaitsFor, Witness};
use vault_core::audit::entry::Entry as Logged;
use vault_core::ids::{CollectionId, ResumeKeyId};
use vault_core::keys::lifecycle::KeyState;
use vault_core::privacy::certificate::{Gone, destroyed_by};
use vault_core::privacy::erasure::{EpochFate, Fate, HungOn, KekFate, Keys, WaitsFor, horizon};

use crate::app::collections;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::erasures::{self, Alike};
use crate::store::keys;

/// What is known of a collection's keys and the root's, with the entries that prove destructions.
pub(super) struct Known {
    keks: Vec<KekFate>,
    epochs: Vec<EpochFate>,
    proven: Vec<(Gone, Witness)>,
}

impl Known {
    /// As things stand.
    pub(super) async fn of(vault: &Vault, collection: CollectionId) -> Result<Self, Failure> {
        let rows = {
            let mut reader = vault.store.read().await?;
            keys::keks(reader.conn(), collection).await?
        };
        let mut known = Self { keks: Vec::new(), epochs: Vec::new(), proven: Vec::new() };
        for row in rows {
            let (mut fate, mut root_epoch) = (Fate::Standing, row.root_epoch);
            // A destroyed version has no wrap any more, whatever its row calls itself.
            if row.state == KeyState::Destroyed && row.wrap.is_empty() {
                let reference = reference::key_destroyed(collection, row.version);
                if let Some((Gone::Kek { version, root_epoch: last }, witness)) =
                    proof(vault, &reference, collection).await?
                    && version == row.version
                {
                    known.proven.push((Gone::Kek { version, root_epoch: last }, witness));
                    (fate, root_epoch) = (Fate::Destroyed, root_epoch.max(last));
                }
            }
            known.keks.push(KekFate { version: row.version, fate, root_epoch });
        }
        for epoch in vault.keys()?.epochs()? {
            let mut fate = Fate::Standing;
            if epoch.state == KeyState::Destroyed {
                let found = proof(vault, &reference::root_destroyed(epoch.epoch), collection).await?;
                if let Some((gone, witness)) = found.filter(|(gone, _)| *gone == Gone::Epoch(epoch.epoch)) {
                    known.proven.push((gone, witness));
                    fate = Fate::Destroyed;
                }
            }
            known.epochs.push(EpochFate { epoch: epoch.epoch, fate });
        }
        Ok(known)
    }

    /// The entries that prove what an erasure waited for.
    pub(super) fn witnesses(&self, hung: &HungOn, root_epochs: u32) -> Vec<Witness> {
        let counts = |gone: &Gone| match gone {
            Gone::Kek { version, .. } => *version <= hung.kek_version,
            Gone::Epoch(epoch) => *epoch <= root_epochs,
        };
        self.proven.iter().filter(|(gone, _)| counts(gone)).map(|(_, witness)| witness.clone()).collect()
    }
}

/// The entry under `reference`, if it is in the log and proves that a key was destroyed.
async fn proof(vault: &Vault, reference: &str, collection: CollectionId) -> Result<Option<(Gone, Witness)>, Failure> {
    let Some((entry, proof)) = vault.ledger()?.witness_of(reference).await? else { return Ok(None) };
    let gone = Logged::parse(&entry).ok().and_then(|entry| destroyed_by(&entry, Some(collection)));
    let witness = String::from_utf8(entry).ok().map(|entry| Witness { entry, proof: proof.to_string() });
    Ok(gone.zip(witness))
}

/// How far an erasure reaches today.
pub(super) async fn reach(vault: &Vault, known: &Known, hung: &HungOn) -> Result<ErasureHorizon, Failure> {
    let resume_key = resume_key(vault, hung.resume_key).await?;
    let fate = if resume_key == ResumeKeyState::Standing { Fate::Standing } else { Fate::Destroyed };
    let found = horizon(hung, &Keys { keks: &known.keks, epochs: &known.epochs, resume_key: &fate });
    Ok(ErasureHorizon {
        as_of: vault.clock.now().to_string(),
        kek_versions: hung.kek_version,
        root_epochs: found.root_epoch,
        resume_key,
        is_final: found.is_final(),
        waits_for: found.waits_for.iter().map(wire).collect(),
    })
}

async fn resume_key(vault: &Vault, id: Option<ResumeKeyId>) -> Result<ResumeKeyState, Failure> {
    Ok(match id {
        None => ResumeKeyState::None,
        Some(id) if vault.keys()?.is_resume_key_destroyed(id).await? => ResumeKeyState::Destroyed,
        Some(_) => ResumeKeyState::Standing,
    })
}

const fn wire(one: &WaitsFor) -> WireWaitsFor {
    let (kind, number) = match one {
        WaitsFor::KekVersion(version) => (KeyKind::KekVersion, Some(*version)),
        WaitsFor::RootEpoch(epoch) => (KeyKind::RootEpoch, Some(*epoch)),
        WaitsFor::ResumeKey => (KeyKind::ResumeKey, None),
    };
    WireWaitsFor { kind, number }
}

/// The erasures that are not final: how many, the oldest, and what holds it. `None`: there is none.
pub async fn open(vault: &Vault) -> Result<Option<OpenErasures>, Failure> {
    let groups = {
        let mut reader = vault.store.read().await?;
        erasures::alike(reader.conn()).await?
    };
    let mut known: HashMap<CollectionId, Known> = HashMap::new();
    let (mut count, mut oldest) = (0, None::<(Alike, ErasureHorizon)>);
    // The oldest first.
    for group in groups {
        let keys = match known.entry(group.collection) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(Known::of(vault, group.collection).await?),
        };
        let (kek_version, root_epoch, resume_key) = (group.kek_version, group.root_epoch, group.resume_key);
        let reach = reach(vault, keys, &HungOn { kek_version, root_epoch, resume_key }).await?;
        if !reach.is_final {
            count += group.count;
            oldest.get_or_insert((group, reach));
        }
    }
    let Some((group, reach)) = oldest else { return Ok(None) };
    let name = collections::get(vault, group.collection).await;
    let collection = name.map_or_else(|_| group.collection.to_string(), |collection| collection.name.to_string());
    Ok(Some(OpenErasures { count, oldest_at: group.first_at.to_string(), collection, waits_for: reach.waits_for }))
}
