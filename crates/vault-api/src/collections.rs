//! Collections: the unit of isolation, and what must stand before one takes recordings.
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `POST /v1/collections` [`NewCollection`] | administrator | → 201 [`Collection`] in state `draft` |
//! | `GET /v1/collections` | everyone with a role in it | → page of [`Collection`] |
//! | `GET /v1/collections/{c}` | the same | → [`Collection`] |
//! | `POST /v1/collections/{c}/open` | administrator | → 200 [`Collection`]; 409 names what is missing |
//! | `POST /v1/collections/{c}/suspend` [`Reason`](crate::people::Reason) | administrator, approver | → 200 [`Collection`] |
//! | `GET /v1/collections/{c}/notice` | anyone | → [`Notice`] |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Right;

/// Risk tier of what a collection gathers; requirements add up. Recordings are always very high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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

/// Where a collection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CollectionState {
    /// Being set up.
    Draft,
    /// Takes recordings.
    Open,
    /// Takes none for now, and nothing that it holds can be played.
    Suspended,
    /// Takes none any more.
    Closed,
}

/// Lawful basis of a purpose (GDPR Art. 6(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LawfulBasis {
    /// (a)
    Consent,
    /// (b)
    Contract,
    /// (c)
    LegalObligation,
    /// (d)
    VitalInterests,
    /// (e)
    PublicTask,
    /// (f)
    LegitimateInterests,
}

/// What recordings may be used for, and on which basis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Short name, as consents and requests give it: `[a-z0-9-]`, at most 63 characters.
    #[schema(max_length = 63, example = "service-improvement")]
    pub name: String,
    /// Lawful basis.
    pub basis: LawfulBasis,
    /// What it means, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "To improve how we serve you")]
    pub description: Option<String>,
}

/// The notice to be shown to data subjects. Its exact text is what a consent's hash binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNotice {
    /// BCP 47 language tag.
    #[schema(example = "en")]
    pub language: String,
    /// The text, exactly as shown; plain text or Markdown. At most 64 KiB.
    #[schema(min_length = 1, max_length = 65536)]
    pub text: String,
}

/// Answer of `GET /v1/collections/{c}/notice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// Who is responsible for the recordings.
    pub controller: String,
    /// BCP 47 language tag.
    #[schema(example = "en")]
    pub language: String,
    /// The text.
    pub text: String,
    /// SHA-256 of the text's UTF-8 bytes, lower-case hex.
    #[schema(min_length = 64, max_length = 64)]
    pub sha256: String,
    /// What may be consented to.
    pub purposes: Vec<Purpose>,
}

/// The kinds of countermeasure that a tier asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Practice {
    /// Medium: how permission is asked for.
    PermissionMechanism,
    /// Medium: what people are told about privacy.
    PrivacyCommunication,
    /// Medium: a way to withdraw.
    Withdrawal,
    /// High: plain explanation of the use of data and of the insights from it.
    InsightExplanation,
    /// High: who receives it.
    Recipients,
    /// High: a channel for data subjects' requests.
    SubjectRequests,
    /// Very high: an approved, unexpired impact assessment.
    Dpia,
    /// Very high: the encryption policy.
    EncryptionPolicy,
    /// Very high: roles, second-person rule, session limit.
    AccessProcedure,
}

/// Evidence that a countermeasure stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Countermeasure {
    /// Which one.
    pub practice: Practice,
    /// What it is and where it can be read: a sentence, an address, a document number.
    #[schema(min_length = 1, max_length = 2000, example = "DPIA 2026-07, privacy office")]
    pub statement: String,
    /// SHA-256 of the document, lower-case hex; needed for a DPIA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 64, max_length = 64)]
    pub document_sha256: Option<String>,
    /// Who approved it; needed for a DPIA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When; needed for a DPIA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub approved_at: Option<String>,
    /// When it has to be reviewed: from then on it no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub valid_until: Option<String>,
}

/// Whether an upload names the data subject by an external identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectRule {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// How recordings are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicy {
    /// Whether a request needs a second person's approval; always for very high.
    pub second_person: bool,
    /// Whether a request needs a case number.
    pub case_number: bool,
    /// Rights that may be asked for.
    pub rights: Vec<Right>,
    /// Length of a playback session, in seconds: 60 to 14,400.
    #[schema(minimum = 60, maximum = 14400, example = 900)]
    pub session_seconds: u32,
    /// The longest a grant lasts, in days: 1 to 90.
    #[schema(minimum = 1, maximum = 90, example = 7)]
    pub grant_days: u32,
}

/// When the collection's keys are due. What is left out is as usual (`docs/keys.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyPolicy {
    /// Days a key version stays active before it is rotated by itself: 1 to 730; 180 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 730, example = 90)]
    pub cryptoperiod_days: Option<u32>,
    /// New records under one version from which on it is rotated by itself: at least 10; 4,000,000 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10, example = 1_000_000)]
    pub soft_ceiling: Option<u64>,
    /// New records under one version from which on uploads are refused until it is rotated: more than the soft ceiling;
    /// 8,000,000 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 11, example = 2_000_000)]
    pub hard_ceiling: Option<u64>,
    /// Days an empty version is kept before it is due for destruction: at most 3,650; never when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3650, example = 30)]
    pub retire_after_days: Option<u32>,
}

/// Body of `POST /v1/collections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCollection {
    /// Name in addresses: `[a-z0-9][a-z0-9-]{0,62}`. Never used again for another collection.
    #[schema(min_length = 1, max_length = 63, example = "service-calls-2026")]
    pub name: String,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200, example = "Service calls 2026")]
    pub title: String,
    /// Risk tier.
    pub tier: Tier,
    /// Who is responsible (GDPR Art. 4(7)), with contact.
    #[schema(min_length = 1, max_length = 1000, example = "Example Ltd, privacy@example.com")]
    pub controller: String,
    /// The notice.
    pub notice: NewNotice,
    /// What recordings may be used for.
    #[schema(min_items = 1)]
    pub purposes: Vec<Purpose>,
    /// Days a record is kept after it was received: 1 to 3,650.
    #[schema(minimum = 1, maximum = 3650, example = 180)]
    pub retention_days: u32,
    /// Whether uploads name the data subject.
    pub subject: SubjectRule,
    /// How recordings are reached.
    pub access: AccessPolicy,
    /// Countermeasures that stand.
    #[serde(default)]
    pub countermeasures: Vec<Countermeasure>,
    /// When its keys are due, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyPolicy>,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collection {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Name in addresses.
    #[schema(example = "demo")]
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Where it stands.
    pub state: CollectionState,
    /// Risk tier.
    pub tier: Tier,
    /// Who is responsible.
    pub controller: String,
    /// SHA-256 of the notice in force.
    #[schema(min_length = 64, max_length = 64)]
    pub notice_sha256: String,
    /// What recordings may be used for.
    pub purposes: Vec<Purpose>,
    /// Days a record is kept.
    pub retention_days: u32,
    /// Whether uploads name the data subject.
    pub subject: SubjectRule,
    /// How recordings are reached.
    pub access: AccessPolicy,
    /// Countermeasures that stand.
    pub countermeasures: Vec<Countermeasure>,
    /// When its keys are due, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyPolicy>,
    /// What is missing before it may take recordings; empty when nothing is.
    pub missing: Vec<String>,
    /// When it was set up.
    #[schema(format = "date-time")]
    pub created_at: String,
}
