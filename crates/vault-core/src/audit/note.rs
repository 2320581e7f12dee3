//! Signed notes and verifier keys (c2sp.org/signed-note), with Ed25519 signatures.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The longest note read. The specification asks for at least 16 signatures, of which the largest
/// kind in use (ML-DSA-44) takes 5 kB each.
pub const MAX_NOTE: usize = 256 * 1024;

/// The signature type of plain Ed25519 signatures.
const ED25519: u8 = 1;

/// What a signature line begins with: em dash, space.
const LINE_START: &str = "\u{2014} ";

/// A note that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoteError {
    /// Not in the form of a signed note.
    #[error("not a signed note")]
    Malformed,
    /// No signature is by the key asked about.
    #[error("the note is not signed by this key")]
    UnknownKey,
    /// A signature by the key asked about does not verify.
    #[error("the note's signature is wrong")]
    BadSignature,
}

/// A verifier key that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier key of the form name+id+base64 with an Ed25519 key")]
pub struct InvalidKey;

/// Whether `name` may name a key: not empty, no spaces, no plus, no control characters.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// SHA-256(name ‖ 0x0A ‖ type ‖ public key), its first four bytes.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(public).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

/// A public key with its name, as in `name+id+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key's name; for a log's key also its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that `note` is signed by this key and gives its text, the final newline included.
    pub fn verify<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let note = Note::parse(note)?;
        let mut verified = false;
        for line in note.signatures.split_terminator('\n') {
            let (name, id, signature) = signature_line(line)?;
            if name != self.name || id != self.id {
                continue;
            }
            let signature = Signature::from_slice(&signature).map_err(|_| NoteError::BadSignature)?;
            self.key.verify_strict(note.text.as_bytes(), &signature).map_err(|_| NoteError::BadSignature)?;
            verified = true;
        }
        if verified { Ok(note.text) } else { Err(NoteError::UnknownKey) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![ED25519];
        material.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        // Base64 may hold a plus, a name may not: three parts counted from the left.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidKey);
        };
        let material = STANDARD.decode(material).map_err(|_| InvalidKey)?;
        let Some((&ED25519, public)) = material.split_first() else { return Err(InvalidKey) };
        let public: [u8; 32] = public.try_into().map_err(|_| InvalidKey)?;
        let key = VerifyingKey::from_bytes(&public).map_err(|_| InvalidKey)?;
        let expected = key_id(name, &public);
        // A small-order key verifies signatures that nobody made.
        if !is_key_name(name) || hex::encode(expected) != id || key.is_weak() {
            return Err(InvalidKey);
        }
        Ok(Self { name: name.to_owned(), id: expected, key })
    }
}

/// A named Ed25519 key that signs notes. `ed25519-dalek` wipes the scalar when it is dropped.
pub(super) struct NoteSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl NoteSigner {
    /// The signer with this name and key.
    pub(super) fn new(name: &str, key: SigningKey) -> Result<Self, InvalidKey> {
        if !is_key_name(name) {
            return Err(InvalidKey);
        }
        let public = key.verifying_key();
        let verifier = VerifierKey { name: name.to_owned(), id: key_id(name, public.as_bytes()), key: public };
        Ok(Self { verifier, key })
    }

    pub(super) const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// `text`, which ends in a newline, with this key's signature.
    pub(super) fn sign(&self, text: &str) -> String {
        use ed25519_dalek::Signer as _;
        let mut signature = self.verifier.id.to_vec();
        signature.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n{LINE_START}{} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

struct Note<'a> {
    text: &'a str,
    signatures: &'a str,
}

impl<'a> Note<'a> {
    fn parse(note: &'a str) -> Result<Self, NoteError> {
        let controls = |c: u8| c < 0x20 && c != b'\n';
        if note.len() > MAX_NOTE || note.bytes().any(controls) {
            return Err(NoteError::Malformed);
        }
        // The last empty line divides; the text keeps the newline before it.
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = note.split_at(at + 1);
        let signatures = signatures.strip_prefix('\n').ok_or(NoteError::Malformed)?;
        if !signatures.ends_with('\n') {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text, signatures })
    }
}

/// Name, key id and signature of one line.
fn signature_line(line: &str) -> Result<(&str, [u8; 4], Vec<u8>), NoteError> {
    let rest = line.strip_prefix(LINE_START).ok_or(NoteError::Malformed)?;
    let (name, encoded) = rest.split_once(' ').ok_or(NoteError::Malformed)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
    if !is_key_name(name) || signature.is_empty() {
        return Err(NoteError::Malformed);
    }
    Ok((name, *id, signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification: a key and a note signed by it.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn signer(name: &str) -> NoteSigner {
        NoteSigner::new(name, SigningKey::from_bytes(&[7; 32])).expect("a valid name")
    }

    #[test]
    fn the_specifications_example_verifies() {
        let key: VerifierKey = KEY.parse().expect("a key");
        assert_eq!(key.verify(NOTE), Ok("This is an example message.\n"));
        assert_eq!(key.to_string(), KEY);
    }

    #[test]
    fn any_changed_byte_of_a_note_with_one_signature_is_refused() {
        let key: VerifierKey = KEY.parse().expect("a key");
        for at in 0..NOTE.len() {
            for bit in 0..8 {
                let mut bytes = NOTE.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(key.verify(&changed).is_err(), "bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn signatures_by_unknown_keys_are_ignored_and_never_enough() {
        let (ours, theirs) = (signer("log.example/a"), signer("log.example/b"));
        let note = ours.sign("text\n");
        let line = theirs.sign("text\n").replace("text\n\n", "");
        let both = format!("{note}{line}");
        assert_eq!(ours.verifier().verify(&both), Ok("text\n"));
        assert_eq!(theirs.verifier().verify(&both), Ok("text\n"));
        assert_eq!(theirs.verifier().verify(&note), Err(NoteError::UnknownKey));
    }

    #[test]
    fn one_wrong_signature_by_a_known_key_condemns_the_note() {
        let ours = signer("log.example/a");
        let other_text = ours.sign("other\n").replace("other\n\n", "");
        let both = format!("{}{other_text}", ours.sign("text\n"));
        assert_eq!(ours.verifier().verify(&both), Err(NoteError::BadSignature));
    }

    #[test]
    fn sixteen_signatures_and_more_are_read() {
        let ours = signer("log.example/last");
        let mut note = String::from("text\n\n");
        for n in 0..32 {
            note.push_str(&signer(&format!("log.example/{n}")).sign("text\n").replace("text\n\n", ""));
        }
        note.push_str(&ours.sign("text\n").replace("text\n\n", ""));
        assert_eq!(ours.verifier().verify(&note), Ok("text\n"));
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let ours = signer("log.example/a");
        let good = ours.sign("line\n\nline\n");
        assert_eq!(ours.verifier().verify(&good), Ok("line\n\nline\n"), "an empty line in the text is text");
        let long = "x".repeat(MAX_NOTE);
        for bad in [
            String::new(),
            "\n\n".into(),
            "text\n".into(),
            good.trim_end().to_owned(),
            good.replace('\u{2014}', "-"),
            good.replace("line\n", "line\r\n"),
            good.replace("log.example/a ", "log.example/a"),
            format!("{good}\n"),
            format!("{good}{long}"),
            good.replace("log.example/a ", "log.example/a  "),
        ] {
            assert!(ours.verifier().verify(&bad).is_err(), "{bad:.80}");
        }
    }

    #[test]
    fn what_is_not_a_verifier_key_is_refused() {
        let weak = {
            // The identity point: order 1.
            let mut public = [0; 32];
            public[0] = 1;
            let mut material = vec![ED25519];
            material.extend_from_slice(&public);
            format!("n+{}+{}", hex::encode(key_id("n", &public)), STANDARD.encode(material))
        };
        for bad in [
            "",
            "a+b",
            &KEY.replace("530d903a", "530d903b"),
            &KEY.replace("530d903a", "530D903A"),
            &KEY.replace("example.com/foo", "example.com/fop"),
            &KEY.replace("example.com/foo", ""),
            &KEY.replace("+Aeky", "+Beky"),
            &format!("{KEY}="),
            &format!("{KEY}\n"),
            &weak,
        ] {
            assert_eq!(bad.parse::<VerifierKey>(), Err(InvalidKey), "{bad}");
        }
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
            assert!(NoteSigner::new(name, SigningKey::from_bytes(&[1; 32])).is_err(), "{name:?}");
        }
    }
}
