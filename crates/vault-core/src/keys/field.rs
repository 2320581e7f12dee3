//! Sealed fields: a database column or a log opening, encrypted in place (`docs/format.md` §6).
//!
//! The associated data names table, row and column, so that a value copied to another row by hand
//! opens nothing.

use zeroize::Zeroizing;

use super::committing::{self, OpenError};
use super::hierarchy::{FieldKey, StaffAuditKey};
use crate::framing::framed;
use crate::secret::Secret;

const VERSION: u8 = 1;
const LABEL: &str = "feedback-vault/v1/sealed-field";
/// What sealing adds to the plaintext's length.
pub const FIELD_OVERHEAD: usize = 1 + committing::OVERHEAD;

/// Where a sealed field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldContext<'a> {
    /// The table.
    pub table: &'a str,
    /// The row: an identifier's sixteen bytes.
    pub row: &'a [u8; 16],
    /// The column, or the slot of a log opening.
    pub column: &'a str,
}

/// Why a sealed field was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Too short, or of a version this program does not know.
    #[error("not a sealed field")]
    Malformed,
    /// Sealed under another key.
    #[error("the field was sealed under another key")]
    WrongKey,
    /// Altered, or moved from another table, row or column.
    #[error("the field was altered or belongs elsewhere")]
    Forged,
}

impl From<OpenError> for FieldError {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Malformed => Self::Malformed,
            OpenError::WrongKey => Self::WrongKey,
            OpenError::Forged => Self::Forged,
        }
    }
}

/// A key that seals fields: a record's [`FieldKey`] or a [`StaffAuditKey`].
pub trait FieldSealer {
    /// Seals `plaintext` for its place.
    fn seal(&self, context: FieldContext<'_>, plaintext: &[u8]) -> Vec<u8>;
    /// Opens what was sealed for this place.
    fn open(&self, context: FieldContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError>;
}

impl FieldSealer for FieldKey {
    fn seal(&self, context: FieldContext<'_>, plaintext: &[u8]) -> Vec<u8> {
        seal(self.secret(), context, plaintext)
    }

    fn open(&self, context: FieldContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
        open(self.secret(), context, sealed)
    }
}

impl FieldSealer for StaffAuditKey {
    fn seal(&self, context: FieldContext<'_>, plaintext: &[u8]) -> Vec<u8> {
        seal(self.secret(), context, plaintext)
    }

    fn open(&self, context: FieldContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
        open(self.secret(), context, sealed)
    }
}

fn associated(context: FieldContext<'_>) -> Vec<u8> {
    framed(LABEL, &[context.table.as_bytes(), context.row, context.column.as_bytes()])
}

fn seal(key: &Secret<32>, context: FieldContext<'_>, plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + FIELD_OVERHEAD);
    out.push(VERSION);
    committing::seal_into(key, &associated(context), plaintext, &mut out);
    out
}

fn open(key: &Secret<32>, context: FieldContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
    let body = sealed.strip_prefix(&[VERSION]).ok_or(FieldError::Malformed)?;
    Ok(committing::open(key, &associated(context), body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: FieldContext<'static> = FieldContext { table: "records", row: &[7; 16], column: "filename" };

    #[test]
    fn p1_a_field_opens_only_in_its_place() {
        let key = FieldKey::from_secret(Secret::generate());
        let sealed = key.seal(HERE, b"holiday.webm");
        assert_eq!(sealed.len(), 12 + FIELD_OVERHEAD);
        assert_eq!(key.open(HERE, &sealed).unwrap().as_slice(), b"holiday.webm");
        for elsewhere in [
            FieldContext { table: "record", ..HERE },
            FieldContext { row: &[8; 16], ..HERE },
            FieldContext { column: "consent", ..HERE },
        ] {
            assert_eq!(key.open(elsewhere, &sealed).unwrap_err(), FieldError::Forged);
        }
        assert_eq!(StaffAuditKey::generate().open(HERE, &sealed).unwrap_err(), FieldError::WrongKey);
    }

    #[test]
    fn every_altered_byte_is_refused_with_its_reason() {
        let key = StaffAuditKey::generate();
        let sealed = key.seal(HERE, b"Dr. Who");
        for at in 0..sealed.len() {
            let expected = match at {
                0 => FieldError::Malformed,
                1..57 => FieldError::WrongKey,
                _ => FieldError::Forged,
            };
            let mut altered = sealed.clone();
            altered[at] ^= 0x10;
            assert_eq!(key.open(HERE, &altered).unwrap_err(), expected, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_and_any_noise_is_refused(
            plain in proptest::collection::vec(any::<u8>(), 0..300),
            noise in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let key = StaffAuditKey::generate();
            let sealed = key.seal(HERE, &plain);
            let opened = key.open(HERE, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            prop_assert!(key.open(HERE, &noise).is_err());
        }
    }
}
