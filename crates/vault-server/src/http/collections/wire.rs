//! Between a collection on the wire and its policy.
//!
//! Both sides write a policy's parts as the same JSON, so that is how they turn into each other: vault-api depends on
//! nothing of the vault, and vault-core on nothing of the wire.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_api::code::Code;
use vault_api::collections::{Collection, CollectionState as WireState, NewCollection, Notice};
use vault_core::privacy::policy::CollectionPolicy;
use vault_core::privacy::readiness::Missing;

use crate::app::collections::{CollectionRow, CollectionState, Shown};
use crate::app::error::Failure;

/// The same part on the other side.
fn turned<A: Serialize, B: DeserializeOwned>(part: &A) -> Result<B, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(part)?)
}

/// The policy that a new collection states.
pub(super) fn policy_in(new: &NewCollection) -> Result<CollectionPolicy, Failure> {
    let wrong =
        |member: &'static str| move |_| Failure::new(Code::InvalidValue).detail(format!("{member}: not of its form"));
    Ok(CollectionPolicy {
        title: new.title.clone(),
        tier: turned(&new.tier).map_err(wrong("tier"))?,
        controller: new.controller.clone(),
        notice: turned(&new.notice).map_err(wrong("notice"))?,
        purposes: turned(&new.purposes).map_err(wrong("purposes"))?,
        retention_days: new.retention_days,
        subject: turned(&new.subject).map_err(wrong("subject"))?,
        access: turned(&new.access).map_err(wrong("access"))?,
        countermeasures: turned(&new.countermeasures).map_err(wrong("countermeasures"))?,
        keys: turned(&new.keys).map_err(wrong("keys"))?,
    })
}

/// A policy's part that the wire cannot write: the two sides have come apart.
fn apart(e: serde_json::Error) -> Failure {
    Failure::new(Code::Internal).because(e)
}

pub(super) fn collection(shown: Shown) -> Result<Collection, Failure> {
    let Shown { row, missing } = shown;
    let policy = &row.policy;
    Ok(Collection {
        id: row.id.to_string(),
        name: row.name.to_string(),
        title: policy.title.clone(),
        state: match row.state {
            CollectionState::Draft => WireState::Draft,
            CollectionState::Open => WireState::Open,
            CollectionState::Suspended => WireState::Suspended,
            CollectionState::Closed => WireState::Closed,
        },
        tier: turned(&policy.tier).map_err(apart)?,
        controller: policy.controller.clone(),
        notice_sha256: hex::encode(policy.notice.sha256()),
        purposes: turned(&policy.purposes).map_err(apart)?,
        retention_days: policy.retention_days,
        subject: turned(&policy.subject).map_err(apart)?,
        access: turned(&policy.access).map_err(apart)?,
        countermeasures: turned(&policy.countermeasures).map_err(apart)?,
        keys: turned(&policy.keys).map_err(apart)?,
        missing: missing.into_iter().map(Missing::name).collect(),
        created_at: row.created_at.to_string(),
    })
}

pub(super) fn notice(row: &CollectionRow) -> Result<Notice, Failure> {
    let policy = &row.policy;
    Ok(Notice {
        collection: row.name.to_string(),
        controller: policy.controller.clone(),
        language: policy.notice.language.clone(),
        text: policy.notice.text.clone(),
        sha256: hex::encode(policy.notice.sha256()),
        purposes: turned(&policy.purposes).map_err(apart)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vault_core::access::scope::Right;

    use super::*;

    fn new() -> Value {
        let practices = [
            "permission-mechanism",
            "privacy-communication",
            "withdrawal",
            "insight-explanation",
            "recipients",
            "subject-requests",
            "dpia",
            "encryption-policy",
            "access-procedure",
        ];
        let bases =
            ["consent", "contract", "legal-obligation", "vital-interests", "public-task", "legitimate-interests"];
        json!({
            "name": "calls", "title": "Calls", "tier": "very-high", "controller": "Example Ltd",
            "notice": {"language": "en", "text": "We record this call.\n"},
            "purposes": bases.map(|basis| json!({"name": basis, "basis": basis, "description": "why"})),
            "retention_days": 30, "subject": "optional",
            "access": {"second_person": true, "case_number": true, "rights": ["view", "export"],
                "session_seconds": 900, "grant_days": 7},
            "countermeasures": practices.map(|practice| json!({"practice": practice, "statement": "s",
                "document_sha256": "ab".repeat(32), "approved_by": "Privacy office",
                "approved_at": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"})),
            "keys": {"cryptoperiod_days": 90, "soft_ceiling": 1_000, "hard_ceiling": 2_000, "retire_after_days": 30},
        })
    }

    #[test]
    fn every_value_that_the_wire_knows_becomes_policy_and_comes_back() {
        let sent: NewCollection = serde_json::from_value(new()).unwrap();
        let policy = policy_in(&sent).unwrap();
        policy.check().unwrap();
        assert_eq!(policy.countermeasures.len(), 9);
        assert!(policy.access.rights().has(Right::Export) && policy.access.case_number);
        assert_eq!((policy.key_policy().soft_ceiling, policy.key_policy().hard_ceiling), (1_000, 2_000));
        for tier in ["low", "medium", "high", "very-high"] {
            let tiered: NewCollection = serde_json::from_value({
                let mut value = new();
                value["tier"] = tier.into();
                value["subject"] = "required".into();
                value
            })
            .unwrap();
            let policy = policy_in(&tiered).unwrap();
            assert_eq!(serde_json::to_value(policy.tier).unwrap(), tier);
        }
        let now = vault_core::time::Timestamp::from_millis(1_790_000_000_000);
        let row = CollectionRow {
            id: vault_core::ids::CollectionId::new(now),
            name: sent.name.parse().unwrap(),
            state: CollectionState::Draft,
            policy_hash: policy.hash(),
            policy,
            created_at: now,
        };
        assert_eq!(notice(&row).unwrap().text, sent.notice.text);
        let shown = collection(Shown { row, missing: vec![Missing::TierOfRecordings] }).unwrap();
        assert_eq!((&shown.purposes, &shown.access, &shown.keys), (&sent.purposes, &sent.access, &sent.keys));
        assert_eq!(shown.missing, ["tier-very-high"]);
    }

    #[test]
    fn a_time_that_is_none_names_its_member() {
        let mut value = new();
        value["countermeasures"][0]["approved_at"] = "yesterday".into();
        let sent: NewCollection = serde_json::from_value(value).unwrap();
        let failure = policy_in(&sent).unwrap_err();
        assert_eq!((failure.code(), failure.what()), (Code::InvalidValue, Some("countermeasures: not of its form")));
    }
}
