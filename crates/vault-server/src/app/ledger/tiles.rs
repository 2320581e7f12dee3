//! The tiles at the right edge of the log, and what becomes full of them.

use bytes::Bytes;
use vault_core::audit::merkle::Hash;
use vault_core::audit::note::VerifierKey;
use vault_core::audit::succession;
use vault_core::audit::tile::{self, Kind, Tile, TileError, WIDTH};

use crate::objects::{InvalidName, Name};

/// A resource that will never change again.
pub(super) type Full = (Tile, Bytes);

/// Where the resources of one log lie: `log/…`, and `log/<generation>/…` for a successor. What a predecessor published stays
/// as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// Of the log of this key.
    pub(super) fn of(key: &VerifierKey) -> Self {
        Self(succession::generation(key.name()))
    }

    /// Where the successor of this one lies.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    fn named(self, resource: &str) -> Result<Name, InvalidName> {
        match self.0 {
            1 => Name::log(resource),
            generation => Name::log(&format!("{generation}/{resource}")),
        }
    }

    /// Where the checkpoint lies.
    pub(super) fn checkpoint(self) -> Result<Name, InvalidName> {
        self.named("checkpoint")
    }

    /// Where the first `width` entries of bundle `index` lie while there are no more.
    pub(super) fn partial_bundle(self, index: u64, width: u16) -> Result<Name, InvalidName> {
        self.named(&Tile { kind: Kind::Entries, index, width }.to_string())
    }

    /// Where a full tile or bundle lies.
    pub(super) fn full(self, tile: Tile) -> Result<Name, InvalidName> {
        self.named(&Tile { width: WIDTH, ..tile }.to_string())
    }
}

/// The partial tile of each level, and the partial bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EdgeTiles {
    pub(super) size: u64,
    pub(super) hashes: Vec<Vec<Hash>>,
    pub(super) bundle: Vec<u8>,
}

impl EdgeTiles {
    /// Appends an entry. What it filled goes to `full`.
    pub(super) fn append(&mut self, entry: &[u8], leaf: Hash, full: &mut Vec<Full>) -> Result<(), TileError> {
        tile::push_entry(&mut self.bundle, entry)?;
        self.size += 1;
        if self.size.is_multiple_of(u64::from(WIDTH)) {
            let bundle = Tile { kind: Kind::Entries, index: self.size / u64::from(WIDTH) - 1, width: WIDTH };
            full.push((bundle, core::mem::take(&mut self.bundle).into()));
        }
        self.row_up(leaf, full);
        Ok(())
    }

    /// Appends an entry's hash alone: for whoever proves, and serves no bundle.
    pub(super) fn append_hash(&mut self, leaf: Hash, full: &mut Vec<Full>) {
        self.size += 1;
        self.row_up(leaf, full);
    }

    fn row_up(&mut self, leaf: Hash, full: &mut Vec<Full>) {
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.hashes.len() == usize::from(level) {
                self.hashes.push(Vec::with_capacity(usize::from(WIDTH)));
            }
            let Some(row) = self.hashes.get_mut(usize::from(level)) else { break };
            row.push(hash);
            if row.len() < usize::from(WIDTH) {
                break;
            }
            let index = Tile::level_width(self.size, level) / u64::from(WIDTH) - 1;
            full.push((Tile::full(level, index), bytes_of(row)));
            hash = tile::fold(row);
            row.clear();
        }
    }

    /// The first `width` hashes of the partial tile at `level`.
    pub(super) fn partial(&self, level: u8, width: u16) -> Option<&[Hash]> {
        self.hashes.get(usize::from(level))?.get(..usize::from(width))
    }

    /// The partial bundle, if there is one, and the name it lies under.
    ///
    /// The name tells its width, as tlog-tiles has it: a PUT that lands late, of this node or of one that sequenced
    /// before, writes the same bytes again and never fewer over more.
    pub(super) fn partial_bundle(&self, place: Place) -> Option<Result<(Name, Bytes), InvalidName>> {
        if self.bundle.is_empty() {
            return None;
        }
        let bundle = Bytes::copy_from_slice(&self.bundle);
        let width = u16::try_from(self.size % u64::from(WIDTH)).unwrap_or(WIDTH);
        Some(place.partial_bundle(self.size / u64::from(WIDTH), width).map(|name| (name, bundle)))
    }
}

/// Hashes as a tile holds them.
pub(super) fn bytes_of(hashes: &[Hash]) -> Bytes {
    hashes.iter().flat_map(|h| *h.as_bytes()).collect()
}
