mod stage;

use std::time::Duration;

use vault_api::access::{
    AccessRequest, AccessRequestQuery, Approved, Decision, NewAccessRequest, RequestState, Revocation,
};
use vault_api::code::Code;
use vault_core::access::grant::Grant;
use vault_core::access::request::WAITS;
use vault_core::audit::entry::{AccessApproved, AccessDenied, AccessRequested, AccessRevoked};
use vault_core::audit::slot::SlotName;
use vault_core::ids::{GrantId, RecordId, RequestId};

use super::*;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::{Refusal, Subject};
use crate::testing::NOW;
use stage::Stage;

const REASON: &str = "Check what the caller said about the delivery";
const CASE: &str = "C-2026-118";

fn asked(more: serde_json::Value) -> NewAccessRequest {
    let mut body = serde_json::json!({"purpose": "service-improvement", "reason": REASON, "case_number": CASE});
    for (member, value) in more.as_object().unwrap() {
        body[member] = value.clone();
    }
    serde_json::from_value(body).unwrap()
}

fn for_record(record: RecordId) -> NewAccessRequest {
    asked(serde_json::json!({"record_id": record.to_string()}))
}

async fn filed(stage: &Stage, by: &str, asked: NewAccessRequest) -> RequestId {
    let filed = file(&stage.house.vault, stage.caller(by).await.as_ref(), asked).await.unwrap();
    assert_eq!(filed.state, RequestState::Pending);
    filed.id.parse().unwrap()
}

async fn try_file(stage: &Stage, by: &str, asked: NewAccessRequest) -> Code {
    file(&stage.house.vault, stage.caller(by).await.as_ref(), asked).await.unwrap_err().code()
}

async fn decide(stage: &Stage, by: &str, id: RequestId) -> Result<Approved, Failure> {
    let said = Decision { comment: Some("Within the procedure".into()) };
    approve(&stage.house.vault, stage.caller(by).await.as_ref(), id, said).await
}

async fn seen(stage: &Stage, by: &str, id: RequestId) -> Result<AccessRequest, Failure> {
    show(&stage.house.vault, stage.caller(by).await.as_ref(), id).await
}

async fn listed(stage: &Stage, by: &str, query: AccessRequestQuery) -> Vec<String> {
    let page = list(&stage.house.vault, stage.caller(by).await.as_ref(), query).await.unwrap();
    page.items.into_iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn from_request_to_grant_to_revocation() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let id = filed(&stage, "analyst", for_record(record)).await;
    let ledger = stage.house.vault.ledger().unwrap();
    let entry = ledger.find::<AccessRequested>(&reference::request(id)).await.unwrap().unwrap();
    assert_eq!(entry.slot(SlotName::Reason), Some(REASON));
    assert_eq!(entry.policy(), Some(&stage.collection.policy_hash));

    let approved = decide(&stage, "approver", id).await.unwrap();
    let grant: GrantId = approved.grant_id.parse().unwrap();
    let evidence = ledger.find::<AccessApproved>(&reference::approval(grant)).await.unwrap().unwrap();
    let terms = Grant::from_evidence(&evidence).unwrap().terms().clone();
    assert_eq!((terms.requester, terms.approver), (stage.person("analyst"), stage.person("approver")));
    assert_eq!(terms.scope.single(), Some(record));
    assert_eq!(terms.expires_at, NOW.plus(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(terms.expires_at.to_string(), approved.expires_at);

    let shown = seen(&stage, "analyst", id).await.unwrap();
    assert_eq!((shown.state, shown.grant_id), (RequestState::Approved, Some(approved.grant_id)));
    assert_eq!(shown.reason.as_deref(), Some(REASON));
    assert_eq!(shown.case_number.as_deref(), Some(CASE));
    assert_eq!(shown.comment.as_deref(), Some("Within the procedure"));
    assert_eq!(shown.decided_by.unwrap().id, stage.person("approver").to_string());

    let leans = Subject::new().grant(grant);
    assert_eq!(stage.house.vault.restrictions.check(&leans), Ok(()));
    let approver = stage.caller("approver").await;
    assert!(revoke(&stage.house.vault, &approver, grant, Revocation::default()).await.unwrap());
    assert!(matches!(stage.house.vault.restrictions.check(&leans), Err(Refusal::Restricted(_))));
    assert_eq!(seen(&stage, "analyst", id).await.unwrap().state, RequestState::Revoked);
    let again = revoke(&stage.house.vault, &approver, grant, Revocation::default()).await.unwrap_err();
    assert_eq!(again.code(), Code::RequestDecided);
    // The entry did not hold up the act; it comes by itself.
    let reference = reference::access_revoked(grant);
    for _ in 0..200 {
        if ledger.find::<AccessRevoked>(&reference).await.unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the revocation is not in the log");
}

#[tokio::test]
async fn p5_nobody_decides_on_their_own_request_and_each_role_sees_what_it_may() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let id = filed(&stage, "both", for_record(record)).await;
    assert_eq!(decide(&stage, "both", id).await.unwrap_err().code(), Code::SelfApproval);
    let refused = deny(&stage.house.vault, stage.caller("both").await.as_ref(), id, Decision::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::SelfApproval);
    for (who, code) in [
        // Reads requests here, and only their own.
        ("analyst", Code::NotFound),
        ("auditor", Code::Forbidden),
        ("administrator", Code::NotFound),
        ("key-officer", Code::NotFound),
        ("uploader", Code::NotFound),
    ] {
        assert_eq!(decide(&stage, who, id).await.unwrap_err().code(), code, "{who}");
    }
    for who in ["both", "approver", "auditor"] {
        assert_eq!(seen(&stage, who, id).await.unwrap().state, RequestState::Pending, "{who}");
        assert_eq!(listed(&stage, who, AccessRequestQuery::default()).await, [id.to_string()], "{who}");
    }
    for who in ["analyst", "analyst-2"] {
        assert_eq!(seen(&stage, who, id).await.unwrap_err().code(), Code::NotFound, "{who}");
        assert!(listed(&stage, who, AccessRequestQuery::default()).await.is_empty(), "{who}");
    }
    assert!(decide(&stage, "approver", id).await.is_ok());
    for who in ["analyst", "both", "auditor", "administrator"] {
        let grant = seen(&stage, "both", id).await.unwrap().grant_id.unwrap().parse().unwrap();
        let tried = revoke(&stage.house.vault, stage.caller(who).await.as_ref(), grant, Revocation::default()).await;
        assert_eq!(tried.is_ok(), who == "both", "{who}");
        if tried.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn p5_a_row_edited_or_inserted_by_hand_is_not_approved() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let id = filed(&stage, "analyst", for_record(record)).await;
    stage.house.by_hand("UPDATE access_requests SET rights = '[\"view\",\"export\"]'").await;
    assert_eq!(decide(&stage, "approver", id).await.unwrap_err().code(), Code::NotInLog);
    stage.house.by_hand("UPDATE access_requests SET rights = '[\"view\"]', requester = (SELECT id FROM persons WHERE name = 'both')").await;
    assert_eq!(decide(&stage, "approver", id).await.unwrap_err().code(), Code::NotInLog);
    // A copy under an identifier that the log never saw.
    let planted = RequestId::new(NOW);
    let mut tx = stage.house.vault.store.begin("by_hand").await.unwrap();
    sqlx::query(
        "INSERT INTO access_requests SELECT $1, collection_id, requester, record_id, scope, purpose, rights, limits, reason, \
         case_number, comment, state, created_at, until, waits_until, decided_by, decided_at FROM access_requests",
    )
    .bind(planted.to_string())
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(decide(&stage, "approver", planted).await.unwrap_err().code(), Code::NotInLog);
    // And a sealed text that was moved to another row does not open there.
    assert_eq!(seen(&stage, "approver", planted).await.unwrap().reason, None);
}

#[tokio::test]
async fn a_request_is_decided_once_and_not_after_its_time() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let denied = filed(&stage, "analyst", for_record(record)).await;
    let answer =
        deny(&stage.house.vault, stage.caller("approver").await.as_ref(), denied, Decision::default()).await.unwrap();
    assert_eq!(answer.state, RequestState::Denied);
    let found = stage.house.vault.ledger().unwrap().find::<AccessDenied>(&reference::denial(denied)).await.unwrap();
    assert_eq!(found.unwrap().slot(SlotName::Person), Some(stage.person("analyst").to_string().as_str()));
    assert_eq!(decide(&stage, "approver", denied).await.unwrap_err().code(), Code::RequestDecided);

    let late = filed(&stage, "analyst", for_record(record)).await;
    stage.house.clock.advance(WAITS);
    assert_eq!(decide(&stage, "approver", late).await.unwrap_err().code(), Code::RequestDecided);
    assert_eq!(seen(&stage, "analyst", late).await.unwrap().state, RequestState::Expired);
    let only = |state| AccessRequestQuery { state: Some(state), ..AccessRequestQuery::default() };
    assert_eq!(listed(&stage, "approver", only(RequestState::Expired)).await, [late.to_string()]);
    assert_eq!(listed(&stage, "approver", only(RequestState::Denied)).await, [denied.to_string()]);
    assert!(listed(&stage, "approver", only(RequestState::Pending)).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_when_it_is_asked() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let other = stage.record(&["complaint-handling"]).await;
    let id = |record: RecordId| record.to_string();
    let standing = serde_json::json!({"collection": "demo", "filter": {}});
    let unknown = RecordId::new(stage.house.vault.clock.now());
    for (what, more, code) in [
        ("nothing", serde_json::json!({}), Code::InvalidRequest),
        (
            "two things",
            serde_json::json!({"record_id": id(record), "scope": {"record_ids": [id(record)]}}),
            Code::InvalidRequest,
        ),
        ("an unknown record", serde_json::json!({"record_id": id(unknown)}), Code::NotFound),
        ("no record", serde_json::json!({"record_id": "x"}), Code::NotFound),
        ("an empty batch", serde_json::json!({"scope": {"record_ids": []}}), Code::InvalidValue),
        ("consent for something else", serde_json::json!({"record_id": id(other)}), Code::PurposeNotAllowed),
        (
            "one such in a batch",
            serde_json::json!({"scope": {"record_ids": [id(record), id(other)]}}),
            Code::PurposeNotAllowed,
        ),
        (
            "a foreign purpose",
            serde_json::json!({"record_id": id(record), "purpose": "advertising"}),
            Code::PurposeNotAllowed,
        ),
        ("no rights", serde_json::json!({"record_id": id(record), "rights": []}), Code::InvalidValue),
        (
            "a past end",
            serde_json::json!({"record_id": id(record), "until": "2020-01-01T00:00:00Z"}),
            Code::ScopeNotAllowed,
        ),
        ("no time", serde_json::json!({"record_id": id(record), "until": "soon"}), Code::InvalidValue),
        ("a blank reason", serde_json::json!({"record_id": id(record), "reason": "  "}), Code::InvalidValue),
        ("no bound", serde_json::json!({"scope": standing}), Code::ScopeNotAllowed),
        (
            "a standing export",
            serde_json::json!({"scope": standing, "rights": ["export"], "limits": {"records_per_day": 5}}),
            Code::RightNotGiven,
        ),
        ("an unknown collection", serde_json::json!({"scope": {"collection": "x", "filter": {}}}), Code::NotFound),
    ] {
        assert_eq!(try_file(&stage, "analyst", asked(more)).await, code, "{what}");
    }
    assert_eq!(try_file(&stage, "approver", for_record(record)).await, Code::Forbidden);
    assert_eq!(try_file(&stage, "administrator", for_record(record)).await, Code::NotFound);
    stage.house.by_hand("UPDATE records SET state = 'restricted'").await;
    assert_eq!(try_file(&stage, "analyst", for_record(record)).await, Code::RecordNotAvailable);
    assert!(listed(&stage, "auditor", AccessRequestQuery::default()).await.is_empty());
}

#[tokio::test]
async fn batches_and_standing_scopes_are_granted_as_asked() {
    let stage = Stage::set().await;
    let (one, two) = (stage.record(&["service-improvement"]).await, stage.record(&["service-improvement"]).await);
    let batch =
        asked(serde_json::json!({"scope": {"record_ids": [two.to_string(), one.to_string(), one.to_string()]}}));
    let batch = filed(&stage, "analyst", batch).await;
    stage.house.clock.advance(Duration::from_secs(1));
    let standing = serde_json::json!({
        "scope": {"collection": "demo", "filter": {"kind": "audio"}}, "limits": {"records_per_day": 60},
        "until": NOW.plus(Duration::from_secs(3600)).to_string(),
    });
    let standing = filed(&stage, "analyst", asked(standing)).await;
    for id in [batch, standing] {
        let approved = decide(&stage, "approver", id).await.unwrap();
        let grant = approved.grant_id.parse().unwrap();
        let found =
            stage.house.vault.ledger().unwrap().find::<AccessApproved>(&reference::approval(grant)).await.unwrap();
        let terms = Grant::from_evidence(&found.unwrap()).unwrap().terms().clone();
        let shown = seen(&stage, "analyst", id).await.unwrap();
        assert_eq!(shown.reason.as_deref(), Some(REASON), "sealed under the staff audit key");
        if id == standing {
            assert!(terms.scope.is_standing());
            assert_eq!(terms.limits.records_per_day, Some(60));
            assert_eq!(terms.expires_at, NOW.plus(Duration::from_secs(3600)));
        } else {
            let mut frozen = [one.to_string(), two.to_string()];
            frozen.sort();
            assert_eq!(shown.scope, asked(serde_json::json!({"scope": {"record_ids": frozen}})).scope);
        }
    }
    let page = |cursor| AccessRequestQuery { limit: Some(1), cursor, ..AccessRequestQuery::default() };
    let auditor = stage.caller("auditor").await;
    let first = list(&stage.house.vault, &auditor, page(None)).await.unwrap();
    assert_eq!(first.items[0].id, standing.to_string(), "newest first");
    let second = list(&stage.house.vault, &auditor, page(first.next_cursor)).await.unwrap();
    assert_eq!((second.items[0].id.clone(), second.next_cursor), (batch.to_string(), None));
    let by_record = AccessRequestQuery { record_id: Some(one.to_string()), ..AccessRequestQuery::default() };
    assert!(listed(&stage, "auditor", by_record).await.is_empty(), "neither is for this one record");
}

#[tokio::test]
async fn p1_reasons_case_numbers_and_comments_are_nowhere_in_the_clear() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let id = filed(&stage, "analyst", for_record(record)).await;
    decide(&stage, "approver", id).await.unwrap();
    stage.house.vault.store.scrub().await.unwrap();
    let needles = [REASON, CASE, "Within the procedure"];
    // What is no secret has to be found: the search works.
    let mut control = false;
    let mut open = vec![stage.house.vault.config.data_dir.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            // The vault runs: a bundle of the log that is no longer needed may be gone since the folder was read.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            control |= bytes.windows(19).any(|window| window == b"service-improvement");
            for needle in needles {
                let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
                assert!(!found, "{needle:?} in {}", path.display());
            }
        }
    }
    assert!(control);
}

#[tokio::test]
async fn texts_go_with_their_record() {
    let stage = Stage::set().await;
    let record = stage.record(&["service-improvement"]).await;
    let id = filed(&stage, "analyst", for_record(record)).await;
    stage.house.by_hand("UPDATE records SET wrap = NULL, state = 'erased'").await;
    let shown = seen(&stage, "approver", id).await.unwrap();
    assert_eq!((shown.reason, shown.case_number), (None, None));
    // What is gone cannot be granted.
    assert_eq!(decide(&stage, "approver", id).await.unwrap_err().code(), Code::RecordNotAvailable);
}
