//! What uploads and requests state, and the small texts everything else is made of.

use core::str;
use std::sync::OnceLock;

use vault_core::access::role::Role;
use vault_core::access::scope::{MAX_BATCH, Scope};
use vault_core::ids::{CollectionName, RecordId};
use vault_core::keys::upload::UploadSecret;
use vault_core::privacy::consent::{Consent, MAX_LEN, SKEW, at_upload};
use vault_core::privacy::policy::CollectionPolicy;
use vault_core::time::Timestamp;

/// A collection that asks for consent: two purposes, one of them carried by it.
fn asking() -> &'static CollectionPolicy {
    static POLICY: OnceLock<CollectionPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let json = r#"{"title":"Voices","tier":"very-high","controller":"Example","notice":{"language":"en","text":"x"},
            "purposes":[{"name":"service-improvement","basis":"consent"},{"name":"complaint-handling","basis":"contract"}],
            "retention_days":30,"subject":"optional","access":{"second_person":true,"case_number":true,"rights":["view"],
            "session_seconds":900,"grant_days":30}}"#;
        CollectionPolicy::parse(json.as_bytes()).expect("a policy")
    })
}

/// A consent: what is read is written in one form; and one that stands has nothing against it.
pub fn consent(data: &[u8]) {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let policy = asking();
    let stands = at_upload(policy, Some(data), now);
    let Ok(consent) = Consent::parse(data) else {
        assert!(stands.is_err());
        return;
    };
    assert!(data.len() <= MAX_LEN);
    let text = consent.to_json();
    assert_eq!(Consent::parse(text.as_bytes()).as_ref(), Ok(&consent));
    // Said again without the parser: the notice in force, purposes of the collection, given and not ended.
    let notice = consent.notice_sha256 == policy.notice.sha256();
    let known = |name: &String| name == "service-improvement" || name == "complaint-handling";
    let purposes = !consent.purposes.is_empty() && consent.purposes.iter().all(known);
    let given = consent.given_at <= now.plus(SKEW);
    let ended = consent.expires_at.is_some_and(|end| end <= now || end <= consent.given_at);
    assert_eq!(stands, consent.check(policy, now).map(|()| Some(consent)));
    assert_eq!(stands.is_ok(), notice && purposes && given && !ended);
}

/// A collection's policy: what is read is written in one form and keeps its hash, within its bounds.
pub fn policy(data: &[u8]) {
    let Ok(policy) = CollectionPolicy::parse(data) else { return };
    let text = policy.to_json();
    let again = CollectionPolicy::parse(text.as_bytes()).expect("what was written");
    assert_eq!(again.to_json(), text);
    assert_eq!(again.hash(), policy.hash());
    assert_eq!(again, policy);
    assert!((1..=64).contains(&policy.purposes.len()) && policy.countermeasures.len() <= 64);
    assert!(policy.purposes.iter().all(|p| p.name.parse::<CollectionName>().is_ok()));
    assert!((60..=14_400).contains(&policy.access.session_seconds) && (1..=90).contains(&policy.access.grant_days));
}

/// What an access request covers, as its opening holds it.
pub fn scope(data: &[u8]) {
    let Ok(scope) = serde_json::from_slice::<Scope>(data) else { return };
    let text = serde_json_canonicalizer::to_string(&scope).expect("it was JSON");
    assert_eq!(serde_json::from_str::<Scope>(&text).expect("what was written"), scope);
    assert!(!(scope.is_standing() && scope.single().is_some()));
    if let Scope::Batch(batch) = &scope {
        assert!((1..=MAX_BATCH).contains(&batch.ids().len()));
        assert!(batch.ids().windows(2).all(|pair| pair[0] < pair[1]), "sorted, none twice");
    }
}

/// Identifiers, names, roles, times, addresses: each has one spelling, or, a time, one moment.
pub fn texts(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<RecordId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(name) = text.parse::<CollectionName>() {
        assert_eq!(name.as_str(), text);
        assert!(name.as_str().len() <= 63 && !name.as_str().contains(['/', '.', '%']));
    }
    if let Ok(role) = text.parse::<Role>() {
        assert_eq!(role.name(), text);
    }
    if let Ok(secret) = UploadSecret::parse(text) {
        assert_eq!(secret.reveal().as_str(), text);
    }
    if let Ok(time) = Timestamp::parse(text) {
        let written = time.to_string();
        assert_eq!(Timestamp::parse(&written), Ok(time));
        assert!(written.len() == 24 && written.ends_with('Z'));
    }
}
