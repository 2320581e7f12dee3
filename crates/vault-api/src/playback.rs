//! Playback sessions.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/access-requests/{id}/sessions` [`NewSession`] | the requester | → 201 [`Session`] |
//! | `GET`, `HEAD` `playback_url` | the requester | media, with `Range` |
//! | `DELETE playback_url` | the requester | → 204 |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which bytes are served. No derivatives are made in this version: whatever is asked for, the original is served, and the
/// answer says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Representation {
    /// What was uploaded, byte for byte. Needs the right `export`.
    Original,
    /// The same recording, for a player.
    Playable,
}

/// Body of opening a session; `{}` for a request of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The record to play; may be left out when the request is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub record_id: Option<String>,
    /// `original` needs the right `export`; `playable` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub representation: Option<Representation>,
}

/// An open playback session. `playback.opened` is in the log before this is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Identifier. Of no use without the requester's token.
    #[schema(format = "uuid")]
    pub session_id: String,
    /// An absolute path on this server.
    #[schema(example = "/v1/playback/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55")]
    pub playback_url: String,
    /// Which bytes it serves.
    pub representation: Representation,
    /// When it ends by itself.
    #[schema(format = "date-time")]
    pub expires_at: String,
}
