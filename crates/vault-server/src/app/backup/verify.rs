//! Whether a backup is whole, and whether what it hangs on is still there.

use std::collections::{BTreeMap, BTreeSet};

use vault_core::audit::merkle::{Edge, Hash};
use vault_core::backup::manifest::{Checked, NeededKey};
use vault_core::backup::{Cell, TABLES};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::tag::KeyTag;
use vault_core::keys::wrap::{KekRef, RootRef};

use super::{BackupError, Folder};
use crate::app::restrict::Restrictions;
use crate::objects::Objects;
use crate::store::{Store, backup, keys};

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its manifest.
    pub checked: Checked,
    /// The manifest's SHA-256.
    pub sha256: String,
    /// Rows in all.
    pub rows: u64,
}

/// What the rows say, gathered while they are read.
#[derive(Default)]
struct Seen {
    edge: Edge,
    entries: u64,
    signed: Option<Hash>,
    head: Option<Vec<u8>>,
    vault_id: Option<String>,
    counter: Option<i64>,
    restrictions: i64,
    log_seed: Option<u32>,
    keks: BTreeMap<(String, i64), i64>,
    records: BTreeMap<(String, i64), u64>,
    children: BTreeSet<(String, i64)>,
}

/// Reads all of it, in bounded memory. `public_key`, where it is given, is whose signature counts; `sha256` is what the manifest must
/// hash to.
pub fn verify(folder: &Folder, public_key: Option<&str>, sha256: Option<&str>) -> Result<Verified, BackupError> {
    let (checked, found) = folder.manifest()?;
    let altered = |what: &str| BackupError::Altered(what.to_owned());
    if sha256.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&found)) {
        return Err(altered("the manifest has another SHA-256"));
    }
    let manifest = &checked.manifest;
    if public_key.is_some_and(|wanted| wanted != manifest.log.public_key) {
        return Err(altered("it is of another log than the key that was given"));
    }
    if manifest.schema != backup::schema_version() {
        return Err(altered("it was made by a program with another schema"));
    }
    if !manifest.tables.iter().map(|sum| sum.name.as_str()).eq(TABLES.iter().map(|table| table.name)) {
        return Err(altered("it has other tables"));
    }
    let mut seen = Seen::default();
    for (table, sum) in TABLES.iter().zip(&manifest.tables) {
        folder.rows::<BackupError>(table, sum, |row| seen.take(table.name, &row, checked.checkpoint.size()))?;
    }
    seen.holds(&checked)?;
    let rows = manifest.tables.iter().map(|sum| sum.rows).sum();
    Ok(Verified { checked, sha256: found, rows })
}

impl Seen {
    fn take(&mut self, table: &str, row: &[Cell], signed: u64) -> Result<(), BackupError> {
        match (table, row) {
            ("meta", [Cell::Text(name), Cell::Text(value)]) if name == "vault_id" => {
                self.vault_id = Some(value.clone());
            }
            ("counters", [_, Cell::Number(value)]) => self.counter = Some(*value),
            ("restrictions", [Cell::Number(number), ..]) => self.restrictions = self.restrictions.max(*number),
            ("log_keys", [_, Cell::Number(epoch), ..]) => self.log_seed = self.log_seed.max(u32::try_from(*epoch).ok()),
            ("keks", [Cell::Text(c), Cell::Number(v), Cell::Number(epoch), _, Cell::Text(state), ..])
                if state != KeyState::Destroyed.as_str() =>
            {
                self.keks.insert((c.clone(), *v), *epoch);
            }
            ("kek_children", [Cell::Text(c), _, Cell::Number(v), _]) => {
                self.children.insert((c.clone(), *v));
            }
            ("records", [_, Cell::Text(c), _, Cell::Number(v), Cell::Bytes(_), ..]) => {
                *self.records.entry((c.clone(), *v)).or_default() += 1;
            }
            ("log_head", [_, _, Cell::Bytes(edge), _]) => self.head = Some(edge.clone()),
            ("log_entries", [Cell::Number(idx), Cell::Bytes(entry), ..]) => {
                if u64::try_from(*idx) != Ok(self.entries) {
                    return Err(BackupError::Altered("an entry of the log is missing".to_owned()));
                }
                self.entries += 1;
                self.edge.append(Hash::leaf(entry));
                if self.entries.is_multiple_of(256) || self.entries == signed {
                    self.edge.settle();
                }
                if self.entries == signed {
                    self.signed = Some(self.edge.root());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn holds(mut self, checked: &Checked) -> Result<(), BackupError> {
        let manifest = &checked.manifest;
        let altered = |what: &str| Err(BackupError::Altered(what.to_owned()));
        self.edge.settle();
        let signed = if checked.checkpoint.size() == 0 { Some(Hash::EMPTY_ROOT) } else { self.signed };
        if signed.as_ref() != Some(checked.checkpoint.root()) {
            return altered("its entries are not those that the log's key signed");
        }
        if self.entries != manifest.log.size || self.edge.root() != checked.root {
            return altered("its entries do not lead to the position that the manifest names");
        }
        if self.head != Some(self.edge.to_bytes()) {
            return altered("its entries do not lead to the log's head");
        }
        if self.vault_id != Some(manifest.vault_id.to_string()) {
            return altered("its rows are of another vault than the manifest");
        }
        let counter = self.counter.and_then(|counter| u64::try_from(counter).ok());
        if counter != Some(manifest.restrictions) || self.restrictions > self.counter.unwrap_or(0) {
            return altered("its counter of restrictions is not what the manifest says");
        }
        let needs = self.needs();
        if needs.as_ref() != Some(&manifest.needs.keys) || self.log_seed != Some(manifest.needs.log_seed) {
            return altered("it needs other keys than the manifest says, or such as it does not have");
        }
        Ok(())
    }

    /// The keys that something is wrapped under; `None` when a row names one that is not there.
    fn needs(&self) -> Option<Vec<NeededKey>> {
        let named: BTreeSet<_> = self.children.iter().chain(self.records.keys()).collect();
        let mut needs = Vec::with_capacity(named.len());
        for key in named {
            needs.push(NeededKey {
                collection: key.0.parse().ok()?,
                version: u32::try_from(key.1).ok()?,
                root_epoch: u32::try_from(*self.keks.get(key)?).ok()?,
                records: self.records.get(key).copied().unwrap_or(0),
            });
        }
        Some(needs)
    }
}

/// What a backup hangs on and is destroyed in the live vault, in words: by the journal of restrictions, the rows, or both. Needs no
/// key; an edited row can only say too much.
pub async fn gone(checked: &Checked, store: &Store, objects: &Objects) -> Result<Vec<String>, BackupError> {
    let manifest = &checked.manifest;
    let known = Restrictions::new(store.clone(), objects.clone());
    let unread = |e: crate::app::restrict::RestrictError| BackupError::Altered(format!("the live vault: {e}"));
    known.look().await.map_err(unread)?;
    let destroyed = known.destroyed_keys();
    let mut told = Vec::new();
    let epoch_gone = |epoch: u32| -> bool {
        let tag: KeyTag = RootRef { keyring: manifest.vault_id, epoch }.tag();
        destroyed.contains(&tag)
    };
    if epoch_gone(manifest.needs.log_seed) {
        told.push(format!("root epoch {} is destroyed: the log's seed does not open", manifest.needs.log_seed));
    }
    let mut reader = store.read().await?;
    for key in &manifest.needs.keys {
        let kek = KekRef { collection: key.collection, version: key.version };
        let row = keys::kek(reader.conn(), kek).await?;
        let by_row = row.is_some_and(|row| row.state == KeyState::Destroyed);
        if by_row || destroyed.contains(&kek.tag()) {
            told.push(format!("{kek} is destroyed: {} recordings of the backup do not open", key.records));
        } else if epoch_gone(key.root_epoch) {
            let (epoch, records) = (key.root_epoch, key.records);
            told.push(format!("root epoch {epoch} is destroyed, and {kek} with it: {records} recordings do not open"));
        }
    }
    Ok(told)
}
