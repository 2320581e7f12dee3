//! Who calls: the person a token speaks for, with the roles that the log proves.
//!
//! Tokens come and go; what is compared ("a second person", "their own request") is the person.

use super::binding::Binding;
use super::person::{Narrowing, Place};
use super::role::{Action, Role};
use crate::ids::{CollectionId, PersonId};

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
