//! Whether every wrap opens under the version it names: each is opened, its commitment and tag checked, and the key in it
//! wiped at once. No key and no plaintext leaves this file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use vault_core::ids::{CollectionId, RecordId};
use vault_core::keys::hierarchy::Kek;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::{self, ChildKind, KekRef, UnwrapError};

use super::{KeyError, KeyService, blocking};
use crate::custody::CustodyError;
use crate::store::keys::{self, HeldWrap};

/// What a wrap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A record's key.
    Record,
    /// One of the collection's own keys.
    Child(ChildKind),
    /// A version of the collection's KEK, under the root.
    Kek,
}

/// What is wrong with a wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The row cannot be read.
    Unreadable,
    /// There is no such child.
    Missing,
    /// Not a wrap.
    Malformed,
    /// It names another version than its row.
    NamesAnotherKey,
    /// The commitment is not that of the key it names.
    WrongKey,
    /// It was altered, or belongs to another record.
    Forged,
    /// The version it names does not exist.
    NoSuchVersion,
    /// The version it names was destroyed.
    VersionDestroyed,
    /// The version it names has never been active.
    VersionUnused,
    /// The version it names cannot be opened itself.
    VersionUnusable,
}

impl From<UnwrapError> for Fault {
    fn from(e: UnwrapError) -> Self {
        match e {
            UnwrapError::Malformed => Self::Malformed,
            UnwrapError::NamesAnotherKey => Self::NamesAnotherKey,
            UnwrapError::WrongKey => Self::WrongKey,
            UnwrapError::Forged => Self::Forged,
        }
    }
}

/// A wrap that does not open as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it should hold.
    pub scope: Scope,
    /// The record as its row has it; none for other keys.
    pub record: Option<String>,
    /// The version that the row names, where it can be read.
    pub version: Option<u32>,
    /// What is wrong.
    pub fault: Fault,
}

/// What was looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Wraps that were opened, or should have been.
    pub checked: u64,
    /// Wraps under a compromised version: they are opened only under an incident approval, which this is not.
    pub skipped: u64,
    /// Those that do not open.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Takes in what else was looked at.
    pub fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.skipped += other.skipped;
        self.findings.extend(other.findings);
    }

    fn found(&mut self, scope: Scope, record: Option<&str>, version: Option<u32>, fault: Fault) {
        self.findings.push(Finding { scope, record: record.map(str::to_owned), version, fault });
    }
}

/// A version as a wrap that names it finds it.
enum Version {
    Open(Arc<Kek>),
    Compromised,
    Faulty(Fault),
}

impl KeyService {
    /// Checks the collection's KEK versions and its own keys.
    pub async fn verify_collection(&self, collection: CollectionId) -> Result<Checked, KeyError> {
        self.check_open()?;
        let mut checked = Checked::default();
        let rows = {
            let mut reader = self.store.read().await?;
            keys::keks(reader.conn(), collection).await?
        };
        for row in rows.iter().filter(|row| row.state != KeyState::Destroyed) {
            checked.checked += 1;
            // By the stored wrap, not by what lies open in memory.
            match self.custody.unwrap_kek(KekRef { collection, version: row.version }, &row.wrap) {
                Ok(_) => {}
                Err(CustodyError::Sealed) => return Err(KeyError::Sealed),
                Err(CustodyError::Unwrap(e)) => checked.found(Scope::Kek, None, Some(row.version), e.into()),
                // The epoch it names is unknown, foreign or destroyed.
                Err(CustodyError::Epoch(_)) => {
                    checked.found(Scope::Kek, None, Some(row.version), Fault::NoSuchVersion);
                }
                Err(e) => return Err(e.into()),
            }
        }
        for kind in ChildKind::ALL {
            let scope = Scope::Child(kind);
            let found = {
                let mut reader = self.store.read().await?;
                keys::child(reader.conn(), collection, kind).await?
            };
            let Some((version, bytes)) = found else {
                checked.checked += 1;
                checked.found(scope, None, None, Fault::Missing);
                continue;
            };
            let me = KekRef { collection, version };
            let outcome = match self.version(me).await? {
                Version::Compromised => {
                    checked.skipped += 1;
                    continue;
                }
                Version::Faulty(fault) => Err(fault),
                Version::Open(kek) => kek.check_child(me, kind, &bytes).map_err(Fault::from),
            };
            checked.checked += 1;
            if let Err(fault) = outcome {
                checked.found(scope, None, Some(version), fault);
            }
        }
        Ok(checked)
    }

    /// Checks the wraps of a collection's records, off the async threads.
    pub async fn verify_records(&self, collection: CollectionId, rows: Vec<HeldWrap>) -> Result<Checked, KeyError> {
        self.check_open()?;
        let mut versions = HashMap::new();
        for version in rows.iter().filter_map(|row| Some(row.wrap.as_ref()?.0)) {
            if let Entry::Vacant(unknown) = versions.entry(version) {
                unknown.insert(self.version(KekRef { collection, version }).await?);
            }
        }
        blocking(move || Ok::<_, KeyError>(check(collection, &rows, &versions))).await
    }

    async fn version(&self, me: KekRef) -> Result<Version, KeyError> {
        Ok(match self.kek(me).await {
            Ok(kek) => Version::Open(kek),
            Err(KeyError::Missing(_)) => Version::Faulty(Fault::NoSuchVersion),
            Err(KeyError::State { state, .. }) => match state {
                KeyState::Compromised => Version::Compromised,
                KeyState::Destroyed => Version::Faulty(Fault::VersionDestroyed),
                _ => Version::Faulty(Fault::VersionUnused),
            },
            Err(KeyError::Wrap { .. } | KeyError::Custody(CustodyError::Epoch(_))) => {
                Version::Faulty(Fault::VersionUnusable)
            }
            Err(e) => return Err(e),
        })
    }
}

fn check(collection: CollectionId, rows: &[HeldWrap], versions: &HashMap<u32, Version>) -> Checked {
    let mut checked = Checked::default();
    for row in rows {
        let (Some((version, bytes)), Ok(record)) = (&row.wrap, row.id.parse::<RecordId>()) else {
            checked.checked += 1;
            checked.found(
                Scope::Record,
                Some(&row.id),
                row.wrap.as_ref().map(|(version, _)| *version),
                Fault::Unreadable,
            );
            continue;
        };
        let me = KekRef { collection, version: *version };
        let outcome = match (wrap::names(bytes), versions.get(version)) {
            (Err(e), _) => Err(e.into()),
            (Ok(named), _) if named != me => Err(Fault::NamesAnotherKey),
            (Ok(_), None) => Err(Fault::NoSuchVersion),
            (Ok(_), Some(Version::Compromised)) => {
                checked.skipped += 1;
                continue;
            }
            (Ok(_), Some(Version::Faulty(fault))) => Err(*fault),
            (Ok(_), Some(Version::Open(kek))) => {
                kek.unwrap_record_key(me, record, bytes).map(drop).map_err(Fault::from)
            }
        };
        checked.checked += 1;
        if let Err(fault) = outcome {
            checked.found(Scope::Record, Some(&row.id), Some(*version), fault);
        }
    }
    checked
}
