//! Playback sessions and grants in the wrong hands, or at the wrong time.

use serde_json::json;
use vault_tests::fixtures::media;
use vault_tests::http::Caller;
use vault_tests::nodes::{refuses_within_the_promise, within_the_promise};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

fn voice(vault: &Vault) -> String {
    tus::upload(vault, "voice.webm", "audio/webm", &media("chromium-voice.webm"))
}

#[test]
fn p5_a_playback_address_is_absent_for_everyone_but_its_requester() {
    let vault = Vault::start();
    let record = voice(&vault);
    let session = access::granted(&vault, &record);
    let url = &session.playback_url;
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(vault.nobody().send(method, url, &[], &[]).status, 404, "{method} without a token");
        for person in ["approver", "approver-2", "auditor", "administrator", "key-officer", "uploader"] {
            assert_eq!(vault.person(person).send(method, url, &[], &[]).status, 404, "{method} as {person}");
        }
    }
    let unknown = "/v1/playback/019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    for path in [unknown, "/v1/playback/x"] {
        assert_eq!(vault.person("analyst").get(path).status, 404);
    }
    assert!(access::play(&vault, &session) == media("chromium-voice.webm"), "the requester still plays");
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn an_ended_session_plays_no_more() {
    let vault = Vault::start();
    let record = voice(&vault);
    let session = access::granted(&vault, &record);
    access::close(&vault, &session);
    for method in ["GET", "DELETE"] {
        let replay = |analyst: &Caller| analyst.send(method, &session.playback_url, &[("range", "bytes=0-9")], &[]);
        within_the_promise(&vault.person("analyst"), replay, |replayed| matches!(replayed.status, 404 | 410));
    }
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn a_session_needs_a_grant_in_force_that_covers_the_record() {
    let vault = Vault::start();
    let (one, other) = (voice(&vault), voice(&vault));
    let analyst = vault.person("analyst");

    let pending = access::request(&vault, "analyst", &one, "Hear it", "C-1");
    access::try_open(&analyst, &pending, &json!({})).refused(403, "grant_not_in_force");
    let _denied = vault.person("approver").post(&format!("/v1/access-requests/{pending}/deny"), &json!({})).expect(200);
    access::try_open(&analyst, &pending, &json!({})).refused(403, "grant_not_in_force");

    let request = access::request(&vault, "analyst", &one, "Hear it", "C-2");
    let grant = access::approve(&vault, "approver", &request);
    access::try_open(&analyst, &request, &json!({"record_id": other})).refused(403, "grant_not_covering");
    let unknown = json!({"record_id": "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55"});
    let answer = access::try_open(&analyst, &request, &unknown);
    assert!(matches!(answer.status, 403 | 404), "{answer}");

    // View alone does not give the original.
    let body = json!({"record_id": one, "purpose": access::PURPOSE, "reason": "Hear it", "rights": ["view"]});
    let view = analyst.post("/v1/access-requests", &body).expect(201).text("id");
    let _view = access::approve(&vault, "approver", &view);
    access::try_open(&analyst, &view, &json!({"representation": "original"})).refused(403, "grant_not_covering");

    let _revoked = vault.person("approver").delete(&format!("/v1/grants/{}", grant.grant_id)).expect(200);
    let open = |analyst: &Caller| access::try_open(analyst, &request, &json!({}));
    refuses_within_the_promise(&analyst, open, 403, "grant_not_in_force");
    let twice = vault.person("approver").delete(&format!("/v1/grants/{}", grant.grant_id));
    assert!(twice.status < 500, "{twice}");
    let _clean = cli::verify_log(&vault).expect(0);
}
