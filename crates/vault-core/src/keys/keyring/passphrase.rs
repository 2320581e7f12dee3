//! Passphrases and what argon2id makes of them.

use core::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::KeyringError;
use crate::secret::Secret;

/// Bytes a passphrase must have. Length is no measure of strength; this refuses the empty file and the PIN.
pub const MIN_PASSPHRASE: usize = 8;
const MAX_PASSPHRASE: usize = 1024;

/// OWASP Password Storage Cheat Sheet: argon2id with m = 19 MiB, t = 2, p = 1.
const FLOOR: [u32; 3] = [19 * 1024, 2, 1];
/// Above these a file is not asking for security but for the machine: 2 GiB, 64 passes, 16 lanes.
const CEILING: [u32; 3] = [2 * 1024 * 1024, 64, 16];

/// A passphrase, wiped when dropped.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why some bytes are no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Too short.
    #[error("the passphrase is shorter than {MIN_PASSPHRASE} bytes")]
    TooShort,
    /// Too long: probably another file.
    #[error("the passphrase is longer than {MAX_PASSPHRASE} bytes")]
    TooLong,
}

impl Passphrase {
    /// Takes a file's or a prompt's bytes; one line end at the end is not part of them.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        let mut bytes = bytes;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        match bytes.len() {
            0..MIN_PASSPHRASE => Err(PassphraseError::TooShort),
            MIN_PASSPHRASE..=MAX_PASSPHRASE => Ok(Self(bytes)),
            _ => Err(PassphraseError::TooLong),
        }
    }
}

/// Argon2id's costs, as stored in the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    m_cost: u32,
    t_cost: u32,
    p_cost: u32,
}

impl Parameters {
    /// The least that is accepted.
    pub const FLOOR: Self = Self { m_cost: FLOOR[0], t_cost: FLOOR[1], p_cost: FLOOR[2] };

    /// Parameters read from a file, refused outside floor and ceiling.
    pub(super) fn stored(m_cost: u32, t_cost: u32, p_cost: u32) -> Result<Self, KeyringError> {
        let within =
            [m_cost, t_cost, p_cost].iter().zip(FLOOR.iter().zip(&CEILING)).all(|(c, (f, l))| f <= c && c <= l);
        let parameters = Self { m_cost, t_cost, p_cost };
        if within || parameters.is_for_tests() { Ok(parameters) } else { Err(KeyringError::Parameters) }
    }

    /// Parameters that take about `target` on this machine: memory first (64 MiB), then passes. `measure`
    /// runs argon2id once with the given parameters and says how long it took. Never below the floor.
    pub fn calibrated(target: Duration, mut measure: impl FnMut(Self) -> Duration) -> Self {
        const M_COST: u32 = 64 * 1024;
        let probe = Self { m_cost: M_COST, t_cost: 1, p_cost: 1 };
        let one_pass = measure(probe).as_millis().max(1);
        let passes = u32::try_from(target.as_millis() / one_pass).unwrap_or(u32::MAX);
        if passes < FLOOR[1] { Self::FLOOR } else { Self { t_cost: passes.min(CEILING[1]), ..probe } }
    }

    /// Runs argon2id once over a fixed text: for [`calibrated`](Self::calibrated).
    pub fn exercise(self) {
        if let Ok(passphrase) = Passphrase::new(Zeroizing::new(b"calibration".to_vec())) {
            // Its only use is the time it takes.
            drop(self.stretch(&passphrase, &[0; 16]));
        }
    }

    /// Costs so small that a property test can afford them. Exists in this crate's tests only.
    #[cfg(test)]
    pub(super) const fn for_tests() -> Self {
        Self { m_cost: 8, t_cost: 1, p_cost: 1 }
    }

    /// A fuzzer opens thousands of files a second; nothing that is shipped is built with that flag.
    const fn is_for_tests(self) -> bool {
        cfg!(any(test, fuzzing)) && self.m_cost == 8 && self.t_cost == 1 && self.p_cost == 1
    }

    pub(super) const fn costs(self) -> [u32; 3] {
        [self.m_cost, self.t_cost, self.p_cost]
    }

    pub(super) fn stretch(self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Secret<32>, KeyringError> {
        let params =
            Params::new(self.m_cost, self.t_cost, self.p_cost, Some(32)).map_err(|_| KeyringError::Parameters)?;
        let mut memory = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let key = Secret::try_fill(|out| {
            argon2
                .hash_password_into_with_memory(&passphrase.0, salt, out, &mut memory)
                .map_err(|_| KeyringError::Parameters)
        });
        // The blocks determine the key; they are not left in freed memory.
        memory.iter_mut().for_each(Zeroize::zeroize);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(bytes: &[u8]) -> Result<Passphrase, PassphraseError> {
        Passphrase::new(Zeroizing::new(bytes.to_vec()))
    }

    #[test]
    fn one_line_end_is_not_part_of_a_passphrase() {
        for text in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            assert_eq!(passphrase(text.as_bytes()).unwrap().0.as_slice(), b"correct horse");
        }
        assert_eq!(passphrase(b"correct horse\n\n").unwrap().0.as_slice(), b"correct horse\n");
        assert_eq!(passphrase(b"\n").err(), Some(PassphraseError::TooShort));
        assert_eq!(passphrase(b"1234567\n").err(), Some(PassphraseError::TooShort));
        assert_eq!(passphrase(&[b'a'; 1025]).err(), Some(PassphraseError::TooLong));
    }

    #[test]
    fn parameters_below_the_floor_or_above_the_ceiling_are_refused() {
        let [m, t, p] = FLOOR;
        assert_eq!(Parameters::stored(m, t, p), Ok(Parameters::FLOOR));
        for (m, t, p) in [(m - 1, t, p), (m, t - 1, p), (m, t, p - 1), (u32::MAX, t, p), (m, 65, p), (m, t, 17)] {
            assert_eq!(Parameters::stored(m, t, p), Err(KeyringError::Parameters), "{m} {t} {p}");
        }
    }

    #[test]
    fn calibration_aims_at_the_time_and_never_goes_below_the_floor() {
        let half_second = Duration::from_millis(500);
        let quick = Parameters::calibrated(half_second, |_| Duration::from_millis(50));
        assert_eq!(quick.costs(), [64 * 1024, 10, 1]);
        let slow = Parameters::calibrated(half_second, |_| Duration::from_secs(3));
        assert_eq!(slow, Parameters::FLOOR);
        let instant = Parameters::calibrated(half_second, |_| Duration::ZERO);
        assert_eq!(instant.costs(), [64 * 1024, 64, 1]);
        let [m, t, p] = quick.costs();
        assert!(Parameters::stored(m, t, p).is_ok());
    }

    /// The argon2id of RFC 9106, by the crate's one-call form at the floor.
    #[test]
    fn stretching_is_argon2id() {
        let key = Parameters::FLOOR.stretch(&passphrase(b"correct horse").unwrap(), &[7; 16]).unwrap();
        let mut expected = [0; 32];
        let params = Params::new(19 * 1024, 2, 1, Some(32)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(b"correct horse", &[7; 16], &mut expected).unwrap();
        assert!(key.ct_eq(&expected));
    }

    /// The crate itself, against RFC 9106 section 5.3.
    #[test]
    fn argon2id_gives_the_known_answer() {
        let data = argon2::AssociatedData::new(&[4; 12]).unwrap();
        let params = argon2::ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).output_len(32).data(data).build();
        let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params.unwrap()).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        assert_eq!(hex::encode(tag), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }
}
