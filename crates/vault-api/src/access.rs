//! Access requests and the grants they become.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/access-requests` [`NewAccessRequest`] | analyst | → 201 [`RequestFiled`] |
//! | `GET /v1/access-requests` [`AccessRequestQuery`] | requester, approver, auditor | → page of [`AccessRequest`], newest first |
//! | `GET /v1/access-requests/{id}` | the same | → [`AccessRequest`] |
//! | `POST /v1/access-requests/{id}/approve` [`Decision`] | approver, not the requester | → 200 [`Approved`] |
//! | `POST /v1/access-requests/{id}/deny` [`Decision`] | approver | → 200 [`RequestFiled`] in state `denied` |
//! | `DELETE /v1/grants/{id}`, [`Revocation`] or no body | approver | → 200 [`Restricted`], or 202 with `journalled: false` |

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::people::PersonRef;
use crate::records::MediaKind;

/// What a grant lets its holder do with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Play it.
    View,
    /// Have the original, byte for byte.
    Export,
}

/// Which records a standing request covers, within its collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordFilter {
    /// Only audio or only video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// Only received at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub received_from: Option<String>,
    /// Only received before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub received_until: Option<String>,
}

/// A frozen batch: these records and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchScope {
    /// The records, all of one collection. 1 to 500.
    #[schema(min_items = 1, max_items = 500)]
    pub record_ids: Vec<String>,
}

/// A standing scope: one collection and filter; view only, bounded by [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StandingScope {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// Which of its records; `{}` for all.
    pub filter: RecordFilter,
}

/// What is asked for, other than a single record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Scope {
    /// Named records.
    Batch(BatchScope),
    /// A collection and filter.
    Standing(StandingScope),
}

/// Bounds of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Playback sessions in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub sessions: Option<u32>,
    /// Different records in one day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 60)]
    pub records_per_day: Option<u32>,
}

/// Body of `POST /v1/access-requests`: `record_id` or `scope`, exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccessRequest {
    /// The one record that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// Or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// A purpose of the collection that the records' consent covers.
    #[schema(example = "service-improvement")]
    pub purpose: String,
    /// Why, in the requester's words. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "Check what the caller said about the delivery")]
    pub reason: String,
    /// The case it belongs to, where the collection asks for one. At most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "C-2026-118")]
    pub case_number: Option<String>,
    /// What is asked for; `["view"]` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["view"]))]
    pub rights: Option<Vec<Right>>,
    /// When the grant is to end; the collection's limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub until: Option<String>,
    /// Narrower bounds than the collection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Waits for an approver.
    Pending,
    /// Approved: sessions can be opened until it ends.
    Approved,
    /// Refused by an approver.
    Denied,
    /// Not decided in time, or its grant has run out.
    Expired,
    /// Its grant was taken away.
    Revoked,
}

/// Answer of filing or denying a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestFiled {
    /// Identifier of the request.
    #[schema(format = "uuid")]
    pub id: String,
    /// Where it stands.
    pub state: RequestState,
}

/// An access request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessRequest {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Where it stands.
    pub state: RequestState,
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// The one record that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// Or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The purpose.
    #[schema(example = "service-improvement")]
    pub purpose: String,
    /// The reason, where the caller may read it and it has not been erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The case, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_number: Option<String>,
    /// What was asked for.
    pub rights: Vec<Right>,
    /// Bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Who asks.
    pub requested_by: PersonRef,
    /// When.
    #[schema(format = "date-time")]
    pub requested_at: String,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<PersonRef>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub decided_at: Option<String>,
    /// What the decider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The grant, once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub grant_id: Option<String>,
    /// When the request (pending) or its grant (approved) ends by itself.
    #[schema(format = "date-time")]
    pub expires_at: String,
}

/// Query of `GET /v1/access-requests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccessRequestQuery {
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<RequestState>,
    /// Only of this collection, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "demo")]
    pub collection: Option<String>,
    /// Only those for this one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(format = "uuid")]
    pub record_id: Option<String>,
    /// Where to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on a page, 1 to 500; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Body of approving or denying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Shown to the requester and kept in the audit log. At most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000, example = "Within the programme's procedure")]
    pub comment: Option<String>,
}

/// Answer of approving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approved {
    /// The grant.
    #[schema(format = "uuid")]
    pub grant_id: String,
    /// When it ends by itself.
    #[schema(format = "date-time")]
    pub expires_at: String,
}

/// Body of revoking a grant; the whole body may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Why; kept in the audit log. At most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub reason: Option<String>,
}

/// Answer of an act that takes something away. It bites at once either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restricted {
    /// Whether the act also stands in the object store's journal, so that a restored database learns
    /// of it. While this is false (status 202) a job goes on trying.
    pub journalled: bool,
}
