//! Consent as an upload brings it, and whether it stands.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::CollectionPolicy;
use super::tier::Tier;
use crate::time::Timestamp;

/// The longest consent text that is looked at.
pub const MAX_LEN: usize = 8 * 1024;

/// How far a widget's clock may be ahead before its `given_at` counts as the future.
pub const SKEW: Duration = Duration::from_secs(60);

/// What the data subject agreed to, bound to the exact notice they were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// SHA-256 of the notice's exact text.
    #[serde(with = "hex_digest")]
    pub notice_sha256: [u8; 32],
    /// What the recording may be used for.
    pub purposes: Vec<String>,
    /// When consent was given.
    pub given_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Why a consent does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// None came, and the collection asks for one.
    #[error("consent is missing")]
    Missing,
    /// Not the expected JSON.
    #[error("consent cannot be read")]
    Unreadable,
    /// It is for another notice than the one in force.
    #[error("consent is for another notice")]
    OtherNotice,
    /// It names no purpose, or one the collection does not have.
    #[error("consent names a purpose that is not allowed")]
    Purpose,
    /// It has ended, or was given in the future.
    #[error("consent has ended or lies in the future")]
    NotNow,
}

impl Consent {
    /// Parses the JSON of `Upload-Metadata`.
    pub fn parse(text: &[u8]) -> Result<Self, ConsentError> {
        if text.len() > MAX_LEN {
            return Err(ConsentError::Unreadable);
        }
        serde_json::from_slice(text).map_err(|_| ConsentError::Unreadable)
    }

    /// Whether it stands under `policy` at `now`: the notice in force, known purposes, given and not ended.
    pub fn check(&self, policy: &CollectionPolicy, now: Timestamp) -> Result<(), ConsentError> {
        if self.notice_sha256 != policy.notice.sha256() {
            return Err(ConsentError::OtherNotice);
        }
        if self.purposes.is_empty() || self.purposes.iter().any(|name| policy.purpose(name).is_none()) {
            return Err(ConsentError::Purpose);
        }
        let ended = self.expires_at.is_some_and(|end| end <= now || end <= self.given_at);
        if ended || self.given_at > now.plus(SKEW) {
            return Err(ConsentError::NotNow);
        }
        Ok(())
    }

    /// Its canonical JSON, to be sealed with the record.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json_canonicalizer::to_string(self).unwrap_or_default()
    }
}

/// What an upload must bring: parses and checks `consent`, or says that none is needed.
pub fn at_upload(
    policy: &CollectionPolicy,
    consent: Option<&[u8]>,
    now: Timestamp,
) -> Result<Option<Consent>, ConsentError> {
    match consent {
        Some(text) => {
            let consent = Consent::parse(text)?;
            consent.check(policy, now)?;
            Ok(Some(consent))
        }
        // From the medium tier on permission is asked for at every upload wherever consent carries a purpose.
        None if policy.tier >= Tier::Medium && policy.purposes.iter().any(|p| p.basis.is_consent()) => {
            Err(ConsentError::Missing)
        }
        None => Ok(None),
    }
}

/// A SHA-256 as 64 lower-case hexadecimal digits.
pub(super) mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut digest = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text.as_bytes(), &mut digest) {
            Ok(()) if lower => Ok(digest),
            _ => Err(D::Error::custom("not 64 lower-case hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::policy::tests::very_high;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn now() -> Timestamp {
        Timestamp::parse(NOW).unwrap()
    }

    fn text(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::json!({
            "notice_sha256": hex::encode(very_high().notice.sha256()),
            "purposes": ["service-improvement"],
            "given_at": NOW,
        });
        change(&mut value);
        value.to_string().into_bytes()
    }

    fn outcome(change: impl FnOnce(&mut serde_json::Value)) -> Result<Option<Consent>, ConsentError> {
        at_upload(&very_high(), Some(&text(change)), now())
    }

    #[test]
    fn a_consent_that_stands() {
        let consent = outcome(|c| c["expires_at"] = "2027-11-23T12:00:00Z".into()).unwrap().unwrap();
        assert_eq!(Consent::parse(consent.to_json().as_bytes()).unwrap(), consent);
    }

    #[test]
    fn each_flaw_has_its_own_error() {
        assert_eq!(at_upload(&very_high(), None, now()), Err(ConsentError::Missing));
        assert_eq!(at_upload(&very_high(), Some(b"{"), now()), Err(ConsentError::Unreadable));
        assert_eq!(outcome(|c| c["more"] = 1.into()), Err(ConsentError::Unreadable));
        assert_eq!(outcome(|c| c["notice_sha256"] = "A".repeat(64).into()), Err(ConsentError::Unreadable));
        assert_eq!(outcome(|c| c["notice_sha256"] = "a".repeat(64).into()), Err(ConsentError::OtherNotice));
        assert_eq!(outcome(|c| c["purposes"] = serde_json::json!([])), Err(ConsentError::Purpose));
        assert_eq!(outcome(|c| c["purposes"] = serde_json::json!(["advertising"])), Err(ConsentError::Purpose));
        assert_eq!(outcome(|c| c["given_at"] = "2026-11-23T12:02:00Z".into()), Err(ConsentError::NotNow));
        assert_eq!(outcome(|c| c["expires_at"] = NOW.into()), Err(ConsentError::NotNow));
        let long = vec![b' '; MAX_LEN + 1];
        assert_eq!(Consent::parse(&long), Err(ConsentError::Unreadable));
    }

    #[test]
    fn no_consent_is_needed_where_none_is_the_basis() {
        let mut policy = very_high();
        for purpose in &mut policy.purposes {
            purpose.basis = crate::privacy::basis::Basis::LegitimateInterests;
        }
        assert_eq!(at_upload(&policy, None, now()), Ok(None));
    }
}
