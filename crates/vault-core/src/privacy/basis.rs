//! Purposes and their lawful bases (GDPR Art. 6(1)).

use serde::{Deserialize, Serialize};

/// Lawful basis of a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Art. 6(1)(a)
    Consent,
    /// Art. 6(1)(b)
    Contract,
    /// Art. 6(1)(c)
    LegalObligation,
    /// Art. 6(1)(d)
    VitalInterests,
    /// Art. 6(1)(e)
    PublicTask,
    /// Art. 6(1)(f)
    LegitimateInterests,
}

impl Basis {
    /// Whether the data subject's consent is what carries the purpose.
    #[must_use]
    pub const fn is_consent(self) -> bool {
        matches!(self, Self::Consent)
    }
}

/// What recordings may be used for, and on which basis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Short name, as consents and requests give it: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// Lawful basis.
    pub basis: Basis,
    /// What it means, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
