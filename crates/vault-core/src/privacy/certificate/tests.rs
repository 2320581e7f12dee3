//! Certificates as the vault makes them, and as somebody bent them.

use super::*;
use crate::audit::checkpoint::CheckpointSigner;
use crate::audit::entry::{AccessRevoked, Draft, KeyOperation, Prepared, RecordErased, RootOperation};
use crate::audit::merkle::{Edge, Hash};
use crate::audit::slot::{OpeningKeys, OpeningUnder};
use crate::ids::RecordId;
use crate::keys::hierarchy::{LogSeed, StaffAuditKey};

const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const COLLECTION: CollectionId = CollectionId::from_bytes([7; 16]);

fn record() -> String {
    RecordId::from_bytes([3; 16]).to_string()
}

fn prepared<E: crate::audit::entry::EntryKind>(draft: Draft<E>) -> Prepared<E> {
    draft.prepare(&OpeningKeys { staff: &StaffAuditKey::generate(), record: None }).expect("a draft")
}

/// A log with an erasure of a record under two versions and one epoch, and the destruction of all three.
struct Log {
    signer: CheckpointSigner,
    entries: Vec<Vec<u8>>,
    salt: [u8; SALT_LEN],
}

impl Log {
    fn new() -> Self {
        let erased = Draft::<RecordErased>::new(AT).collection(COLLECTION).kek_version(2).data(ROOT_EPOCH, 1_u32).slot(
            SlotName::Record,
            record(),
            OpeningUnder::Staff,
        );
        let erased = prepared(erased);
        let salt = *erased.openings()[0].salt();
        let kek = |collection, version: u32| {
            let draft = Draft::<KeyOperation>::new(AT).collection(collection).kek_version(version);
            prepared(draft.data("operation", DESTROY).data(ROOT_EPOCH, 2_u32)).entry().to_vec()
        };
        let epoch = |epoch: u32| {
            let draft = Draft::<RootOperation>::new(AT).data("operation", DESTROY).data("epoch", epoch);
            prepared(draft).entry().to_vec()
        };
        let other = prepared(Draft::<AccessRevoked>::new(AT)).entry().to_vec();
        let foreign = kek(CollectionId::from_bytes([8; 16]), 1);
        let entries =
            vec![erased.entry().to_vec(), kek(COLLECTION, 1), kek(COLLECTION, 2), epoch(1), epoch(2), other, foreign];
        let signer = CheckpointSigner::new("log.example/v", &LogSeed::generate()).expect("a valid origin");
        Self { signer, entries, salt }
    }

    /// Entry and proof.
    fn witness(&self, index: usize) -> (String, String) {
        let mut edge = Edge::default();
        self.entries.iter().for_each(|entry| edge.append(Hash::leaf(entry)));
        let size = self.entries.len() as u64;
        let checkpoint = self.signer.sign(size, edge.root()).note().to_owned();
        let inclusion = edge.inclusion_proof(index as u64).expect("held");
        let proof = TlogProof { extra: None, index: index as u64, inclusion, checkpoint };
        (String::from_utf8(self.entries[index].clone()).expect("text"), proof.to_string())
    }

    fn verify(&self, change: impl Fn(&mut Presented<'_>), evidence: &[usize]) -> Result<Proven, Vec<&'static str>> {
        let (erased, record) = (self.witness(0), record());
        let destroyed: Vec<_> = evidence.iter().map(|index| self.witness(*index)).collect();
        let at = AT.to_string();
        let mut shown = Presented {
            record: &record,
            erased_at: &at,
            erased: Witness { entry: &erased.0, proof: &erased.1 },
            opening: (self.salt, &record),
            destroyed: destroyed.iter().map(|(entry, proof)| Witness { entry, proof }).collect(),
            waits_for: vec![WaitsFor::KekVersion(1), WaitsFor::KekVersion(2), WaitsFor::RootEpoch(1)],
            claims_final: false,
        };
        change(&mut shown);
        let verdict = verify(&shown, self.signer.verifier());
        verdict.map_err(|faults| faults.iter().map(CertificateFault::code).collect())
    }
}

#[test]
fn p8_a_certificate_verifies_and_says_what_is_not_proven() {
    let log = Log::new();
    let proven = log.verify(|_| (), &[]).expect("sound");
    assert_eq!((proven.index, proven.erased_at, proven.collection), (0, AT, Some(COLLECTION)));
    assert_eq!(proven.hung, HungOn { kek_version: 2, root_epoch: 1, resume_key: None });
    assert_eq!(proven.unproven, [WaitsFor::KekVersion(1), WaitsFor::KekVersion(2), WaitsFor::RootEpoch(1)]);
    // A certificate may claim less than is proven.
    assert!(log.verify(|shown| shown.waits_for.push(WaitsFor::RootEpoch(2)), &[1]).is_ok());
}

#[test]
fn p8_final_is_only_what_entries_prove() {
    let log = Log::new();
    let is_final = |shown: &mut Presented<'_>| {
        shown.waits_for.clear();
        shown.claims_final = true;
    };
    let proven = log.verify(is_final, &[1, 2, 3, 4]).expect("everything is proven");
    assert_eq!(proven.unproven, []);
    // Version 1 was wrapped by epoch 2 when it was destroyed, so that epoch counts although the erasure does not name it.
    assert_eq!(log.verify(is_final, &[1, 2, 3]), Err(vec!["destruction_unproven", "not_final"]));
    assert_eq!(log.verify(is_final, &[2, 3, 4]), Err(vec!["destruction_unproven", "not_final"]));
    assert_eq!(log.verify(is_final, &[6, 2, 3, 4]).map_err(|e| e[0]), Err("evidence_wrong"), "another collection's");
    assert_eq!(log.verify(|shown| shown.claims_final = true, &[]), Err(vec!["not_final"]));
    assert_eq!(log.verify(|shown| shown.waits_for.truncate(2), &[]), Err(vec!["destruction_unproven"]));
    assert_eq!(
        log.verify(|shown| shown.waits_for.truncate(2), &[5]),
        Err(vec!["evidence_wrong", "destruction_unproven"])
    );
}

#[test]
fn p9_a_certificate_of_something_else_does_not_pass() {
    let log = Log::new();
    assert_eq!(log.verify(|shown| shown.opening.0[0] ^= 1, &[]), Err(vec!["opening_wrong"]));
    assert_eq!(log.verify(|shown| shown.opening.1 = "another", &[]), Err(vec!["opening_wrong"]));
    assert_eq!(log.verify(|shown| shown.record = "another", &[]), Err(vec!["another_record"]));
    assert_eq!(log.verify(|shown| shown.erased_at = "2026-01-01T00:00:00Z", &[]), Err(vec!["another_time"]));
    assert_eq!(log.verify(|shown| shown.erased_at = "yesterday", &[]), Err(vec!["another_time"]));
    assert_eq!(log.verify(|shown| shown.erased.proof = "none", &[]), Err(vec!["not_in_log"]));
    assert_eq!(log.verify(|shown| shown.erased.entry = "{}", &[]), Err(vec!["not_in_log"]));
    let (entry, proof) = log.witness(5);
    let other = (entry.clone(), proof.clone());
    let verdict = log.verify(move |shown| shown.erased = Witness { entry: leak(&other.0), proof: leak(&other.1) }, &[]);
    assert_eq!(verdict, Err(vec!["not_an_erasure"]));
    let other = Log::new();
    assert!(matches!(
        verify(
            &Presented {
                record: "",
                erased_at: "",
                erased: Witness { entry: &entry, proof: &proof },
                opening: ([0; SALT_LEN], ""),
                destroyed: Vec::new(),
                waits_for: Vec::new(),
                claims_final: false,
            },
            other.signer.verifier(),
        )
        .unwrap_err()[..],
        [CertificateFault::NotInLog(_)]
    ));
}

/// For a test that swaps what a certificate borrows.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[test]
fn p9_no_changed_byte_of_entry_or_proof_verifies() {
    let log = Log::new();
    let (entry, proof) = log.witness(0);
    let changed = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        String::from_utf8(bytes).ok()
    };
    for at in 0..entry.len() {
        let Some(bent) = changed(&entry, at) else { continue };
        let bent = leak(&bent);
        assert!(log.verify(|shown| shown.erased.entry = bent, &[]).is_err(), "entry, byte {at}");
    }
    for at in 0..proof.len() {
        let Some(bent) = changed(&proof, at) else { continue };
        let bent = leak(&bent);
        assert!(log.verify(|shown| shown.erased.proof = bent, &[]).is_err(), "proof, byte {at}");
    }
}
