//! Destroying key versions and root epochs (`docs/keys.md`).
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/collections/{c}/keys/{version}/destroy` [`Destroy`] | key-officer | → 202 [`Destruction`], or 409 `key_in_use` with `inventory` |
//! | `POST …/destroy/confirm` | another key-officer | → 200 [`Destruction`] |
//! | `DELETE …/destroy` | key-officer | → 200 [`Destruction`], cancelled |
//! | `POST /v1/root/{epoch}/destroy` [`DestroyEpoch`], `…/confirm`, `DELETE …/destroy` | key-officer | the same for a root epoch |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keys::KeyState;

/// Body of asking for a destruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Destroy {
    /// Why; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "Superseded in March, empty since")]
    pub reason: String,
}

/// Body of asking for the destruction of a root epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyEpoch {
    /// Why; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "Monthly cycle")]
    pub reason: String,
    /// Copies of the keyring file, backups included, that hold the epoch's key, as far as the caller knows. Whoever has such a copy
    /// and its passphrase has the key: the vault cannot know, so a key officer attests it. Refused unless it is 0.
    #[schema(example = 0)]
    pub known_copies: u32,
}

/// What the destruction of a root epoch is worth, by where the root key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Worth {
    /// The custody itself destroys the key, and no copy of it can exist.
    Destroyed,
    /// The custody destroys it after a time of its own.
    Scheduled,
    /// The key is removed from where the vault reads it; that no copy is left, key officers attest.
    Attested,
}

/// Where a destruction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DestructionState {
    /// One key officer asked for it; another has to confirm it.
    Requested,
    /// Confirmed; it can be cancelled until its time has come.
    Confirmed,
    /// Nothing was destroyed.
    Cancelled,
    /// The key is gone.
    Done,
}

/// What needs a key. Its SHA-256, as JSON with these members in this order and no space, is in the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inventory {
    /// The collection's own keys that the version wraps: `staff-audit`, `subject`.
    pub children: Vec<String>,
    /// The collection; absent for a root epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub collection_id: Option<String>,
    /// For a root epoch: copies of the keyring file that hold its key, as far as the key officer who asks knows.
    pub copies: u64,
    /// Record keys under each version of the collection, counted right before; for a root epoch, keys under each epoch.
    pub held: BTreeMap<String, u64>,
    /// Records whose row names another version than their wrap, which is under this one: edited by hand.
    pub misnamed: u64,
    /// The version or epoch.
    #[schema(minimum = 1, example = 1)]
    pub number: u32,
    /// The first of the records whose key it wraps, or that are misnamed.
    pub record_ids: Vec<String>,
    /// How many record keys it wraps.
    #[schema(example = 0)]
    pub records: u64,
    /// Whether a rotation of the collection is under way.
    pub rotation: bool,
    /// The key's state.
    pub state: KeyState,
    /// For a root epoch: how many KEK versions and log keys it wraps.
    #[schema(example = 0)]
    pub wrapped: u64,
}

impl Inventory {
    /// Whether nothing needs the key but a rotation under way, which ends by itself.
    #[must_use]
    pub fn only_a_rotation(&self) -> bool {
        self.rotation && self.needs().len() == 1
    }

    /// What needs the key, in words; nothing: it may go.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let mut needs = Vec::new();
        match self.state {
            KeyState::Active => needs.push("it is the active one".to_owned()),
            KeyState::PreActive => needs.push("it is about to be used".to_owned()),
            KeyState::Deactivated | KeyState::Compromised | KeyState::Destroyed => {}
        }
        if self.rotation {
            needs.push("a rotation is under way".to_owned());
        }
        if self.records > 0 {
            needs.push(format!("{} record keys are under it", self.records));
        }
        if self.misnamed > 0 {
            needs.push(format!("{} records say that they are under another version and are not", self.misnamed));
        }
        if let Some(first) = self.record_ids.first() {
            needs.push(format!("the first of these records is {first}"));
        }
        needs.extend(self.children.iter().map(|child| format!("the collection's {child} key is under it")));
        if self.wrapped > 0 {
            needs.push(format!("{} keys are wrapped by it", self.wrapped));
        }
        if self.copies > 0 {
            needs.push(format!(
                "{} copies of the keyring file are known that hold it: destroy those first",
                self.copies
            ));
        }
        needs
    }
}

/// The destruction of a key version or a root epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Destruction {
    /// Identifier; the audit log's entries name it.
    #[schema(format = "uuid")]
    pub id: String,
    /// The version or epoch.
    #[schema(minimum = 1, example = 1)]
    pub number: u32,
    /// Where it stands.
    pub state: DestructionState,
    /// The person who asked.
    #[schema(format = "uuid")]
    pub requested_by: String,
    /// When.
    #[schema(format = "date-time")]
    pub requested_at: String,
    /// The person who confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub confirmed_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub confirmed_at: Option<String>,
    /// It is destroyed then, unless somebody cancels it or something needs the key again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub not_before: Option<String>,
    /// What was found to need the key when it was last looked at.
    pub inventory: Inventory,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_written_in_one_way_and_says_what_stands_in_it() {
        let mut inventory = Inventory {
            children: Vec::new(),
            collection_id: Some("01a0".to_owned()),
            copies: 0,
            held: BTreeMap::from([("10".to_owned(), 1), ("2".to_owned(), 7)]),
            misnamed: 0,
            number: 1,
            record_ids: Vec::new(),
            records: 0,
            rotation: false,
            state: KeyState::Deactivated,
            wrapped: 0,
        };
        assert_eq!(inventory.needs(), Vec::<String>::new());
        let text = serde_json::to_string(&inventory).unwrap();
        // RFC 8785: the order of the names is that of their UTF-16 code units.
        assert_eq!(
            text,
            r#"{"children":[],"collection_id":"01a0","copies":0,"held":{"10":1,"2":7},"misnamed":0,"number":1,"record_ids":[],"records":0,"rotation":false,"state":"deactivated","wrapped":0}"#
        );
        inventory.state = KeyState::Active;
        inventory.records = 2;
        inventory.record_ids = vec!["r1".to_owned()];
        inventory.children = vec!["subject".to_owned()];
        inventory.rotation = true;
        inventory.misnamed = 1;
        inventory.wrapped = 3;
        inventory.copies = 1;
        assert_eq!(inventory.needs().len(), 8);
    }
}
