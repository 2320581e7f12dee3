//! Checkpoints: signed tree heads (c2sp.org/tlog-checkpoint).

use core::fmt;

use crate::audit::merkle::Hash;
use crate::audit::note::{InvalidKey, NoteError, NoteSigner, VerifierKey};
use crate::keys::hierarchy::{LogSeed, OutboxKey};

/// A tree head, not signed and not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity; the name of its key.
    pub origin: String,
    /// How many entries the tree has.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

/// A checkpoint that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it cannot be believed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is signed, but its text is not a checkpoint.
    #[error("the note's text is not a checkpoint")]
    Malformed,
    /// It is signed by the log's key, but names another origin.
    #[error("the checkpoint is of another log")]
    WrongOrigin,
}

impl fmt::Display for Checkpoint {
    /// The note text: origin, size and root, each on a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

impl Checkpoint {
    /// Parses a note text. Extension lines are read over: they are opaque.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed);
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed);
        }
        let size = decimal(size).ok_or(CheckpointError::Malformed)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Malformed)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A number in decimal without sign or leading zeroes.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical =
        !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// A checkpoint whose signature by the log's key has been verified. Only
/// [`VerifierKey::verify_checkpoint`] and [`CheckpointSigner::sign`] make one.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

impl VerifiedCheckpoint {
    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// How many entries the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The tree's root.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// The signed note, as it is published.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl fmt::Debug for VerifiedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedCheckpoint").field(&self.checkpoint).finish()
    }
}

impl VerifierKey {
    /// Checks that `note` is a checkpoint of the log whose key this is.
    pub fn verify_checkpoint(&self, note: &str) -> Result<VerifiedCheckpoint, CheckpointError> {
        let checkpoint = Checkpoint::parse(self.verify(note)?)?;
        if checkpoint.origin != self.name() {
            return Err(CheckpointError::WrongOrigin);
        }
        Ok(VerifiedCheckpoint { checkpoint, note: note.to_owned() })
    }
}

/// The log's signing key, and what else comes from its seed. Whoever holds it must sign only trees that extend each other.
pub struct CheckpointSigner {
    note: NoteSigner,
    outbox: OutboxKey,
}

impl CheckpointSigner {
    /// The signer of the log `origin`.
    pub fn new(origin: &str, seed: &LogSeed) -> Result<Self, InvalidKey> {
        Ok(Self { note: NoteSigner::new(origin, seed.signing_key())?, outbox: seed.outbox_key() })
    }

    /// The public half, for auditors.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        self.note.verifier()
    }

    /// The key that authenticates what waits to be appended.
    #[must_use]
    pub const fn outbox_key(&self) -> &OutboxKey {
        &self.outbox
    }

    /// Signs the tree of `size` entries with root `root`.
    #[must_use]
    pub fn sign(&self, size: u64, root: Hash) -> VerifiedCheckpoint {
        let checkpoint = Checkpoint { origin: self.verifier().name().to_owned(), size, root };
        let note = self.note.sign(&checkpoint.to_string());
        VerifiedCheckpoint { checkpoint, note }
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckpointSigner").field(self.verifier()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(origin: &str, seed: &LogSeed) -> CheckpointSigner {
        CheckpointSigner::new(origin, seed).expect("a valid origin")
    }

    #[test]
    fn a_signed_checkpoint_verifies_under_its_key_and_no_other() {
        let seed = LogSeed::generate();
        let signer_v = signer("log.example/v", &seed);
        let signed = signer_v.sign(3, Hash::leaf(b"x"));
        assert_eq!(signer_v.verifier().verify_checkpoint(signed.note()).as_ref(), Ok(&signed));
        for other in [signer("log.example/v", &LogSeed::generate()), signer("log.example/w", &seed)] {
            assert_eq!(other.verifier().verify_checkpoint(signed.note()), Err(NoteError::UnknownKey.into()));
        }
    }

    #[test]
    fn a_note_of_the_same_key_about_another_log_is_refused() {
        let signer = signer("log.example/v", &LogSeed::generate()).note;
        let other = Checkpoint { origin: "log.example/w".into(), size: 1, root: Hash::leaf(b"x") };
        let note = signer.sign(&other.to_string());
        assert_eq!(signer.verifier().verify_checkpoint(&note), Err(CheckpointError::WrongOrigin));
    }

    #[test]
    fn the_text_has_one_form() {
        let good = Checkpoint { origin: "o".into(), size: 7, root: Hash::EMPTY_ROOT }.to_string();
        assert!(Checkpoint::parse(&good).is_ok());
        assert!(Checkpoint::parse(&format!("{good}extension\n")).is_ok());
        let root = Hash::EMPTY_ROOT;
        for bad in [
            String::new(),
            good.trim_end().to_owned(),
            format!("\n7\n{root}\n"),
            format!("o\n07\n{root}\n"),
            format!("o\n+7\n{root}\n"),
            format!("o\n-7\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            "o\n7\n".into(),
            "o\n7\nAAAA\n".into(),
            format!("o\n7\n{}\n", root.to_string().trim_end_matches('=')),
            format!("{good}\n"),
            format!("{good}\nextension\n"),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Malformed), "{bad:?}");
        }
    }
}
