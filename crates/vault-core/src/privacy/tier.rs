//! Risk tiers and what each asks for, as data. Requirements add up from tier to tier (design §8).

use serde::{Deserialize, Serialize};

/// Risk tier of what a collection gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Standard, non-personalised surveys.
    Low,
    /// Extra personal questions, closing the loop.
    Medium,
    /// Transcripts, text mining.
    High,
    /// Voice and video, behavioural or biometric data.
    VeryHigh,
}

impl Tier {
    /// Every tier, from the lowest.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::VeryHigh];

    /// The tier that recordings have, masked ones too. A collection may raise it, never lower it.
    pub const OF_RECORDINGS: Self = Self::VeryHigh;
}

/// When a countermeasure must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before a collection may open.
    Open,
    /// At every upload.
    Upload,
    /// At every playback.
    Playback,
}

/// A countermeasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Countermeasure {
    /// A notice, of a known text.
    Notice,
    /// A named controller with contact.
    Controller,
    /// Purposes, each with a lawful basis.
    Purposes,
    /// A retention period.
    Retention,
    /// How permission is asked for.
    PermissionMechanism,
    /// What people are told about privacy.
    PrivacyCommunication,
    /// A way to withdraw.
    Withdrawal,
    /// Plain explanation of the use of data and of insights from it.
    InsightExplanation,
    /// Who receives it.
    Recipients,
    /// A channel for data subjects' requests.
    SubjectRequests,
    /// An approved, unexpired impact assessment.
    Dpia,
    /// An encryption policy, with active keys.
    EncryptionPolicy,
    /// Roles, second-person rule, session limit.
    AccessProcedure,
    /// Two persons who can approve.
    TwoApprovers,
    /// A log that can be written.
    WorkingLog,
    /// The version of the notice that was shown.
    NoticeShown,
    /// Permission or consent with the notice's hash, unexpired, where it is the basis.
    ConsentGiven,
    /// Encrypted before the first disk write.
    EncryptedFirst,
    /// A role.
    Role,
    /// A stated purpose.
    StatedPurpose,
    /// Consent, or another basis, covers the purpose.
    BasisCovers,
    /// A grant that a second person approved, with a reason.
    SecondPerson,
}

/// The table: tier, stage, what it adds to the tiers below.
pub const TABLE: &[(Tier, Stage, &[Countermeasure])] = {
    use Countermeasure as C;
    &[
        (Tier::Low, Stage::Open, &[C::Notice, C::Controller, C::Purposes, C::Retention]),
        (Tier::Low, Stage::Upload, &[C::NoticeShown]),
        (Tier::Low, Stage::Playback, &[C::Role]),
        (Tier::Medium, Stage::Open, &[C::PermissionMechanism, C::PrivacyCommunication, C::Withdrawal]),
        (Tier::Medium, Stage::Upload, &[C::ConsentGiven]),
        (Tier::Medium, Stage::Playback, &[C::StatedPurpose]),
        (Tier::High, Stage::Open, &[C::InsightExplanation, C::Recipients, C::SubjectRequests]),
        (Tier::High, Stage::Playback, &[C::BasisCovers]),
        (
            Tier::VeryHigh,
            Stage::Open,
            &[C::Dpia, C::EncryptionPolicy, C::AccessProcedure, C::TwoApprovers, C::WorkingLog],
        ),
        (Tier::VeryHigh, Stage::Upload, &[C::EncryptedFirst]),
        (Tier::VeryHigh, Stage::Playback, &[C::SecondPerson]),
    ]
};

/// What `tier` asks for at `stage`: its own and everything of the tiers below.
pub fn required(tier: Tier, stage: Stage) -> impl Iterator<Item = Countermeasure> {
    TABLE.iter().filter(move |(t, s, _)| *t <= tier && *s == stage).flat_map(|(_, _, adds)| adds.iter().copied())
}

impl Countermeasure {
    /// A stable name, as `missing` lists it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Controller => "controller",
            Self::Purposes => "purposes",
            Self::Retention => "retention",
            Self::PermissionMechanism => "permission-mechanism",
            Self::PrivacyCommunication => "privacy-communication",
            Self::Withdrawal => "withdrawal",
            Self::InsightExplanation => "insight-explanation",
            Self::Recipients => "recipients",
            Self::SubjectRequests => "subject-requests",
            Self::Dpia => "dpia",
            Self::EncryptionPolicy => "encryption-policy",
            Self::AccessProcedure => "access-procedure",
            Self::TwoApprovers => "two-approvers",
            Self::WorkingLog => "working-log",
            Self::NoticeShown => "notice-shown",
            Self::ConsentGiven => "consent-given",
            Self::EncryptedFirst => "encrypted-first",
            Self::Role => "role",
            Self::StatedPurpose => "stated-purpose",
            Self::BasisCovers => "basis-covers",
            Self::SecondPerson => "second-person",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_add_up() {
        for stage in [Stage::Open, Stage::Upload, Stage::Playback] {
            for pair in Tier::ALL.windows(2) {
                let higher: Vec<_> = required(pair[1], stage).collect();
                assert!(required(pair[0], stage).all(|c| higher.contains(&c)), "{pair:?} {stage:?}");
            }
        }
        assert_eq!(required(Tier::VeryHigh, Stage::Open).count(), 15);
    }
}
