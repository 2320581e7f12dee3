//! Erasing a record, and the certificate of it.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `DELETE /v1/records/{id}` [`EraseRecord`] | approver | → 200 [`Erasure`]; 202 while log or journal cannot be written; the same again for one that is erased |
//! | `GET /v1/records/{id}/erasure` | analyst, approver, auditor | → [`Erasure`], with today's horizon |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of erasing a record; the whole body may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseRecord {
    /// Why; kept in the audit log. At most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000, example = "The respondent asked for it")]
    pub reason: Option<String>,
}

/// What `format` of an [`Erasure`] says.
pub const FORMAT: &str = "feedback-vault/erasure-certificate/v1";

/// The certificate of an erasure (`docs/format.md` §10). `entry`, `proof`, `opening` and `destroyed` can be verified offline
/// with the log's public key; the rest is what the vault says of today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// `feedback-vault/erasure-certificate/v1`.
    #[schema(example = "feedback-vault/erasure-certificate/v1")]
    pub format: String,
    /// The record.
    #[schema(format = "uuid", example = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55")]
    pub record_id: String,
    /// The name of its collection.
    #[schema(example = "demo")]
    pub collection: String,
    /// When its key was destroyed in the live vault.
    #[schema(format = "date-time")]
    pub erased_at: String,
    /// Whether the act also stands in the object store's journal, so that a restored database learns of it. While this
    /// is false a job goes on trying.
    pub journalled: bool,
    /// When nothing was left in the live vault: every part deleted and found absent, and the database's own log emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
    /// Names in the object store still to be deleted, or to be found absent. What lies there cannot be opened.
    #[schema(example = 0)]
    pub names_left: u64,
    /// The log's entry `record.erased`, to the byte. Absent while it waits for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The proof that the entry is in the log (c2sp.org/tlog-proof), with a signed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What opens the entry's slot `record`: it is this record that was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<RecordOpening>,
    /// Entries that prove the destruction of keys that the record's key hung on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroyed: Vec<Witness>,
    /// How far the erasure reaches into backups.
    pub horizon: ErasureHorizon,
}

/// What opens a slot of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordOpening {
    /// The committed value: the record.
    #[schema(format = "uuid")]
    pub value: String,
    /// The commitment's salt: 64 hexadecimal digits.
    #[schema(min_length = 64, max_length = 64)]
    pub salt: String,
}

/// An entry of the log with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Witness {
    /// The entry, to the byte.
    pub entry: String,
    /// The proof that it is in the log (c2sp.org/tlog-proof).
    pub proof: String,
}

/// How far an erasure reaches into backups, as of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasureHorizon {
    /// When this was found.
    #[schema(format = "date-time")]
    pub as_of: String,
    /// The highest version of the collection's key when the record was erased: it and those before it may open a backup.
    #[schema(example = 2)]
    pub kek_versions: u32,
    /// The highest root epoch that ever wrapped one of these versions.
    #[schema(example = 1)]
    pub root_epochs: u32,
    /// The resume key of the record's upload.
    pub resume_key: ResumeKeyState,
    /// Whether no backup, however old, opens the record any more.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Keys still to be destroyed before that.
    pub waits_for: Vec<WaitsFor>,
}

/// What became of the resume key of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResumeKeyState {
    /// The record came without one.
    None,
    /// It is there still: it is destroyed with its day.
    Standing,
    /// It is gone.
    Destroyed,
}

/// A kind of key that an erasure waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// A version of the collection's key.
    KekVersion,
    /// A root epoch.
    RootEpoch,
    /// The resume key of the upload.
    ResumeKey,
}

/// A key that an erasure waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitsFor {
    /// What kind of key.
    pub kind: KeyKind,
    /// Its number; a resume key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

/// The erasures of a vault that are not final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenErasures {
    /// How many there are.
    #[schema(example = 3)]
    pub count: u64,
    /// When the oldest of them was. A backup from before may open its record.
    #[schema(format = "date-time")]
    pub oldest_at: String,
    /// The name of its collection.
    #[schema(example = "demo")]
    pub collection: String,
    /// What holds it.
    pub waits_for: Vec<WaitsFor>,
}
