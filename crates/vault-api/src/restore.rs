//! Backups that the vault knows of, and the restore of one.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/restore` | key-officer | → 200 [`RestoreStatus`]; 404 where nothing was ever restored |
//! | `POST /v1/restore/confirm` [`ConfirmRestore`] | key-officer | → 200 [`RestoreStatus`]; from then on the vault deletes and destroys again |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup as it was noted when it was made. Whether the files still exist nobody knows but who keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupKnown {
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// Entries of the log in it.
    pub log_size: u64,
    /// SHA-256 of its manifest, in hex.
    pub manifest_sha256: String,
    /// Keys it hangs on that are destroyed: with none, all of it can be restored.
    pub keys_gone: u64,
}

/// A key version that was made after the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostVersion {
    /// Whose.
    pub collection_id: String,
    /// Which.
    pub version: u32,
}

/// A restore, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreStatus {
    /// SHA-256 of the backup's manifest, in hex.
    pub manifest_sha256: String,
    /// When the backup was made (RFC 3339).
    pub backup_at: String,
    /// When its rows were entered (RFC 3339).
    pub restored_at: String,
    /// Entries of the log in the backup.
    pub log_size: u64,
    /// Whether it was held against the log; what follows is zero before.
    pub reconciled: bool,
    /// Entries that came back from the published log.
    pub entries_replayed: u64,
    /// Recordings that the log says were taken in after the backup: their keys are lost.
    pub uploads_lost: u64,
    /// Collections that were made after the backup.
    pub collections_lost: u64,
    /// Collections whose own keys are destroyed: nothing of them can be used any more.
    pub collections_without_keys: u64,
    /// Key versions that were made after the backup, and whose keys are lost unless a newer backup is found.
    pub versions_lost: Vec<LostVersion>,
    /// Collections that were given a fresh key version, since the log says that theirs was rotated away.
    pub collections_renewed: u64,
    /// Key versions that were marked as compromised again.
    pub versions_compromised: u64,
    /// Collections that are suspended: the log takes something of theirs away, and neither rows nor journal say what. Somebody looks, and
    /// opens them again.
    pub collections_in_doubt: u64,
    /// Roles, tokens and persons that the log takes away, and nobody can say whose: look through them before confirming.
    pub rights_in_doubt: u64,
    /// Records that stay restricted since their key version is destroyed.
    pub records_without_key: u64,
    /// Records that stay restricted since media of theirs is missing.
    pub records_without_media: u64,
    /// Parts of recordings that were missing.
    pub parts_missing: u64,
    /// Who confirmed it; until then nothing is deleted and no key is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
    /// When (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
}

/// Confirms a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRestore {
    /// Why the vault may be used like any other again; kept in the audit log.
    pub reason: String,
}
