//! What a leaked key version exposes.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/collections/{c}/keys/{version}/exposure` [`ExposureQuery`] | key-officer | → [`ExposurePage`] |

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::keys::KeyState;

/// Records that one page looks at when the caller does not say.
pub const DEFAULT_LOOKED_AT: u32 = 2_000;
/// The most that it looks at.
pub const MOST_LOOKED_AT: u32 = 10_000;

/// Query of `GET /v1/collections/{c}/keys/{version}/exposure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExposureQuery {
    /// Where to go on: `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Records to look at, 1 to 10,000; 2,000 when absent. A page lists those of them that are exposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000, example = 2_000)]
    pub limit: Option<u32>,
}

/// How a record's key is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HowExposed {
    /// The version wraps it now.
    Held,
    /// It is under a later version, and was made before this one stopped being active.
    Passed,
    /// It is under a later version, and was made within a day after this one stopped being active: only clocks that differ, or an
    /// upload that completed at that very moment, can have put it there.
    Close,
    /// Too little of the row can be read to rule it out.
    Unreadable,
}

/// A record whose key the version wraps, or may have wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedRecord {
    /// The record.
    #[schema(format = "uuid")]
    pub record_id: String,
    /// How.
    pub how: HowExposed,
    /// The version that its row names now; absent when it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 2)]
    pub key_version: Option<u32>,
    /// Bytes of the recording; absent when they cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// Answer of `GET /v1/collections/{c}/keys/{version}/exposure`: one page. It may list nothing and have another behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposurePage {
    /// The version.
    #[schema(minimum = 1, example = 1)]
    pub version: u32,
    /// Its state.
    pub state: KeyState,
    /// When it stopped being active; absent while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub active_until: Option<String>,
    /// Records looked at for this page; erased ones have no key and are not among them.
    #[schema(example = 2_000)]
    pub looked_at: u64,
    /// Those of them whose keys are exposed.
    pub records: Vec<ExposedRecord>,
    /// Where the next page begins; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
