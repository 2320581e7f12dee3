//! The key schedule, whole (`docs/format.md` §5.2). Every label is framed; every derived key is
//! `HKDF-SHA-256(salt = none, IKM = the parent, info = framed(label, fields…))`, 32 bytes.
//!
//! | from | label | fields | gives |
//! | --- | --- | --- | --- |
//! | record key | `object-key` | object id | [`ObjectKey`] |
//! | object key | `stream-key` | – | [`StreamKey`]: FLOE's message key |
//! | object key | `tail-key` | – | [`TailKey`] |
//! | record key | `field-key` | – | [`FieldKey`] |
//! | field key | `field-tag` | – | [`FieldTag`]: its first 16 bytes, not a key |
//! | upload secret ‖ resume key | `in-progress-key` | upload id | the key around a record key in progress |
//! | log seed | `outbox-key` | – | [`OutboxKey`] |
//! | subject key | `subject` | external id | a pseudonym: HMAC-SHA-256, not a key |
//! | outbox key | `outbox-row` | id, entry, openings, reference if any | the row's MAC: HMAC-SHA-256, not a key |

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::hierarchy::{FieldKey, LogSeed, ObjectKey, OutboxKey, RecordKey, ResumeKey, StreamKey, SubjectKey, TailKey};
use super::tag::FieldTag;
use super::upload::UploadSecret;
use crate::framing::framed;
use crate::ids::{ObjectId, UploadId};
use crate::secret::Secret;

const OBJECT: &str = "feedback-vault/v1/object-key";
const STREAM: &str = "feedback-vault/v1/stream-key";
const TAIL: &str = "feedback-vault/v1/tail-key";
const FIELD: &str = "feedback-vault/v1/field-key";
const FIELD_TAG: &str = "feedback-vault/v1/field-tag";
const IN_PROGRESS: &str = "feedback-vault/v1/in-progress-key";
const SUBJECT: &str = "feedback-vault/v1/subject";
const OUTBOX: &str = "feedback-vault/v1/outbox-key";
const OUTBOX_ROW: &str = "feedback-vault/v1/outbox-row";
const LOG_HEAD: &str = "feedback-vault/v1/log-head";

fn derive(parent: &[u8], label: &str, fields: &[&[u8]]) -> Secret<32> {
    Secret::fill(|okm| match Hkdf::<Sha256>::new(None, parent).expand(&framed(label, fields), okm) {
        Ok(()) => (),
        Err(_) => unreachable!("32 bytes are one block of HKDF"),
    })
}

impl RecordKey {
    /// The key of one object of this record.
    #[must_use]
    pub fn object_key(&self, object: ObjectId) -> ObjectKey {
        ObjectKey::from_secret(derive(self.secret().expose(), OBJECT, &[object.as_bytes()]))
    }

    /// The key of this record's identifiers and log openings.
    #[must_use]
    pub fn field_key(&self) -> FieldKey {
        FieldKey::from_secret(derive(self.secret().expose(), FIELD, &[]))
    }
}

impl FieldKey {
    /// What tells this key from the one that another record key gives, and is no secret.
    #[must_use]
    pub fn tag(&self) -> FieldTag {
        let derived = derive(self.secret().expose(), FIELD_TAG, &[]);
        let mut tag = [0; 16];
        tag.copy_from_slice(&derived.expose()[..16]);
        FieldTag::from_bytes(tag)
    }
}

impl ObjectKey {
    /// FLOE's message key: what [`crate::media`] seals and opens with.
    #[must_use]
    pub fn stream_key(&self) -> StreamKey {
        StreamKey::from_secret(derive(self.secret().expose(), STREAM, &[]))
    }

    /// The key of the unfinished segment between two requests of an upload.
    #[must_use]
    pub fn tail_key(&self) -> TailKey {
        TailKey::from_secret(derive(self.secret().expose(), TAIL, &[]))
    }
}

impl SubjectKey {
    /// The pseudonym of a data subject in one collection, from the bytes of the external id.
    #[must_use]
    pub fn pseudonym(&self, external_id: &str) -> [u8; 32] {
        match <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret().expose()) {
            Ok(mac) => mac.chain_update(framed(SUBJECT, &[external_id.as_bytes()])).finalize().into_bytes().into(),
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }
}

impl LogSeed {
    /// The key that signs checkpoints. `ed25519-dalek` wipes it when it is dropped.
    pub(crate) fn signing_key(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(self.secret().expose())
    }

    /// The key that authenticates rows of the outbox: whoever may sign the log may also queue for it.
    #[must_use]
    pub fn outbox_key(&self) -> OutboxKey {
        OutboxKey::from_secret(derive(self.secret().expose(), OUTBOX, &[]))
    }
}

impl OutboxKey {
    fn hmac(&self) -> Hmac<Sha256> {
        let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret().expose()) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac
    }

    /// The MAC of the log's head, given by the right edge of its tree: that the vault itself committed these entries.
    #[must_use]
    pub fn head_mac(&self, edge: &[u8]) -> [u8; 32] {
        self.hmac().chain_update(framed(LOG_HEAD, &[edge])).finalize().into_bytes().into()
    }

    /// Whether the vault committed this head. Compares in constant time.
    #[must_use]
    pub fn committed(&self, edge: &[u8], mac: &[u8]) -> bool {
        self.hmac().chain_update(framed(LOG_HEAD, &[edge])).verify_slice(mac).is_ok()
    }

    fn keyed(&self, id: &str, entry: &[u8], openings: &[u8], reference: Option<&str>) -> Hmac<Sha256> {
        let mac = self.hmac();
        let row = [id.as_bytes(), entry, openings];
        // A row without a reference frames one field less: no reference is not the empty one.
        let fields: Vec<&[u8]> = row.into_iter().chain(reference.map(str::as_bytes)).collect();
        mac.chain_update(framed(OUTBOX_ROW, &fields))
    }

    /// The MAC of a row of the outbox.
    #[must_use]
    pub fn mac(&self, id: &str, entry: &[u8], openings: &[u8], reference: Option<&str>) -> [u8; 32] {
        self.keyed(id, entry, openings, reference).finalize().into_bytes().into()
    }

    /// Whether the vault wrote this row as it stands. Compares in constant time.
    #[must_use]
    pub fn wrote(&self, id: &str, entry: &[u8], openings: &[u8], reference: Option<&str>, mac: &[u8]) -> bool {
        self.keyed(id, entry, openings, reference).verify_slice(mac).is_ok()
    }
}

/// Neither the URL nor the resume key alone opens an upload under way.
pub(super) fn in_progress_key(url: &UploadSecret, resume: &ResumeKey, upload: UploadId) -> Secret<32> {
    let ikm = Secret::<64>::fill(|both| {
        let (first, second) = both.split_at_mut(32);
        first.copy_from_slice(url.secret().expose());
        second.copy_from_slice(resume.secret().expose());
    });
    derive(ikm.expose(), IN_PROGRESS, &[upload.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HMAC-SHA-256 on `sha2` alone (RFC 2104), so that no line is shared with the code above.
    fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
        use sha2::Digest;
        let pad = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }

    /// RFC 5869 with an empty salt and one block of output.
    fn hkdf(ikm: &[u8], info: &[u8]) -> [u8; 32] {
        use sha2::Digest;
        let prk = {
            let inner = Sha256::new().chain_update([0x36; 64]).chain_update(ikm).finalize();
            Sha256::new().chain_update([0x5c; 64]).chain_update(inner).finalize().into()
        };
        hmac(&prk, &[info, &[1]].concat())
    }

    fn frame(fields: &[&[u8]]) -> Vec<u8> {
        fields.iter().flat_map(|f| [&u32::try_from(f.len()).unwrap().to_be_bytes(), *f].concat()).collect()
    }

    #[test]
    fn every_derivation_is_the_one_in_the_format() {
        let record = RecordKey::from_secret(Secret::fill(|b| *b = [3; 32]));
        let id = [0xA1; 16];
        let object_key = hkdf(&[3; 32], &frame(&[b"feedback-vault/v1/object-key", &id]));
        let object = record.object_key(ObjectId::from_bytes(id));
        assert!(object.secret().ct_eq(&object_key));
        assert!(object.stream_key().secret().ct_eq(&hkdf(&object_key, &frame(&[b"feedback-vault/v1/stream-key"]))));
        assert!(object.tail_key().secret().ct_eq(&hkdf(&object_key, &frame(&[b"feedback-vault/v1/tail-key"]))));
        let field_key = hkdf(&[3; 32], &frame(&[b"feedback-vault/v1/field-key"]));
        assert!(record.field_key().secret().ct_eq(&field_key));
        let tag = hkdf(&field_key, &frame(&[b"feedback-vault/v1/field-tag"]));
        assert_eq!(record.field_key().tag().as_bytes(), &tag[..16]);
        assert_ne!(RecordKey::generate().field_key().tag(), record.field_key().tag());

        let url = UploadSecret::from_secret(Secret::fill(|b| *b = [4; 32]));
        let resume = ResumeKey::from_secret(Secret::fill(|b| *b = [5; 32]));
        let both = [[4; 32], [5; 32]].concat();
        let expected = hkdf(&both, &frame(&[b"feedback-vault/v1/in-progress-key", &id]));
        assert!(in_progress_key(&url, &resume, UploadId::from_bytes(id)).ct_eq(&expected));

        let subject = SubjectKey::from_secret(Secret::fill(|b| *b = [6; 32]));
        let message = frame(&[b"feedback-vault/v1/subject", "Zoë".as_bytes()]);
        assert_eq!(subject.pseudonym("Zoë"), hmac(&[6; 32], &message));
    }

    #[test]
    fn a_row_of_the_outbox_is_held_by_all_of_its_columns() {
        let key = LogSeed::from_secret(Secret::fill(|b| *b = [7; 32])).outbox_key();
        let expected = hkdf(&[7; 32], &frame(&[b"feedback-vault/v1/outbox-key"]));
        assert!(key.secret().ct_eq(&expected));
        let message = frame(&[b"feedback-vault/v1/outbox-row", b"id", b"{}", b"sealed", b"ref"]);
        let mac = key.mac("id", b"{}", b"sealed", Some("ref"));
        assert_eq!(mac, hmac(&expected, &message));
        assert!(key.wrote("id", b"{}", b"sealed", Some("ref"), &mac));
        for (id, entry, openings, reference) in [
            ("ie", b"{}", b"sealed", Some("ref")),
            ("id", b"[]", b"sealed", Some("ref")),
            ("id", b"{}", b"seeled", Some("ref")),
            ("id", b"{}", b"sealed", Some("rex")),
            ("id", b"{}", b"sealed", Some("")),
            ("id", b"{}", b"sealed", None),
        ] {
            assert!(!key.wrote(id, entry, openings, reference, &mac), "{id} {reference:?}");
        }
        assert!(!key.wrote("id", b"{}", b"sealed", Some("ref"), &mac[..31]));
        assert!(!key.wrote("id", b"{}", b"sealed", Some("ref"), &[]));
        assert!(!LogSeed::generate().outbox_key().wrote("id", b"{}", b"sealed", Some("ref"), &mac));
    }

    /// The same values as numbers, so that a change of both code and check above shows.
    #[test]
    fn known_answers() {
        let record = RecordKey::from_secret(Secret::fill(|b| *b = [3; 32]));
        let object = record.object_key(ObjectId::from_bytes([0xA1; 16]));
        let subject = SubjectKey::from_secret(Secret::fill(|b| *b = [6; 32]));
        let answers = [
            hex::encode(object.stream_key().secret().expose()),
            hex::encode(object.tail_key().secret().expose()),
            hex::encode(record.field_key().secret().expose()),
            hex::encode(subject.pseudonym("Zoë")),
        ];
        assert_eq!(
            answers,
            [
                "d1d4de86e11d04737e480532113c9e19488692fdca2a3367e3d8f1fb1c08957b",
                "d59743ab0aca6ddac5a55dfaabe7d8c9868553ff5a6e18c859fcb80dde829764",
                "d08d46d81a94780e38e4af4b3974d8a6af722a22410958501beb7893dbd37672",
                "02244cdb45712b703137aee6ced20886f369749c2f641fa76e07e22143a8517a"
            ]
        );
    }

    #[test]
    fn p2_siblings_share_nothing() {
        let record = RecordKey::generate();
        let (a, b) = (ObjectId::from_bytes([1; 16]), ObjectId::from_bytes([2; 16]));
        let keys = [record.object_key(a), record.object_key(b), RecordKey::generate().object_key(a)];
        for (i, left) in keys.iter().enumerate() {
            for right in &keys[i + 1..] {
                assert!(!left.secret().ct_eq(right.secret().expose()));
            }
            assert!(!left.stream_key().secret().ct_eq(left.tail_key().secret().expose()));
        }
    }
}
