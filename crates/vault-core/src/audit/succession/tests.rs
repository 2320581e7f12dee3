//! What survives, and what a declaration may say.

use proptest::prelude::*;

use super::*;
use crate::audit::checkpoint::CheckpointSigner;
use crate::audit::merkle::Edge;
use crate::audit::slot::OpeningKeys;
use crate::keys::hierarchy::{LogSeed, StaffAuditKey};

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| Hash::leaf(format!("entry {n}").as_bytes())).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    leaves.iter().for_each(|leaf| edge.append(*leaf));
    edge.root()
}

fn signed(leaves: &[Hash], size: usize) -> (u64, Hash) {
    (size as u64, root(&leaves[..size]))
}

fn key(name: &str) -> VerifierKey {
    CheckpointSigner::new(name, &LogSeed::generate()).expect("a valid origin").verifier().clone()
}

#[test]
fn p9_names_of_successors_are_counted_and_first_logs_keep_theirs() {
    assert_eq!(origin("vault.example/log", 1), "vault.example/log");
    assert_eq!(origin("vault.example/log", 3), "vault.example/log/successor/3");
    for generation_ in [1, 2, 3, 10, u32::MAX] {
        assert_eq!(generation(&origin("vault.example/log", generation_)), generation_);
    }
    for first in ["a/successor/", "a/successor/1", "a/successor/02", "a/successor/x", "a/successor/4294967296", "a/2"] {
        assert_eq!(generation(first), 1, "{first}");
    }
}

#[test]
fn p9_what_both_copies_lost_is_lost_and_nothing_else_is() {
    let all = leaves(300);
    // The database lost its end and the published files are gone, but for the checkpoint.
    let left = survivors(&all[..200], &[], &[signed(&all, 300)]);
    assert_eq!((left.size, left.root), (200, root(&all[..200])));
    // The published files have more.
    let left = survivors(&all[..200], &all[..256], &[signed(&all, 300)]);
    assert_eq!((left.size, left.alike, left.from_published), (256, 200, true));
    // The database has more than was ever published.
    let left = survivors(&all, &all[..256], &[signed(&all, 256)]);
    assert_eq!((left.size, left.from_published), (300, false));
    assert_eq!(survivors(&[], &[], &[signed(&all, 300)]).size, 0);
}

#[test]
fn p9_where_copies_contradict_each_other_a_signature_decides_or_nobody() {
    let all = leaves(300);
    let mut edited = all.clone();
    edited[150] = Hash::leaf(b"another");
    // Signed behind the edit: the published copy is right, whichever is longer.
    let left = survivors(&edited, &all[..280], &[signed(&all, 280)]);
    assert_eq!((left.size, left.alike, left.from_published), (280, 150, true));
    let left = survivors(&all, &edited, &[signed(&all, 280)]);
    assert_eq!((left.size, left.from_published), (300, false));
    // Signed before it: nobody knows.
    let left = survivors(&edited, &all, &[signed(&all, 100)]);
    assert_eq!((left.size, left.root), (150, root(&all[..150])));
    // One copy, altered: back to what a signature vouches for.
    let left = survivors(&edited, &[], &[signed(&all, 100), signed(&all, 300)]);
    assert_eq!((left.size, left.root), (100, root(&all[..100])));
    // Both altered alike is one copy.
    let left = survivors(&edited, &edited, &[signed(&all, 100), signed(&all, 300)]);
    assert_eq!(left.size, 100);
}

proptest! {
    /// Whatever is lost, edited and signed: what survives has every signed root on its way, is a copy's own beginning, and
    /// is the whole when a whole copy is there.
    #[test]
    fn p9_what_survives_contradicts_no_signature(
        count in 1_usize..40,
        cut_database in 0_usize..40,
        cut_published in 0_usize..40,
        edits in proptest::collection::vec((any::<bool>(), 0_usize..40), 0..3),
        sizes in proptest::collection::vec(0_usize..40, 0..4),
    ) {
        let all = leaves(count);
        let signed: Vec<_> = sizes.iter().map(|size| signed(&all, (*size).min(count))).collect();
        let mut database = all[..cut_database.min(count)].to_vec();
        let mut published = all[..cut_published.min(count)].to_vec();
        for (n, (in_database, at)) in edits.iter().enumerate() {
            let copy = if *in_database { &mut database } else { &mut published };
            if let Some(leaf) = copy.get_mut(*at) {
                *leaf = Hash::leaf(format!("edit {n}").as_bytes());
            }
        }
        let left = survivors(&database, &published, &signed);
        let copy = if left.from_published { &published } else { &database };
        let size = usize::try_from(left.size).unwrap();
        prop_assert!(size <= copy.len());
        prop_assert_eq!(left.root, root(&copy[..size]));
        prop_assert!(left.alike <= left.size);
        for (at, signed_root) in &signed {
            if *at <= left.size {
                prop_assert_eq!(root(&copy[..usize::try_from(*at).unwrap()]), *signed_root);
            }
        }
        if edits.is_empty() {
            prop_assert_eq!(size, database.len().max(published.len()));
        }
        // A copy that leads to the newest signed root is never given up for one that does not.
        if let Some((newest, newest_root)) = signed.iter().max_by_key(|(size, _)| *size) {
            let newest_size = usize::try_from(*newest).unwrap();
            let reaches = |copy: &[Hash]| copy.len() >= newest_size && root(&copy[..newest_size]) == *newest_root;
            if reaches(&database) || reaches(&published) {
                prop_assert!(left.size >= *newest);
            }
        }
    }

    #[test]
    fn p9_a_declaration_is_read_as_it_was_written(
        carried in 0_u64..1_000_000,
        further in 0_u64..1_000,
        known in any::<bool>(),
        because in 0_usize..3,
        generation_ in 1_u32..5,
    ) {
        let declaration = Declaration {
            key: key(&origin("log.example/v", generation_ + 1)),
            because: Because::ALL[because],
            predecessor: key(&origin("log.example/v", generation_)),
            carried,
            root: Hash::leaf(b"root"),
            known: known.then(|| (carried + further, Hash::leaf(b"known"))),
            lost: further,
        };
        prop_assert_eq!(read(&declaration), Some(Ok(declaration)));
    }
}

fn read(declaration: &Declaration) -> Option<Result<Declaration, InvalidDeclaration>> {
    let keys = StaffAuditKey::generate();
    let prepared = declaration.draft(Timestamp::from_millis(0)).prepare(&OpeningKeys { staff: &keys, record: None });
    let prepared = prepared.expect("it fits");
    Declaration::of(&Entry::parse(prepared.entry()).expect("an entry"))
}

#[test]
fn p9_a_declaration_names_its_own_predecessor_and_admits_what_its_numbers_say() {
    let good = Declaration {
        key: key("log.example/v/successor/2"),
        because: Because::Loss,
        predecessor: key("log.example/v"),
        carried: 7,
        root: Hash::leaf(b"root"),
        known: Some((9, Hash::leaf(b"known"))),
        lost: 2,
    };
    assert_eq!(read(&good), Some(Ok(good.clone())));
    let with = |change: fn(&mut Declaration)| {
        let mut other = good.clone();
        change(&mut other);
        read(&other)
    };
    for wrong in [
        with(|d| d.lost = 1),
        with(|d| d.key = key("log.example/v")),
        with(|d| d.key = key("log.example/v/successor/3")),
        with(|d| d.key = key("log.example/w/successor/2")),
        with(|d| d.predecessor = key("log.example/v/successor/2")),
    ] {
        assert_eq!(wrong, Some(Err(InvalidDeclaration)));
    }
    let first = Draft::<LogStarted>::new(Timestamp::from_millis(0)).data("key", "k");
    let prepared = first.prepare(&OpeningKeys { staff: &StaffAuditKey::generate(), record: None }).expect("it fits");
    assert_eq!(Declaration::of(&Entry::parse(prepared.entry()).expect("an entry")), None);
}
