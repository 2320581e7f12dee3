//! Uploads without the consent that the collection asks for.

use serde_json::{Value, json};
use vault_tests::fixtures::media;
use vault_tests::http::Answer;
use vault_tests::vault::Vault;
use vault_tests::{database, tus};

/// Tries to begin an upload with this as `consent`.
fn try_with(vault: &Vault, consent: Option<&str>) -> Answer {
    let mut pairs = vec![("filetype", "audio/webm")];
    pairs.extend(consent.map(|text| ("consent", text)));
    tus::creation(&vault.person("uploader"), &vault.dev.collection, 1000, &pairs)
}

/// The sample's consent with one member changed or, by null, left out.
fn with(vault: &Vault, member: &str, value: Value) -> String {
    let mut consent = tus::consent(vault);
    if value.is_null() {
        consent.as_object_mut().expect("an object").remove(member);
    } else {
        consent[member] = value;
    }
    consent.to_string()
}

#[test]
fn p10_no_recording_without_the_consent_that_the_notice_asks_for() {
    let vault = Vault::start();
    try_with(&vault, None).refused(422, "consent_missing");

    let unreadable = [
        "yes".to_owned(),
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        with(&vault, "notice_sha256", Value::Null),
        with(&vault, "notice_sha256", json!("abc")),
        with(&vault, "notice_sha256", json!(vault.dev.notice_sha256.to_uppercase())),
        with(&vault, "purposes", Value::Null),
        with(&vault, "purposes", json!("service-improvement")),
        with(&vault, "given_at", Value::Null),
        with(&vault, "given_at", json!("yesterday")),
        with(&vault, "expires_at", json!(12)),
        with(&vault, "surprise", json!(true)),
    ];
    for consent in unreadable {
        let answer = try_with(&vault, Some(&consent));
        let code = if consent.is_empty() { answer.code() } else { "consent_unreadable".to_owned() };
        answer.refused(422, &code);
        assert!(code.starts_with("consent_"), "{consent}: {answer}");
    }

    let other_notice = with(&vault, "notice_sha256", json!("0".repeat(64)));
    try_with(&vault, Some(&other_notice)).refused(422, "consent_notice");
    for purposes in [json!([]), json!(["advertising"]), json!(["service-improvement", "advertising"])] {
        try_with(&vault, Some(&with(&vault, "purposes", purposes))).refused(422, "consent_purpose");
    }
    for (member, time) in [("given_at", "2999-01-01T00:00:00Z"), ("expires_at", "2026-02-01T00:00:00Z")] {
        try_with(&vault, Some(&with(&vault, member, json!(time)))).refused(422, "consent_expired");
    }
    assert_eq!(database::number(&vault, "SELECT COUNT(*) FROM uploads"), 0, "a refused upload left a row");

    let _fine = try_with(&vault, Some(&tus::consent(&vault).to_string())).expect(201);
}

#[test]
fn a_request_for_a_purpose_without_consent_is_refused() {
    let vault = Vault::start();
    let recording = media("chromium-voice.webm");
    let consent = with(&vault, "purposes", json!(["complaint-handling"]));
    let pairs = [("filetype", "audio/webm"), ("consent", consent.as_str())];
    let created = tus::creation(&vault.person("uploader"), &vault.dev.collection, recording.len() as u64, &pairs);
    let upload = tus::Upload { location: created.expect(201).header("location").expect("a Location").to_owned() };
    let _done = upload.patch(&vault, 0, &recording).expect(204);
    let record = upload.record(&vault).expect("a record");
    let ask = |purpose: &str| {
        let body = json!({"record_id": record, "purpose": purpose, "reason": "Hear it"});
        vault.person("analyst").post("/v1/access-requests", &body)
    };
    ask("service-improvement").refused(422, "purpose_not_allowed");
    ask("advertising").refused(422, "purpose_not_allowed");
    let _fine = ask("complaint-handling").expect(201);
}

#[test]
fn p10_a_collection_that_is_not_open_takes_nothing() {
    let vault = Vault::start();
    let suspend = format!("/v1/collections/{}/suspend", vault.dev.collection);
    let whole = media("chromium-voice.webm");
    let running = tus::create(&vault, "voice.webm", "audio/webm", whole.len());
    let _suspended = vault.person("approver").post(&suspend, &json!({"reason": "The notice is wrong"})).expect(200);
    let consent = tus::consent(&vault).to_string();
    try_with(&vault, Some(&consent)).refused(409, "collection_not_open");
    // A whole and valid recording, so that nothing but the suspension can refuse it.
    running.patch(&vault, 0, &whole).refused(409, "collection_not_open");
}
