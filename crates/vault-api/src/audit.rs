//! The audit log as the interface shows it. Checkpoint and tiles are served as
//! c2sp.org/tlog-tiles has them, byte for byte, and need no types.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/audit/entries` [`AuditQuery`] | auditor | → [`AuditPage`], oldest first |

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What is known of a slot's opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpeningStatus {
    /// Value and salt are here, and match the commitment.
    Opened,
    /// The caller may not see it.
    Withheld,
    /// It was erased; the entry that erased it says so.
    Erased,
    /// It should be here and is not: a finding.
    Missing,
}

/// The opening of one slot of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotOpening {
    /// The slot's name in the entry.
    #[schema(example = "staff")]
    pub slot: String,
    /// Whether it is here, and if not, why.
    pub status: OpeningStatus,
    /// The committed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The commitment's salt: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 64, max_length = 64)]
    pub salt: Option<String>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Place in the log, from 0.
    #[schema(example = 17)]
    pub index: u64,
    /// The entry itself. Its canonical form (RFC 8785) is what the tree hashes.
    #[schema(value_type = Object)]
    pub entry: serde_json::Value,
    /// Openings of its slots, as far as the caller may see them.
    pub openings: Vec<SlotOpening>,
}

/// A page of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The entries, oldest first.
    pub items: Vec<AuditEntry>,
    /// Where the next page begins; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Entries in the log when this page was read.
    #[schema(example = 18)]
    pub tree_size: u64,
}

/// Query of `GET /v1/audit/entries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    #[param(example = "playback.opened")]
    pub entry_type: Option<String>,
    /// Only of this collection, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "demo")]
    pub collection: Option<String>,
    /// Only from this index on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_index: Option<u64>,
    /// Where to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Tell of openings what a log of this many entries explains: what a later entry erased is withheld. All entries
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_size: Option<u64>,
    /// Items on a page, 1 to 500; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
