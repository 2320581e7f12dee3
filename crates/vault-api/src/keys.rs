//! Keys: states and numbers, never key bytes.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/collections/{c}/keys` | key-officer | → [`CollectionKeys`] |
//! | `GET /v1/collections/{c}/keys/verify` [`VerifyQuery`] | key-officer | → [`VerifiedKeys`] |
//! | `POST /v1/collections/{c}/keys/rotate` [`RotateKeys`] | key-officer | → 202 [`KeyRotation`], or with `plan_only` 200 [`KeyPlan`] |
//! | `GET /v1/collections/{c}/keys/rotation` | key-officer | → [`RotationStatus`] |
//! | `POST /v1/collections/{c}/keys/rotation/pause`, `…/resume` | key-officer | → 200 [`KeyRotation`] |
//! | `POST /v1/collections/{c}/keys/rotation/throttle` [`Throttle`] | key-officer | → 200 [`KeyRotation`] |
//! | `POST /v1/collections/{c}/keys/{version}/mark-compromised` [`MarkCompromised`] | key-officer | → 202 [`KeyRotation`] |
//! | `GET /v1/root` | key-officer | → [`RootStatus`] |
//! | `POST /v1/root/rotate` [`RotateRoot`] | key-officer | → 200 [`RootStatus`] |

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::destruction::{Destruction, Worth};
use crate::erasure::OpenErasures;
use crate::restore::BackupKnown;

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

/// A key of the collection's own that its key-encryption key wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChildKey {
    /// Opens what the log's entries say of staff.
    StaffAudit,
    /// Makes pseudonyms.
    Subject,
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
    /// How often it has wrapped, ever.
    #[schema(example = 128)]
    pub wraps: u64,
    /// How many of those were of new keys, not moved here by a rotation: what the ceilings of use count.
    #[schema(example = 26)]
    pub new_keys: u64,
    /// How many record keys it wraps now. It is still needed while this is more than zero, or `children` names any.
    #[schema(example = 120)]
    pub records: u64,
    /// The collection's own keys that it wraps now.
    pub children: Vec<ChildKey>,
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
    /// Versions that are to be destroyed: asked for, or confirmed and waiting for their time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destructions: Vec<Destruction>,
}

/// Body of rotating a collection's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeys {
    /// Why; goes into the audit log. 1 to 2,000 characters; `not stated` when it is left out.
    #[serde(default = "not_stated")]
    #[schema(min_length = 1, max_length = 2000, example = "Yearly rotation")]
    pub reason: String,
    /// Answer what would be done, and do nothing.
    #[serde(default)]
    pub plan_only: bool,
    /// Move at most so many record keys a second; as fast as the database allows when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 5000)]
    pub throttle: Option<u32>,
}

fn not_stated() -> String {
    "not stated".to_owned()
}

impl Default for RotateKeys {
    fn default() -> Self {
        Self { reason: not_stated(), plan_only: false, throttle: None }
    }
}

/// Body of marking a version as compromised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkCompromised {
    /// The incident, as it is called elsewhere; 1 to 200 characters, kept like a case number.
    #[schema(min_length = 1, max_length = 200, example = "INC-2026-118")]
    pub incident: String,
    /// What happened; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "A memory dump of a node left the house")]
    pub reason: String,
}

/// Body of rotating the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRoot {
    /// Why; goes into the audit log. 1 to 2,000 characters; `not stated` when it is left out.
    #[serde(default = "not_stated")]
    #[schema(min_length = 1, max_length = 2000, example = "Yearly rotation")]
    pub reason: String,
}

impl Default for RotateRoot {
    fn default() -> Self {
        Self { reason: not_stated() }
    }
}

/// One thing that a plan would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedOperation {
    /// `create`, `activate`, `deactivate`, `rewrap`: what the audit log calls it.
    #[schema(example = "rewrap")]
    pub operation: String,
    /// The version it is about.
    #[schema(minimum = 1, example = 1)]
    pub version: u32,
    /// For `rewrap`: the version that its keys move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 2)]
    pub to_version: Option<u32>,
    /// For `rewrap`: how many record keys would move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 120)]
    pub records: Option<u64>,
    /// Why: `requested`, `superseded`, `holds-wraps`, …
    #[schema(example = "holds-wraps")]
    pub because: String,
}

/// What a rotation would do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyPlan {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// The operations; all but `rewrap` in one transaction.
    pub operations: Vec<PlannedOperation>,
}

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotationState {
    /// The new version wraps; record keys are being moved to it.
    Running,
    /// The new version wraps; moving record keys is stopped until somebody resumes it.
    Paused,
    /// Every record key that opens is under the new version.
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
    /// Why it began: `requested`, `cryptoperiod-over`, `soft-ceiling`, …
    #[schema(example = "requested")]
    pub because: String,
    /// Record keys moved so far.
    #[schema(example = 100)]
    pub moved: u64,
    /// Record keys not moved: still to move, or damaged.
    #[schema(example = 20)]
    pub remaining: u64,
    /// Record keys whose wrap does not open. They stay where they are; `keys verify` names them.
    #[schema(example = 0)]
    pub damaged: u64,
    /// At most so many record keys a second, if it is throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 5000)]
    pub throttle: Option<u32>,
    /// Record keys a second, over the time it was worked on.
    #[schema(example = 42_000)]
    pub per_second: u64,
    /// Seconds until it is done, at that rate; absent when nobody can say yet, and when it is paused or done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub seconds_left: Option<u64>,
    /// When it began.
    #[schema(format = "date-time")]
    pub started_at: String,
    /// When something last moved or changed.
    #[schema(format = "date-time")]
    pub updated_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub finished_at: Option<String>,
}

/// Answer of `GET /v1/collections/{c}/keys/rotation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotationStatus {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// The rotation under way, or the last one; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotation>,
}

/// Body of `POST /v1/collections/{c}/keys/rotation/throttle`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// At most so many record keys a second; as fast as the database allows when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 5000)]
    pub records_per_second: Option<u32>,
}

/// Wraps that one page of `keys/verify` opens when the caller does not say.
pub const DEFAULT_VERIFIED: u32 = 2_000;
/// The most that it opens.
pub const MOST_VERIFIED: u32 = 10_000;

/// Query of `GET /v1/collections/{c}/keys/verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// Where to go on: `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Wraps on a page, 1 to 10,000; 2,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000, example = 2_000)]
    pub limit: Option<u32>,
}

/// What a wrap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WrapScope {
    /// A record's key.
    Record,
    /// The collection's staff audit key.
    StaffAudit,
    /// The collection's subject key.
    Subject,
    /// A version of the collection's key-encryption key, under the root.
    Kek,
}

/// What is wrong with a wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WrapProblem {
    /// The row cannot be read.
    Unreadable,
    /// There is none.
    Missing,
    /// Not a wrap.
    Malformed,
    /// It names another version than its row.
    NamesAnotherKey,
    /// Its commitment is not that of the key it names.
    WrongKey,
    /// It was altered, or belongs to another record.
    Forged,
    /// The version it names does not exist.
    NoSuchVersion,
    /// The version it names was destroyed.
    VersionDestroyed,
    /// The version it names has never been active.
    VersionUnused,
    /// The version it names cannot be opened itself.
    VersionUnusable,
}

/// A wrap that does not open as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrapFinding {
    /// What it should hold.
    pub scope: WrapScope,
    /// The record, where it is a record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// The version that should have made it, or that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 1)]
    pub kek_version: Option<u32>,
    /// What is wrong.
    pub problem: WrapProblem,
}

/// Answer of `GET /v1/collections/{c}/keys/verify`: one page. The first one looks at the collection's own keys too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifiedKeys {
    /// Wraps looked at.
    #[schema(example = 2_000)]
    pub checked: u64,
    /// Wraps under a compromised version, which are not opened without an incident approval.
    #[schema(example = 0)]
    pub skipped: u64,
    /// Those that do not open under the version they name.
    pub findings: Vec<WrapFinding>,
    /// Where the next page begins; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
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

/// The key that signs the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogKeyStatus {
    /// The name of its log.
    #[schema(example = "vault.example/log")]
    pub name: String,
    /// Since when it signs.
    #[schema(format = "date-time")]
    pub since: String,
    /// When its cryptoperiod ends: by then two key officers declare a successor log.
    #[schema(format = "date-time")]
    pub due_at: String,
    /// Whether that time has come.
    pub due: bool,
}

/// Answer of `GET /v1/root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootStatus {
    /// Where the root key is kept: `keyring-file`.
    #[schema(example = "keyring-file")]
    pub custody: String,
    /// Every epoch, newest first.
    pub epochs: Vec<RootEpoch>,
    /// The key that signs the log.
    pub log_key: LogKeyStatus,
    /// Erasures that a backup may still undo; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_erasures: Option<OpenErasures>,
    /// What the destruction of an epoch is worth in this custody.
    pub destruction: Worth,
    /// Epochs that are to be destroyed: asked for, or confirmed and waiting for their time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destructions: Vec<Destruction>,
    /// Backups as they were noted when they were made, the newest first, at most a hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupKnown>,
    /// The oldest of all of them that can still be restored: so far back an erased record may be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_restorable_backup: Option<BackupKnown>,
    /// A restore waits to be confirmed: until then nothing is deleted and no key is destroyed.
    #[serde(default)]
    pub restore_unconfirmed: bool,
}
