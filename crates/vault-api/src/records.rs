//! Records: metadata, never media.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/records` [`RecordQuery`] | analyst, approver, auditor | → page of [`Record`], newest first |
//! | `GET /v1/records/{id}` | analyst, approver, auditor | → [`Record`] |
//!
//! Erasing a record is in [`erasure`](crate::erasure).

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordState {
    /// Bytes are still arriving.
    Receiving,
    /// Complete, not yet adopted by a node with key access.
    Received,
    /// Can be asked for and played.
    Available,
    /// Kept, but not to be used.
    Restricted,
    /// Its keys are destroyed.
    Erased,
    /// Refused: not what it claimed to be.
    Rejected,
}

/// What a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MediaKind {
    /// Voice.
    Audio,
    /// Pictures, with or without voice.
    Video,
}

/// One piece of feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Identifier.
    #[schema(format = "uuid", example = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55")]
    pub id: String,
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// Where it stands.
    pub state: RecordState,
    /// Audio or video, as recognised from the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// The content type the vault recognised; not what the uploader claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "video/webm")]
    pub content_type: Option<String>,
    /// Length of the recording in bytes, before encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_048_576)]
    pub size_bytes: Option<u64>,
    /// When the upload completed.
    #[schema(format = "date-time")]
    pub received_at: String,
    /// When it could first be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub available_at: Option<String>,
    /// Purposes that the data subject's consent covers.
    pub purposes: Vec<String>,
    /// When that consent ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub consent_expires_at: Option<String>,
    /// When the collection's retention ends for this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub retain_until: Option<String>,
    /// The version of the collection's key that wraps this record's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub key_version: Option<u32>,
}

/// Query of `GET /v1/records`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Only in this collection, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "demo")]
    pub collection: Option<String>,
    /// Only in this state. Erased records are listed only when they are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<RecordState>,
    /// Only audio or only video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<MediaKind>,
    /// Only received at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(format = "date-time")]
    pub received_from: Option<String>,
    /// Only received before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(format = "date-time")]
    pub received_until: Option<String>,
    /// Where to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on a page, 1 to 500; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
