//! Successor logs: held to every checkpoint of what they follow.

use super::*;
use crate::audit::entry::LogStarted;
use crate::audit::merkle::Edge;
use crate::audit::succession::{Because, Declaration, origin};

const BASE: &str = "log.example/v";

/// A log that says how it began.
fn begun(entries: u64) -> Log {
    let mut log = Log::of(0);
    let key = log.signer.verifier().to_string();
    let first = Draft::<LogStarted>::new(at(0)).data("key", key);
    log.append(&first.prepare(&OpeningKeys { staff: &keys(), record: None }).expect("it fits"));
    for n in 1..entries {
        log.append(&prepared(n));
    }
    log.publish();
    log
}

fn root(log: &Log, size: u64) -> Hash {
    let mut edge = Edge::default();
    log.entries.iter().take(size as usize).for_each(|entry| edge.append(Hash::leaf(entry)));
    edge.root()
}

/// What would be declared of `log`, cut to `carried`.
fn declaration(log: &Log, carried: u64, generation: u32) -> (Declaration, CheckpointSigner) {
    let signer = CheckpointSigner::new(&origin(BASE, generation), &LogSeed::generate()).expect("a valid origin");
    let declaration = Declaration {
        key: signer.verifier().clone(),
        because: Because::Loss,
        predecessor: log.signer.verifier().clone(),
        carried,
        root: root(log, carried),
        known: Some((log.size(), root(log, log.size()))),
        lost: log.size() - carried,
    };
    (declaration, signer)
}

/// The successor of `log`, with further entries.
fn successor(log: &Log, carried: u64, declared: &Declaration, signer: CheckpointSigner, further: u64) -> Log {
    let mut next = log.clone();
    next.entries.truncate(carried as usize);
    next.openings.retain(|(index, _), _| *index < carried);
    next.signer = std::sync::Arc::new(signer);
    next.append(&declared.draft(at(carried)).prepare(&OpeningKeys { staff: &keys(), record: None }).expect("it fits"));
    for n in 0..further {
        next.append(&prepared(carried + 1 + n));
    }
    next.publish();
    next
}

fn warnings(report: &Report) -> Vec<&'static str> {
    report.warnings.iter().map(Warning::code).collect()
}

#[test]
fn p9_a_successor_is_held_to_every_checkpoint_of_its_predecessor() {
    let log = begun(600);
    let notes: Vec<(u64, String)> = [0, 1, 255, 256, 257, 400, 401, 599, 600]
        .into_iter()
        .map(|size| (size, log.signer.sign(size, root(&log, size)).note().to_owned()))
        .collect();
    let (declared, signer) = declaration(&log, 400, 2);
    let mut next = successor(&log, 400, &declared, signer, 300);
    let report = next.verify(&[]);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(warnings(&report), ["succeeded"]);
    assert_eq!((report.predecessors.len(), report.predecessors[0].carried, report.predecessors[0].lost), (1, 400, 200));
    for (size, note) in notes {
        let report = next.verify(&[note]);
        assert!(report.is_clean(), "{size}: {:?}", report.findings);
        if size <= 400 {
            assert_eq!((report.known_extended, warnings(&report)), (1, vec!["succeeded"]), "{size}");
        } else {
            assert_eq!((report.known_extended, warnings(&report)), (0, vec!["succeeded", "loss_declared"]), "{size}");
        }
    }
    // More than was declared; another history of what is carried, and of what is lost; another key's.
    let more = log.signer.sign(601, Hash::leaf(b"x")).note().to_owned();
    assert_eq!(next.codes(&[more]), ["loss_undeclared"]);
    for size in [200, 400, 600] {
        let other = log.signer.sign(size, Hash::leaf(b"x")).note().to_owned();
        assert_eq!(next.codes(&[other]), ["fork"], "{size}");
    }
    let stranger = CheckpointSigner::new(BASE, &LogSeed::generate()).expect("a valid origin");
    let note = stranger.sign(200, root(&log, 200)).note().to_owned();
    assert_eq!(next.codes(&[note]), ["bad_known_checkpoint"]);
    // The predecessor that somebody expects.
    let mut report = next.verify(&[]);
    report.expect_predecessor(log.signer.verifier());
    assert!(report.is_clean());
    report.expect_predecessor(stranger.verifier());
    assert_eq!(report.findings, [Finding::PredecessorMissing]);
}

#[test]
fn p9_a_declaration_that_does_not_follow_from_its_log_is_found() {
    let log = begun(300);
    let changes: [fn(&mut Declaration); 5] = [
        |d| d.carried -= 1,
        |d| d.root = Hash::leaf(b"x"),
        |d| d.predecessor = CheckpointSigner::new(BASE, &LogSeed::generate()).expect("valid").verifier().clone(),
        |d| d.key = CheckpointSigner::new(&origin(BASE, 2), &LogSeed::generate()).expect("valid").verifier().clone(),
        |d| d.lost = 0,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (mut declared, signer) = declaration(&log, 200, 2);
        change(&mut declared);
        let mut next = successor(&log, 200, &declared, signer, 3);
        assert_eq!(next.codes(&[]), ["succession_wrong"], "{number}");
    }
    // Carried entries that are not the predecessor's.
    let (declared, signer) = declaration(&log, 200, 2);
    let mut forged = log.clone();
    forged.entries[100] = prepared(7).entry().to_vec();
    for opening in prepared(7).openings() {
        forged.openings.remove(&(100, opening.slot()));
    }
    forged.complete = false;
    let mut next = successor(&forged, 200, &declared, signer, 3);
    assert_eq!(next.codes(&[]), ["succession_wrong"]);
    // Signed on by the old key behind a declaration: two histories.
    let (declared, signer) = declaration(&log, 300, 2);
    let mut next = successor(&log, 300, &declared, signer, 3);
    next.signer = log.signer.clone();
    next.publish();
    assert_eq!(next.codes(&[]), ["succession_wrong"]);
    // A log that begins a second time.
    let mut twice = begun(3);
    let again = Draft::<LogStarted>::new(at(3)).data("key", twice.signer.verifier().to_string());
    twice.append(&again.prepare(&OpeningKeys { staff: &keys(), record: None }).expect("it fits"));
    twice.publish();
    assert_eq!(twice.codes(&[]), ["succession_wrong"]);
}

#[test]
fn p9_successions_chain_and_what_was_erased_stays_erased_across_them() {
    let mut first = begun(300);
    let erasing = Draft::<RecordErased>::new(at(300)).data(ERASED, vec!["5/staff".to_owned()]);
    first.append(&erasing.prepare(&OpeningKeys { staff: &keys(), record: None }).expect("it fits"));
    first.openings.insert((5, SlotName::Staff), Kept::Erased);
    first.publish();
    let (declared, signer) = declaration(&first, 301, 2);
    let second = successor(&first, 301, &declared, signer, 40);
    let (declared, signer) = declaration(&second, 320, 3);
    let mut third = successor(&second, 320, &declared, signer, 5);
    let known = [first.checkpoint.clone(), second.signer.sign(310, root(&second, 310)).note().to_owned()];
    let report = third.verify(&known);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.known_extended, report.predecessors.len(), report.slots.erased), (2, 2, 1));
    let report = third.verify(core::slice::from_ref(&second.checkpoint));
    assert!(report.is_clean() && warnings(&report).contains(&"loss_declared"), "{:?}", report.warnings);
    // Shown again although a predecessor erased it.
    third.openings.insert((5, SlotName::Staff), Kept::Withheld);
    assert!(third.verify(&[]).is_clean());
    let shown = prepared(5);
    third.entries[5] = shown.entry().to_vec();
    let opening = shown.openings().iter().find(|o| o.slot() == SlotName::Staff).expect("there is one");
    let here = Kept::Here { salt: *opening.salt(), value: opening.value().to_owned() };
    third.openings.insert((5, SlotName::Staff), here);
    third.publish();
    assert!(third.codes(&[]).contains(&"erasure_undone"));
    // A link of the chain that is missing.
    let (declared, signer) = declaration(&second, 200, 3);
    let mut broken = successor(&second, 200, &declared, signer, 5);
    // And with it the entry that said what was erased.
    assert_eq!(broken.codes(&[]), ["succession_wrong", "erasure_unexplained"]);
}
