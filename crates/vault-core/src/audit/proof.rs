//! Proofs that can be kept and verified offline (c2sp.org/tlog-proof).

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::audit::checkpoint::{CheckpointError, VerifiedCheckpoint, decimal};
use crate::audit::merkle::{Hash, ProofError, verify_inclusion};
use crate::audit::note::VerifierKey;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An entry's place, the way to the root, and the checkpoint over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data that nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// From the leaf's sibling to the root's child.
    pub inclusion: Vec<Hash>,
    /// The signed note, verbatim.
    pub checkpoint: String,
}

/// A proof that does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Not in the form of a proof.
    #[error("not a transparency log proof")]
    Malformed,
    /// Its checkpoint cannot be believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the tree.
    #[error("the entry is not in the log: {0}")]
    NotIncluded(#[from] ProofError),
}

impl TlogProof {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let malformed = TlogProofError::Malformed;
        let rest = text.strip_prefix(HEADER).and_then(|r| r.strip_prefix('\n')).ok_or(malformed)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(malformed)?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                let encoded = line.strip_prefix("extra ").ok_or(malformed)?;
                Some(STANDARD.decode(encoded).map_err(|_| malformed)?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal).ok_or(malformed)?;
        let inclusion: Vec<Hash> = lines.map(Hash::from_base64).collect::<Option<_>>().ok_or(malformed)?;
        // No tree is deeper than its size has bits.
        if inclusion.len() > 64 {
            return Err(malformed);
        }
        Ok(Self { extra, index, inclusion, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that `entry` is in the log whose key is `key`, and gives the checkpoint that says so.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<VerifiedCheckpoint, TlogProofError> {
        let checkpoint = key.verify_checkpoint(&self.checkpoint)?;
        verify_inclusion(Hash::leaf(entry), self.index, checkpoint.size(), &self.inclusion, checkpoint.root())?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.inclusion {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::CheckpointSigner;
    use crate::audit::merkle::Edge;
    use crate::keys::hierarchy::LogSeed;

    fn proof(extra: Option<Vec<u8>>) -> (TlogProof, VerifierKey) {
        let signer = CheckpointSigner::new("log.example/v", &LogSeed::generate()).expect("a valid origin");
        let mut edge = Edge::default();
        for n in 0_u8..7 {
            edge.append(Hash::leaf(&[n]));
        }
        let checkpoint = signer.sign(7, edge.root()).note().to_owned();
        let inclusion = edge.inclusion_proof(5).expect("held");
        (TlogProof { extra, index: 5, inclusion, checkpoint }, signer.verifier().clone())
    }

    #[test]
    fn p9_a_proof_is_read_back_and_verifies_its_entry_only() {
        for extra in [None, Some(vec![1, 2, 3])] {
            let (proof, key) = proof(extra);
            let back = TlogProof::parse(&proof.to_string()).expect("reads back");
            assert_eq!(back, proof);
            assert_eq!(back.verify(&[5], &key).map(|c| c.size()), Ok(7));
            assert!(matches!(back.verify(&[6], &key), Err(TlogProofError::NotIncluded(_))));
            let other = CheckpointSigner::new("log.example/v", &LogSeed::generate()).expect("a valid origin");
            assert!(matches!(back.verify(&[5], other.verifier()), Err(TlogProofError::Checkpoint(_))));
        }
    }

    #[test]
    fn p9_no_changed_byte_of_a_proof_verifies_or_reads_as_the_same() {
        let (proof, key) = proof(None);
        let text = proof.to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(!TlogProof::parse(&changed).is_ok_and(|p| p.verify(&[5], &key).is_ok()), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let text = proof(None).0.to_string();
        for bad in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("index 5", "index 05"),
            text.replace("index 5", "index -5"),
            text.replace("index 5\n", ""),
            text.replace("index 5", "extra !\nindex 5"),
            text.replace("index 5\n", "index 5\nextra AAAA\n"),
            text.replace("\n\n", "\n"),
        ] {
            assert_eq!(TlogProof::parse(&bad), Err(TlogProofError::Malformed), "{bad}");
        }
    }
}
