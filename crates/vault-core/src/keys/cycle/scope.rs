//! What a cycle is about, frozen when it begins: two officers agree on its hash.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::CollectionId;
use crate::keys::wrap::KekRef;

/// The longest text of a scope: some twenty thousand collections.
const LONGEST: usize = 1 << 20;

/// Text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the scope of a cycle")]
pub struct InvalidScope;

/// Every version of collections' keys that is to go, and the highest root epoch there was when that was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    // In the order of their names: the text is canonical (RFC 8785).
    root_epoch: u32,
    // Two cycles over the same versions are two things to agree to.
    salt: String,
    versions: BTreeMap<CollectionId, BTreeSet<u32>>,
}

impl Scope {
    /// Of these versions. The vault's own key is none of a collection: no record ever hangs on it.
    /// `salt` is fresh for each, so that what was agreed to once is agreed to for one cycle.
    pub fn new(root_epoch: u32, salt: [u8; 16], keks: impl IntoIterator<Item = KekRef>) -> Result<Self, InvalidScope> {
        let mut versions: BTreeMap<CollectionId, BTreeSet<u32>> = BTreeMap::new();
        for kek in keks.into_iter().filter(|kek| kek.collection != CollectionId::VAULT) {
            versions.entry(kek.collection).or_default().insert(kek.version);
        }
        let scope = Self { root_epoch, salt: hex::encode(salt), versions };
        if scope.text().len() > LONGEST { Err(InvalidScope) } else { Ok(scope) }
    }

    /// Reads its own text, and nothing but that: another spelling would have another hash.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        if text.len() > LONGEST {
            return Err(InvalidScope);
        }
        let scope: Self = serde_json::from_str(text).map_err(|_| InvalidScope)?;
        let salted = scope.salt.len() == 32 && hex::decode(&scope.salt).is_ok();
        let sound = salted
            && !scope.versions.contains_key(&CollectionId::VAULT)
            && scope.versions.values().all(|v| !v.is_empty());
        if sound && scope.text() == text { Ok(scope) } else { Err(InvalidScope) }
    }

    /// As it is stored.
    #[must_use]
    pub fn text(&self) -> String {
        // Numbers and identifiers: nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of its text, in hexadecimal: what the log's entries quote.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.text()))
    }

    /// The highest root epoch there was.
    #[must_use]
    pub const fn root_epoch(&self) -> u32 {
        self.root_epoch
    }

    /// Whether it is about this version.
    #[must_use]
    pub fn covers(&self, kek: KekRef) -> bool {
        self.versions.get(&kek.collection).is_some_and(|versions| versions.contains(&kek.version))
    }

    /// The collections with their versions, in order.
    pub fn collections(&self) -> impl Iterator<Item = (CollectionId, &BTreeSet<u32>)> {
        self.versions.iter().map(|(collection, versions)| (*collection, versions))
    }

    /// Every version.
    pub fn keks(&self) -> impl Iterator<Item = KekRef> {
        let of = |(collection, versions): (CollectionId, &BTreeSet<u32>)| {
            versions.iter().map(move |version| KekRef { collection, version: *version }).collect::<Vec<_>>()
        };
        self.collections().flat_map(of)
    }
}
