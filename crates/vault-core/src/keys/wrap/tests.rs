//! What a wrap refuses, and why.

use proptest::prelude::*;

use super::*;

const ME: KekRef = KekRef { collection: CollectionId::from_bytes([0xC0; 16]), version: 7 };
const RECORD: RecordId = RecordId::from_bytes([0xEC; 16]);
const ROOT: RootRef = RootRef { keyring: KeyringId::from_bytes([0x4B; 16]), epoch: 3 };

fn same(a: &Secret<32>, b: &Secret<32>) -> bool {
    a.ct_eq(b.expose())
}

/// The error a single altered byte must give, by where it lies in the wrap.
fn expected(at: usize) -> UnwrapError {
    match at {
        0..5 => UnwrapError::Malformed,
        5..25 => UnwrapError::NamesAnotherKey,
        25..81 => UnwrapError::WrongKey,
        _ => UnwrapError::Forged,
    }
}

#[test]
fn p2_every_altered_byte_of_a_wrap_is_refused_with_its_reason() {
    let kek = Kek::generate();
    let key = RecordKey::generate();
    let wrap = kek.wrap_record_key(ME, RECORD, &key);
    assert_eq!(wrap.len(), WRAP_LEN);
    assert!(same(kek.unwrap_record_key(ME, RECORD, &wrap).unwrap().secret(), key.secret()));
    for at in 0..wrap.len() {
        for flip in 1..=255u8 {
            let mut altered = wrap.clone();
            altered[at] ^= flip;
            assert_eq!(kek.unwrap_record_key(ME, RECORD, &altered).err(), Some(expected(at)), "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn p2_every_altered_byte_of_the_context_is_refused_with_its_reason() {
    let kek = Kek::generate();
    let wrap = kek.wrap_record_key(ME, RECORD, &RecordKey::generate());
    let swap = |bytes: &[u8; 16], at: usize| {
        let mut other = *bytes;
        other[at] ^= 1;
        other
    };
    for at in 0..16 {
        let record = RecordId::from_bytes(swap(RECORD.as_bytes(), at));
        assert_eq!(kek.unwrap_record_key(ME, record, &wrap).err(), Some(UnwrapError::Forged));
        let other = KekRef { collection: CollectionId::from_bytes(swap(ME.collection.as_bytes(), at)), ..ME };
        assert_eq!(kek.unwrap_record_key(other, RECORD, &wrap).err(), Some(UnwrapError::NamesAnotherKey));
    }
    for bit in 0..32 {
        let other = KekRef { version: ME.version ^ (1 << bit), ..ME };
        assert_eq!(kek.unwrap_record_key(other, RECORD, &wrap).err(), Some(UnwrapError::NamesAnotherKey));
    }
}

/// A row edited so that header and context agree still does not open: the header is bound.
#[test]
fn p2_a_relabelled_wrap_is_refused() {
    let kek = Kek::generate();
    let wrap = kek.wrap_record_key(ME, RECORD, &RecordKey::generate());
    let other = KekRef { version: 8, ..ME };
    let mut relabelled = wrap;
    relabelled[21..25].copy_from_slice(&8u32.to_be_bytes());
    assert_eq!(names(&relabelled), Ok(other));
    assert_eq!(kek.unwrap_record_key(other, RECORD, &relabelled).err(), Some(UnwrapError::Forged));
    assert_eq!(Kek::generate().unwrap_record_key(other, RECORD, &relabelled).err(), Some(UnwrapError::WrongKey));
}

#[test]
fn p2_a_wrap_of_one_kind_is_none_of_another() {
    let kek = Kek::generate();
    let staff = kek.wrap_staff_audit_key(ME, &StaffAuditKey::generate());
    let subject = kek.wrap_subject_key(ME, &SubjectKey::generate());
    assert_eq!(kek.unwrap_staff_audit_key(ME, &subject).err(), Some(UnwrapError::Malformed));
    assert_eq!(kek.unwrap_subject_key(ME, &staff).err(), Some(UnwrapError::Malformed));
    assert_eq!(kek.unwrap_record_key(ME, RECORD, &staff).err(), Some(UnwrapError::Malformed));
    let mut relabelled = staff;
    relabelled[4] = Kind::SubjectKey as u8;
    assert_eq!(kek.unwrap_subject_key(ME, &relabelled).err(), Some(UnwrapError::Forged));
}

#[test]
fn root_wraps_are_bound_to_keyring_epoch_collection_version_and_name() {
    let root = RootKey::generate();
    let kek = Kek::generate();
    let wrap = root.wrap_kek(ROOT, ME, &kek);
    assert_eq!(names_root(&wrap), Ok(ROOT));
    assert!(same(root.unwrap_kek(ROOT, ME, &wrap).unwrap().secret(), kek.secret()));
    let refused = |root: &RootKey, me, kek| root.unwrap_kek(me, kek, &wrap).err();
    assert_eq!(refused(&root, RootRef { epoch: 4, ..ROOT }, ME), Some(UnwrapError::NamesAnotherKey));
    let foreign = RootRef { keyring: KeyringId::from_bytes([1; 16]), ..ROOT };
    assert_eq!(refused(&root, foreign, ME), Some(UnwrapError::NamesAnotherKey));
    assert_eq!(refused(&root, ROOT, KekRef { version: 8, ..ME }), Some(UnwrapError::Forged));
    assert_eq!(refused(&RootKey::generate(), ROOT, ME), Some(UnwrapError::WrongKey));

    let seed = LogSeed::generate();
    let wrap = root.wrap_log_seed(ROOT, "vault.example/log", &seed);
    assert!(same(root.unwrap_log_seed(ROOT, "vault.example/log", &wrap).unwrap().secret(), seed.secret()));
    assert_eq!(root.unwrap_log_seed(ROOT, "other.example/log", &wrap).err(), Some(UnwrapError::Forged));
}

#[test]
fn rewrapping_keeps_the_key_and_changes_the_name() {
    let (old, new) = (Kek::generate(), Kek::generate());
    let next = KekRef { version: 8, ..ME };
    let key = RecordKey::generate();
    let wrap = old.wrap_record_key(ME, RECORD, &key);
    let moved = old.rewrap_record_key(ME, (&new, next), RECORD, &wrap).unwrap();
    assert_eq!(names(&moved), Ok(next));
    assert!(same(new.unwrap_record_key(next, RECORD, &moved).unwrap().secret(), key.secret()));
    assert_eq!(old.unwrap_record_key(next, RECORD, &moved).err(), Some(UnwrapError::WrongKey));

    let subject = SubjectKey::generate();
    let wrap = old.wrap_subject_key(ME, &subject);
    let moved = old.rewrap_child(ME, (&new, next), ChildKind::Subject, &wrap).unwrap();
    assert!(same(new.unwrap_subject_key(next, &moved).unwrap().secret(), subject.secret()));
    let wrong = old.rewrap_child(ME, (&new, next), ChildKind::StaffAudit, &wrap);
    assert_eq!(wrong.err(), Some(UnwrapError::Malformed));
}

#[test]
fn a_resume_key_belongs_to_its_file() {
    let ingest = IngestSecret::generate();
    let id = ResumeKeyId::from_bytes([5; 16]);
    let key = ResumeKey::generate();
    let file = ingest.wrap_resume_key(ROOT, id, &key);
    assert!(same(ingest.unwrap_resume_key(ROOT, id, &file).unwrap().secret(), key.secret()));
    let renamed = ResumeKeyId::from_bytes([6; 16]);
    assert_eq!(ingest.unwrap_resume_key(ROOT, renamed, &file).err(), Some(UnwrapError::Forged));
    assert_eq!(IngestSecret::generate().unwrap_resume_key(ROOT, id, &file).err(), Some(UnwrapError::WrongKey));
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let kek = Kek::generate();
        prop_assert!(kek.unwrap_record_key(ME, RECORD, &bytes).is_err());
        let _ = (names(&bytes), names_root(&bytes), names_resume(&bytes));
    }

    /// Random bytes that look like a wrap as far as one can without the key.
    #[test]
    fn bytes_behind_a_right_header_are_refused(tail in proptest::collection::vec(any::<u8>(), 104)) {
        let bytes = [&header(Kind::RecordKey, ME.into())[..], &tail].concat();
        prop_assert_eq!(bytes.len(), WRAP_LEN);
        prop_assert_eq!(Kek::generate().unwrap_record_key(ME, RECORD, &bytes).err(), Some(UnwrapError::WrongKey));
    }

    #[test]
    fn what_was_wrapped_comes_back(collection: [u8; 16], version: u32, record: [u8; 16]) {
        let me = KekRef { collection: CollectionId::from_bytes(collection), version };
        let record = RecordId::from_bytes(record);
        let (kek, key) = (Kek::generate(), RecordKey::generate());
        let wrap = kek.wrap_record_key(me, record, &key);
        prop_assert_eq!(names(&wrap), Ok(me));
        prop_assert!(same(kek.unwrap_record_key(me, record, &wrap).unwrap().secret(), key.secret()));
    }
}
