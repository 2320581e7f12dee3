//! Tiles and entry bundles (c2sp.org/tlog-tiles): their paths, their contents, nodes out of them.

use core::fmt;
use core::str::FromStr;

use crate::audit::checkpoint::decimal;
use crate::audit::merkle::{Hash, Nodes};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u16 = 256;

/// Levels of the tree that one level of tiles spans.
const HEIGHT: u8 = 8;

/// What a tile resource holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Hashes at this level of tiles, 0 to 63.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// A tile or bundle, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Hashes or entries.
    pub kind: Kind,
    /// Its index within the level.
    pub index: u64,
    /// How many hashes or entries: 1 to [`WIDTH`].
    pub width: u16,
}

/// Text that is not the path of a tile, or bytes that are not its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TileError {
    /// Not a path in its one form.
    #[error("not the path of a tile")]
    Path,
    /// Not this many hashes or entries, or bytes behind them.
    #[error("the tile's contents have the wrong length")]
    Contents,
    /// A tile that should hold a node is not at hand.
    #[error("a tile is missing")]
    Missing(Tile),
}

impl Tile {
    /// A full tile of hashes.
    #[must_use]
    pub const fn full(level: u8, index: u64) -> Self {
        Self { kind: Kind::Hashes(level), index, width: WIDTH }
    }

    /// Whether it is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// How many hashes level `level` has for a log of `size` entries: one for each full tile below.
    #[must_use]
    pub const fn level_width(size: u64, level: u8) -> u64 {
        // Past 63 bits there is nothing: sizes are below 2^63.
        if level >= 8 { 0 } else { size >> (HEIGHT * level) }
    }

    /// The tile `index` of this kind in a log of `size` entries, full or partial; none if it is empty.
    #[must_use]
    pub fn of_size(kind: Kind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            Kind::Hashes(level) => level,
            Kind::Entries => 0,
        };
        let start = index.checked_mul(u64::from(WIDTH))?;
        let width = Self::level_width(size, level).checked_sub(start)?.min(u64::from(WIDTH));
        let width = u16::try_from(width).ok().filter(|w| *w > 0)?;
        Some(Self { kind, index, width })
    }

    /// Every tile and bundle that a log of `size` entries has and a log of `old` entries has not, lowest level first,
    /// bundles before tiles.
    #[must_use]
    pub fn new_since(old: u64, size: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for kind in core::iter::once(Kind::Entries).chain((0..8).map(Kind::Hashes)) {
            let level = if let Kind::Hashes(level) = kind { level } else { 0 };
            let (before, now) = (Self::level_width(old, level), Self::level_width(size, level));
            if before < now {
                let first = before / u64::from(WIDTH);
                tiles.extend((first..).map_while(|index| Self::of_size(kind, index, size)));
            }
        }
        tiles
    }
}

impl fmt::Display for Tile {
    /// `tile/0/x001/x234/067.p/8`: the path under the log's prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
            Kind::Entries => f.write_str("tile/entries/")?,
        }
        let digits = self.index.to_string();
        let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        let groups = padded.len() / 3;
        for group in 0..groups {
            let text = padded.get(group * 3..group * 3 + 3).unwrap_or_default();
            if group + 1 < groups { write!(f, "x{text}/")? } else { f.write_str(text)? }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = TileError;

    /// Only the form that [`fmt::Display`] writes: an index has one spelling.
    fn from_str(text: &str) -> Result<Self, TileError> {
        let rest = text.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let kind = match level {
            "entries" => Kind::Entries,
            _ => Kind::Hashes(
                decimal(level).and_then(|l| u8::try_from(l).ok()).filter(|l| *l < 64).ok_or(TileError::Path)?,
            ),
        };
        let (path, width) = match rest.split_once(".p/") {
            Some((path, width)) => {
                let width = decimal(width).and_then(|w| u16::try_from(w).ok());
                (path, width.filter(|w| (1..WIDTH).contains(w)).ok_or(TileError::Path)?)
            }
            None => (rest, WIDTH),
        };
        let mut index = 0_u64;
        let groups = path.split('/').count();
        for (number, group) in path.split('/').enumerate() {
            let digits = if number + 1 < groups { group.strip_prefix('x').ok_or(TileError::Path)? } else { group };
            // The first group of several is not 000: a longer spelling of a smaller index.
            if digits.len() != 3
                || !digits.bytes().all(|c| c.is_ascii_digit())
                || (number == 0 && groups > 1 && digits == "000")
            {
                return Err(TileError::Path);
            }
            let group: u64 = digits.parse().map_err(|_| TileError::Path)?;
            index = index.checked_mul(1000).and_then(|i| i.checked_add(group)).ok_or(TileError::Path)?;
        }
        Ok(Self { kind, index, width })
    }
}

/// The hashes of a tile of hashes.
pub fn hashes(tile: Tile, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    match bytes.as_chunks::<32>() {
        (hashes, []) if hashes.len() == usize::from(tile.width) => {
            Ok(hashes.iter().map(|h| Hash::from_bytes(*h)).collect())
        }
        _ => Err(TileError::Contents),
    }
}

/// Appends `entry` to a bundle: its length in two bytes, then its bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::Contents)?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle of exactly `width` entries.
pub fn entries(width: u16, bundle: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let length = prefix_len(width, bundle)?;
    if length != bundle.len() {
        return Err(TileError::Contents);
    }
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bundle;
    while let Some((entry, tail)) = split_entry(rest) {
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

/// How many bytes the first `width` entries of a bundle take: a bundle of that width is this prefix.
pub fn prefix_len(width: u16, bundle: &[u8]) -> Result<usize, TileError> {
    let mut rest = bundle;
    for _ in 0..width {
        (_, rest) = split_entry(rest).ok_or(TileError::Contents)?;
    }
    Ok(bundle.len() - rest.len())
}

fn split_entry(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bundle.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Where tiles come from.
pub trait Tiles {
    /// Why a tile cannot be had.
    type Error: From<TileError>;

    /// The hashes of tile `index` at `level`, at least `width` of them.
    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, Self::Error>;
}

/// The nodes of the tree of `size` entries, out of its tiles.
#[derive(Debug)]
pub struct TileNodes<'t, T> {
    tiles: &'t T,
    size: u64,
}

impl<'t, T: Tiles> TileNodes<'t, T> {
    /// The nodes that `tiles` hold for the tree of `size` entries.
    pub const fn new(tiles: &'t T, size: u64) -> Self {
        Self { tiles, size }
    }
}

impl<T: Tiles> Nodes for TileNodes<'_, T> {
    type Error = T::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, T::Error> {
        let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
        // The node covers 2^within hashes of its tile.
        let first = index << within;
        let tile_index = first / u64::from(WIDTH);
        let missing = |width| TileError::Missing(Tile { kind: Kind::Hashes(tile_level), index: tile_index, width });
        let tile = Tile::of_size(Kind::Hashes(tile_level), tile_index, self.size).ok_or(missing(WIDTH))?;
        let held = self.tiles.hashes(tile_level, tile_index, tile.width)?;
        let start = usize::try_from(first % u64::from(WIDTH)).map_err(|_| missing(tile.width))?;
        let covered = held.as_ref().get(start..start + (1 << within)).ok_or(missing(tile.width))?;
        Ok(fold(covered))
    }
}

/// The root of the complete subtree over these hashes; a power of two of them, at least one.
#[must_use]
pub fn fold(hashes: &[Hash]) -> Hash {
    let mut row = [Hash::EMPTY_ROOT; WIDTH as usize / 2];
    let Some((first, _)) = hashes.split_first() else { return Hash::EMPTY_ROOT };
    if hashes.len() == 1 {
        return *first;
    }
    let mut length = hashes.len() / 2;
    for (slot, [left, right]) in row.iter_mut().zip(hashes.as_chunks::<2>().0) {
        *slot = Hash::node(left, right);
    }
    while length > 1 {
        for i in 0..length / 2 {
            let (left, right) = (row[2 * i], row[2 * i + 1]);
            row[i] = Hash::node(&left, &right);
        }
        length /= 2;
    }
    row[0]
}

/// The partial tile of each level at the right edge of a tree: enough to compute its root and to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    size: u64,
    rows: Vec<Vec<Hash>>,
}

impl Rows {
    /// The rows of a tree of `size` entries, lowest level first; none if their widths are not those of such a tree.
    #[must_use]
    pub fn from_parts(size: u64, rows: Vec<Vec<Hash>>) -> Option<Self> {
        let width = |level: usize| Tile::level_width(size, u8::try_from(level).unwrap_or(u8::MAX));
        let fits = rows.iter().enumerate().all(|(level, row)| row.len() as u64 == width(level) % u64::from(WIDTH));
        (fits && width(rows.len()) == 0).then_some(Self { size, rows })
    }

    /// How many entries the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry's hash; each tile that this fills is handed to `full`.
    pub fn append(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.rows.len() == usize::from(level) {
                self.rows.push(Vec::with_capacity(usize::from(WIDTH)));
            }
            let Some(row) = self.rows.get_mut(usize::from(level)) else { break };
            row.push(hash);
            if row.len() < usize::from(WIDTH) {
                break;
            }
            let index = Tile::level_width(self.size, level) / u64::from(WIDTH) - 1;
            full(Tile::full(level, index), row);
            hash = fold(row);
            row.clear();
        }
    }

    /// The first `width` hashes of the partial tile at `level`.
    #[must_use]
    pub fn partial(&self, level: u8, width: u16) -> Option<&[Hash]> {
        self.rows.get(usize::from(level))?.get(..usize::from(width))
    }

    /// The root. Peaks lie in the partial tiles, so nothing else is needed.
    #[must_use]
    pub fn root(&self) -> Hash {
        crate::audit::merkle::root(&TileNodes::new(self, self.size), self.size).unwrap_or(Hash::EMPTY_ROOT)
    }
}

impl Tiles for Rows {
    type Error = TileError;

    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, TileError> {
        self.partial(level, width).ok_or(TileError::Missing(Tile { kind: Kind::Hashes(level), index, width }))
    }
}

#[cfg(test)]
#[path = "tile_tests.rs"]
mod tests;
