//! A proposal between the two officers: sealed under the vault's staff audit key, so that nobody writes one who has only the
//! database, and nobody reads the reason there.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use vault_api::code::Code;
use vault_core::audit::succession::Because;
use vault_core::ids::PersonId;
use vault_core::keys::field::{FieldContext, FieldSealer as _};
use vault_core::keys::hierarchy::StaffAuditKey;
use vault_core::time::Timestamp;

use super::State;
use crate::app::error::Failure;

/// How long a proposal waits.
const WAITS: Duration = Duration::from_hours(14 * 24);

/// Where it lies. The one row has no identifier of its own.
const HERE: FieldContext<'static> = FieldContext { table: "log_successions", row: &[0; 16], column: "sealed" };

/// Who proposed what, and why.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proposal {
    pub(super) by: PersonId,
    pub(super) at: Timestamp,
    #[serde(with = "because")]
    pub(super) because: Because,
    pub(super) reason: String,
    pub(super) state: State,
}

impl Proposal {
    pub(super) fn seal(&self, key: &StaffAuditKey) -> Result<Vec<u8>, Failure> {
        let plain = serde_json::to_vec(self).map_err(|e| Failure::new(Code::Internal).because(e))?;
        Ok(key.seal(HERE, &plain))
    }

    pub(super) fn open(sealed: &[u8], key: &StaffAuditKey) -> Result<Self, Failure> {
        let forged = || Failure::new(Code::IntegrityFailure).detail("the proposal is not one that this vault sealed");
        let plain = key.open(HERE, sealed).map_err(|e| forged().because(e))?;
        serde_json::from_slice(&plain).map_err(|e| forged().because(e))
    }

    pub(super) fn has_lapsed(&self, now: Timestamp) -> bool {
        now >= self.at.plus(WAITS)
    }
}

/// The reason's name.
mod because {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use vault_core::audit::succession::Because;

    #[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
    pub(super) fn serialize<S: Serializer>(because: &Because, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(because.as_str())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Because, D::Error> {
        let text = String::deserialize(from)?;
        Because::parse(&text).ok_or_else(|| D::Error::custom("no such reason"))
    }
}
