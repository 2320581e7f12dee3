//! Sixteen bytes that name a key for good: what the journal of restrictions says of a destroyed one
//! (`docs/format.md` §9).
//!
//! A journal entry has room for one identifier. A key version is a collection and a number, a root epoch a keyring and a
//! number; the tag is a hash of the two, so that whoever holds the row, or the keyring, of such a key finds it named, and
//! nobody else learns anything.

use sha2::{Digest as _, Sha256};

use super::wrap::{KekRef, RootRef};
use crate::framing::framed;

const KEK: &str = "feedback-vault/v1/kek-tag";
const ROOT: &str = "feedback-vault/v1/root-tag";

/// A name for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyTag([u8; 16]);

impl KeyTag {
    /// As it was written down.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be written down.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(label: &str, owner: &[u8; 16], number: u32) -> Self {
        let hash: [u8; 32] = Sha256::digest(framed(label, &[owner, &number.to_be_bytes()])).into();
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash[..16]);
        Self(tag)
    }
}

/// What tells a record's field key from the one that comes after it (`docs/format.md` §5.2): it stands beside the wrap, and what is
/// sealed under the key before a transaction is held against it within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldTag([u8; 16]);

impl FieldTag {
    /// As it was written down.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be written down.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl KekRef {
    /// The version's tag.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        KeyTag::of(KEK, self.collection.as_bytes(), self.version)
    }
}

impl RootRef {
    /// The epoch's tag.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        KeyTag::of(ROOT, self.keyring.as_bytes(), self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CollectionId, KeyringId};

    #[test]
    fn no_two_keys_share_a_tag() {
        let kek = |n, version| KekRef { collection: CollectionId::from_bytes([n; 16]), version }.tag();
        let root = |n, epoch| RootRef { keyring: KeyringId::from_bytes([n; 16]), epoch }.tag();
        let tags = [kek(1, 1), kek(1, 2), kek(2, 1), root(1, 1), root(1, 2)];
        for (i, one) in tags.iter().enumerate() {
            assert!(tags[i + 1..].iter().all(|other| other != one));
        }
        assert_eq!(KeyTag::from_bytes(*tags[0].as_bytes()), tags[0]);
        // As docs/format.md §9 has it, by hand.
        let label = b"feedback-vault/v1/kek-tag";
        let mut framed = vec![0, 0, 0, u8::try_from(label.len()).unwrap()];
        framed.extend_from_slice(label);
        framed.extend_from_slice(&[0, 0, 0, 16]);
        framed.extend_from_slice(&[1; 16]);
        framed.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 2]);
        assert_eq!(tags[1].as_bytes(), &Sha256::digest(framed)[..16]);
    }
}
