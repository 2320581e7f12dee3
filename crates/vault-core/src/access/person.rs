//! Kinds of holders, places of acts, and what a token narrows its person's roles to.

use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::ids::CollectionId;

/// Whether a holder of roles is a human being or a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A human being.
    Human,
    /// A program: a widget's back end, a telephony platform, a processor.
    Machine,
}

impl Kind {
    /// The name on the wire, in the database and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Human, Self::Machine].into_iter().find(|kind| kind.name() == text)
    }
}

/// Where an act would take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one collection: a role for it, or for the whole vault, serves.
    Collection(CollectionId),
    /// In the vault as a whole: only a role for the whole vault serves.
    Vault,
    /// A list, or a creation whose parts are checked one by one: a role for any collection serves.
    Anywhere,
}

/// What a token narrows its person's roles to. It never widens them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// Only these roles; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
    /// Only this collection; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionId>,
}

impl Narrowing {
    pub(super) fn lets(&self, role: Role, place: Place) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.contains(&role))
            && match (self.collection, place) {
                (None, _) | (Some(_), Place::Anywhere) => true,
                (Some(only), Place::Collection(asked)) => only == asked,
                (Some(_), Place::Vault) => false,
            }
    }
}
