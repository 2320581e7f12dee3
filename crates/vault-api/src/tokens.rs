//! Bearer tokens: shown once, stored hashed, always with an end.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/tokens` [`NewToken`] | administrator | → 201 [`IssuedToken`], the only time the token is shown |
//! | `POST /v1/tokens/{id}/confirm` | another administrator | → 200 [`Token`], which from then on carries all its holder's roles |
//! | `GET /v1/tokens` | administrator, auditor | → page of [`Token`] |
//! | `DELETE /v1/tokens/{id}` | administrator, or whom it stands for | → 200 [`Restricted`](crate::access::Restricted) |

use core::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::people::PersonRef;
use crate::roles::Role;

/// Body of `POST /v1/tokens`. A token can do at most what its person's roles allow, or less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whom it stands for.
    #[schema(format = "uuid")]
    pub person_id: String,
    /// What it is for, as lists show it. 1 to 100 characters; do not put personal data here.
    #[schema(min_length = 1, max_length = 100, example = "kiosk 3")]
    pub label: String,
    /// Only these of the person's roles; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
    /// Only in this collection, by name; absent for all of the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "demo")]
    pub collection: Option<String>,
    /// When it ends: at most a year ahead.
    #[schema(format = "date-time", example = "2027-02-23T00:00:00Z")]
    pub expires_at: String,
}

/// A token, without the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Identifier, not secret.
    #[schema(format = "uuid")]
    pub id: String,
    /// Whom it stands for.
    pub person: PersonRef,
    /// What it is for.
    #[schema(example = "kiosk 3")]
    pub label: String,
    /// The roles it is limited to; absent for all of the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
    /// The collection it is limited to, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "demo")]
    pub collection: Option<String>,
    /// Who issued it; absent for those made with the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<PersonRef>,
    /// The administrator who confirmed it. Until then it carries only the roles that one administrator may give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<PersonRef>,
    /// When it was issued.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When it ends.
    #[schema(format = "date-time")]
    pub expires_at: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub revoked_at: Option<String>,
}

/// Answer of `POST /v1/tokens`. The secret is in it, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    /// The bearer token: `fv_` and 43 characters of base64url.
    #[schema(format = "password", example = "fv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    pub secret: String,
    /// What is known of it from now on.
    pub token: Token,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Query of `GET /v1/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokenQuery {
    /// Only this person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(format = "uuid")]
    pub person_id: Option<String>,
    /// Where to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on a page, 1 to 500; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
