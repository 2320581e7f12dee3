//! Certificates of erasures: what a stranger is shown as proof that a recording is gone.
//!
//! The verification is written a second time, from `docs/format.md` §10 alone, over the document as it lies there.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vault_api::erasure::Erasure;
use vault_core::audit::checkpoint::Checkpoint;
use vault_core::audit::entry::Entry;
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::proof::TlogProof;
use vault_core::privacy::certificate::verify;
use vault_core::time::Timestamp;

use super::log::{ORIGIN, signed, verifier_key};

// As the command line reads them; what it says of them in words is for people.
#[allow(dead_code)]
#[path = "../../crates/vault-cli/src/audit/presented.rs"]
mod presented;

const RECORD: &str = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
const COLLECTION: &str = "01a0c450-6c00-705a-b226-5e1b5b7451fe";
const AT: &str = "2026-09-21T14:13:20.000Z";
const SALT: [u8; 32] = [5; 32];

/// The most numbers of one kind that a reader lists (`vault_core::privacy::erasure`).
const LISTED: usize = 4_096;

fn commitment(salt: &[u8; 32], value: &str) -> String {
    let mut hash = Sha256::new();
    for field in [&b"feedback-vault/v1/audit-slot"[..], b"record", salt, value.as_bytes()] {
        hash.update(u32::try_from(field.len()).expect("short").to_be_bytes());
        hash.update(field);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// A log: entries with their proofs. The first is the erasure of a record under two versions, wrapped by the first epoch.
fn log() -> &'static [(String, String)] {
    static LOG: OnceLock<Vec<(String, String)>> = OnceLock::new();
    LOG.get_or_init(|| {
        let opens = commitment(&SALT, RECORD);
        let erased = |kek: &str| {
            let slots = format!(r#""slots":{{"record":"{opens}"}},"type":"record.erased","v":1"#);
            format!(r#"{{"at":"{AT}","collection":"{COLLECTION}","data":{{"root_epoch":1}},{kek}{slots}}}"#)
        };
        let kek = |collection: &str, version: u32| {
            let data = r#"{"operation":"destroy","root_epoch":2}"#;
            let rest = format!(r#""kek_version":{version},"type":"key.operation","v":1"#);
            format!(r#"{{"at":"{AT}","collection":"{collection}","data":{data},{rest}}}"#)
        };
        let epoch = |epoch: u32| {
            let data = format!(r#"{{"epoch":{epoch},"operation":"destroy"}}"#);
            format!(r#"{{"at":"{AT}","data":{data},"type":"root.operation","v":1}}"#)
        };
        let entries = [
            erased(r#""kek_version":2,"#),
            kek(COLLECTION, 1),
            kek(COLLECTION, 2),
            epoch(1),
            epoch(2),
            format!(r#"{{"at":"{AT}","type":"access.revoked","v":1}}"#),
            kek("01a0c450-6c00-725a-b226-5e1b5b7451fe", 1),
            erased(""),
        ];
        let mut edge = Edge::default();
        entries.iter().for_each(|entry| edge.append(Hash::leaf(entry.as_bytes())));
        let head = Checkpoint { origin: ORIGIN.into(), size: edge.size(), root: edge.root() };
        let checkpoint = signed(&head.to_string());
        let proven = |(index, entry): (usize, String)| {
            assert!(Entry::parse(entry.as_bytes()).is_ok(), "{entry}");
            let index = index as u64;
            let inclusion = edge.inclusion_proof(index).expect("of this tree");
            (entry, TlogProof { extra: None, index, inclusion, checkpoint: checkpoint.clone() }.to_string())
        };
        entries.into_iter().enumerate().map(proven).collect()
    })
}

/// A certificate as `choices` make it: which entry is shown, which evidence, what it says that it waits for, what it claims.
fn chosen(choices: [u8; 4]) -> Value {
    let [evidence, waits, claims, shown] = choices;
    let log = log();
    let (entry, proof) = &log[if shown % 8 == 5 || shown % 8 == 7 { usize::from(shown % 8) } else { 0 }];
    let bit = |byte: u8, at: usize| byte >> at & 1 == 1;
    let piece = |at: &usize| json!({"entry": log[*at].0, "proof": log[*at].1});
    let destroyed: Vec<Value> = (0..8).filter(|at| bit(evidence, *at)).map(|at| piece(&at)).collect();
    let keys = [
        json!({"kind": "kek-version", "number": 1}),
        json!({"kind": "kek-version", "number": 2}),
        json!({"kind": "root-epoch", "number": 1}),
        json!({"kind": "root-epoch", "number": 2}),
        json!({"kind": "kek-version", "number": 0}),
        json!({"kind": "resume-key"}),
        json!({"kind": "root-epoch"}),
        json!({"kind": "resume-key", "number": 1}),
    ];
    let waits_for: Vec<&Value> = (0..8).filter(|at| bit(waits, *at)).map(|at| &keys[at]).collect();
    let opened = if bit(claims, 3) { COLLECTION } else { RECORD };
    let salt = if bit(claims, 4) { [0; 32] } else { SALT };
    let resume_key = ["none", "standing", "destroyed", "none"][usize::from(claims >> 1 & 3)];
    json!({
        "format": "feedback-vault/erasure-certificate/v1", "record_id": if bit(claims, 5) { COLLECTION } else { RECORD },
        "collection": "demo", "erased_at": if bit(claims, 6) { "2026-09-21T14:13:20Z" } else { AT },
        "journalled": true, "names_left": 0, "entry": entry, "proof": proof,
        "opening": {"value": opened, "salt": hex::encode(salt)}, "destroyed": destroyed,
        "horizon": {"as_of": AT, "kek_versions": 2, "root_epochs": 2, "waits_for": waits_for, "final": bit(claims, 0),
            "resume_key": resume_key},
    })
}

/// A certificate as somebody shows it; or, of bytes that begin no JSON, one of the log's own, put together by the first four.
pub fn certificate(data: &[u8]) {
    let made = data.first_chunk::<4>().filter(|_| data[0] != b'{').map(|choices| chosen(*choices).to_string());
    let bytes = made.as_deref().map_or(data, str::as_bytes);
    let Ok(erased) = presented::read(bytes) else { return };
    // Read is what JSON holds: written, it is read as the same.
    let written = serde_json::to_vec(&erased).expect("it was JSON");
    assert_eq!(presented::read(&written).as_ref(), Ok(&erased));
    let verdict = presented::presented(&erased).ok().map(|shown| verify(&shown, &verifier_key()));
    let stands = verdict.as_ref().is_some_and(Result::is_ok);
    assert_eq!(stands, by_hand(&erased).is_some(), "{verdict:?} of {erased:?}");
}

/// The verification of `docs/format.md` §10, step by step.
fn by_hand(shown: &Erasure) -> Option<()> {
    let key = verifier_key();
    let in_log = |entry: &str, proof: &str| -> Option<Value> {
        let _checkpoint = TlogProof::parse(proof).ok()?.verify(entry.as_bytes(), &key).ok()?;
        let _canonical = Entry::parse(entry.as_bytes()).ok()?;
        serde_json::from_str(entry).ok()
    };
    let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    // (1)
    let erased = in_log(shown.entry.as_ref()?, shown.proof.as_ref()?)?;
    (erased["type"] == "record.erased").then_some(())?;
    // (2)
    let opening = shown.opening.as_ref()?;
    let salt: [u8; 32] = hex::decode(&opening.salt).ok()?.try_into().ok()?;
    (hex::encode(salt) == opening.salt).then_some(())?;
    (erased["slots"]["record"].as_str()? == commitment(&salt, &opening.value)).then_some(())?;
    (opening.value == shown.record_id).then_some(())?;
    // (3)
    (Timestamp::parse(&shown.erased_at).ok()? == Timestamp::parse(erased["at"].as_str()?).ok()?).then_some(())?;
    // (4)
    let (mut versions, mut epochs, mut wrapped) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for witness in &shown.destroyed {
        let gone = in_log(&witness.entry, &witness.proof)?;
        (gone["data"]["operation"] == "destroy").then_some(())?;
        match gone["type"].as_str()? {
            "key.operation" => {
                (gone["collection"].as_str()? == erased["collection"].as_str()?).then_some(())?;
                let version = number(&gone["kek_version"])?;
                versions.insert(version);
                wrapped.push((version, number(&gone["data"]["root_epoch"])?));
            }
            "root.operation" => {
                epochs.insert(number(&gone["data"]["epoch"])?);
            }
            _ => return None,
        }
    }
    let version = number(&erased["kek_version"]).unwrap_or(0);
    let of_these = wrapped.iter().filter(|(of, _)| *of <= version).map(|(_, epoch)| *epoch);
    let epoch = of_these.fold(number(&erased["data"]["root_epoch"]).unwrap_or(0), u32::max);
    let left = |highest: u32, gone: &BTreeSet<u32>| -> Vec<u32> {
        if highest == 0 { vec![0] } else { (1..=highest).filter(|n| !gone.contains(n)).take(LISTED).collect() }
    };
    // (5)
    let horizon = serde_json::to_value(&shown.horizon).ok()?;
    let waits: Vec<Value> = horizon["waits_for"].as_array()?.clone();
    let of_form = |key: &Value| match key["kind"].as_str() {
        Some("resume-key") => key.get("number").is_none(),
        _ => number(&key["number"]).is_some(),
    };
    waits.iter().all(of_form).then_some(())?;
    let listed = |kind: &str, number: u32| waits.contains(&json!({"kind": kind, "number": number}));
    let (versions, epochs) = (left(version, &versions), left(epoch, &epochs));
    versions.iter().all(|number| listed("kek-version", *number)).then_some(())?;
    epochs.iter().all(|number| listed("root-epoch", *number)).then_some(())?;
    // (6)
    let is_final = horizon["final"].as_bool()?;
    (!is_final || (waits.is_empty() && horizon["resume_key"] != "standing")).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both verifications refusing everything would agree, too.
    #[test]
    fn genuine_certificates_stand_and_what_is_bent_does_not() {
        let stands = |choices: [u8; 4]| {
            certificate(&choices);
            by_hand(&presented::read(chosen(choices).to_string().as_bytes()).expect("a certificate")).is_some()
        };
        assert!(stands([0, 0b111, 0, 0]), "nothing destroyed, and all of it waited for");
        assert!(stands([0b1_1110, 0, 1, 0]), "final");
        for (what, choices) in [
            ("an epoch is left", [0b1110, 0, 1, 0]),
            ("the resume key stands", [0b1_1110, 0, 0b11, 0]),
            ("a key without its number", [0b1_1110, 0b100_0000, 0, 0]),
            ("a resume key with a number", [0b1_1110, 0b1000_0000, 0, 0]),
            ("evidence of another collection", [0b101_1110, 0, 1, 0]),
            ("evidence of something else", [0b11_1110, 0, 1, 0]),
            ("another salt", [0, 0b111, 0b1_0000, 0]),
            ("another record", [0, 0b111, 0b10_0000, 0]),
            ("no erasure", [0, 0b111, 0, 5]),
            ("no number of a version", [0, 0b111, 0, 7]),
        ] {
            assert!(!stands(choices), "{what}");
        }
    }
}
