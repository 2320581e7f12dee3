//! What belongs to a backup (`docs/backup.md` §3). Whoever keeps backups may have written it: everything in it is checked before
//! it is relied on, and the log's position against the log's own signature.

use serde::{Deserialize, Serialize};

use crate::audit::checkpoint::{CheckpointError, VerifiedCheckpoint};
use crate::audit::merkle::Hash;
use crate::audit::note::VerifierKey;
use crate::ids::{CollectionId, KeyringId};
use crate::time::Timestamp;

/// What `format` says.
pub const FORMAT: &str = "feedback-vault/backup/v1";

/// No manifest is longer.
pub const MAX_MANIFEST: usize = 1 << 20;

/// Numbers that every JSON reader keeps.
const MOST: u64 = 1 << 53;

/// Bytes that are not a manifest that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// No manifest.
    #[error("not the manifest of a backup")]
    Malformed,
    /// A later format.
    #[error("a backup of another format than {FORMAT}")]
    Format,
    /// The log's key, root or size is none.
    #[error("the manifest's position of the log is none")]
    Log,
    /// The checkpoint is not the log's.
    #[error("the manifest's checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A table twice, or numbers that nothing has.
    #[error("the manifest's tables or keys are none")]
    Tables,
}

/// The position of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The verifier key, `name+hash+base64`.
    pub public_key: String,
    /// Entries.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
    /// The last published checkpoint, a signed note.
    pub checkpoint: String,
}

/// A key version that something in the backup is wrapped under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeededKey {
    /// Whose; the nil UUID for the vault's own.
    pub collection: CollectionId,
    /// Which.
    pub version: u32,
    /// The root epoch that wraps it.
    pub root_epoch: u32,
    /// Record keys under it.
    pub records: u64,
}

/// The keys without which the backup, or a part of it, opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// The root epoch that wraps the log's seed.
    pub log_seed: u32,
    /// Key versions, in order.
    pub keys: Vec<NeededKey>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSum {
    /// Its name.
    pub name: String,
    /// Lines.
    pub rows: u64,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The schema's version.
    pub schema: u32,
    /// The keyring that the vault belongs to.
    pub vault_id: KeyringId,
    /// The log's position.
    pub log: Position,
    /// The last restriction's number.
    pub restrictions: u64,
    /// What it hangs on.
    pub needs: Needs,
    /// The tables, in the order in which they are restored.
    pub tables: Vec<TableSum>,
}

/// A manifest whose every member was checked by itself, with the log's position as types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// As read.
    pub manifest: Manifest,
    /// The log's key, by the manifest's own word.
    pub key: VerifierKey,
    /// The root over all entries.
    pub root: Hash,
    /// The checkpoint, signed by that key.
    pub checkpoint: VerifiedCheckpoint,
}

impl Manifest {
    /// The file's bytes.
    pub fn write(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| ManifestError::Malformed)?;
        bytes.push(b'\n');
        if bytes.len() > MAX_MANIFEST { Err(ManifestError::Tables) } else { Ok(bytes) }
    }

    /// Reads a file's bytes.
    pub fn read(bytes: &[u8]) -> Result<Checked, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::Malformed);
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
        if manifest.format != FORMAT {
            return Err(ManifestError::Format);
        }
        let key: VerifierKey = manifest.log.public_key.parse().map_err(|_| ManifestError::Log)?;
        let root = Hash::from_base64(&manifest.log.root).ok_or(ManifestError::Log)?;
        let checkpoint = key.verify_checkpoint(&manifest.log.checkpoint)?;
        let size = manifest.log.size;
        let fits = checkpoint.size() < size || (checkpoint.size() == size && *checkpoint.root() == root);
        if !fits || size > MOST {
            return Err(ManifestError::Log);
        }
        if !manifest.numbers_fit() {
            return Err(ManifestError::Tables);
        }
        Ok(Checked { key, root, checkpoint, manifest })
    }

    fn numbers_fit(&self) -> bool {
        let tables = &self.tables;
        let hashed = |t: &TableSum| {
            t.sha256.len() == 64 && t.sha256.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        let twice = |at: usize| tables.iter().take(at).any(|t| t.name == tables[at].name);
        let keys = &self.needs.keys;
        tables.len() <= 64
            && tables.iter().all(|t| t.rows <= MOST && t.bytes <= MOST && hashed(t))
            && !(0..tables.len()).any(twice)
            && self.restrictions <= MOST
            && keys.iter().all(|k| k.records <= MOST)
            && keys.windows(2).all(|pair| (pair[0].collection, pair[0].version) < (pair[1].collection, pair[1].version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::CheckpointSigner;
    use crate::keys::hierarchy::LogSeed;

    fn manifest() -> Manifest {
        let signer = CheckpointSigner::new("vault.example/log", &LogSeed::generate()).unwrap();
        let key = |version| NeededKey { collection: CollectionId::VAULT, version, root_epoch: 1, records: 0 };
        Manifest {
            format: FORMAT.to_owned(),
            created_at: Timestamp::from_millis(1_790_000_000_000),
            schema: 1,
            vault_id: KeyringId::from_bytes([7; 16]),
            log: Position {
                public_key: signer.verifier().to_string(),
                size: 0,
                root: Hash::EMPTY_ROOT.to_string(),
                checkpoint: signer.sign(0, Hash::EMPTY_ROOT).note().to_owned(),
            },
            restrictions: 3,
            needs: Needs { log_seed: 1, keys: vec![key(1), key(2)] },
            tables: vec![TableSum { name: "meta".to_owned(), rows: 1, bytes: 9, sha256: "0a".repeat(32) }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest();
        assert_eq!(Manifest::read(&manifest.write().unwrap()).unwrap().manifest, manifest);
    }

    #[test]
    fn p9_a_manifest_whose_log_the_key_did_not_sign_is_refused() {
        let bent = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            Manifest::read(&manifest.write().unwrap()).unwrap_err()
        };
        assert_eq!(bent(|m| m.format = "feedback-vault/backup/v2".to_owned()), ManifestError::Format);
        assert_eq!(bent(|m| m.log.root = Hash::from_bytes([1; 32]).to_string()), ManifestError::Log);
        assert_eq!(bent(|m| m.log.public_key.clear()), ManifestError::Log);
        assert!(matches!(bent(|m| m.log.checkpoint.insert(0, 'x')), ManifestError::Checkpoint(_)));
        assert!(matches!(bent(|m| m.log.checkpoint = manifest().log.checkpoint), ManifestError::Checkpoint(_)));
        assert_eq!(bent(|m| m.tables.push(m.tables[0].clone())), ManifestError::Tables);
        assert_eq!(bent(|m| m.tables[0].sha256.make_ascii_uppercase()), ManifestError::Tables);
        assert_eq!(bent(|m| m.needs.keys.swap(0, 1)), ManifestError::Tables);
        assert_eq!(bent(|m| m.restrictions = u64::MAX), ManifestError::Tables);
        assert_eq!(Manifest::read(b"{}"), Err(ManifestError::Malformed));
        assert_eq!(Manifest::read(&vec![b' '; MAX_MANIFEST + 1]), Err(ManifestError::Malformed));
    }
}
