//! The tree against an independent implementation (`ct-merkle`), exhaustively for 0 to 256 entries.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use sha2::Sha256;

use super::*;

const UP_TO: u64 = 256;

fn entry(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// Every node of a tree of 256 entries.
fn whole() -> Edge {
    let mut edge = Edge::default();
    for n in 0..UP_TO {
        edge.append(Hash::leaf(&entry(n)));
    }
    edge
}

fn theirs() -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for n in 0..UP_TO {
        tree.push(entry(n));
    }
    tree
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|h| *h.as_bytes()).collect()
}

#[test]
fn p9_roots_agree_with_an_independent_implementation_at_every_size() {
    let (nodes, mut tree, mut edge) = (whole(), MemoryBackedTree::<Sha256, Vec<u8>>::new(), Edge::default());
    for size in 0..=UP_TO {
        let expected = tree.root();
        assert_eq!(edge.root().as_bytes().as_slice(), expected.as_bytes().as_slice(), "{size}");
        assert_eq!(root(&nodes, size), Ok(edge.root()), "{size}");
        if size == 0 {
            assert_eq!(edge.root(), Hash::EMPTY_ROOT);
        }
        tree.push(entry(size));
        edge.append(Hash::leaf(&entry(size)));
    }
}

#[test]
fn p9_inclusion_proofs_agree_with_an_independent_implementation_for_every_entry_of_every_size() {
    let nodes = whole();
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 1..=UP_TO {
        tree.push(entry(size - 1));
        let their_root = tree.root();
        let our_root = root(&nodes, size).expect("held");
        for index in 0..size {
            let ours = inclusion_proof(&nodes, index, size).expect("held");
            assert_eq!(
                bytes(&ours),
                tree.prove_inclusion(usize::try_from(index).unwrap()).as_bytes(),
                "{index} of {size}"
            );
            let theirs = InclusionProof::<Sha256>::try_from_bytes(bytes(&ours)).expect("whole hashes");
            assert!(their_root.verify_inclusion(&entry(index), index, &theirs).is_ok());
            assert_eq!(verify_inclusion(Hash::leaf(&entry(index)), index, size, &ours, &our_root), Ok(()));
            // The neighbour's place, a longer and a shorter proof, another leaf.
            assert!(verify_inclusion(Hash::leaf(&entry(index)), index + 1, size, &ours, &our_root).is_err());
            assert!(verify_inclusion(Hash::leaf(b"other"), index, size, &ours, &our_root).is_err());
            let longer = [ours.as_slice(), &[our_root]].concat();
            assert!(verify_inclusion(Hash::leaf(&entry(index)), index, size, &longer, &our_root).is_err());
            if let Some((_, shorter)) = ours.split_last() {
                assert!(verify_inclusion(Hash::leaf(&entry(index)), index, size, shorter, &our_root).is_err());
            }
        }
        assert_eq!(verify_inclusion(our_root, size, size, &[], &our_root), Err(ProofError::OutOfRange));
    }
}

#[test]
fn p9_consistency_proofs_agree_with_an_independent_implementation_for_every_pair_of_sizes() {
    let nodes = whole();
    let full = theirs();
    let roots: Vec<Hash> = (0..=UP_TO).map(|size| root(&nodes, size).expect("held")).collect();
    let at = |size: u64| &roots[usize::try_from(size).unwrap()];
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for new in 0..=UP_TO {
        if new > 0 {
            tree.push(entry(new - 1));
        }
        for old in 0..=new {
            let ours = consistency_proof(&nodes, old, new).expect("held");
            assert_eq!(verify_consistency(old, at(old), new, at(new), &ours), Ok(()), "{old} in {new}");
            if old > 0 && old < new {
                let added = usize::try_from(new - old).unwrap();
                assert_eq!(bytes(&ours), tree.prove_consistency(added).as_bytes(), "{old} in {new}");
                let theirs = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&ours)).expect("whole hashes");
                let old_root = ct_merkle::RootHash::<Sha256>::new((*at(old).as_bytes()).into(), old);
                assert!(tree.root().verify_consistency(&old_root, &theirs).is_ok());
            }
            // Other roots, other sizes, a proof too long or too short.
            assert!(verify_consistency(old, &Hash::leaf(b"x"), new, at(new), &ours).is_err());
            if old > 0 {
                assert!(verify_consistency(old, at(old), new, &Hash::leaf(b"x"), &ours).is_err());
            }
            let longer = [ours.as_slice(), &[*at(new)]].concat();
            assert!(verify_consistency(old, at(old), new, at(new), &longer).is_err());
            if let Some((_, shorter)) = ours.split_last() {
                assert!(verify_consistency(old, at(old), new, at(new), shorter).is_err());
            }
            if old < new {
                assert!(verify_consistency(new, at(new), old, at(old), &ours).is_err());
            }
        }
    }
    assert_eq!(full.root().as_bytes().as_slice(), at(UP_TO).as_bytes().as_slice());
}

#[test]
fn a_settled_edge_grows_on_and_proves_what_was_appended_since() {
    let nodes = whole();
    for start in 0..UP_TO {
        let mut edge = Edge::from_nodes(&nodes, start).expect("held");
        assert_eq!(Edge::from_bytes(&edge.to_bytes()), Ok(edge.clone()));
        let old_root = edge.root();
        for n in start..(start + 20).min(UP_TO) {
            edge.append(Hash::leaf(&entry(n)));
            for index in start..=n {
                let proof = edge.inclusion_proof(index).expect("appended since");
                assert_eq!(verify_inclusion(Hash::leaf(&entry(index)), index, n + 1, &proof, &edge.root()), Ok(()));
            }
            assert_eq!(extends(&edge, start, &old_root), Ok(()));
        }
        let mut settled = edge.clone();
        settled.settle();
        assert_eq!((settled.root(), settled.to_bytes()), (edge.root(), edge.to_bytes()));
        assert_eq!(Edge::from_bytes(&settled.to_bytes()), Ok(settled.clone()));
    }
}

#[test]
fn bytes_that_are_no_edge_are_refused() {
    let edge = Edge::from_nodes(&whole(), 7).expect("held").to_bytes();
    for bad in [&edge[..7], &edge[..edge.len() - 1], &edge[..edge.len() - 32], &[edge.as_slice(), &[0; 32]].concat()] {
        assert_eq!(Edge::from_bytes(bad), Err(InvalidEdge));
    }
}
