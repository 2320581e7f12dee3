//! Sealing: whether custody is open. On the admin listener only.

use core::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /seal-status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealStatus {
    /// True while the root key is not in memory: nothing can be uploaded or played.
    pub sealed: bool,
    /// Where the root key is kept: `keyring-file`.
    #[schema(example = "keyring-file")]
    pub custody: String,
    /// The active root epoch; absent while sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_epoch: Option<u32>,
}

/// Body of `POST /unseal`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unseal {
    /// The keyring's passphrase. Never logged, never stored.
    #[schema(format = "password")]
    pub passphrase: String,
}

impl fmt::Debug for Unseal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unseal(…)")
    }
}
