//! Between the types of the wire and those of the vault.

use vault_api::people::{Person, PersonKind, PersonRef, PersonState};
use vault_api::roles::{BindingState as WireState, Role as WireRole, RoleBinding};
use vault_api::tokens::Token;
use vault_core::access::person::Kind;
use vault_core::access::role::Role;
use vault_core::ids::PersonId;
use vault_core::time::Timestamp;

use crate::app::people::{BindingFilter, BindingState, BindingView, PersonRow, TokenView};

pub(super) const fn kind_in(kind: PersonKind) -> Kind {
    match kind {
        PersonKind::Human => Kind::Human,
        PersonKind::Machine => Kind::Machine,
    }
}

pub(super) const fn role_in(role: WireRole) -> Role {
    match role {
        WireRole::Uploader => Role::Uploader,
        WireRole::Processor => Role::Processor,
        WireRole::Analyst => Role::Analyst,
        WireRole::Approver => Role::Approver,
        WireRole::KeyOfficer => Role::KeyOfficer,
        WireRole::Auditor => Role::Auditor,
        WireRole::Administrator => Role::Administrator,
    }
}

const fn role_out(role: Role) -> WireRole {
    match role {
        Role::Uploader => WireRole::Uploader,
        Role::Processor => WireRole::Processor,
        Role::Analyst => WireRole::Analyst,
        Role::Approver => WireRole::Approver,
        Role::KeyOfficer => WireRole::KeyOfficer,
        Role::Auditor => WireRole::Auditor,
        Role::Administrator => WireRole::Administrator,
    }
}

pub(super) fn filter(person: Option<PersonId>, state: Option<WireState>) -> BindingFilter {
    let (state, ended) = match state {
        None => (None, None),
        Some(WireState::Proposed) => (Some(BindingState::Proposed), None),
        Some(WireState::Active) => (Some(BindingState::Active), Some(false)),
        Some(WireState::Expired) => (Some(BindingState::Active), Some(true)),
        Some(WireState::Revoked) => (Some(BindingState::Revoked), None),
    };
    BindingFilter { person, state, ended }
}

pub(super) fn person(row: PersonRow) -> Person {
    Person {
        id: row.id.to_string(),
        name: row.name,
        kind: match row.kind {
            Kind::Human => PersonKind::Human,
            Kind::Machine => PersonKind::Machine,
        },
        state: if row.disabled_at.is_some() { PersonState::Disabled } else { PersonState::Active },
        created_at: row.created_at.to_string(),
        disabled_at: row.disabled_at.map(|at| at.to_string()),
    }
}

fn person_ref(id: PersonId, name: Option<String>) -> PersonRef {
    PersonRef { id: id.to_string(), name }
}

pub(super) fn binding(view: BindingView, now: Timestamp) -> RoleBinding {
    let BindingView { row, person, collection, proposer, confirmer } = view;
    let ended = row.until.is_some_and(|until| until <= now);
    RoleBinding {
        id: row.id.to_string(),
        person: person_ref(row.person, Some(person)),
        role: role_out(row.role),
        collection,
        state: match row.state {
            BindingState::Proposed => WireState::Proposed,
            BindingState::Active if ended => WireState::Expired,
            BindingState::Active => WireState::Active,
            BindingState::Revoked => WireState::Revoked,
        },
        proposed_by: row.proposed_by.map(|id| person_ref(id, proposer)),
        proposed_at: row.proposed_at.to_string(),
        confirmed_by: row.confirmed_by.map(|id| person_ref(id, confirmer)),
        active_at: row.active_at.map(|at| at.to_string()),
        until: row.until.map(|at| at.to_string()),
        revoked_at: row.revoked_at.map(|at| at.to_string()),
    }
}

pub(super) fn token(view: TokenView) -> Token {
    let TokenView { row, person, collection, issuer, confirmer } = view;
    Token {
        id: row.id.to_string(),
        person: person_ref(row.person, Some(person)),
        label: row.label,
        roles: row.narrowing.roles.map(|roles| roles.into_iter().map(role_out).collect()),
        collection,
        issued_by: row.issued_by.map(|id| person_ref(id, issuer)),
        confirmed_by: row.confirmed_by.map(|id| person_ref(id, confirmer)),
        created_at: row.created_at.to_string(),
        expires_at: row.expires_at.to_string(),
        revoked_at: row.revoked_at.map(|at| at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_on_the_wire_are_the_roles_there_are() {
        let wire: Vec<_> = WireRole::ALL.iter().map(|role| role.as_str()).collect();
        let core: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        assert_eq!(wire, core);
        for (wire, core) in WireRole::ALL.into_iter().zip(Role::ALL) {
            assert_eq!((role_in(wire), role_out(core)), (core, wire));
        }
    }
}
