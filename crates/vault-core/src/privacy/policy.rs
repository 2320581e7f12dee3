//! The policy of a collection: what it gathers, why, for how long, and how it may be reached.
//!
//! Its canonical JSON (RFC 8785) is what the database holds; the SHA-256 of that is the policy hash that
//! log entries quote.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::basis::Purpose;
use super::retention::{MAX_DAYS, days};
use super::tier::{Countermeasure, Tier};
use crate::access::scope::{Right, Rights};
use crate::keys::lifecycle::Policy;
use crate::time::Timestamp;

/// The notice shown to data subjects. Its exact text is what a consent's hash binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// BCP 47 language tag.
    pub language: String,
    /// The text, exactly as shown.
    pub text: String,
}

impl Notice {
    /// SHA-256 of the text's UTF-8 bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

/// A countermeasure that somebody states to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Practice {
    /// How permission is asked for.
    PermissionMechanism,
    /// What people are told about privacy.
    PrivacyCommunication,
    /// A way to withdraw.
    Withdrawal,
    /// Plain explanation of the use of data and of the insights from it.
    InsightExplanation,
    /// Who receives it.
    Recipients,
    /// A channel for data subjects' requests.
    SubjectRequests,
    /// An approved, unexpired impact assessment.
    Dpia,
    /// The encryption policy.
    EncryptionPolicy,
    /// Roles, second-person rule, session limit.
    AccessProcedure,
}

impl Practice {
    /// The countermeasure it is.
    #[must_use]
    pub const fn countermeasure(self) -> Countermeasure {
        match self {
            Self::PermissionMechanism => Countermeasure::PermissionMechanism,
            Self::PrivacyCommunication => Countermeasure::PrivacyCommunication,
            Self::Withdrawal => Countermeasure::Withdrawal,
            Self::InsightExplanation => Countermeasure::InsightExplanation,
            Self::Recipients => Countermeasure::Recipients,
            Self::SubjectRequests => Countermeasure::SubjectRequests,
            Self::Dpia => Countermeasure::Dpia,
            Self::EncryptionPolicy => Countermeasure::EncryptionPolicy,
            Self::AccessProcedure => Countermeasure::AccessProcedure,
        }
    }
}

/// Evidence that a practice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Which one.
    pub practice: Practice,
    /// What it is and where it can be read.
    pub statement: String,
    /// SHA-256 of the document, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<String>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
    /// When it has to be reviewed: from then on it no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// Whether an upload names the data subject by an external identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectRule {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// How recordings are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicy {
    /// Whether a request needs a second person's approval; recordings always do.
    pub second_person: bool,
    /// Whether a request needs a case number.
    pub case_number: bool,
    /// Rights that may be asked for.
    pub rights: Vec<Right>,
    /// Length of a playback session in seconds.
    pub session_seconds: u32,
    /// The longest a grant lasts, in days.
    pub grant_days: u32,
}

impl AccessPolicy {
    /// The rights that may be asked for.
    #[must_use]
    pub fn rights(&self) -> Rights {
        Rights::from(self.rights.clone())
    }

    /// Length of a playback session.
    #[must_use]
    pub const fn session(&self) -> Duration {
        Duration::from_secs(self.session_seconds as u64)
    }

    /// The longest a grant lasts.
    #[must_use]
    pub const fn longest_grant(&self) -> Duration {
        days(self.grant_days)
    }
}

/// When the collection's keys are due, where that is not as usual ([`Policy::default`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPolicy {
    /// Days a version stays active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cryptoperiod_days: Option<u32>,
    /// New records under one version from which on it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_ceiling: Option<u64>,
    /// New records under one version from which on it refuses to wrap another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_ceiling: Option<u64>,
    /// Days an empty version is kept before it is due for destruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_after_days: Option<u32>,
}

impl KeyPolicy {
    /// SP 800-57 part 1, table 1: a symmetric key-wrapping key wraps for at most two years.
    const LONGEST_CRYPTOPERIOD: u32 = 730;
    /// Fewer would rotate all the time.
    const LEAST_CEILING: u64 = 10;
    /// More than any collection holds; exact as a number in JSON.
    const MOST_CEILING: u64 = 1 << 40;

    /// The same for the planner.
    #[must_use]
    pub fn planned(&self) -> Policy {
        let usual = Policy::default();
        Policy {
            cryptoperiod: self.cryptoperiod_days.map_or(usual.cryptoperiod, days),
            soft_ceiling: self.soft_ceiling.unwrap_or(usual.soft_ceiling),
            hard_ceiling: self.hard_ceiling.unwrap_or(usual.hard_ceiling),
            retire_after: self.retire_after_days.map(days).or(usual.retire_after),
        }
    }

    fn check(&self) -> Result<(), InvalidPolicy> {
        let planned = self.planned();
        let checks = [
            (
                "keys.cryptoperiod_days",
                self.cryptoperiod_days.is_none_or(|days| (1..=Self::LONGEST_CRYPTOPERIOD).contains(&days)),
            ),
            ("keys.soft_ceiling", planned.soft_ceiling >= Self::LEAST_CEILING),
            (
                "keys.hard_ceiling",
                planned.hard_ceiling > planned.soft_ceiling && planned.hard_ceiling <= Self::MOST_CEILING,
            ),
            ("keys.retire_after_days", self.retire_after_days.is_none_or(|days| days <= MAX_DAYS)),
        ];
        checks.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(member, _)| Err(InvalidPolicy(member)))
    }
}

/// The policy of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionPolicy {
    /// Name for people.
    pub title: String,
    /// Risk tier.
    pub tier: Tier,
    /// Who is responsible (GDPR Art. 4(7)), with contact.
    pub controller: String,
    /// The notice in force.
    pub notice: Notice,
    /// What recordings may be used for.
    pub purposes: Vec<Purpose>,
    /// Days a record is kept after it was received.
    pub retention_days: u32,
    /// Whether uploads name the data subject.
    pub subject: SubjectRule,
    /// How recordings are reached.
    pub access: AccessPolicy,
    /// Countermeasures stated to stand.
    #[serde(default)]
    pub countermeasures: Vec<Stated>,
    /// When its keys are due, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyPolicy>,
}

/// A policy that cannot be stored, with the member that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not allowed")]
pub struct InvalidPolicy(pub &'static str);

impl CollectionPolicy {
    /// Parses stored or sent JSON and checks its bounds.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidPolicy> {
        let policy: Self = serde_json::from_slice(json).map_err(|_| InvalidPolicy("policy"))?;
        policy.check()?;
        Ok(policy)
    }

    /// Bounds of each member. Whether it suffices to open is another question ([`super::readiness`]).
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let text = |value: &str, most: usize| !value.trim().is_empty() && value.len() <= most;
        let name = |value: &str| value.parse::<crate::ids::CollectionName>().is_ok();
        let distinct = |i: usize| self.purposes[..i].iter().all(|other| other.name != self.purposes[i].name);
        let checks = [
            ("title", text(&self.title, 800)),
            ("controller", text(&self.controller, 4_000)),
            ("notice.language", text(&self.notice.language, 35)),
            ("notice.text", text(&self.notice.text, 64 * 1024)),
            ("purposes", (1..=64).contains(&self.purposes.len())),
            ("purposes.name", self.purposes.iter().enumerate().all(|(i, p)| name(&p.name) && distinct(i))),
            (
                "purposes.description",
                self.purposes.iter().all(|p| p.description.as_ref().is_none_or(|d| text(d, 8_000))),
            ),
            ("retention_days", (1..=MAX_DAYS).contains(&self.retention_days)),
            ("access.rights", !self.access.rights.is_empty()),
            ("access.session_seconds", (60..=14_400).contains(&self.access.session_seconds)),
            ("access.grant_days", (1..=90).contains(&self.access.grant_days)),
            ("countermeasures", self.countermeasures.len() <= 64),
            ("countermeasures.statement", self.countermeasures.iter().all(|c| text(&c.statement, 8_000))),
        ];
        match checks.into_iter().find(|(_, holds)| !holds) {
            Some((member, _)) => Err(InvalidPolicy(member)),
            None => self.keys.as_ref().map_or(Ok(()), KeyPolicy::check),
        }
    }

    /// When its keys are due.
    #[must_use]
    pub fn key_policy(&self) -> Policy {
        self.keys.unwrap_or_default().planned()
    }

    /// The purpose of that name.
    #[must_use]
    pub fn purpose(&self, name: &str) -> Option<&Purpose> {
        self.purposes.iter().find(|purpose| purpose.name == name)
    }

    /// The canonical JSON that is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json_canonicalizer::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of the canonical JSON: what log entries quote as `policy`.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_json().as_bytes()).into()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::privacy::basis::Basis;

    /// A policy under which a very-high collection may open.
    pub(crate) fn very_high() -> CollectionPolicy {
        use Practice as P;
        let all = [
            P::PermissionMechanism,
            P::PrivacyCommunication,
            P::Withdrawal,
            P::InsightExplanation,
            P::Recipients,
            P::SubjectRequests,
            P::Dpia,
            P::EncryptionPolicy,
            P::AccessProcedure,
        ];
        let stated = |practice| Stated {
            practice,
            statement: "As the handbook says".into(),
            document_sha256: Some("ab".repeat(32)),
            approved_by: Some("Privacy office".into()),
            approved_at: Some(Timestamp::from_millis(1)),
            valid_until: Some(Timestamp::parse("2030-01-01T00:00:00Z").unwrap()),
        };
        let purpose = |name: &str| Purpose { name: name.into(), basis: Basis::Consent, description: None };
        CollectionPolicy {
            title: "Sample".into(),
            tier: Tier::VeryHigh,
            controller: "Example Ltd, privacy@example.com".into(),
            notice: Notice { language: "en".into(), text: "We record what you say.".into() },
            purposes: vec![purpose("service-improvement"), purpose("complaint-handling")],
            retention_days: 180,
            subject: SubjectRule::Optional,
            access: AccessPolicy {
                second_person: true,
                case_number: false,
                rights: vec![Right::View, Right::Export],
                session_seconds: 900,
                grant_days: 7,
            },
            countermeasures: all.map(stated).to_vec(),
            keys: None,
        }
    }

    #[test]
    fn the_hash_is_that_of_the_canonical_form() {
        let policy = very_high();
        let back = CollectionPolicy::parse(policy.to_json().as_bytes()).unwrap();
        assert_eq!((back.hash(), &back), (policy.hash(), &policy));
        let mut other = policy.clone();
        other.retention_days += 1;
        assert_ne!(other.hash(), policy.hash());
    }

    fn keys(policy: &mut CollectionPolicy) -> &mut KeyPolicy {
        policy.keys.get_or_insert_default()
    }

    /// A collection set up before there were such policies keeps its hash, and with it its place in the log.
    #[test]
    fn what_is_not_said_of_keys_is_as_usual_and_changes_no_hash() {
        let mut policy = very_high();
        assert!(!policy.to_json().contains("\"keys\""));
        assert_eq!(policy.key_policy(), Policy::default());
        keys(&mut policy).cryptoperiod_days = Some(30);
        keys(&mut policy).retire_after_days = Some(0);
        policy.check().unwrap();
        let planned = policy.key_policy();
        assert_eq!((planned.cryptoperiod, planned.retire_after), (days(30), Some(Duration::ZERO)));
        assert_eq!(planned.hard_ceiling, Policy::default().hard_ceiling);
        assert_eq!(CollectionPolicy::parse(policy.to_json().as_bytes()), Ok(policy));
    }

    #[test]
    fn unknown_members_and_values_out_of_bounds_are_refused() {
        let text = very_high().to_json().replacen('{', "{\"shared\":true,", 1);
        assert_eq!(CollectionPolicy::parse(text.as_bytes()), Err(InvalidPolicy("policy")));
        let wrong = |change: fn(&mut CollectionPolicy)| {
            let mut policy = very_high();
            change(&mut policy);
            policy.check().unwrap_err().0
        };
        assert_eq!(wrong(|p| p.title.clear()), "title");
        assert_eq!(wrong(|p| p.purposes.clear()), "purposes");
        assert_eq!(wrong(|p| p.purposes[1].name = p.purposes[0].name.clone()), "purposes.name");
        assert_eq!(wrong(|p| p.purposes[0].name = "Advertising!".into()), "purposes.name");
        assert_eq!(wrong(|p| p.retention_days = 0), "retention_days");
        assert_eq!(wrong(|p| p.access.session_seconds = 59), "access.session_seconds");
        assert_eq!(wrong(|p| p.access.grant_days = 91), "access.grant_days");
        assert_eq!(wrong(|p| keys(p).cryptoperiod_days = Some(731)), "keys.cryptoperiod_days");
        assert_eq!(wrong(|p| keys(p).soft_ceiling = Some(9)), "keys.soft_ceiling");
        assert_eq!(wrong(|p| keys(p).hard_ceiling = Some(4_000_000)), "keys.hard_ceiling");
        assert_eq!(wrong(|p| keys(p).retire_after_days = Some(u32::MAX)), "keys.retire_after_days");
    }
}
