//! Persons and machines: who a token speaks for.
//!
//! Tokens come and go; what is compared ("a second person", "their own request") is the person.

use serde::{Deserialize, Serialize};

use super::binding::Binding;
use super::role::{Action, Role};
use crate::ids::{CollectionId, PersonId};

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
    fn lets(&self, role: Role, place: Place) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.contains(&role))
            && match (self.collection, place) {
                (None, _) | (Some(_), Place::Anywhere) => true,
                (Some(only), Place::Collection(asked)) => only == asked,
                (Some(_), Place::Vault) => false,
            }
    }
}

/// Who calls: a person with the roles that the audit log proves they hold now.
#[derive(Debug)]
pub struct Caller {
    person: PersonId,
    bindings: Vec<Binding>,
    narrowing: Narrowing,
}

impl Caller {
    /// A caller with those of `bindings` that are theirs. A [`Binding`] is made only from a logged
    /// entry, so a caller cannot hold a role that the log does not know.
    #[must_use]
    pub fn new(person: PersonId, bindings: Vec<Binding>, narrowing: Narrowing) -> Self {
        let bindings = bindings.into_iter().filter(|binding| binding.person() == person).collect();
        Self { person, bindings, narrowing }
    }

    /// The person.
    #[must_use]
    pub const fn person(&self) -> PersonId {
        self.person
    }

    /// What they hold, whatever the token narrows.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The binding through which they may do `action` at `place`, if any.
    #[must_use]
    pub fn holds(&self, action: Action, place: Place) -> Option<&Binding> {
        self.bindings.iter().find(|binding| {
            binding.role().may(action) && binding.reaches(place) && self.narrowing.lets(binding.role(), place)
        })
    }

    /// Whether they may do `action` as `role` at `place`.
    #[must_use]
    pub fn holds_as(&self, role: Role, place: Place) -> bool {
        self.narrowing.lets(role, place)
            && self.bindings.iter().any(|binding| binding.role() == role && binding.reaches(place))
    }

    /// Whether the person holds, anywhere and by any token, a role that configures or holds keys:
    /// such a person does not play.
    #[must_use]
    pub fn configures_or_holds_keys(&self) -> bool {
        self.bindings.iter().any(|binding| matches!(binding.role(), Role::Administrator | Role::KeyOfficer))
    }

    /// The collections they may do `action` in: `None` for all, else those of their roles.
    #[must_use]
    pub fn collections(&self, action: Action) -> Option<Vec<CollectionId>> {
        if self.holds(action, Place::Vault).is_some() {
            return None;
        }
        let mut found: Vec<CollectionId> = self
            .bindings
            .iter()
            .filter_map(Binding::collection)
            .chain(self.narrowing.collection)
            .filter(|collection| self.holds(action, Place::Collection(*collection)).is_some())
            .collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}
