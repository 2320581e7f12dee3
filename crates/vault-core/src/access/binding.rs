//! Role bindings: a role held by a person, as the log proves it.
//!
//! [`Terms`] is what an administrator writes and the log records in the slot `binding` of
//! `role.granted`. [`Binding`] is read back from that entry alone; a database row cannot make one.

use serde::{Deserialize, Serialize};

use super::denial::Denial;
use super::person::{Kind, Place};
use super::role::Role;
use crate::audit::entry::RoleGranted;
use crate::audit::evidence::Recorded;
use crate::audit::slot::SlotName;
use crate::ids::{BindingId, CollectionId, PersonId};
use crate::time::Timestamp;

/// What a role binding says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The binding.
    pub binding: BindingId,
    /// Who holds the role.
    pub person: PersonId,
    /// Whether that is a human or a machine.
    pub kind: Kind,
    /// The role.
    pub role: Role,
    /// The collection it holds in; `None` for the whole vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionId>,
    /// Who gave it; `None` for the first persons, entered when the vault was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<PersonId>,
    /// The second administrator who confirmed it, for roles that need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<PersonId>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Terms {
    /// The value of the entry's slot: canonical JSON.
    #[must_use]
    pub fn to_slot(&self) -> String {
        super::canonical(self)
    }

    /// The rules that any binding must meet, whoever wrote it: kind of holder, two different givers, neither of them the receiver.
    pub fn check(&self) -> Result<(), NotGivable> {
        if self.role.held_by() != self.kind {
            return Err(NotGivable::WrongKind);
        }
        match (self.proposed_by, self.confirmed_by) {
            // Entered when the vault was made: the entries before any administrator existed.
            (None, None) => Ok(()),
            (None, Some(_)) => Err(NotGivable::SecondPersonMissing),
            (Some(one), _) if one == self.person => Err(NotGivable::ToOneself),
            (Some(_), Some(two)) if two == self.person => Err(NotGivable::ToOneself),
            (Some(one), Some(two)) if one == two => Err(NotGivable::SecondPersonMissing),
            (Some(_), None) if self.role.needs_second_person() => Err(NotGivable::SecondPersonMissing),
            (Some(_), _) => Ok(()),
        }
    }
}

/// Why a role cannot be given like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGivable {
    /// A machine's role for a person, or the other way round.
    #[error("this role is for the other of people and machines")]
    WrongKind,
    /// One administrator alone, or the same one twice.
    #[error("a second administrator must confirm this role")]
    SecondPersonMissing,
    /// The giver is the receiver.
    #[error("nobody gives a role to themselves")]
    ToOneself,
    /// The person holds a role that must not be held beside it.
    #[error("the person holds {0}, which must not be held beside it")]
    Conflict(Role),
}

/// Whether `person`, who holds `held`, may be given `role`.
pub fn compatible(role: Role, held: &[Role]) -> Result<(), NotGivable> {
    match held.iter().find(|other| role.conflicts_with(**other)) {
        Some(other) => Err(NotGivable::Conflict(*other)),
        None => Ok(()),
    }
}

/// A role that the log proves was given. Whether it has since been taken away is for the caller to
/// know (the log's later entries, restrictions); whether it has ended is [`Binding::in_force`].
#[derive(Clone, Debug)]
pub struct Binding(Terms);

impl Binding {
    /// Reads the binding out of its entry, and holds it to the rules again.
    pub fn from_evidence(evidence: &Recorded<RoleGranted>) -> Result<Self, Denial> {
        let slot = evidence.slot(SlotName::Binding).ok_or(Denial::NotInLog)?;
        let terms: Terms = serde_json::from_str(slot).map_err(|_| Denial::NotInLog)?;
        terms.check().map_err(|_| Denial::NotInLog)?;
        Ok(Self(terms))
    }

    /// The binding's identifier.
    #[must_use]
    pub const fn id(&self) -> BindingId {
        self.0.binding
    }

    /// Who holds it.
    #[must_use]
    pub const fn person(&self) -> PersonId {
        self.0.person
    }

    /// The role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.0.role
    }

    /// The collection; `None` for the whole vault.
    #[must_use]
    pub const fn collection(&self) -> Option<CollectionId> {
        self.0.collection
    }

    /// When it ends by itself.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.0.until
    }

    /// All that it says.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.0
    }

    /// Whether it has not ended by itself.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.0.until.is_none_or(|until| now < until)
    }

    /// Whether it serves at `place`.
    #[must_use]
    pub fn reaches(&self, place: Place) -> bool {
        match (self.0.collection, place) {
            (None, _) | (Some(_), Place::Anywhere) => true,
            (Some(own), Place::Collection(asked)) => own == asked,
            (Some(_), Place::Vault) => false,
        }
    }

    /// For tests elsewhere in the crate, which have no log.
    #[cfg(test)]
    pub(crate) const fn for_test(terms: Terms) -> Self {
        Self(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(role: Role, by: Option<u8>, and: Option<u8>) -> Terms {
        let person = |n: u8| PersonId::from_bytes([n; 16]);
        Terms {
            binding: BindingId::from_bytes([9; 16]),
            person: person(1),
            kind: role.held_by(),
            role,
            collection: None,
            proposed_by: by.map(person),
            confirmed_by: and.map(person),
            until: None,
        }
    }

    #[test]
    fn p5_nobody_alone_gives_a_role_that_plays_approves_or_holds_keys() {
        for role in Role::ALL {
            let alone = terms(role, Some(2), None).check();
            assert_eq!(alone.is_err(), role.needs_second_person(), "{role}");
            assert_eq!(terms(role, Some(2), Some(3)).check(), Ok(()));
            assert_eq!(terms(role, Some(2), Some(2)).check(), Err(NotGivable::SecondPersonMissing));
            assert_eq!(terms(role, Some(1), Some(3)).check(), Err(NotGivable::ToOneself));
            assert_eq!(terms(role, Some(2), Some(1)).check(), Err(NotGivable::ToOneself));
            assert_eq!(terms(role, None, Some(2)).check(), Err(NotGivable::SecondPersonMissing));
        }
    }

    #[test]
    fn machines_and_people_do_not_take_each_others_roles() {
        let mut wrong = terms(Role::Analyst, Some(2), Some(3));
        wrong.kind = Kind::Machine;
        assert_eq!(wrong.check(), Err(NotGivable::WrongKind));
    }

    #[test]
    fn a_role_for_one_collection_does_not_reach_another_or_the_vault() {
        let (here, there) = (CollectionId::from_bytes([1; 16]), CollectionId::from_bytes([2; 16]));
        let mut own = terms(Role::Approver, None, None);
        own.collection = Some(here);
        let binding = Binding::for_test(own);
        assert!(binding.reaches(Place::Collection(here)) && binding.reaches(Place::Anywhere));
        assert!(!binding.reaches(Place::Collection(there)) && !binding.reaches(Place::Vault));
    }

    #[test]
    fn a_slot_reads_back_and_unknown_members_are_refused() {
        let mut own = terms(Role::Approver, Some(2), Some(3));
        own.until = Some(Timestamp::from_millis(5));
        assert_eq!(serde_json::from_str::<Terms>(&own.to_slot()).unwrap(), own);
        let more = own.to_slot().replacen('{', "{\"extra\":1,", 1);
        assert!(serde_json::from_str::<Terms>(&more).is_err());
    }
}
