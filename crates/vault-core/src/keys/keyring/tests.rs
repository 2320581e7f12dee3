//! What opens a keyring, and what each refusal is called.

use proptest::prelude::*;

use super::*;
use crate::ids::CollectionId;
use crate::keys::hierarchy::{Kek, ResumeKey};
use crate::keys::wrap::KekRef;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

fn keyring() -> Keyring {
    Keyring::create(NOW, Setting::Production, &passphrase("correct horse"), Parameters::for_tests()).unwrap()
}

fn open(bytes: &[u8]) -> Result<Keyring, KeyringError> {
    Keyring::open(bytes, &passphrase("correct horse"))
}

fn with_checksum(mut content: Vec<u8>) -> Vec<u8> {
    let at = content.len() - CHECKSUM_LEN;
    let checksum = Sha256::digest(&content[..at]);
    content[at..].copy_from_slice(&checksum);
    content
}

#[test]
fn what_was_stored_opens_what_was_wrapped() {
    let mut first = keyring();
    let kek_ref = KekRef { collection: CollectionId::VAULT, version: 1 };
    let kek = Kek::generate();
    let (epoch1, root) = first.current();
    let wrap = root.wrap_kek(epoch1, kek_ref, &kek);
    let (ingest_ref, ingest) = first.ingest();
    let resume_id = crate::ids::ResumeKeyId::from_bytes([1; 16]);
    let resume = ingest.wrap_resume_key(ingest_ref, resume_id, &ResumeKey::generate());
    let epoch2 = first.begin_epoch(NOW).unwrap();

    let again = open(&first.seal()).unwrap();
    assert_eq!(again.id(), first.id());
    assert_eq!(again.setting(), Setting::Production);
    assert_eq!(again.created_at(), NOW);
    assert_eq!(again.epochs(), first.epochs());
    assert_eq!(again.current().0, epoch2);
    let root = again.root(epoch1).unwrap();
    assert!(root.unwrap_kek(epoch1, kek_ref, &wrap).unwrap().secret().ct_eq(kek.secret().expose()));
    assert!(again.ingest().1.unwrap_resume_key(again.ingest().0, resume_id, &resume).is_ok());
}

#[test]
fn what_another_node_stored_is_taken_in_and_nothing_else_is() {
    let first = keyring();
    let mut other = open(&first.seal()).unwrap();
    let mut first = first;
    let before = first.seal();
    let epoch = first.begin_epoch(NOW).unwrap();
    assert!(other.root(epoch).is_err());
    other.reread(&first.seal()).unwrap();
    assert_eq!((other.epochs(), other.current().0), (first.epochs(), epoch));
    let kek_ref = KekRef { collection: CollectionId::VAULT, version: 1 };
    let wrap = first.current().1.wrap_kek(epoch, kek_ref, &Kek::generate());
    assert!(other.root(epoch).unwrap().unwrap_kek(epoch, kek_ref, &wrap).is_ok());

    let body = other.body(None);
    assert_eq!(other.reread(&before).err(), Some(KeyringError::Older));
    assert_eq!(other.reread(&keyring().seal()).err(), Some(KeyringError::WrongPassphrase));
    let mut altered = first.seal();
    altered[80] ^= 1;
    assert_eq!(other.reread(&altered).err(), Some(KeyringError::Damaged));
    assert!(other.reread(&with_checksum(altered)).is_err());
    assert_eq!(*other.body(None), *body);
}

#[test]
fn epochs_begin_end_and_are_destroyed() {
    let mut ring = keyring();
    let first = ring.current().0;
    let second = ring.begin_epoch(NOW).unwrap();
    assert_eq!(ring.destroy_epoch(second.epoch), Err(EpochError::Current(2)));
    assert_eq!(ring.destroy_epoch(3), Err(EpochError::Unknown(3)));
    assert_eq!(ring.destroy_epoch(first.epoch), Ok(()));
    assert_eq!(ring.destroy_epoch(first.epoch), Err(EpochError::Destroyed(1)));
    let again = open(&ring.seal()).unwrap();
    assert_eq!(again.root(first).err(), Some(EpochError::Destroyed(1)));
    assert_eq!(again.root(RootRef { epoch: 9, ..first }).err(), Some(EpochError::Unknown(9)));
    let foreign = RootRef { keyring: KeyringId::from_bytes([1; 16]), epoch: 1 };
    assert_eq!(again.root(foreign).err(), Some(EpochError::Foreign(foreign.keyring)));
    let states: Vec<_> = again.epochs().into_iter().map(|e| e.state).collect();
    assert_eq!(states, [KeyState::Destroyed, KeyState::Active]);
}

#[test]
fn p8_a_file_without_an_epoch_is_made_before_the_key_goes_and_an_older_one_does_not_bring_it_back() {
    let mut ring = keyring();
    ring.begin_epoch(NOW).unwrap();
    let older = ring.seal();
    assert_eq!(ring.seal_without(2).err(), Some(EpochError::Current(2)));
    assert_eq!(ring.seal_without(3).err(), Some(EpochError::Unknown(3)));
    let without = open(&ring.seal_without(1).unwrap()).unwrap();
    assert_eq!(without.epochs()[0].state, KeyState::Destroyed);
    assert_eq!(ring.epochs()[0].state, KeyState::Deactivated, "nothing has changed yet");
    ring.destroy_epoch(1).unwrap();
    assert_eq!(*ring.body(None), *without.body(None));
    assert_eq!(ring.reread(&older).err(), Some(KeyringError::Older));
    assert_eq!(ring.epochs()[0].state, KeyState::Destroyed);
}

#[test]
fn an_abandoned_epoch_leaves_the_keyring_as_it_was() {
    let mut ring = keyring();
    let before = ring.body(None);
    ring.begin_epoch(NOW.plus(core::time::Duration::from_secs(1))).unwrap();
    assert_ne!(*ring.body(None), *before);
    ring.abandon_epoch();
    assert_eq!(*ring.body(None), *before);
}

#[test]
fn the_distinct_errors() {
    let bytes = keyring().seal();
    assert_eq!(Keyring::open(&bytes, &passphrase("wrong horse")).err(), Some(KeyringError::WrongPassphrase));
    for other in [&b""[..], b"FVKEY", b"age-encryption.org/v1\n", &[0; 400]] {
        assert_eq!(open(other).err(), Some(KeyringError::NotAKeyring));
    }
    let mut later = bytes.clone();
    later[9] = 2;
    assert_eq!(open(&later).err(), Some(KeyringError::Unsupported(2)));
    for len in 8..bytes.len() {
        assert_eq!(open(&bytes[..len]).err(), Some(KeyringError::Damaged), "{len}");
    }
    assert_eq!(open(&[&bytes[..], b"\n"].concat()).err(), Some(KeyringError::Damaged));
}

#[test]
fn every_altered_byte_is_refused_with_its_reason() {
    let bytes = keyring().seal();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut altered = bytes.clone();
            altered[at] ^= flip;
            let expected = match at {
                0..8 => KeyringError::NotAKeyring,
                8..10 => KeyringError::Unsupported(u16::from_be_bytes([altered[8], altered[9]])),
                _ => KeyringError::Damaged,
            };
            assert_eq!(open(&altered).err(), Some(expected), "byte {at}");
        }
    }
}

/// The checksum is no secret: whoever alters the file can mend it. The seal still holds.
#[test]
fn every_altered_byte_under_a_mended_checksum_is_refused() {
    let bytes = keyring().seal();
    for at in 10..bytes.len() - CHECKSUM_LEN {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let expected = match at {
            28..40 => KeyringError::Parameters,
            40..56 | 60..116 => KeyringError::WrongPassphrase,
            _ => KeyringError::Damaged,
        };
        assert_eq!(open(&with_checksum(altered)).err(), Some(expected), "byte {at}");
    }
}

/// A keyring made by a real passphrase at the floor, byte by byte by hand (`docs/format.md` §7).
#[test]
fn the_file_is_the_one_in_the_format() {
    let made = Keyring::create(NOW, Setting::Development, &passphrase("correct horse"), Parameters::FLOOR).unwrap();
    let bytes = made.seal();
    assert_eq!(bytes.len(), 60 + 72 + 46 + 45 + 32);
    let mut header = b"FVKEYRNG\0\x01\x01\0".to_vec();
    header.extend_from_slice(made.id().as_bytes());
    header.extend_from_slice(&[0, 0, 0x4c, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
    header.extend_from_slice(&made.salt);
    header.extend_from_slice(&163u32.to_be_bytes());
    assert_eq!(bytes[..60], header);
    assert_eq!(Keyring::open(&bytes, &passphrase("correct horse")).unwrap().setting(), Setting::Development);
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(open(&bytes).err(), Some(KeyringError::NotAKeyring));
        let mut dressed = [&b"FVKEYRNG\0\x01"[..], &bytes].concat();
        prop_assert_eq!(open(&dressed).err(), Some(KeyringError::Damaged));
        if dressed.len() >= HEADER_LEN + CHECKSUM_LEN {
            // Costs out of range, so that a lucky number does not run argon2id for a minute.
            dressed[28..32].fill(0);
            prop_assert!(open(&with_checksum(dressed)).is_err());
        }
    }

    #[test]
    fn random_bodies_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Body::parse(&bytes);
    }
}
