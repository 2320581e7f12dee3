//! Promise 4: no plaintext without a trace. The log is blocked, rows are inserted by hand, and nothing is played.

use std::time::{Duration, Instant};

use serde_json::json;
use vault_tests::blocked::Blocked;
use vault_tests::database;
use vault_tests::fixtures::media;
use vault_tests::http::Caller;
use vault_tests::nodes::refuses_within_the_promise;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

const NAME: &str = "chromium-voice.webm";
const KIND: &str = "audio/webm;codecs=opus";
/// `limits.log_seconds` is 10 unless set: 503 comes then, not much later.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn p4_no_plaintext_without_a_logged_entry() {
    let vault = Vault::start_to_be_blocked();
    let record = tus::upload(&vault, NAME, KIND, &media(NAME));
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");
    let approved = access::approve(&vault, "approver", &request);
    let playing = access::open(&vault, "analyst", &request);
    assert!(access::play(&vault, &playing) == media(NAME));

    let blocked = Blocked::log_of(&vault);
    let start = Instant::now();
    let refused = access::try_open(&vault.person("analyst"), &request, &json!({"representation": "original"}));
    refused.refused(503, "log_unavailable");
    assert!(refused.header("retry-after").is_some(), "503 without Retry-After: {refused}");
    assert!(start.elapsed() < PATIENCE, "503 took {:?}", start.elapsed());
    let ready = vault.nobody().get("/readyz");
    assert_eq!(ready.status, 503, "a vault that cannot write its log says it is ready: {ready}");

    // What takes something away does not wait for the log (promise 6).
    let start = Instant::now();
    let revoked = vault.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
    // The journal of restrictions lies beside the log, not below it: it can be written.
    assert_eq!(revoked.status, 200, "a revocation waits for the log: {revoked}");
    let play = |analyst: &Caller| analyst.send("GET", &playing.playback_url, &[("range", "bytes=0-9")], &[]);
    refuses_within_the_promise(&vault.person("analyst"), play, 403, "grant_not_in_force");
    assert!(start.elapsed() < PATIENCE);

    drop(blocked);
    vault.wait_until_ready();
    let again = access::granted(&vault, &record);
    assert!(access::play(&vault, &again) == media(NAME));
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn p4_rows_inserted_by_hand_open_nothing() {
    let vault = Vault::start();
    let record = tus::upload(&vault, NAME, KIND, &media(NAME));
    let request = access::request(&vault, "analyst", &record, "Hear what was said", "C-1");

    // What an approval leaves in the database, without the entry that it leaves in the log.
    let grant = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    let approver = database::texts(&vault, "SELECT person_id FROM role_bindings WHERE role = 'approver'").remove(0);
    let changed = database::execute(
        &vault,
        &format!(
            "UPDATE access_requests SET state = 'approved', decided_by = '{approver}', decided_at = created_at WHERE id = '{request}'"
        ),
    );
    assert_eq!(changed, 1);
    database::execute(
        &vault,
        &format!(
            "INSERT INTO grants (id, request_id, created_at, expires_at) SELECT '{grant}', id, created_at, created_at + 86400000 FROM access_requests WHERE id = '{request}'"
        ),
    );
    let analyst = vault.person("analyst");
    access::try_open(&analyst, &request, &json!({"representation": "original"})).refused(403, "not_in_log");
    // The control: an approval that somebody gave opens it, in the same vault, for the same recording.
    let approved = access::request(&vault, "analyst", &record, "Hear what was said", "C-3");
    let _grant = access::approve(&vault, "approver", &approved);
    let control = access::open(&vault, "analyst", &approved);
    assert!(access::play(&vault, &control) == media(NAME));

    // The same for a role: the auditor becomes an analyst by a row.
    let auditor = database::texts(&vault, "SELECT person_id FROM role_bindings WHERE role = 'auditor'").remove(0);
    let changed = database::execute(
        &vault,
        &format!(
            "INSERT INTO role_bindings (id, person_id, role, collection_id, state, proposed_at, active_at) \
         SELECT '019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a66', '{auditor}', role, collection_id, state, proposed_at, active_at \
         FROM role_bindings WHERE role = 'analyst'"
        ),
    );
    assert_eq!(changed, 1);
    // What counts as a role is what the log has: the row neither files nor opens.
    let auditor = vault.person("auditor");
    let body = json!({"record_id": record, "purpose": access::PURPOSE, "reason": "Curiosity", "case_number": "C-2"});
    auditor.post("/v1/access-requests", &body).refused(403, "forbidden");
    access::try_open(&auditor, &request, &json!({})).refused(403, "forbidden");
    access::try_open(&auditor, &approved, &json!({})).refused(403, "forbidden");
    // The control: the token itself is good, for what the log gives it.
    let _records = auditor.get("/v1/records").expect(200);
    assert!(access::play(&vault, &control) == media(NAME), "and nobody else was disturbed");
    let _clean = cli::verify_log(&vault).expect(0);
}
