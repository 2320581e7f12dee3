//! Persons and machines. Roles are held by them, never by tokens.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/people` [`NewPerson`] | administrator | → 201 [`Person`] |
//! | `GET /v1/people` | administrator, auditor | → [`Page`](crate::page::Page) of [`Person`] |
//! | `GET /v1/people/{id}` | administrator, auditor | → [`Person`] |
//! | `POST /v1/people/{id}/disable` [`Reason`] | administrator | ends roles, tokens and sessions → [`Person`] |
//! | `GET /v1/me` | anyone with a token | → [`Me`] |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::roles::RoleBinding;
use crate::tokens::Token;

/// Whether a person or a machine acts. Machines may upload and process, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PersonKind {
    /// A human being.
    Human,
    /// A program: a widget's back end, a kiosk, a telephony platform.
    Machine,
}

/// Whether a person can act at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PersonState {
    /// May act, as far as roles allow.
    Active,
    /// Has left: no token of theirs works.
    Disabled,
}

/// Body of `POST /v1/people`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// The name that decisions and the log's openings show. 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200, example = "Ada Example")]
    pub name: String,
    /// Person or machine.
    pub kind: PersonKind,
}

/// Somebody or something that may hold roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// Identifier.
    #[schema(format = "uuid", example = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55")]
    pub id: String,
    /// Name.
    #[schema(example = "Ada Example")]
    pub name: String,
    /// Person or machine.
    pub kind: PersonKind,
    /// Whether they can act.
    pub state: PersonState,
    /// When they were entered.
    #[schema(format = "date-time", example = "2026-11-23T09:05:00.120Z")]
    pub created_at: String,
    /// When they were disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub disabled_at: Option<String>,
}

/// A person as other bodies mention them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonRef {
    /// Identifier.
    #[schema(format = "uuid", example = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55")]
    pub id: String,
    /// Name, where the caller may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Ada Example")]
    pub name: Option<String>,
}

/// Why something is done: the body of acts that need nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Goes into the audit log as an erasable opening. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "Left the company")]
    pub reason: String,
}

/// Answer of `GET /v1/me`: whom the presented token stands for and what it can do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The person or machine.
    pub person: Person,
    /// Their roles in force.
    pub roles: Vec<RoleBinding>,
    /// The token that was presented.
    pub token: Token,
}
