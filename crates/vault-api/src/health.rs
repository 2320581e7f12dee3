//! Health and readiness.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /healthz`: the process is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`; a process that cannot say so does not answer.
    #[schema(example = "ok")]
    pub status: String,
}

/// Answer of `GET /readyz`: 200 when every check passes, otherwise 503 with the same body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether the vault serves uploads and playback.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<ReadinessCheck>,
}

/// One thing that has to stand before the vault serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessCheck {
    /// `custody`, `database`, `log` or `restrictions`.
    #[schema(example = "custody")]
    pub name: String,
    /// Whether it stands.
    pub ok: bool,
}
