//! The strict parser against serde_json and the canonical writer, and drafts against the parser.

use proptest::prelude::*;

use super::*;
use crate::audit::evidence::{EvidenceError, Recorded, testing};
use crate::audit::merkle::Hash;
use crate::audit::slot::{Opening, OpeningKeys, OpeningUnder};
use crate::ids::RecordId;
use crate::keys::hierarchy::{FieldKey, RecordKey, StaffAuditKey};

fn staff() -> StaffAuditKey {
    StaffAuditKey::generate()
}

fn field() -> FieldKey {
    RecordKey::generate().field_key()
}

fn full() -> Prepared<PlaybackOpened> {
    let record = RecordId::from_bytes([1; 16]);
    Draft::<PlaybackOpened>::new(Timestamp::from_millis(1_790_000_000_123))
        .collection(CollectionId::from_bytes([2; 16]))
        .decision(Decision::Allowed)
        .kek_version(3)
        .policy([4; 32])
        .data("purpose", "service-improvement")
        .data("odd", "\u{8}\t\n\u{c}\r\"\\/\u{1f}\u{7f}é€😀")
        .data("numbers", vec![-1_i64, 0, MAX_NUMBER])
        .data("yes", true)
        .slot(SlotName::Record, record.to_string(), OpeningUnder::Record)
        .slot(SlotName::Staff, "someone".to_owned(), OpeningUnder::Staff)
        .prepare(&OpeningKeys { staff: &staff(), record: Some((record, &field())) })
        .expect("a valid draft")
}

#[test]
fn a_draft_reads_back_as_drafted() {
    let prepared = full();
    let entry = Entry::parse(prepared.entry()).expect("canonical");
    assert_eq!(entry.kind(), Kind::PlaybackOpened);
    assert_eq!(entry.at(), Timestamp::from_millis(1_790_000_000_123));
    assert_eq!(entry.collection(), Some(CollectionId::from_bytes([2; 16])));
    assert_eq!((entry.decision(), entry.kek_version()), (Some(Decision::Allowed), Some(3)));
    assert_eq!(entry.policy(), Some(&[4; 32]));
    assert_eq!(entry.data("purpose").and_then(Value::as_str), Some("service-improvement"));
    assert_eq!(entry.data("odd").and_then(Value::as_str), Some("\u{8}\t\n\u{c}\r\"\\/\u{1f}\u{7f}é€😀"));
    assert_eq!(entry.data("numbers").and_then(Value::as_list).map(<[Value<'_>]>::len), Some(3));
    for sealed in prepared.sealed() {
        assert_eq!(entry.commitment(sealed.slot), Some(&sealed.commitment));
    }
    let canonical =
        serde_json_canonicalizer::to_vec(&serde_json::from_slice::<serde_json::Value>(prepared.entry()).expect("JSON"));
    assert_eq!(canonical.expect("writes"), prepared.entry());
}

#[test]
fn p1_nothing_personal_is_in_an_entry() {
    let prepared = full();
    let text = String::from_utf8(prepared.entry().to_vec()).expect("text");
    assert!(!text.contains("someone") && !text.contains(&RecordId::from_bytes([1; 16]).to_string()));
    assert!(prepared.sealed().iter().all(|o| !o.sealed.windows(7).any(|w| w == b"someone")));
}

#[test]
fn drafts_that_cannot_be_are_refused() {
    let keys = staff();
    let keys = OpeningKeys { staff: &keys, record: None };
    let draft = || Draft::<KeyOperation>::new(Timestamp::from_millis(0));
    let slot = |d: Draft<KeyOperation>, text: &str| d.slot(SlotName::Reason, text.to_owned(), OpeningUnder::Staff);
    for (draft, expected) in [
        (draft().data("x", "y".repeat(MAX_ENTRY)), DraftError::TooLong),
        (draft().data("x", 1_i64).data("x", 2_i64), DraftError::InvalidData),
        (draft().data("X", 1_i64), DraftError::InvalidData),
        (draft().data("x", u64::MAX), DraftError::InvalidData),
        (draft().data("x", vec![vec![1_i64]]), DraftError::InvalidData),
        (slot(slot(draft(), "a"), "b"), DraftError::InvalidSlot),
        (slot(draft(), &"x".repeat((1 << 20) + 1)), DraftError::InvalidSlot),
        (draft().slot(SlotName::Record, "r".to_owned(), OpeningUnder::Record), DraftError::NoRecordKey),
    ] {
        assert_eq!(draft.prepare(&keys).map(|_| ()).unwrap_err(), expected);
    }
}

const MINIMAL: &str = r#"{"at":"2026-11-23T10:00:00.000Z","type":"log.started","v":1}"#;

#[test]
fn only_the_canonical_form_is_an_entry() {
    use Problem as P;
    assert!(Entry::parse(MINIMAL.as_bytes()).is_ok());
    let with = |insert: &str| MINIMAL.replace(",\"type\"", &format!(",{insert},\"type\""));
    for (text, problem) in [
        (String::new(), P::NotCanonical),
        (format!("{MINIMAL} "), P::NotCanonical),
        (format!(" {MINIMAL}"), P::NotCanonical),
        (MINIMAL.replace(':', ": "), P::NotCanonical),
        (MINIMAL.replace("\"v\":1", "\"v\":01"), P::NotCanonical),
        (MINIMAL.replace("\"v\":1", "\"v\":1.0"), P::NotCanonical),
        (MINIMAL.replace("\"v\":1", "\"v\":1,"), P::NotCanonical),
        (MINIMAL.replace("\"v\":1", "\"v\":2"), P::UnknownVersion),
        (MINIMAL.replace("\"v\":1", "\"w\":1"), P::UnknownMember),
        (MINIMAL.replace("log.started", "log.ended"), P::UnknownType),
        (MINIMAL.replace("log.started", "log\\u002estarted"), P::NotCanonical),
        (MINIMAL.replace("\"at\"", "\"\\u0061t\""), P::NotCanonical),
        (MINIMAL.replace(",\"v\":1", ""), P::MissingMember),
        ("{}".to_owned(), P::MissingMember),
        (MINIMAL.replace("10:00:00.000Z", "10:00:00Z"), P::InvalidValue),
        (MINIMAL.replace("10:00:00.000Z", "10:00:60.000Z"), P::InvalidValue),
        (MINIMAL.replace("11-23", "02-30"), P::InvalidValue),
        (MINIMAL.replace("2026", "1969"), P::InvalidValue),
        (with(r#""at":"2026-11-23T10:00:00.000Z""#), P::UnknownMember),
        (with(r#""data":{}"#), P::InvalidValue),
        (with(r#""data":{"b":1,"a":1}"#), P::UnknownMember),
        (with(r#""data":{"a":1,"a":1}"#), P::UnknownMember),
        (with(r#""data":{"A":1}"#), P::UnknownMember),
        (with(r#""data":{"a":null}"#), P::InvalidValue),
        (with(r#""data":{"a":{}}"#), P::InvalidValue),
        (with(r#""data":{"a":[[1]]}"#), P::InvalidValue),
        (with(r#""data":{"a":-0}"#), P::NotCanonical),
        (with(r#""data":{"a":1e3}"#), P::NotCanonical),
        (with(r#""data":{"a":9007199254740992}"#), P::InvalidValue),
        (with(r#""data":{"a":"\/"}"#), P::NotCanonical),
        (with(r#""data":{"a":"\u0009"}"#), P::NotCanonical),
        (with(r#""data":{"a":"\u001F"}"#), P::NotCanonical),
        (with("\"data\":{\"a\":\"\n\"}"), P::NotCanonical),
        (with(r#""data":{"a":[1,]}"#), P::NotCanonical),
        (with(r#""data":{"a":tru}"#), P::NotCanonical),
        (with(r#""decision":"maybe""#), P::InvalidValue),
        (with(r#""kek_version":-1"#), P::InvalidValue),
        (with(r#""kek_version":4294967296"#), P::InvalidValue),
        (with(r#""policy":"AAAA""#), P::InvalidValue),
        (with(r#""slots":{}"#), P::InvalidValue),
        (with(r#""slots":{"shoe":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#), P::UnknownMember),
        (with(r#""slots":{"staff":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"}"#), P::InvalidValue),
        (with(r#""slots":{"staff":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#), P::InvalidValue),
        (with(r#""collection":"0199""#), P::InvalidValue),
    ] {
        assert_eq!(Entry::parse(text.as_bytes()).map_err(|e| e.problem), Err(problem), "{text}");
    }
    assert_eq!(Entry::parse(&[b' '; MAX_ENTRY + 1]).map_err(|e| e.problem), Err(Problem::TooLong));
    assert_eq!(Entry::parse(&[0xff]).map_err(|e| e.problem), Err(Problem::NotCanonical));
}

#[test]
fn p4_evidence_is_of_its_type_in_the_log_and_opens_only_its_slots() {
    let evidence = testing::recorded(full()).expect("proves");
    assert_eq!(evidence.slot(SlotName::Staff), Some("someone"));
    assert_eq!(evidence.slot(SlotName::Reason), None);
    assert_eq!((evidence.index(), evidence.log_size()), (0, 1));

    let (entry, _, openings) = full().into_parts();
    let signer = crate::audit::checkpoint::CheckpointSigner::new("l", &crate::keys::hierarchy::LogSeed::generate());
    let checkpoint = signer.expect("a valid origin").sign(1, Hash::leaf(&entry));
    let prove =
        |entry: &[u8], index, openings| Recorded::<PlaybackOpened>::prove(entry, index, &[], &checkpoint, openings);
    assert!(prove(&entry, 0, openings).is_ok());
    assert!(matches!(
        Recorded::<AccessApproved>::prove(&entry, 0, &[], &checkpoint, Vec::new()).unwrap_err(),
        EvidenceError::WrongType(Kind::PlaybackOpened)
    ));
    assert!(matches!(prove(&entry, 1, Vec::new()).unwrap_err(), EvidenceError::NotIncluded(_)));
    assert!(matches!(prove(full().entry(), 0, Vec::new()).unwrap_err(), EvidenceError::NotIncluded(_)));
    assert!(matches!(prove(b"{}", 0, Vec::new()).unwrap_err(), EvidenceError::Entry(_)));
    for foreign in [SlotName::Staff, SlotName::Grant] {
        let openings = vec![Opening::fresh(foreign, "someone".into())];
        assert_eq!(prove(&entry, 0, openings).unwrap_err(), EvidenceError::ForeignOpening(foreign));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever the parser takes is its own canonical form.
    #[test]
    fn what_parses_is_canonical(at in any::<prop::sample::Index>(), with in any::<u8>(), remove: bool, insert: bool) {
        thread_local!(static WHOLE: Vec<u8> = full().entry().to_vec());
        let mut bytes = WHOLE.with(Clone::clone);
        let at = at.index(bytes.len());
        match (remove, insert) {
            (true, _) => { bytes.remove(at); }
            (_, true) => bytes.insert(at, with),
            _ => bytes[at] = with,
        }
        if Entry::parse(&bytes).is_ok() {
            let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("writes"), bytes);
        }
    }

    #[test]
    fn times_are_read_as_written(millis in 0_i64..253_402_300_800_000) {
        let time = Timestamp::from_millis(millis);
        let entry = MINIMAL.replace("2026-11-23T10:00:00.000Z", &time.to_string());
        prop_assert_eq!(Entry::parse(entry.as_bytes()).map(|e| e.at()), Ok(time));
    }

    #[test]
    fn any_text_survives_as_data(text: String) {
        let key = staff();
        let prepared = Draft::<KeyOperation>::new(Timestamp::from_millis(0))
            .data("text", text.clone())
            .prepare(&OpeningKeys { staff: &key, record: None })
            .expect("short");
        let entry = Entry::parse(prepared.entry()).expect("canonical");
        prop_assert_eq!(entry.data("text").and_then(Value::as_str), Some(text.as_str()));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::parse(&bytes);
    }
}
