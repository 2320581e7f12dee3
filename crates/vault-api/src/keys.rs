//! Keys: states and numbers, never key bytes.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/collections/{c}/keys` | key-officer | → [`CollectionKeys`] |
//! | `POST /v1/collections/{c}/keys/rotate` [`RotateKeys`] | key-officer | → 202 [`KeyRotation`] |
//! | `POST /v1/collections/{c}/keys/{version}/destroy`, `…/destroy/confirm` | key-officer | not available yet: 409 `key_unusable` |
//! | `GET /v1/root` | key-officer | → [`RootStatus`] |
//! | `POST /v1/root/rotate` [`RotateKeys`] | key-officer | → 200 [`RootStatus`] |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// States of NIST SP 800-57 part 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Made, not yet in use.
    PreActive,
    /// Wraps and unwraps.
    Active,
    /// Unwraps only.
    Deactivated,
    /// Unwraps only, under an incident approval.
    Compromised,
    /// Gone.
    Destroyed,
}

/// One version of a collection's key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyVersion {
    /// Counts from 1.
    #[schema(minimum = 1, example = 1)]
    pub version: u32,
    /// Its state.
    pub state: KeyState,
    /// The root epoch that wraps it.
    #[schema(minimum = 1, example = 1)]
    pub root_epoch: u32,
    /// How often it has wrapped, ever: what the use ceiling counts.
    #[schema(example = 128)]
    pub wraps: u64,
    /// How many record keys it wraps now: zero before it can be destroyed.
    #[schema(example = 120)]
    pub records: u64,
    /// When it was made.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When it came into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub activated_at: Option<String>,
    /// When it stopped wrapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub deactivated_at: Option<String>,
}

/// Answer of `GET /v1/collections/{c}/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionKeys {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// Every version, newest first.
    pub versions: Vec<KeyVersion>,
    /// The rotation under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotation>,
}

/// Body of rotating a collection's key or the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeys {
    /// Why; goes into the audit log. 1 to 2,000 characters; `not stated` when it is left out.
    #[serde(default = "not_stated")]
    #[schema(min_length = 1, max_length = 2000, example = "Yearly rotation")]
    pub reason: String,
}

fn not_stated() -> String {
    "not stated".to_owned()
}

impl Default for RotateKeys {
    fn default() -> Self {
        Self { reason: not_stated() }
    }
}

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotationState {
    /// The new version wraps; record keys are being moved to it.
    Running,
    /// Every record key is under the new version.
    Done,
}

/// A rotation of a collection's key. It touches no media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotation {
    /// The version that was active before.
    #[schema(example = 1)]
    pub from_version: u32,
    /// The version that is active now.
    #[schema(example = 2)]
    pub to_version: u32,
    /// Where it stands.
    pub state: RotationState,
    /// Record keys moved so far.
    #[schema(example = 100)]
    pub moved: u64,
    /// Record keys still to move.
    #[schema(example = 20)]
    pub remaining: u64,
    /// When it began.
    #[schema(format = "date-time")]
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub finished_at: Option<String>,
}

/// One epoch of the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootEpoch {
    /// Counts from 1.
    #[schema(minimum = 1, example = 1)]
    pub epoch: u32,
    /// Its state.
    pub state: KeyState,
    /// Keys it wraps now: KEK versions and the log's signing key.
    #[schema(example = 3)]
    pub wrapped: u64,
    /// When it was made.
    #[schema(format = "date-time")]
    pub created_at: String,
}

/// Answer of `GET /v1/root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootStatus {
    /// Where the root key is kept: `keyring-file`.
    #[schema(example = "keyring-file")]
    pub custody: String,
    /// Every epoch, newest first.
    pub epochs: Vec<RootEpoch>,
}
