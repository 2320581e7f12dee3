//! Tokens that have ended, or do less than their person may.

use serde_json::{Value, json};
use vault_tests::http::{Answer, Caller};
use vault_tests::nodes::refuses_within_the_promise;
use vault_tests::vault::Vault;
use vault_tests::{cli, database};

use super::entries;

/// A machine that uploads, and a token for it; the token's secret and identifier.
fn issue(vault: &Vault, more: &Value) -> (String, String, String) {
    let administrator = vault.person("administrator");
    let name = format!("Kiosk {more}");
    let machine = administrator.post("/v1/people", &json!({"name": name, "kind": "machine"})).expect(201).text("id");
    let role = json!({"person_id": machine, "role": "uploader", "collection": "demo", "reason": "A kiosk"});
    let _bound = administrator.post("/v1/role-bindings", &role).expect(201);
    let mut body = json!({"person_id": machine, "label": "kiosk", "expires_at": "2027-01-01T00:00:00Z"});
    for (member, value) in more.as_object().expect("an object") {
        body[member] = value.clone();
    }
    let issued = administrator.post("/v1/tokens", &body).expect(201).json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&issued["secret"]), text(&issued["token"]["id"]), machine)
}

fn me(caller: &Caller) -> Answer {
    caller.get("/v1/me")
}

#[test]
fn a_revoked_or_expired_token_is_no_token() {
    let vault = Vault::start();
    let (secret, id, _) = issue(&vault, &json!({}));
    let kiosk = vault.caller(Some(&secret));
    let _known = kiosk.get("/v1/me").expect(200);
    let _revoked = vault.person("administrator").delete(&format!("/v1/tokens/{id}")).expect(200);
    refuses_within_the_promise(&kiosk, me, 401, "unauthenticated");

    let (secret, id, _) = issue(&vault, &json!({"label": "other"}));
    let kiosk = vault.caller(Some(&secret));
    database::execute(&vault, &format!("UPDATE tokens SET expires_at = 1000 WHERE id = '{id}'"));
    refuses_within_the_promise(&kiosk, me, 401, "unauthenticated");
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_disabled_person_has_no_token() {
    let vault = Vault::start();
    let (secret, _, machine) = issue(&vault, &json!({}));
    let kiosk = vault.caller(Some(&secret));
    let path = format!("/v1/people/{machine}/disable");
    let _gone = vault.person("administrator").post(&path, &json!({"reason": "Taken down"})).expect(200);
    refuses_within_the_promise(&kiosk, me, 401, "unauthenticated");
}

#[test]
fn a_role_put_into_the_database_by_hand_is_no_role() {
    let mut vault = Vault::start();
    // An auditor's person gets an approver's role by SQL: the log knows nothing of it.
    let person = vault.person("auditor").get("/v1/me").expect(200).json()["person"]["id"].clone();
    let person = person.as_str().expect("an id");
    let binding = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    database::execute(
        &vault,
        &format!(
            "INSERT INTO role_bindings (id, person_id, role, state, proposed_by, proposed_at, confirmed_by, active_at)
             SELECT '{binding}', '{person}', role, state, proposed_by, proposed_at, confirmed_by, active_at
             FROM role_bindings WHERE role = 'administrator' LIMIT 1"
        ),
    );
    // Nothing remembered from before: the row is read as it stands.
    vault.crash();
    let body = json!({"name": "Mallory", "kind": "human"});
    let answer = vault.person("auditor").post("/v1/people", &body);
    assert_eq!(answer.status, 403, "a role put into the database by hand acts: {answer}");
}

#[test]
fn tokens_are_shown_once_and_never_again() {
    let vault = Vault::start();
    let (secret, id, _) = issue(&vault, &json!({}));
    let listed = vault.person("administrator").get("/v1/tokens?limit=500").expect(200);
    let text = String::from_utf8(listed.body).expect("text");
    assert!(text.contains(&id) && !text.contains(&secret), "a list of tokens shows a token");
    assert!(!vault.log().contains(&secret));
    assert!(entries(&vault, "token.issued") > 0);
}

#[test]
fn a_token_of_one_collection_does_not_reach_another() {
    let vault = Vault::start();
    let (secret, _, _) = issue(&vault, &json!({"collection": "demo"}));
    let kiosk = vault.caller(Some(&secret));
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", "10")];
    let other = kiosk.send("POST", "/v1/collections/other/uploads", &headers, &[]);
    other.refused(404, "not_found");
}
