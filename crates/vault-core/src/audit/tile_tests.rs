//! Paths, contents and nodes of tiles.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::audit::merkle::{self, Edge, inclusion_proof, verify_inclusion};

#[test]
fn paths_of_the_specification() {
    let tile = |kind, index, width| Tile { kind, index, width };
    for (path, expected) in [
        ("tile/0/x001/x234/067", tile(Kind::Hashes(0), 1_234_067, WIDTH)),
        ("tile/0/000", tile(Kind::Hashes(0), 0, WIDTH)),
        ("tile/63/999.p/1", tile(Kind::Hashes(63), 999, 1)),
        ("tile/entries/x001/000.p/255", tile(Kind::Entries, 1000, 255)),
    ] {
        assert_eq!((path.parse(), expected.to_string()), (Ok(expected), path.to_owned()));
    }
    for bad in [
        "",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x1/000",
        "tile/0/X001/000",
        "tile/0/-01",
        "tile/0/+01",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/entry/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/000/",
        "/tile/0/000",
        "tile//000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/٠٠٠",
    ] {
        assert_eq!(bad.parse::<Tile>(), Err(TileError::Path), "{bad}");
    }
}

#[test]
fn the_specifications_tree_of_seventy_thousand() {
    let tiles = Tile::new_since(0, 70_000);
    let count = |kind, full: bool| tiles.iter().filter(|t| t.kind == kind && t.is_full() == full).count();
    assert_eq!((count(Kind::Hashes(0), true), count(Kind::Hashes(0), false)), (273, 1));
    assert_eq!((count(Kind::Hashes(1), true), count(Kind::Hashes(1), false)), (1, 1));
    assert_eq!((count(Kind::Hashes(2), true), count(Kind::Hashes(2), false)), (0, 1));
    assert_eq!(Tile::of_size(Kind::Hashes(0), 273, 70_000).map(|t| t.width), Some(112));
    assert_eq!(Tile::of_size(Kind::Hashes(1), 1, 70_000).map(|t| t.width), Some(17));
    assert_eq!(Tile::of_size(Kind::Hashes(2), 0, 70_000).map(|t| t.width), Some(1));
    assert_eq!(Tile::of_size(Kind::Hashes(0), 1, 256), None);
    assert_eq!(Tile::of_size(Kind::Hashes(1), 0, 256).map(|t| t.width), Some(1));
    assert_eq!(Tile::of_size(Kind::Hashes(9), 0, u64::MAX), None);
}

/// Tiles in memory, cut from a whole tree.
struct Memory(HashMap<(u8, u64), Vec<Hash>>);

impl Memory {
    fn of(tree: &Edge) -> Self {
        let mut tiles: HashMap<(u8, u64), Vec<Hash>> = HashMap::new();
        for level in 0..3 {
            for n in 0..Tile::level_width(tree.size(), level) {
                let node = Nodes::node(tree, level * 8, n).expect("held");
                tiles.entry((level, n / 256)).or_default().push(node);
            }
        }
        Self(tiles)
    }
}

impl Tiles for Memory {
    type Error = TileError;

    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, TileError> {
        let tile = Tile { kind: Kind::Hashes(level), index, width };
        let held = self.0.get(&(level, index)).ok_or(TileError::Missing(tile))?;
        held.get(..usize::from(width)).map(<[Hash]>::to_vec).ok_or(TileError::Missing(tile))
    }
}

#[test]
fn nodes_out_of_tiles_prove_entries_across_levels() {
    let mut tree = Edge::default();
    let size = 66_000;
    for n in 0_u32..size {
        tree.append(Hash::leaf(&n.to_be_bytes()));
    }
    let tiles = Memory::of(&tree);
    for at in [1_u64, 255, 256, 257, 511, 4_096, 65_535, 65_536, 65_537, u64::from(size)] {
        let nodes = TileNodes::new(&tiles, at);
        let root = merkle::root(&nodes, at).expect("held");
        assert_eq!(Edge::from_nodes(&nodes, at).expect("held").root(), root);
        for index in [0, at / 2, at - 1] {
            let proof = inclusion_proof(&nodes, index, at).expect("held");
            let leaf = Hash::leaf(&u32::try_from(index).unwrap().to_be_bytes());
            assert_eq!(verify_inclusion(leaf, index, at, &proof, &root), Ok(()), "{index} of {at}");
        }
    }
    assert_eq!(merkle::root(&TileNodes::new(&tiles, u64::from(size)), u64::from(size)), Ok(tree.root()));
}

#[test]
fn contents_have_exactly_their_width() {
    let tile = Tile { kind: Kind::Hashes(0), index: 0, width: 2 };
    assert_eq!(hashes(tile, &[1; 64]).map(|h| h.len()), Ok(2));
    for length in [0, 32, 63, 65, 96] {
        assert_eq!(hashes(tile, &vec![0; length]), Err(TileError::Contents));
    }
    let mut bundle = Vec::new();
    push_entry(&mut bundle, b"one").expect("short");
    push_entry(&mut bundle, b"").expect("short");
    assert_eq!(entries(2, &bundle), Ok(vec![b"one".as_slice(), b""]));
    assert_eq!(prefix_len(1, &bundle), Ok(5));
    for (width, bytes) in [(1, bundle.as_slice()), (3, &bundle), (2, &bundle[..6]), (1, &bundle[..4]), (1, &[])] {
        assert_eq!(entries(width, bytes), Err(TileError::Contents));
    }
    assert_eq!(push_entry(&mut bundle, &[0; 65_536]), Err(TileError::Contents));
}

proptest! {
    #[test]
    fn paths_read_back(level in 0_u8..64, index: u64, width in 1_u16..=256, entries: bool) {
        let kind = if entries { Kind::Entries } else { Kind::Hashes(level) };
        let tile = Tile { kind, index, width };
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
    }

    #[test]
    fn no_text_has_two_readings_and_none_panics(text in "tile/[0-9a-z/.]{0,24}") {
        if let Ok(tile) = text.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), text);
        }
    }

    #[test]
    fn new_tiles_are_those_that_changed(old in 0_u64..70_000, more in 0_u64..1_000) {
        let (before, after) = (Tile::new_since(0, old), Tile::new_since(0, old + more));
        let expected: Vec<_> = after.into_iter().filter(|t| !before.contains(t)).collect();
        prop_assert_eq!(Tile::new_since(old, old + more), expected);
    }
}
