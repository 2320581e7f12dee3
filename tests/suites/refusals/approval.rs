//! Nobody decides alone.

use serde_json::json;
use vault_tests::fixtures::media;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

use super::has_entries;

#[test]
fn an_analyst_cannot_approve_and_the_attempt_is_in_the_log() {
    let vault = Vault::start();
    let record = tus::upload(&vault, "voice.webm", "audio/webm", &media("chromium-voice.webm"));
    let request = access::request(&vault, "analyst", &record, "Hear it", "C-1");
    for analyst in vault.person("analyst").each() {
        for decision in ["approve", "deny"] {
            let answer = analyst.post(&format!("/v1/access-requests/{request}/{decision}"), &json!({}));
            assert_eq!(answer.status, 403, "{decision}: {answer}");
        }
    }
    let state = vault.person("analyst").get(&format!("/v1/access-requests/{request}")).expect(200).text("state");
    assert_eq!(state, "pending");
    // Once an hour, by each node that refused it.
    has_entries(&vault, "decision.denied", vault.nodes().count());
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_request_is_decided_once() {
    let vault = Vault::start();
    let record = tus::upload(&vault, "voice.webm", "audio/webm", &media("chromium-voice.webm"));
    let request = access::request(&vault, "analyst", &record, "Hear it", "C-1");
    let _first = access::approve(&vault, "approver", &request);
    for decision in ["approve", "deny"] {
        let path = format!("/v1/access-requests/{request}/{decision}");
        vault.person("approver-2").post(&path, &json!({})).refused(409, "request_decided");
    }
}

#[test]
fn a_second_token_of_the_same_person_is_not_a_second_person() {
    let vault = Vault::start();
    let record = tus::upload(&vault, "voice.webm", "audio/webm", &media("chromium-voice.webm"));
    let (one, two) = (vault.person("administrator"), vault.person("administrator-2"));
    // Somebody who may both ask and decide, with two tokens.
    let both = one.post("/v1/people", &json!({"name": "Both", "kind": "human"})).expect(201).text("id");
    for role in ["analyst", "approver"] {
        let body = json!({"person_id": both, "role": role, "collection": "demo", "reason": "A small team"});
        let binding = one.post("/v1/role-bindings", &body).expect(201).text("id");
        let confirmed = two.post(&format!("/v1/role-bindings/{binding}/confirm"), &json!({})).expect(200);
        assert_eq!(confirmed.text("state"), "active");
    }
    let token = |label: &str| {
        let body = json!({"person_id": both, "label": label, "expires_at": "2027-01-01T00:00:00Z"});
        let issued = one.post("/v1/tokens", &body).expect(201).json();
        let id = issued["token"]["id"].as_str().expect("an identifier");
        let _confirmed = two.post(&format!("/v1/tokens/{id}/confirm"), &json!({})).expect(200);
        vault.caller(issued["secret"].as_str())
    };
    let (first, second) = (token("desk"), token("phone"));
    let body = json!({"record_id": record, "purpose": access::PURPOSE, "reason": "Hear it", "case_number": "C-1"});
    let request = first.post("/v1/access-requests", &body).expect(201).text("id");
    for caller in [&first, &second] {
        let answer = caller.post(&format!("/v1/access-requests/{request}/approve"), &json!({}));
        answer.refused(403, "self_approval");
    }
    // Another person decides, and then it plays.
    let _grant = access::approve(&vault, "approver", &request);
    let _session = access::try_open(&second, &request, &json!({})).expect(201);
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn nobody_gives_themselves_a_role_and_nobody_alone_gives_one_that_plays() {
    let vault = Vault::start();
    let administrator = vault.person("administrator");
    let me = administrator.get("/v1/me").expect(200).json()["person"]["id"].clone();
    let own = json!({"person_id": me, "role": "auditor", "reason": "Curious"});
    let answer = administrator.post("/v1/role-bindings", &own);
    assert!((400..500).contains(&answer.status), "a role for oneself: {answer}");

    let new = administrator.post("/v1/people", &json!({"name": "Nova", "kind": "human"})).expect(201).text("id");
    for role in ["analyst", "approver", "administrator"] {
        let body = json!({"person_id": new, "role": role, "reason": "Joins"});
        let proposed = administrator.post("/v1/role-bindings", &body);
        if proposed.status != 201 {
            assert!((400..500).contains(&proposed.status), "{proposed}"); // cannot be held beside the one before
            continue;
        }
        assert_eq!(proposed.text("state"), "proposed", "{role}");
        let confirm = format!("/v1/role-bindings/{}/confirm", proposed.text("id"));
        administrator.post(&confirm, &json!({})).refused(403, "self_approval");
    }
    // What is only proposed gives nothing.
    let body = json!({"person_id": new, "label": "nova", "expires_at": "2027-01-01T00:00:00Z"});
    let secret = administrator.post("/v1/tokens", &body).expect(201).text("secret");
    let nova = vault.caller(Some(&secret));
    assert_eq!(nova.get("/v1/records").status, 403);
}

#[test]
fn a_machine_holds_no_role_of_people() {
    let vault = Vault::start();
    let administrator = vault.person("administrator");
    let kiosk = administrator.post("/v1/people", &json!({"name": "Kiosk", "kind": "machine"})).expect(201).text("id");
    for role in ["analyst", "approver", "key-officer", "auditor", "administrator"] {
        let body = json!({"person_id": kiosk, "role": role, "reason": "No"});
        administrator.post("/v1/role-bindings", &body).refused(422, "role_not_givable");
    }
}
