//! Slots: commitments in an entry to what is personal, and the openings kept beside the log.
//!
//! A commitment is SHA-256 over a fresh 256-bit salt and the value, so it says nothing about the
//! value to whoever lacks the salt, however few values there are to guess. Destroying an opening
//! (or the key that seals it) therefore erases the value while the entry, and the tree over it,
//! stay as they are (`docs/audit-log.md` §3).

use core::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::framing::framed;
use crate::ids::{CollectionId, RecordId};
use crate::keys::field::{FieldContext, FieldSealer};
use crate::keys::hierarchy::{FieldKey, StaffAuditKey};

/// Label of the commitment's frame.
const COMMITMENT_LABEL: &str = "feedback-vault/v1/audit-slot";

/// The longest value a slot takes. A frozen batch of a thousand record ids is 38,000 bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// Length of a salt.
pub const SALT_LEN: usize = 32;

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a slot is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SlotName {
            $($(#[$doc])* $name,)*
        }

        impl SlotName {
            /// Every slot there is, in the order in which an entry lists them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As the entry writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The slot written `text`, if there is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

// In the order of their names: an entry's keys are sorted (RFC 8785), and `Ord` must agree.
slots! {
    /// The role binding given or taken.
    Binding = "binding";
    /// A case number.
    CaseNumber = "case_number";
    /// An approver's comment.
    Comment = "comment";
    /// The grant.
    Grant = "grant";
    /// An object of a record.
    Object = "object";
    /// The person acted upon, who gets or loses a role or token.
    Person = "person";
    /// A stated reason.
    Reason = "reason";
    /// The record.
    Record = "record";
    /// The records of a frozen batch, ids separated by commas.
    Records = "records";
    /// The object that another one has taken the place of.
    Replaced = "replaced";
    /// The access request.
    Request = "request";
    /// What a standing grant covers, as canonical JSON.
    Scope = "scope";
    /// The playback session.
    Session = "session";
    /// The person or machine who acts.
    Staff = "staff";
    /// The data subject's pseudonym.
    Subject = "subject";
    /// The token's identifier.
    Token = "token";
    /// The upload.
    Upload = "upload";
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A commitment to a slot's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// The commitment to `value` in `slot` under `salt`.
    #[must_use]
    pub fn to(slot: SlotName, salt: &[u8; SALT_LEN], value: &str) -> Self {
        Self(
            Sha256::digest(
                Zeroizing::new(framed(COMMITMENT_LABEL, &[slot.as_str().as_bytes(), salt, value.as_bytes()]))
                    .as_slice(),
            )
            .into(),
        )
    }

    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn halves(&self) -> [&[u8; 16]; 2] {
        match self.0.as_chunks::<16>().0 {
            [first, second] => [first, second],
            _ => unreachable!("32 bytes are two times 16"),
        }
    }
}

/// Which key an opening is sealed under, as a drafter says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpeningUnder {
    /// The record's field key: dies with the record.
    Record,
    /// The staff audit key of the entry's collection: has a retention of its own.
    Staff,
}

/// Which key an opening is sealed under, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeptUnder {
    /// This record's field key.
    Record(RecordId),
    /// This collection's staff audit key; [`CollectionId::VAULT`] for entries without one.
    Staff(CollectionId),
}

/// A value with the salt that opens its commitment.
pub struct Opening {
    slot: SlotName,
    salt: Zeroizing<[u8; SALT_LEN]>,
    value: Zeroizing<String>,
}

/// An opening that cannot be: its value is too long, or its bytes are not an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an opening")]
pub struct InvalidOpening;

impl Opening {
    /// `value` for `slot` with a fresh salt.
    #[must_use]
    pub fn fresh(slot: SlotName, value: String) -> Self {
        let mut salt = Zeroizing::new([0; SALT_LEN]);
        crate::random::fill(salt.as_mut_slice());
        Self { slot, salt, value: Zeroizing::new(value) }
    }

    /// An opening read back from its parts.
    #[must_use]
    pub fn from_parts(slot: SlotName, salt: [u8; SALT_LEN], value: String) -> Self {
        Self { slot, salt: Zeroizing::new(salt), value: Zeroizing::new(value) }
    }

    /// An opening read back from the bytes that [`Self::to_bytes`] makes.
    pub fn from_bytes(slot: SlotName, bytes: &[u8]) -> Result<Self, InvalidOpening> {
        let (salt, value) = bytes.split_first_chunk::<SALT_LEN>().ok_or(InvalidOpening)?;
        let value = core::str::from_utf8(value).map_err(|_| InvalidOpening)?;
        Ok(Self::from_parts(slot, *salt, value.to_owned()))
    }

    /// The salt and the value behind it: what is sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SALT_LEN + self.value.len()));
        bytes.extend_from_slice(self.salt.as_slice());
        bytes.extend_from_slice(self.value.as_bytes());
        bytes
    }

    /// Which slot it opens.
    #[must_use]
    pub const fn slot(&self) -> SlotName {
        self.slot
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The commitment it opens.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        Commitment::to(self.slot, &self.salt, &self.value)
    }

    /// Whether it opens `commitment`.
    #[must_use]
    pub fn opens(&self, commitment: &Commitment) -> bool {
        self.commitment().0.ct_eq(&commitment.0).into()
    }
}

impl fmt::Debug for Opening {
    /// Names the slot only: the value is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// Why a sealed opening did not open. One opaque reason: which one it was helps only who tampers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the opening cannot be decrypted")]
pub struct Unopenable;

/// Where an opening lies among the sealed fields (`docs/format.md` §6). The row is half of the
/// commitment: the opening has no index yet when it is sealed, and a commitment is unique.
fn context(slot: SlotName, commitment: &Commitment) -> FieldContext<'_> {
    let [row, _] = commitment.halves();
    FieldContext { table: "audit_openings", row, column: slot.as_str() }
}

/// The keys an entry's openings are sealed under.
#[derive(Clone, Copy)]
pub struct OpeningKeys<'a> {
    /// The staff audit key of the entry's collection.
    pub staff: &'a StaffAuditKey,
    /// The record the entry is about and its field key.
    pub record: Option<(RecordId, &'a FieldKey)>,
}

/// An opening as it is stored beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedOpening {
    /// Which slot it opens.
    pub slot: SlotName,
    /// The key it is sealed under.
    pub under: KeptUnder,
    /// The commitment it opens; also the place it is bound to.
    pub commitment: Commitment,
    /// Salt and value, encrypted.
    pub sealed: Vec<u8>,
}

impl SealedOpening {
    /// Seals `opening` under `key`.
    #[must_use]
    pub fn seal(opening: &Opening, under: KeptUnder, key: &dyn FieldSealer) -> Self {
        let commitment = opening.commitment();
        let sealed = key.seal(context(opening.slot, &commitment), &opening.to_bytes());
        Self { slot: opening.slot, under, commitment, sealed }
    }

    /// Opens it and checks it against its commitment.
    pub fn open(&self, key: &dyn FieldSealer) -> Result<Opening, Unopenable> {
        let bytes = key.open(context(self.slot, &self.commitment), &self.sealed).map_err(|_| Unopenable)?;
        let opening = Opening::from_bytes(self.slot, &bytes).map_err(|_| Unopenable)?;
        if opening.opens(&self.commitment) { Ok(opening) } else { Err(Unopenable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_read_back_and_stand_in_the_order_of_their_names() {
        for slot in SlotName::ALL {
            assert_eq!(SlotName::parse(slot.as_str()), Some(*slot));
        }
        assert!(SlotName::ALL.windows(2).all(|w| w[0] < w[1] && w[0].as_str() < w[1].as_str()));
    }

    #[test]
    fn a_commitment_hides_behind_a_fresh_salt_and_opens_only_its_value() {
        let (one, two) =
            (Opening::fresh(SlotName::Reason, "why".into()), Opening::fresh(SlotName::Reason, "why".into()));
        assert_ne!(one.commitment(), two.commitment());
        assert!(one.opens(&one.commitment()) && !one.opens(&two.commitment()));
        let other_slot = Opening::from_parts(SlotName::Comment, *one.salt(), "why".into());
        let other_value = Opening::from_parts(SlotName::Reason, *one.salt(), "why?".into());
        assert!(!other_slot.opens(&one.commitment()) && !other_value.opens(&one.commitment()));
        assert!(!format!("{one:?}").contains("why"));
    }

    #[test]
    fn an_opening_survives_its_bytes() {
        let opening = Opening::fresh(SlotName::Staff, "0199".into());
        let back = Opening::from_bytes(SlotName::Staff, &opening.to_bytes()).expect("reads back");
        assert_eq!((back.value(), back.commitment()), ("0199", opening.commitment()));
        assert!(Opening::from_bytes(SlotName::Staff, &[0; 31]).is_err());
        assert!(Opening::from_bytes(SlotName::Staff, &[0xff; 33]).is_err());
    }

    #[test]
    fn p1_a_sealed_opening_opens_under_its_key_for_its_commitment_only() {
        let key = StaffAuditKey::generate();
        let opening = Opening::fresh(SlotName::Reason, "why".into());
        let sealed = SealedOpening::seal(&opening, KeptUnder::Staff(CollectionId::VAULT), &key);
        assert_eq!(sealed.open(&key).expect("opens").value(), "why");
        assert_eq!(sealed.open(&StaffAuditKey::generate()).unwrap_err(), Unopenable);
        let other = Opening::fresh(SlotName::Reason, "why".into()).commitment();
        assert!(SealedOpening { commitment: other, ..sealed.clone() }.open(&key).is_err());
        assert!(SealedOpening { slot: SlotName::Comment, ..sealed }.open(&key).is_err());
    }
}
