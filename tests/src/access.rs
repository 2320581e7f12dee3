//! From access request to playback.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use vault_api::access::Approved;
use vault_api::playback::Session;

use crate::http::{Answer, Caller};
use crate::vault::Vault;

/// A purpose that the sample collection allows.
pub const PURPOSE: &str = "service-improvement";

/// A request for one record, with the rights to view and export; its id.
#[must_use]
#[track_caller]
pub fn request(vault: &Vault, person: &str, record: &str, reason: &str, case: &str) -> String {
    let body = json!({
        "record_id": record, "purpose": PURPOSE, "reason": reason, "case_number": case, "rights": ["view", "export"],
    });
    vault.person(person).post("/v1/access-requests", &body).expect(201).text("id")
}

/// Approves as `person`.
#[must_use]
#[track_caller]
pub fn approve(vault: &Vault, person: &str, request: &str) -> Approved {
    let body = json!({"comment": "Within the procedure"});
    vault.person(person).post(&format!("/v1/access-requests/{request}/approve"), &body).expect(200).read()
}

/// Tries to open a session of the original.
#[must_use]
#[track_caller]
pub fn try_open(caller: &Caller, request: &str, body: &Value) -> Answer {
    caller.post(&format!("/v1/access-requests/{request}/sessions"), body)
}

/// Opens a session of the original.
#[must_use]
#[track_caller]
pub fn open(vault: &Vault, person: &str, request: &str) -> Session {
    try_open(&vault.person(person), request, &json!({"representation": "original"})).expect(201).read()
}

/// Everything up to an open session: the analyst asks, the approver approves.
#[must_use]
#[track_caller]
pub fn granted(vault: &Vault, record: &str) -> Session {
    let request = request(vault, "analyst", record, "Hear what was said", "C-2026-118");
    let _grant = approve(vault, "approver", &request);
    open(vault, "analyst", &request)
}

/// The whole recording.
#[must_use]
#[track_caller]
pub fn play(vault: &Vault, session: &Session) -> Vec<u8> {
    vault.person("analyst").get(&session.playback_url).expect(200).body
}

/// One range of it.
#[must_use]
#[track_caller]
pub fn play_range(vault: &Vault, session: &Session, range: RangeInclusive<u64>) -> Vec<u8> {
    let range = format!("bytes={}-{}", range.start(), range.end());
    vault.person("analyst").send("GET", &session.playback_url, &[("range", &range)], &[]).expect(206).body
}

/// Ends a session.
#[track_caller]
pub fn close(vault: &Vault, session: &Session) {
    let _closed = vault.person("analyst").delete(&session.playback_url).expect(204);
}
