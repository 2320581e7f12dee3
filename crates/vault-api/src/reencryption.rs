//! Writing recordings again under fresh keys, because the ones they are under were exposed.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/collections/{c}/reencryption` [`Reencrypt`] | key-officer | → 202 [`Reencryption`]; with `plan_only` 200 [`ReencryptionPlan`] |
//! | `GET /v1/collections/{c}/reencryption` | key-officer | → [`ReencryptionStatus`] |
//! | `POST …/reencryption/pause` · `/resume` · `/cancel` | key-officer | → [`Reencryption`] |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of beginning a re-encryption: of what a compromised version exposes, or of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reencrypt {
    /// Every record that this version exposes. It is marked as compromised: that is what approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 1)]
    pub exposed_by: Option<u32>,
    /// This record alone, in place of `exposed_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// The incident, as it is called elsewhere; 1 to 200 characters, kept like a case number. Needed with `record_id`; of a version it is in the
    /// log already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "INC-2026-118")]
    pub incident: Option<String>,
    /// Why; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "A copy of the wraps left the house with the version")]
    pub reason: String,
    /// Answer how much there is, and do nothing.
    #[serde(default)]
    pub plan_only: bool,
    /// Write at most so many bytes of recordings a second; as fast as it goes when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 8_000_000)]
    pub bytes_per_second: Option<u64>,
}

/// How much there is to be encrypted anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReencryptionPlan {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// Records that have a key, and were looked at.
    #[schema(example = 2_000)]
    pub looked_at: u64,
    /// Those of them that are exposed.
    #[schema(example = 120)]
    pub records: u64,
    /// Bytes of their recordings.
    #[schema(example = 96_000_000)]
    pub bytes: u64,
}

/// Where a re-encryption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReencryptionState {
    /// Recordings are being written again.
    Running,
    /// It is stopped until somebody resumes it.
    Paused,
    /// Everything that can be read is encrypted anew.
    Done,
    /// Somebody ended it before that; what was encrypted anew stays so.
    Cancelled,
}

/// A re-encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reencryption {
    /// Its id, as the audit log names it.
    #[schema(format = "uuid")]
    pub id: String,
    /// The version whose exposed records are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 1)]
    pub exposed_by: Option<u32>,
    /// The one record that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// Where it stands.
    pub state: ReencryptionState,
    /// Records there were when it began.
    #[schema(example = 120)]
    pub records: u64,
    /// Bytes of their recordings.
    #[schema(example = 96_000_000)]
    pub bytes: u64,
    /// Records encrypted anew so far.
    #[schema(example = 100)]
    pub done: u64,
    /// Bytes of their recordings.
    #[schema(example = 80_000_000)]
    pub done_bytes: u64,
    /// Records that were erased meanwhile.
    #[schema(example = 1)]
    pub skipped: u64,
    /// Records that cannot be read, each of them told by a finding in the log. They stay as they are.
    #[schema(example = 0)]
    pub damaged: u64,
    /// At most so many bytes a second, if it is throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 8_000_000)]
    pub bytes_per_second: Option<u64>,
    /// Bytes a second, over the time it was worked on.
    #[schema(example = 60_000_000)]
    pub rate: u64,
    /// When it began.
    #[schema(format = "date-time")]
    pub started_at: String,
    /// When something last changed.
    #[schema(format = "date-time")]
    pub updated_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub finished_at: Option<String>,
}

/// Answer of `GET /v1/collections/{c}/reencryption`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReencryptionStatus {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// The re-encryption under way, or the last one; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reencryption: Option<Reencryption>,
}
