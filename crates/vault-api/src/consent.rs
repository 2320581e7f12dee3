//! Consent as an uploader sends it, in the `consent` member of tus `Upload-Metadata`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the data subject agreed to, bound to the exact notice they were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// SHA-256 of the notice's exact text, 64 lower-case hexadecimal digits.
    #[schema(
        min_length = 64,
        max_length = 64,
        example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    pub notice_sha256: String,
    /// What the recording may be used for; each must be a purpose of the collection.
    #[schema(min_items = 1, example = json!(["service-improvement"]))]
    pub purposes: Vec<String>,
    /// When consent was given. Not in the future.
    #[schema(format = "date-time", example = "2026-11-23T09:05:00Z")]
    pub given_at: String,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time", example = "2027-11-23T09:05:00Z")]
    pub expires_at: Option<String>,
}
