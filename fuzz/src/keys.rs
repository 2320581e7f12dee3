//! Bytes under keys: each altered one is refused, for the reason that its place gives.
//!
//! The keyring file is written here a second time, from `docs/format.md` §5.1 and §7 alone.

use std::sync::OnceLock;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use vault_core::framing::framed;
use vault_core::ids::{CollectionId, KeyringId, RecordId, ResumeKeyId, UploadId};
use vault_core::keys::field::{FieldContext, FieldError, FieldSealer as _};
use vault_core::keys::hierarchy::{Kek, RecordKey, ResumeKey, StaffAuditKey};
use vault_core::keys::keyring::{Keyring, KeyringError, Passphrase, Setting};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::upload::{self, UploadSecret, unwrap_in_progress, wrap_in_progress};
use vault_core::keys::wrap::{self, KekRef, UnwrapError, WRAP_LEN};
use zeroize::Zeroizing;

use super::altered;

struct Genuine {
    kek: Kek,
    wrapped: Vec<u8>,
    url: UploadSecret,
    resume: ResumeKey,
    in_progress: Vec<u8>,
}

const ME: KekRef = KekRef { collection: CollectionId::from_bytes([1; 16]), version: 7 };
const RECORD: RecordId = RecordId::from_bytes([2; 16]);
const RESUME: ResumeKeyId = ResumeKeyId::from_bytes([3; 16]);
const UPLOAD: UploadId = UploadId::from_bytes([4; 16]);

/// A wrap of each sort under keys of this run.
fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let (kek, key) = (Kek::generate(), RecordKey::generate());
        let (url, resume) = (UploadSecret::generate(), ResumeKey::generate());
        Genuine {
            wrapped: kek.wrap_record_key(ME, RECORD, &key),
            in_progress: wrap_in_progress(&url, (RESUME, &resume), UPLOAD, RECORD, &key),
            kek,
            url,
            resume,
        }
    })
}

/// The reason for which a wrap is refused whose first altered byte is at `at` (`docs/format.md` §5.3).
fn refusal(at: usize) -> UnwrapError {
    match at {
        0..5 => UnwrapError::Malformed,
        5..25 => UnwrapError::NamesAnotherKey,
        25..81 => UnwrapError::WrongKey,
        _ => UnwrapError::Forged,
    }
}

/// Wraps name their keys before they are opened; and the bytes laid over a genuine one open it only if they change nothing.
pub fn wraps(data: &[u8]) {
    if let Ok(named) = wrap::names(data) {
        assert_eq!(data.len(), WRAP_LEN);
        assert_eq!(&data[..5], b"FVW1\x01");
        assert_eq!((&data[5..21], &data[21..25]), (&named.collection.as_bytes()[..], &named.version.to_be_bytes()[..]));
    }
    if let Ok(named) = upload::names(data) {
        assert_eq!(data.len(), WRAP_LEN);
        assert_eq!((&data[..5], &data[5..21]), (&b"FVW1\x06"[..], &named.as_bytes()[..]));
    }
    let genuine = genuine();
    let (bytes, first) = altered(&genuine.wrapped, data);
    let opened = genuine.kek.unwrap_record_key(ME, RECORD, &bytes).map(drop);
    assert_eq!(opened, first.map_or(Ok(()), |at| Err(refusal(at))), "{first:?}");
    let (bytes, first) = altered(&genuine.in_progress, data);
    let opened = unwrap_in_progress(&genuine.url, (RESUME, &genuine.resume), UPLOAD, RECORD, &bytes).map(drop);
    assert_eq!(opened, first.map_or(Ok(()), |at| Err(refusal(at))), "{first:?}");
}

/// The first byte says how much of the rest is sealed as a field; what follows is laid over the sealed bytes.
pub fn sealed(data: &[u8]) {
    static KEY: OnceLock<StaffAuditKey> = OnceLock::new();
    let key = KEY.get_or_init(StaffAuditKey::generate);
    let place = |column| FieldContext { table: "records", row: RECORD.as_bytes(), column };
    assert!(key.open(place("details"), data).is_err(), "bytes that nobody sealed");
    let [length, rest @ ..] = data else { return };
    let (plain, mask) = rest.split_at(usize::from(*length).min(rest.len()));
    let field = key.seal(place("details"), plain);
    let (bytes, first) = altered(&field, mask);
    match (key.open(place("details"), &bytes), first) {
        (Ok(opened), None) => assert_eq!(opened.as_slice(), plain),
        (Err(e), Some(at)) => {
            let expected = match at {
                0 => FieldError::Malformed,
                1..57 => FieldError::WrongKey,
                _ => FieldError::Forged,
            };
            assert_eq!(e, expected, "byte {at}");
        }
        (Ok(_), Some(at)) => panic!("opened although byte {at} was altered"),
        (Err(e), None) => panic!("{e}"),
    }
    assert_eq!(key.open(place("consent"), &field).err(), Some(FieldError::Forged), "opened in another column");
}

const PASSPHRASE: &[u8] = b"correct horse battery staple";
const SALT: [u8; 16] = [9; 16];

/// Memory, passes, lanes: the floor; fuzzing cannot wait for that, and a vault-core built for it takes less.
const COSTS: [u32; 3] = if cfg!(fuzzing) { [8, 1, 1] } else { [19 * 1024, 2, 1] };

/// What argon2id makes of the passphrase.
fn stretched() -> &'static [u8; 32] {
    static STRETCHED: OnceLock<[u8; 32]> = OnceLock::new();
    STRETCHED.get_or_init(|| {
        let [memory, passes, lanes] = COSTS;
        let params = Params::new(memory, passes, lanes, Some(32)).expect("valid costs");
        let mut key = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(PASSPHRASE, &SALT, &mut key).expect("it stretches");
        key
    })
}

/// Key and commitment of a nonce (§5.1).
fn schedule(nonce: &[u8; 24]) -> [u8; 64] {
    let mut okm = [0; 64];
    let label = framed("feedback-vault/v1/committing", &[]);
    Hkdf::<Sha256>::new(Some(nonce), stretched()).expand(&label, &mut okm).expect("64 bytes are not too many");
    okm
}

/// Header, sealed body, checksum (§7). The nonce is fixed: nothing secret is sealed here.
fn file(body: &[u8]) -> Vec<u8> {
    let mut out = b"FVKEYRNG\0\x01\0\0".to_vec();
    out.extend_from_slice(KeyringId::from_bytes([5; 16]).as_bytes());
    for cost in COSTS {
        out.extend_from_slice(&cost.to_be_bytes());
    }
    out.extend_from_slice(&SALT);
    out.extend_from_slice(&(u32::try_from(body.len()).expect("short") + 72).to_be_bytes());
    let (nonce, associated) = ([6; 24], framed("feedback-vault/v1/keyring", &[&out]));
    let okm = schedule(&nonce);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&okm[32..]);
    let cipher = XChaCha20Poly1305::new_from_slice(&okm[..32]).expect("32 bytes");
    let payload = Payload { msg: body, aad: &associated };
    out.extend_from_slice(&cipher.encrypt(&XNonce::from(nonce), payload).expect("it seals"));
    checksummed(out)
}

fn checksummed(mut content: Vec<u8>) -> Vec<u8> {
    let sum = Sha256::digest(&content);
    content.extend_from_slice(&sum);
    content
}

/// What lies under a file's seal.
fn body(file: &[u8]) -> Vec<u8> {
    let (header, rest) = file.split_at(60);
    let (nonce, rest) = rest.split_first_chunk::<24>().expect("a nonce");
    let sealed = &rest[32..rest.len() - 32];
    let cipher = XChaCha20Poly1305::new_from_slice(&schedule(nonce)[..32]).expect("32 bytes");
    let associated = framed("feedback-vault/v1/keyring", &[header]);
    let payload = Payload { msg: sealed, aad: &associated };
    cipher.decrypt(&XNonce::from(*nonce), payload).expect("what the vault seals opens by the format's words")
}

fn open(file: &[u8]) -> Result<Keyring, KeyringError> {
    let passphrase = Passphrase::new(Zeroizing::new(PASSPHRASE.to_vec())).expect("long enough");
    Keyring::open(file, &passphrase)
}

/// With a first byte of 0 the rest is a body under a right seal; of 1, a file but for its checksum; of 2, a mask over a
/// genuine file; otherwise a file as it is.
pub fn keyring(data: &[u8]) {
    let [how, rest @ ..] = data else { return };
    match how {
        0 if rest.len() > 60_000 => {}
        0 => match open(&file(rest)) {
            Ok(keyring) => keyring_holds(&keyring),
            Err(e) => assert_eq!(e, KeyringError::Damaged),
        },
        1 if !rest.starts_with(b"FVKEYRNG\0\x01") => {
            let expected =
                if rest.starts_with(b"FVKEYRNG") { KeyringError::Damaged } else { KeyringError::NotAKeyring };
            match open(&checksummed(rest.to_vec())) {
                Err(KeyringError::Unsupported(version)) => assert_ne!(version, 1),
                other => assert_eq!(other.err(), Some(expected)),
            }
        }
        // Costs that the ceiling allows take minutes, which no fuzzer has: refused before or not asked.
        1 if rest.get(28..40).is_none_or(|costs| costs == cost_bytes()) => {
            assert!(open(&checksummed(rest.to_vec())).is_err(), "a file that nobody sealed");
        }
        1 => {}
        2 => {
            let file = file(&first_body());
            let (content, _) = file.split_at(file.len() - 32);
            let (bytes, first) = altered(content, rest);
            if first.is_none_or(|at| at >= 40) || bytes[28..40] == cost_bytes() {
                assert_eq!(open(&checksummed(bytes)).is_ok(), first.is_none(), "{first:?}");
            }
        }
        _ => assert!(open(rest).is_err()),
    }
}

fn cost_bytes() -> [u8; 12] {
    let mut bytes = [0; 12];
    for (place, cost) in bytes.chunks_exact_mut(4).zip(COSTS) {
        place.copy_from_slice(&cost.to_be_bytes());
    }
    bytes
}

/// A body with one epoch.
fn first_body() -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend_from_slice(&[0, 0, 0, 1]);
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(&[8; 32]);
    body
}

/// What is true of every keyring that opens.
fn keyring_holds(keyring: &Keyring) {
    assert_eq!(keyring.setting(), Setting::Production);
    let epochs = keyring.epochs();
    assert!(epochs.windows(2).all(|pair| pair[0].epoch < pair[1].epoch), "epochs ascend");
    let (current, _) = keyring.current();
    let last = epochs.last().expect("one at least");
    assert_eq!((last.epoch, last.state), (current.epoch, KeyState::Active));
    for epoch in &epochs {
        let named = wrap::RootRef { keyring: keyring.id(), epoch: epoch.epoch };
        assert_eq!(keyring.root(named).is_ok(), epoch.state != KeyState::Destroyed);
    }
    let sealed = keyring.seal();
    let again = open(&sealed).expect("what was sealed opens");
    assert_eq!(again.epochs(), epochs);
    assert_eq!(body(&again.seal()), body(&sealed), "one keyring has two forms");
}
