//! Collections as an administrator describes them.

use serde_json::{Value, json};
use vault_core::time::Timestamp;

/// What a collection of the highest tier has to state before it opens.
const PRACTICES: [&str; 9] = [
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

/// A well-formed description, without what its tier asks for.
#[must_use]
pub fn bare(name: &str) -> Value {
    json!({
        "name": name, "title": "Service calls", "tier": "very-high", "controller": "Example Ltd, privacy@example.com",
        "notice": {"language": "en", "text": "We record this call to improve our service."},
        "purposes": [{"name": "service-improvement", "basis": "consent"}],
        "retention_days": 180, "subject": "optional",
        "access": {"second_person": true, "case_number": true, "rights": ["view"], "session_seconds": 900, "grant_days": 7},
    })
}

/// Everything that it needs to be opened.
#[must_use]
pub fn complete(name: &str) -> Value {
    let mut collection = bare(name);
    collection["countermeasures"] = PRACTICES.map(stated).into_iter().collect();
    collection
}

fn stated(practice: &str) -> Value {
    json!({
        "practice": practice, "statement": "Document 7, privacy office", "document_sha256": "ab".repeat(32),
        "approved_by": "Privacy officer", "approved_at": "2026-01-01T00:00:00Z", "valid_until": in_a_month(),
    })
}

/// A time not long from now, as tokens need.
///
/// # Panics
///
/// Before 1970.
#[must_use]
pub fn in_a_month() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_millis();
    let month = 30 * 24 * 3_600_000;
    Timestamp::from_millis(i64::try_from(now).expect("before the year 9999") + month).to_string()
}
