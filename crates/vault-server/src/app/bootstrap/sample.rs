//! What `vault-server dev` begins with: one person or machine for each role, and a collection of the highest tier with
//! everything such a collection needs, so that the whole way through the vault can be walked.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use vault_api::code::Code;
use vault_api::dev::PEOPLE;
use vault_core::access::role::Role;
use vault_core::access::scope::Right;
use vault_core::ids::CollectionName;
use vault_core::privacy::basis::{Basis, Purpose};
use vault_core::privacy::policy::{AccessPolicy, CollectionPolicy, Notice, Practice, Stated, SubjectRule};
use vault_core::privacy::tier::Tier;
use vault_core::time::Timestamp;

use crate::app::callers;
use crate::app::collections::{self, CollectionState};
use crate::app::error::Failure;
use crate::app::people::First;
use crate::state::Vault;

/// The sample collection's name.
pub const COLLECTION: &str = "demo";
/// The name of the sample vault's log, and of its key.
pub const LOG_NAME: &str = "dev.feedback-vault.example/log";
/// Who sets the sample collection up.
pub const ADMINISTRATOR: &str = "administrator";

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const NOTICE: &str = "\
We ask for your feedback as a voice or video recording.

Who: Sample Ltd, 1 Example Street; privacy@sample.example. Data protection officer: dpo@sample.example.
What for: to improve our service, and to handle your complaint if you make one. Only for what you agree to.
What we learn: people listen to what you say and note what we should do better. No software judges your voice or face.
Who receives it: named employees of Sample Ltd, each time with a stated reason that a second person has approved.
How long: 180 days. It is kept encrypted, and every playback is recorded.
Your rights: you may have it, have it erased, or withdraw your consent at any time at privacy@sample.example, and you
may complain to your data protection authority. Not recording has no disadvantage for you.
";

const DPIA: &str = "\
Sample impact assessment. Recordings of voice and video, seldom of bystanders. Risks: disclosure, use for other purposes,
identification. Measures: encryption before the first write, keys per record, approval by a second person for each access,
a log that cannot be rewritten unnoticed, erasure by destroying keys. Residual risk: low. A sample: it assesses nothing.
";

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// What a consent for the sample collection has to name.
#[must_use]
pub fn notice_sha256() -> String {
    sha256(NOTICE)
}

/// The people of a vault for trying out.
#[must_use]
pub fn people(now: Timestamp) -> Vec<First> {
    let token_ends = now.plus(10 * YEAR);
    let first = |(name, role): (&str, vault_api::roles::Role)| {
        let role: Role = role.as_str().parse().ok()?;
        Some(First { name: name.to_owned(), kind: role.held_by(), roles: vec![role], token_ends })
    };
    PEOPLE.into_iter().filter_map(first).collect()
}

fn policy(now: Timestamp) -> CollectionPolicy {
    let purpose = |name: &str, description: &str| Purpose {
        name: name.to_owned(),
        basis: Basis::Consent,
        description: Some(description.to_owned()),
    };
    let stated = |practice, statement: &str| Stated {
        practice,
        statement: statement.to_owned(),
        document_sha256: None,
        approved_by: None,
        approved_at: None,
        valid_until: None,
    };
    let dpia = Stated {
        document_sha256: Some(sha256(DPIA)),
        approved_by: Some("Sample Ltd, data protection officer".to_owned()),
        approved_at: Some(now),
        valid_until: Some(now.plus(10 * YEAR)),
        ..stated(Practice::Dpia, "Sample impact assessment")
    };
    CollectionPolicy {
        title: "Sample: feedback by voice and video".to_owned(),
        tier: Tier::VeryHigh,
        controller: "Sample Ltd, privacy@sample.example".to_owned(),
        notice: Notice { language: "en".to_owned(), text: NOTICE.to_owned() },
        purposes: vec![
            purpose("service-improvement", "To learn what we should do better"),
            purpose("complaint-handling", "To handle a complaint you make"),
        ],
        retention_days: 180,
        subject: SubjectRule::Optional,
        access: AccessPolicy {
            second_person: true,
            case_number: false,
            rights: vec![Right::View, Right::Export],
            session_seconds: 15 * 60,
            grant_days: 7,
        },
        countermeasures: vec![
            stated(Practice::PermissionMechanism, "The widget asks before it records"),
            stated(Practice::PrivacyCommunication, "The notice is shown beside the question"),
            stated(Practice::Withdrawal, "privacy@sample.example, at any time"),
            stated(Practice::InsightExplanation, "The notice says what is learnt from recordings"),
            stated(Practice::Recipients, "Named employees of Sample Ltd"),
            stated(Practice::SubjectRequests, "privacy@sample.example, answered within a month"),
            dpia,
            stated(Practice::EncryptionPolicy, "A key for each record, wrapped by this collection's rotated key"),
            stated(Practice::AccessProcedure, "Analysts ask, approvers decide, sessions last 15 minutes"),
        ],
        keys: None,
    }
}

/// Sets the sample collection up and opens it, as the sample's administrator; what has been done is left as it is.
pub async fn open_collection(vault: &Vault, token: &str) -> Result<(), Failure> {
    let name: CollectionName = COLLECTION.parse().map_err(|_| Failure::new(Code::Internal))?;
    let state = match collections::find(vault, &name).await {
        Ok(row) => row.state,
        Err(e) if e.code() == Code::NotFound => {
            let caller = callers::authenticate(vault, token).await?;
            collections::create(vault, &caller, name.clone(), policy(vault.clock.now())).await?;
            CollectionState::Draft
        }
        Err(e) => return Err(e),
    };
    // Suspended by somebody who tries that out, it stays so.
    if state == CollectionState::Draft {
        let caller = callers::authenticate(vault, token).await?;
        collections::open(vault, &caller, &name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_of_the_sample_has_the_role_the_interface_names() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let named: Vec<_> = people(now).into_iter().map(|p| (p.name, p.roles[0].name())).collect();
        let expected: Vec<_> = PEOPLE.map(|(name, role)| (name.to_owned(), role.as_str())).into();
        assert_eq!(named, expected);
        policy(now).check().unwrap();
    }
}
