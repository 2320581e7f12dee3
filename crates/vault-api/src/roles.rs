//! Roles and who holds them. A role that plays, approves or holds keys takes two persons to give.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/role-bindings` [`NewRoleBinding`] | administrator | → 201 [`RoleBinding`], `proposed` or `active` |
//! | `POST /v1/role-bindings/{id}/confirm` | another administrator | → 200 [`RoleBinding`] |
//! | `GET /v1/role-bindings` [`RoleBindingQuery`] | administrator, auditor | → page of [`RoleBinding`] |
//! | `DELETE /v1/role-bindings/{id}` | administrator | → 200 [`Restricted`](crate::access::Restricted) |

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::people::PersonRef;

/// What a person or machine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A machine that uploads recordings; sees nothing.
    Uploader,
    /// A machine that derives from recordings under recorded disclosure.
    Processor,
    /// Asks for access and plays.
    Analyst,
    /// Privacy officer: approves, denies, revokes, erases.
    Approver,
    /// Security team: rotates and retires keys; cannot play.
    KeyOfficer,
    /// Reads the log and who did what; cannot play.
    Auditor,
    /// Configures collections, persons and roles; cannot play.
    Administrator,
}

impl Role {
    /// Every role, in the order of the matrix in `docs/roles.md`.
    pub const ALL: [Self; 7] = [
        Self::Uploader,
        Self::Processor,
        Self::Analyst,
        Self::Approver,
        Self::KeyOfficer,
        Self::Auditor,
        Self::Administrator,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploader => "uploader",
            Self::Processor => "processor",
            Self::Analyst => "analyst",
            Self::Approver => "approver",
            Self::KeyOfficer => "key-officer",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }
}

/// Where a binding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BindingState {
    /// Waits for a second administrator; gives nothing yet.
    Proposed,
    /// In force.
    Active,
    /// Its time has run out.
    Expired,
    /// Taken away.
    Revoked,
}

/// Body of `POST /v1/role-bindings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoleBinding {
    /// Who is to hold the role.
    #[schema(format = "uuid")]
    pub person_id: String,
    /// The role.
    pub role: Role,
    /// The collection it holds in, by name; absent for the whole vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "demo")]
    pub collection: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub until: Option<String>,
    /// Why; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "Joins the service team")]
    pub reason: String,
}

/// A role held by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleBinding {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Who holds it.
    pub person: PersonRef,
    /// The role.
    pub role: Role,
    /// The collection it holds in, by name; absent for the whole vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "demo")]
    pub collection: Option<String>,
    /// Where it stands.
    pub state: BindingState,
    /// Who proposed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<PersonRef>,
    /// When.
    #[schema(format = "date-time")]
    pub proposed_at: String,
    /// Who confirmed it, for roles that need a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<PersonRef>,
    /// When it came into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub active_at: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub until: Option<String>,
    /// When it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub revoked_at: Option<String>,
}

/// Query of `GET /v1/role-bindings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RoleBindingQuery {
    /// Only this person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(format = "uuid")]
    pub person_id: Option<String>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<BindingState>,
    /// Where to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on a page, 1 to 500; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
